/* The joint call of a dual encoder's processor: the tests of
 * VisionTextDualEncoderProcessor in Transformers 4.37.2, on emoji-match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ocelli.h"

static oc_context *cx;
static oc_model *model;
static oc_image *image;
static const char *const two[] = { "a cat", "a photo of a dragon on a green ground" };

static int setup(void **state)
{
    (void)state;
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    model = oc_model_open(cx, "models/emoji-match", NULL);
    image = oc_image_open(cx, "examples/lines/fox.png", NULL);
    return oc_context_status(cx) != OC_OK;
}

static int teardown(void **state)
{
    (void)state;
    oc_image_free(image);
    oc_model_close(model);
    oc_context_free(cx);
    return 0;
}

static void expect_names(const oc_tensors *set, const char *const *names, size_t count)
{
    assert_non_null(set);
    assert_int_equal(oc_tensors_count(set), count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(oc_tensors_get(set, i).name, names[i]);
}

static const char *const names[] = { "input_ids", "token_type_ids", "attention_mask",
                                     "pixel_values" };

/* The keys, in that order; what each part gives alone; and the model takes it as it
 * is. */
static void joint(void **state)
{
    (void)state;
    oc_image *const images[] = { image, image };
    oc_tensors *both = oc_process(cx, model, two, 2, images, 2);
    oc_tensors *texts = oc_process(cx, model, two, 2, NULL, 0);
    oc_tensors *pictures = oc_process(cx, model, NULL, 0, images, 2);
    oc_tensors *alone = oc_preprocess(cx, model, images, 2);
    expect_names(both, names, 4);
    expect_names(texts, names, 3);
    expect_names(pictures, names + 3, 1);
    for (size_t i = 0; i < 4; i++) {
        oc_tensor_view a = oc_tensors_get(both, i), b;
        assert_true(oc_tensors_find(i < 3 ? texts : pictures, a.name, &b));
        assert_int_equal(a.bytes, b.bytes);
        assert_memory_equal(a.data, b.data, a.bytes);
        if (i == 3) assert_memory_equal(a.data, oc_tensors_get(alone, 0).data, a.bytes);
    }
    oc_tensors *out = oc_forward(cx, model, both, NULL);
    oc_tensor_view logits;
    assert_true(oc_tensors_find(out, "logits_per_image", &logits));
    assert_int_equal(logits.shape[0], 2);
    assert_int_equal(logits.shape[1], 2);
    oc_tensors_free(out);
    oc_tensors_free(alone);
    oc_tensors_free(pictures);
    oc_tensors_free(texts);
    oc_tensors_free(both);
}

/* Rows are the tokenizer's own, the shorter one padded. */
static void rows(void **state)
{
    (void)state;
    const oc_tokenizer *tokenizer = oc_model_tokenizer(cx, model);
    oc_tensors *set = oc_process(cx, model, two, 2, NULL, 0);
    oc_tensor_view ids = oc_tensors_get(set, 0), mask = oc_tensors_get(set, 2);
    const int64_t T = ids.shape[1], pad = oc_tokenizer_find(tokenizer, "[PAD]");
    assert_int_equal(ids.shape[0], 2);
    for (size_t i = 0; i < 2; i++) {
        oc_encoding *one = oc_encode(cx, tokenizer, two[i], strlen(two[i]), NULL, 0,
                                     NULL);
        const int64_t n = (int64_t)oc_encoding_count(one);
        assert_true(i == 1 ? n == T : n < T);
        for (int64_t t = 0; t < T; t++) {
            const int64_t at = (int64_t)i * T + t;
            assert_int_equal(((const int64_t *)ids.data)[at],
                             t < n ? oc_encoding_ids(one)[t] : pad);
            assert_int_equal(((const int64_t *)mask.data)[at], t < n);
        }
        oc_encoding_free(one);
    }
    oc_tensors_free(set);
}

static void refuses(void **state)
{
    (void)state;
    const char *const hole[] = { "a cat", NULL };
    oc_image *const no_image[] = { NULL };
    assert_null(oc_process(cx, model, NULL, 0, NULL, 0));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_process(cx, model, hole, 2, NULL, 0));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_process(cx, model, two, 2, no_image, 1));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_process(cx, NULL, two, 2, NULL, 0));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(joint), cmocka_unit_test(rows),
                                        cmocka_unit_test(refuses) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
