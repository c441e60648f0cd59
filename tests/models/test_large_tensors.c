/* Tensors of more than 8 MB, which all threads fill together, a piece each: the numbers
 * that one thread gets; a NaN in any piece is told of once; whatever fails leaves nothing
 * behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "faults/faults.h"
#include "models/blocks_support.h"

/* Two matrices of 9.4 MB, and smaller ones. */
static const char config[] =
    "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":768,"
    "\"intermediate_size\":3072,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
    "\"image_size\":32,\"patch_size\":16}";
static const char large[] = "encoder.layer.0.intermediate.dense.weight";

static char folder[64];

static void save_model(oc_context *cx, const oc_tensors *changes)
{
    oc_model *model = blocks_make(cx, config, 7);
    if (changes) oc_model_set(cx, model, changes);
    blocks_clear(folder, false);
    oc_model_save(cx, model, folder, NULL);
    oc_model_close(model);
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

static oc_tensors *values_of(int threads, oc_dtype dtype)
{
    oc_context_options own = OC_OPTIONS(oc_context_options, .threads = threads);
    oc_context *cx = oc_context_create(&own);
    oc_model *model = blocks_open(cx, folder, dtype);
    oc_tensors *values = oc_model_get(cx, model, "");
    if (!values) fail_msg("%s", oc_context_message(cx));
    oc_model_close(model);
    oc_context_free(cx);
    return values;
}

static void test_threads_agree(void **state)
{
    static const oc_dtype types[] = { OC_F32, OC_BF16, OC_INT8, OC_INT4 };
    oc_context *cx = blocks_context();
    (void)state;
    save_model(cx, NULL);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        oc_tensors *one = values_of(1, types[t]), *three = values_of(3, types[t]);
        assert_int_equal(oc_tensors_count(one), oc_tensors_count(three));
        for (size_t i = 0; i < oc_tensors_count(one); i++) {
            oc_tensor_view a = oc_tensors_get(one, i), b = oc_tensors_get(three, i);
            assert_string_equal(a.name, b.name);
            assert_int_equal(a.bytes, b.bytes);
            assert_memory_equal(a.data, b.data, a.bytes);
        }
        oc_tensors_free(one);
        oc_tensors_free(three);
    }
    oc_context_free(cx);
}

static void count_message(void *user, oc_log_level level, const char *message)
{
    if (level == OC_LOG_WARNING && strstr(message, "NaN") && strstr(message, large))
        ++*(int *)user;
}

static void test_nan_is_told_once(void **state)
{
    const int64_t shape[] = { 3072, 768 };
    float *x = calloc(3072 * 768, sizeof *x);
    oc_context *cx = blocks_context();
    oc_tensors *set = oc_tensors_create(cx);
    int told = 0;
    (void)state;
    assert_non_null(x);
    x[5] = x[3072 * 768 - 1] = NAN;         /* in the first piece and in the last */
    oc_tensors_add(cx, set, large, OC_F32, 2, shape, x);
    save_model(cx, set);
    oc_context_options heard = OC_OPTIONS(oc_context_options, .threads = 3,
                                          .log = count_message, .log_user = &told);
    oc_context *user = oc_context_create(&heard);
    oc_model_close(blocks_open(user, folder, (oc_dtype)0));
    assert_int_equal(told, 1);
    oc_context_free(user);
    oc_tensors_free(set);
    oc_context_free(cx);
    free(x);
}

static void job_open(oc_context *cx, void *user)
{
    oc_model_options o = OC_OPTIONS(oc_model_options, .weights_only = true,
                                    .weights_dtype = *(const oc_dtype *)user);
    oc_model_close(oc_model_open(cx, folder, &o));
}

static void test_faults(void **state)
{
    oc_dtype types[] = { OC_F32, OC_BF16 };
    oc_context *cx = blocks_context();
    (void)state;
    save_model(cx, NULL);
    oc_context_free(cx);
    for (int i = 0; i < 2; i++)
        fault_loop(&(fault_plan){ .job = job_open, .user = &types[i], .threads = 3,
                                  .step = 3 });
}

static int remove_folder(void **state)
{
    (void)state;
    blocks_clear(folder, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads_agree),
                                        cmocka_unit_test(test_nan_is_told_once),
                                        cmocka_unit_test(test_faults) };
    if (!blocks_folder(folder)) return 1;
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
