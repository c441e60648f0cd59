/* Every request fails once, and from there on, while weights are quantised at load,
 * converted, mapped, widened and saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faults.h"
#include "models/blocks_support.h"

static char plain[64], narrow[64], target[64];

static void open_as(oc_context *cx, const char *folder, oc_dtype dtype, bool no_map)
{
    oc_model_options o = OC_OPTIONS(oc_model_options, .weights_only = true,
                                    .no_map = no_map, .weights_dtype = dtype);
    oc_model_close(oc_model_open(cx, folder, &o));
}

static void job_load(oc_context *cx, void *user)
{
    (void)user;
    open_as(cx, plain, OC_INT4, false);
}

static void job_cast(oc_context *cx, void *user)
{
    (void)user;
    open_as(cx, plain, OC_BF16, false);
}

static void job_map(oc_context *cx, void *user)
{
    (void)user;
    open_as(cx, narrow, (oc_dtype)0, false);
    open_as(cx, narrow, (oc_dtype)0, true);
}

static void job_widen(oc_context *cx, void *user)
{
    (void)user;
    open_as(cx, narrow, OC_INT8, false);
}

static void convert(oc_context *cx, const char *from, oc_dtype dtype)
{
    oc_convert_options o =
        OC_OPTIONS(oc_convert_options, .save = OC_OPTIONS(oc_save_options, .dtype = dtype,
                                                          .max_shard_size = 60000));
    oc_convert(cx, from, target, &o);
}

static void job_convert(oc_context *cx, void *user)
{
    (void)user;
    convert(cx, plain, OC_INT4);
}

static void job_back(oc_context *cx, void *user)
{
    (void)user;
    convert(cx, narrow, OC_F32);
}

static void job_save(oc_context *cx, void *user)
{
    (void)user;
    oc_model *model = oc_model_open(
        cx, plain,
        &OC_OPTIONS(oc_model_options, .weights_only = true, .weights_dtype = OC_INT8));
    oc_model_save(cx, model, target, NULL);
    oc_model_close(model);
}

/* A folder with a config can be opened. */
static void check_target(oc_status status, void *user)
{
    char path[128];
    (void)user;
    oc_context *cx = blocks_context();
    snprintf(path, sizeof path, "%s/config.json", target);
    const bool whole = access(path, F_OK) == 0;
    if (status == OC_OK) assert_true(whole);
    oc_model *model = whole ? oc_model_open(cx, target, NULL) : NULL;
    if (whole && !model) fail_msg("%s", oc_context_message(cx));
    oc_model_close(model);
    oc_context_free(cx);
    blocks_clear(target, false);
}

static void loop(void (*job)(oc_context *, void *), bool writes, int threads)
{
    assert_true(fault_loop(&(fault_plan){ .job = job,
                                          .check = writes ? check_target : NULL,
                                          .threads = threads,
                                          .step = 5,
                                          .dense = 150 }) >= 30);
}

static void loads(void **state)
{
    (void)state;
    loop(job_load, false, 1);
    loop(job_load, false, 2);
    loop(job_cast, false, 1);
    loop(job_map, false, 1);
    loop(job_widen, false, 1);
}

static void conversions(void **state)
{
    (void)state;
    loop(job_convert, true, 1);
    loop(job_back, true, 1);
    loop(job_save, true, 1);
}

static int setup(void **state)
{
    (void)state;
    if (!blocks_folder(plain) || !blocks_folder(narrow) || !blocks_folder(target))
        return 1;
    oc_context *cx = blocks_context();
    oc_model *model = blocks_make(cx, blocks_families[0].config, 1);
    oc_model_save(cx, model, plain, NULL);
    oc_model_save(
        cx, model, narrow,
        &OC_OPTIONS(oc_save_options, .dtype = OC_INT4, .max_shard_size = 30000));
    if (oc_context_status(cx)) fail_msg("%s", oc_context_message(cx));
    oc_model_close(model);
    oc_context_free(cx);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blocks_clear(plain, true);
    blocks_clear(narrow, true);
    blocks_clear(target, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads),
        cmocka_unit_test(conversions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
