/* Memory and file faults at every point of opening a VisualBERT as each of
 * its classes and of a forward pass of it, of backward passes, and of
 * drawing a head that no file has. */
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
    const char *class_name;         /* NULL: its own */
    bool gradients;
} golden;

static char work[] = "/tmp/ocelli-faults-XXXXXX";

static void job(oc_context *cx, void *user)
{
    const golden *g = user;
    char folder[128], input[160];
    snprintf(folder, sizeof folder, "%s/%s", work, g->name);
    snprintf(input, sizeof input, DATA "%s/%s.in.safetensors", g->name, g->call);
    oc_model *model =
        oc_model_open(cx, folder,
                      &OC_OPTIONS(oc_model_options, .trainable = g->gradients,
                                  .class_name = g->class_name,
                                  .allow_missing = g->class_name, .weights_only = true));
    oc_tensors *in = oc_tensors_open(cx, input);
    oc_forward_options o = OC_OPTIONS(oc_forward_options, .gradients = g->gradients,
        .output_hidden_states = true, .output_attentions = true);
    oc_tensors_free(oc_forward(cx, model, in, &o));
    oc_tensors_free(in);
    oc_model_close(model);
}

static const golden forwards[] = {
    { "vb_base", "all", NULL, false }, { "vb_pretraining", "all", NULL, false },
    { "vb_choice", "all", NULL, false }, { "vb_answer", "all", NULL, false },
    { "vb_reasoning", "all", NULL, false }, { "vb_phrase", "all", NULL, false },
    { "vb_base", "all", "VisualBertForPreTraining", false },
};
static const golden backwards[] = {
    { "vb_pretraining", "words_grad", NULL, true }, { "vb_phrase", "grad", NULL, true },
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

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forwards / sizeof *forwards; i++) {
        golden g = forwards[i];
        make(g.name);
        fault_loop(&(fault_plan){ .job = job, .user = &g, .step = 7, .dense = 30 });
        fault_loop(&(fault_plan){ .job = job, .user = &g, .file_only = true });
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof backwards / sizeof *backwards; i++) {
        golden g = backwards[i];
        make(g.name);
        fault_loop(&(fault_plan){ .job = job, .user = &g, .step = 11, .dense = 20 });
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(work) ? 0 : -1;
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
        cmocka_unit_test(test_forward), cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
