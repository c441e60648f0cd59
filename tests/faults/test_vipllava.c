/* Memory and file faults at every point of opening a ViP-LLaVA, of forward and backward
 * passes with pictures, of a step behind a cache, and of generating by each search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"
#include "support/seeded.h"

#define DATA "tests/data/models/"

typedef struct golden {
    const char *name, *call;
    const char *options;            /* of generate; NULL: a forward pass */
    bool gradients;
} golden;

static char work[] = "/tmp/ocelli-faults-XXXXXX";

static void job(oc_context *cx, void *user)
{
    const golden *g = user;
    char folder[128], input[160];
    oc_tensors *out = NULL;
    snprintf(folder, sizeof folder, "%s/%s", work, g->name);
    snprintf(input, sizeof input, DATA "%s/%s.in.safetensors", g->name, g->call);
    oc_model *model = oc_model_open(cx, folder, &OC_OPTIONS(oc_model_options,
                                    .trainable = g->gradients, .weights_only = true));
    oc_tensors *in = oc_tensors_open(cx, input);
    oc_forward_options f = OC_OPTIONS(oc_forward_options, .gradients = g->gradients,
        .output_hidden_states = true, .output_attentions = true, .use_cache = true);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = g->options,
                                       .output_scores = true);
    if (g->options) out = oc_generate(cx, model, in, &o);
    else out = oc_forward(cx, model, in, &f);
    oc_tensors_free(out);
    oc_tensors_free(in);
    oc_model_close(model);
}

static const golden calls[] = {
    { "vipllava_base", "uneven_right", NULL, false },
    { "vipllava_base", "step_left", NULL, false },
    { "vipllava_base", "labels_left", NULL, true },
    { "vipllava_generate", "greedy_left", "{\"max_new_tokens\": 3}", false },
    { "vipllava_generate", "beams_uneven", "{\"max_new_tokens\": 3, \"num_beams\": 2}",
      false },
    { "vipllava_generate", "contrastive",
      "{\"max_new_tokens\": 3, \"top_k\": 2, \"penalty_alpha\": 0.5}", false },
    { "vipllava_generate", "no_cache_left",
      "{\"max_new_tokens\": 2, \"use_cache\": false}", false },
};

static void make(const char *name)
{
    char from[128], to[128];
    oc_context *cx = oc_context_create(NULL);
    snprintf(from, sizeof from, DATA "%s", name);
    snprintf(to, sizeof to, "%s/%s", work, name);
    if (!seeded_save(cx, from, to)) fail_msg("%s: %s", name, oc_context_message(cx));
    oc_context_free(cx);
}

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        golden g = calls[i];
        fault_loop(&(fault_plan){ .job = job, .user = &g, .step = 3, .dense = 60 });
    }
}

static void test_files(void **state)
{
    (void)state;
    golden g = calls[0];
    fault_loop(&(fault_plan){ .job = job, .user = &g, .file_only = true });
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(work)) return -1;
    make("vipllava_base");
    make("vipllava_generate");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", work);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
