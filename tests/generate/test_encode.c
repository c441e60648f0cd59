/* Pictures on their way through the encoder: large ones go one by one, so
 * that a batch takes hardly more memory than one of them, and what is
 * generated does not depend on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"

enum { SIDE = 1024, PICTURES = 3, STEPS = 4 };
#define PICTURE ((size_t)3 * SIDE * SIDE)

static const char config[] = "{\"model_type\": \"vision-encoder-decoder\", "
                             "\"decoder_start_token_id\": 0, \"pad_token_id\": 1, "
                             "\"eos_token_id\": 2, \"encoder\": {\"model_type\": "
                             "\"donut-swin\", \"image_size\": [1024, 1024],  "
                             "\"patch_size\": 4, \"embed_dim\": 8, \"depths\": [1, 1], "
                             "\"num_heads\": [1, 2],  \"window_size\": 8}, \"decoder\": "
                             "{\"model_type\": \"mbart\", \"vocab_size\": 32, "
                             "\"d_model\": 16,  \"decoder_layers\": 1, "
                             "\"decoder_attention_heads\": 2, \"decoder_ffn_dim\": 16,  "
                             "\"max_position_embeddings\": 16, \"is_decoder\": true, "
                             "\"add_cross_attention\": true}}";

/* Pixels of pictures `first` to `first + count`, each its own. */
static oc_tensors *make_pixels(oc_context *cx, int64_t first, int64_t count)
{
    const int64_t shape[] = { count, 3, SIDE, SIDE };
    oc_tensor_view view;
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, shape, NULL);
    assert_true(oc_tensors_find(in, "pixel_values", &view));
    float *to = (float *)(uintptr_t)view.data;
    for (int64_t p = first; p < first + count; p++, to += PICTURE)
        for (size_t i = 0; i < PICTURE; i++)
            to[i] = (float)((i * (size_t)(p + 3)) % 255) / 127.5f - 1;
    return in;
}

/* The ids of pictures `first` to `first + count`, and the most memory that it took beside
 * their pixels. */
static size_t generate(int64_t first, int64_t count, int64_t ids[][STEPS])
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 2);
    oc_context *cx = oc_context_create(&o);
    oc_make_options drawn = OC_OPTIONS(oc_make_options, .seed = 5);
    oc_model *model = oc_model_create(cx, config, &drawn);
    oc_tensors *in = make_pixels(cx, first, count);
    oc_generate_options how = OC_OPTIONS(oc_generate_options, .config =
        "{\"max_new_tokens\": 3, \"min_new_tokens\": 3}");
    oc_tensors *out = oc_generate(cx, model, in, &how);
    oc_tensor_view made;
    if (!out) fail_msg("%s", oc_context_message(cx));
    assert_true(oc_tensors_find(out, "sequences", &made));
    assert_int_equal(made.shape[1], STEPS);
    memcpy(ids, made.data, made.bytes);
    size_t peak = oc_context_memory(cx).peak_bytes;
    oc_tensors_free(out);
    oc_tensors_free(in);
    oc_model_close(model);
    oc_context_free(cx);
    return peak - (size_t)count * PICTURE * sizeof(float);
}

static void test_large_pictures_one_by_one(void **state)
{
    (void)state;
    int64_t together[PICTURES][STEPS], alone[1][STEPS];
    size_t all = generate(0, PICTURES, together), most = 0;
    for (int64_t p = 0; p < PICTURES; p++) {
        size_t one = generate(p, 1, alone);
        if (one > most) most = one;
        assert_memory_equal(alone[0], together[p], sizeof alone);
    }
    /* Beside one picture, its own rows of the cross-attention
     * caches; together, three times. */
    if (all >= 2 * most)
        fail_msg("%zu bytes for one picture, %zu for %d", most, all, PICTURES);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(
        test_large_pictures_one_by_one) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
