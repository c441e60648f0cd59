/* Memory and file faults in the encoders that make more on their way than ViT does:
 * windows, biases, patterns; forwards with every output, and backwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"

typedef struct golden {
    const char *folder, *input;
    bool gradients;
} golden;

static void job(oc_context *cx, void *user)
{
    const golden *g = user;
    oc_model *model = oc_model_open(cx, g->folder, &OC_OPTIONS(oc_model_options,
                                    .trainable = g->gradients, .weights_only = true));
    oc_tensors *in = oc_tensors_open(cx, g->input);
    oc_forward_options o = OC_OPTIONS(oc_forward_options, .gradients = g->gradients,
        .output_hidden_states = true, .output_attentions = true);
    oc_tensors_free(oc_forward(cx, model, in, &o));
    oc_tensors_free(in);
    oc_model_close(model);
}

#define DATA "tests/data/models/"

static void test_forward(void **state)
{
    (void)state;
    golden swin = { DATA "swin", DATA "swin/odd.in.safetensors", false };
    golden beit = { DATA "beit_everything", DATA "beit_everything/all.in.safetensors",
                    false };
    fault_loop(&(fault_plan){ .job = job, .user = &swin, .step = 5, .dense = 20 });
    fault_loop(&(fault_plan){ .job = job, .user = &beit, .step = 5, .dense = 20 });
    fault_loop(&(fault_plan){ .job = job, .user = &swin, .threads = 2, .step = 17 });
}

static void test_backward(void **state)
{
    (void)state;
    golden swin = { DATA "ved_swin", DATA "ved_swin/grad.in.safetensors", true };
    golden beit = { DATA "ved_beit", DATA "ved_beit/grad.in.safetensors", true };
    fault_loop(&(fault_plan){ .job = job, .user = &swin, .step = 11, .dense = 10 });
    fault_loop(&(fault_plan){ .job = job, .user = &beit, .step = 11, .dense = 10 });
    fault_loop(&(fault_plan){ .job = job, .user = &beit, .file_only = true });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
