/* Casts of a model, whole and in part: what Flax' to_bf16(params, mask) does, in
 * memory and on the way from file to file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "base/mask.h"
#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define CASE "tests/data/models/fw_pair"

static oc_context *cx;
static char source[256];

static int setup(void **state)
{
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
    if (make_work_folder(state)) return 1;
    snprintf(source, sizeof source, "%s/source", work_folder);
    return !seeded_save(cx, CASE, source);
}

static int teardown(void **state)
{
    oc_context_free(cx);
    return remove_work_folder(state);
}

static oc_tensors *tensors_of(const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    oc_tensors *set = oc_tensors_open(cx, path);
    if (!set) fail_msg("%s", oc_context_message(cx));
    return set;
}

/* Every tensor of `folder` is that of the source, rounded if `mask` selects it.
 * Returns how many it does not. */
static size_t expect_cast(const char *folder, oc_dtype dtype, const char *mask)
{
    oc_tensors *before = tensors_of(source), *after = tensors_of(folder);
    size_t kept = 0;
    assert_int_equal(oc_tensors_count(after), oc_tensors_count(before));
    for (size_t i = 0; i < oc_tensors_count(before); i++) {
        static unsigned char want[1 << 16];
        oc_tensor_view a = oc_tensors_get(before, i), b;
        assert_true(oc_tensors_find(after, a.name, &b));
        const bool selected = oci_mask_selects(mask, a.name);
        const oc_dtype type = selected ? dtype : OC_F32;
        if (b.dtype != type) fail_msg("%s: has type %s", a.name, oci_dtype_name(b.dtype));
        assert_true(a.bytes <= sizeof want);
        oci_dtype_from_f32(type, a.data, want, a.bytes / 4);
        assert_memory_equal(b.data, want, b.bytes);
        kept += !selected;
    }
    oc_tensors_free(before);
    oc_tensors_free(after);
    return kept;
}

static void cast_and_save(void **state)
{
    (void)state;
    static const char *const masks[] = { NULL, "!*ayer[Nn]orm*,!*layernorm*", "encoder.*",
                                         "*,!decoder.*,*.query.weight" };
    static const oc_dtype dtypes[] = { OC_BF16, OC_F16, OC_F32 };
    for (size_t m = 0; m < 4; m++) {
        for (size_t d = 0; d < 3; d++) {
            char kept[320], converted[320];
            snprintf(kept, sizeof kept, "%s/kept-%zu-%zu", work_folder, m, d);
            snprintf(converted, sizeof converted, "%s/converted-%zu-%zu", work_folder, m,
                     d);
            oc_model *model = oc_model_open(cx, source, NULL);
            oc_model_cast(cx, model, dtypes[d], masks[m]);
            oc_model_save(cx, model, kept, NULL);
            oc_model_close(model);
            const oc_convert_options o = OC_OPTIONS(oc_convert_options,
                .save = OC_OPTIONS(oc_save_options, .dtype = dtypes[d],
                                   .mask = masks[m]));
            oc_convert(cx, source, converted, &o);
            if (oc_context_status(cx)) fail_msg("%s", oc_context_message(cx));
            const size_t left = expect_cast(kept, dtypes[d], masks[m]);
            assert_true(masks[m] ? left > 0 : left == 0);
            assert_int_equal(expect_cast(converted, dtypes[d], masks[m]), left);
        }
    }
}

/* What is cast is what runs: the same answer as of the file that was saved. */
static void runs(void **state)
{
    (void)state;
    char folder[320];
    oc_tensor_view a, b;
    snprintf(folder, sizeof folder, "%s/run", work_folder);
    oc_tensors *in = oc_tensors_open(cx, CASE "/flax.in.safetensors");
    oc_model *model = oc_model_open(cx, source, NULL);
    oc_model_cast(cx, model, OC_BF16, "*.weight");
    oc_tensors *one = oc_forward(cx, model, in, NULL);
    oc_model_save(cx, model, folder, NULL);
    oc_model_close(model);
    model = oc_model_open(cx, folder, NULL);
    oc_tensors *two = oc_forward(cx, model, in, NULL);
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_true(oc_tensors_find(one, "logits", &a) && oc_tensors_find(two, "logits", &b));
    assert_memory_equal(a.data, b.data, a.bytes);
    oc_tensors_free(one);
    oc_tensors_free(two);
    oc_tensors_free(in);
    oc_model_close(model);
}

static void refuses(void **state)
{
    (void)state;
    oc_model *model = oc_model_open(cx, source, NULL);
    oc_model *trained = oc_model_open(cx, source,
                                      &OC_OPTIONS(oc_model_options, .trainable = true));
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_int_equal(oc_model_cast(cx, model, OC_BF16, "nothing"), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_model_cast(cx, model, OC_I64, NULL), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_model_cast(cx, trained, OC_BF16, NULL), OC_E_UNSUPPORTED);
    oc_context_clear(cx);
    assert_int_equal(oc_model_cast(cx, NULL, OC_BF16, NULL), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_model_close(model);
    oc_model_close(trained);
}

static void masks(void **state)
{
    (void)state;
    static const struct { const char *mask, *name; bool in; } cases[] = {
        { NULL, "a", true }, { "", "a", false }, { "a", "a", true }, { "a", "b", false },
        { "!a", "a", false }, { "!a", "b", true }, { "*,!a*", "ab", false },
        { "*,!a*,ab", "ab", true }, { "a?c", "abc", true }, { ",,a,", "a", true },
        { "!*.norm.*", "x.norm.weight", false }, { "!*.norm.*", "x.dense.weight", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (oci_mask_selects(cases[i].mask, cases[i].name) != cases[i].in)
            fail_msg("%s of %s", cases[i].mask, cases[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cast_and_save), cmocka_unit_test(runs),
        cmocka_unit_test(refuses), cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
