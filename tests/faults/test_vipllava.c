/* Memory and file faults at every point of opening a ViP-LLaVA, of forward and backward
 * passes with pictures, of a step behind a cache, and of generating by each search. */
#include "faults/goldens.h"

static const golden calls[] = {
    { "vipllava_base", "uneven_right", .use_cache = true },
    { "vipllava_base", "step_left", .use_cache = true },
    { "vipllava_base", "labels_left", .use_cache = true, .gradients = true },
    { "vipllava_generate", "greedy_left", .search = "{\"max_new_tokens\": 3}" },
    { "vipllava_generate", "beams_uneven",
      .search = "{\"max_new_tokens\": 3, \"num_beams\": 2}" },
    { "vipllava_generate", "contrastive",
      .search = "{\"max_new_tokens\": 3, \"top_k\": 2, \"penalty_alpha\": 0.5}" },
    { "vipllava_generate", "no_cache_left",
      .search = "{\"max_new_tokens\": 2, \"use_cache\": false}" },
};

static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        golden g = calls[i];
        fault_loop(&(fault_plan){ .job = golden_job, .user = &g, .step = 3,
                                  .dense = 60 });
    }
}

static void test_files(void **state)
{
    (void)state;
    golden g = calls[0];
    fault_loop(&(fault_plan){ .job = golden_job, .user = &g, .file_only = true });
}

static int set_up(void **state)
{
    if (make_work_folder(state)) return -1;
    make_case("vipllava_base");
    make_case("vipllava_generate");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, set_up, remove_work_folder);
}
