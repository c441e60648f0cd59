/* Memory and file faults at every point of opening a VisualBERT as each of
 * its classes and of a forward pass of it, of backward passes, and of
 * drawing a head that no file has. */
#include "faults/goldens.h"

static const golden forwards[] = {
    { .name = "vb_base", .call = "all" }, { .name = "vb_pretraining", .call = "all" },
    { .name = "vb_choice", .call = "all" }, { .name = "vb_answer", .call = "all" },
    { .name = "vb_reasoning", .call = "all" }, { .name = "vb_phrase", .call = "all" },
    { "vb_base", "all", .class_name = "VisualBertForPreTraining" },
};
static const golden backwards[] = {
    { "vb_pretraining", "words_grad", .gradients = true },
    { "vb_phrase", "grad", .gradients = true },
};

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forwards / sizeof *forwards; i++) {
        golden g = forwards[i];
        make_case(g.name);
        fault_loop(&(fault_plan){ .job = golden_job, .user = &g, .step = 7,
                                  .dense = 30 });
        fault_loop(&(fault_plan){ .job = golden_job, .user = &g, .file_only = true });
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof backwards / sizeof *backwards; i++) {
        golden g = backwards[i];
        make_case(g.name);
        fault_loop(&(fault_plan){ .job = golden_job, .user = &g, .step = 11,
                                  .dense = 20 });
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, make_work_folder, remove_work_folder);
}
