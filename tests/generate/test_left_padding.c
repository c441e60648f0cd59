/* Prompts of different lengths in one batch, padded at the left: each row has the ids,
 * the scores and the logits that it has alone, to the last bit, in every search, on every
 * ISA, with keys and values kept in 32, 16 or 8 bits.
 *
 * Rows with different numbers of pictures are compared in the first pass only: in those
 * after it 4.37.2 masks other slots in a batch than alone (docs/MODEL-vipllava.md), and
 * so do we. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "ocelli.h"
#include "support/seeded.h"

enum { ROWS = 4, MOST = 44, PAD = 0, IMAGE = 23, VOCAB = 24, SIDE = 4, STEPS = 5,
       PIXELS = 3 * SIDE * SIDE };

static char folder[] = "/tmp/ocelli-left-XXXXXX";

typedef struct batch {
    int64_t lengths[ROWS], pictures[ROWS];
    int64_t ids[ROWS][MOST];
    float pixels[ROWS][2 * PIXELS];
} batch;

static uint32_t random_state = 5;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Words of 3 .. 22, with places for pictures among them. */
static batch make_batch(const int64_t lengths[ROWS], const int64_t pictures[ROWS])
{
    batch b = { 0 };
    for (int r = 0; r < ROWS; r++) {
        b.lengths[r] = lengths[r];
        b.pictures[r] = pictures[r];
        for (int64_t i = 0; i < lengths[r]; i++) b.ids[r][i] = 3 + random_below(20);
        for (int64_t i = 0; i < pictures[r]; i++)
            b.ids[r][1 + i * (lengths[r] / 2)] = IMAGE;
        for (int i = 0; i < 2 * PIXELS; i++)
            b.pixels[r][i] = (float)random_below(2001) / 1000 - 1;
    }
    return b;
}

/* Rows [first, first + count), padded at the left to the longest of them. */
static oc_tensors *inputs_of(oc_context *cx, const batch *b, int first, int count)
{
    int64_t S = 0, N = 0, ids[ROWS * MOST], mask[ROWS * MOST];
    float pixels[ROWS * 2 * PIXELS];
    for (int r = first; r < first + count; r++) {
        if (b->lengths[r] > S) S = b->lengths[r];
        memcpy(pixels + N * PIXELS, b->pixels[r],
               (size_t)(b->pictures[r] * PIXELS) * sizeof *pixels);
        N += b->pictures[r];
    }
    for (int r = 0; r < count; r++)
        for (int64_t i = 0; i < S; i++) {
            int64_t at = i - (S - b->lengths[first + r]);
            ids[r * S + i] = at < 0 ? PAD : b->ids[first + r][at];
            mask[r * S + i] = at >= 0;
        }
    const int64_t shape[] = { count, S }, picture_shape[] = { N, 3, SIDE, SIDE };
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensors_add(cx, in, "input_ids", OC_I64, 2, shape, ids);
    oc_tensors_add(cx, in, "attention_mask", OC_I64, 2, shape, mask);
    if (N) oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, picture_shape, pixels);
    return in;
}

static void assert_fine(const oc_context *cx)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s", oc_context_message(cx));
}

static oc_tensors *generate(oc_context *cx, const oc_model *model, const batch *b,
                            int first, int count, const char *config, oc_dtype kv_dtype)
{
    oc_tensors *in = inputs_of(cx, b, first, count);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
        .output_scores = true, .output_logprobs = true, .first_picture = first,
        .kv_dtype = kv_dtype);
    oc_tensors *out = oc_generate(cx, model, in, &o);
    assert_fine(cx);
    oc_tensors_free(in);
    return out;
}

/* Rows [from, from + rows of `alone`) of a tensor, but for the columns that are padding,
 * are the bytes of the same tensor alone. */
static void expect_rows(const oc_tensors *all, const oc_tensors *alone, const char *name,
                        int64_t from, bool padded)
{
    oc_tensor_view a, b;
    assert_true(oc_tensors_find(all, name, &a) && oc_tensors_find(alone, name, &b));
    size_t wide = a.bytes / (size_t)a.shape[0], own = b.bytes / (size_t)b.shape[0];
    assert_true(padded ? wide >= own : wide == own);
    for (int64_t r = 0; r < b.shape[0]; r++)
        if (memcmp((const char *)a.data + (size_t)(from + r + 1) * wide - own,
                   (const char *)b.data + (size_t)r * own, own))
            fail_msg("%s: row %lld has other bits than alone", name,
                     (long long)(from + r));
}

static void check_search(oc_context *cx, const oc_model *model, const batch *b,
                         const char *config, int width, oc_dtype kv_dtype, int steps)
{
    oc_tensors *all = generate(cx, model, b, 0, ROWS, config, kv_dtype);
    for (int r = 0; r < ROWS; r++) {
        oc_tensors *alone = generate(cx, model, b, r, 1, config, kv_dtype);
        oc_tensor_view view;
        assert_true(oc_tensors_find(alone, "sequences", &view));
        expect_rows(all, alone, "sequences", r * view.shape[0], true);
        expect_rows(all, alone, "token_logprobs", r * view.shape[0], false);
        for (int step = 0; step < steps; step++) {
            char name[32];
            snprintf(name, sizeof name, "scores.%d", step);
            expect_rows(all, alone, name, r * width, false);
        }
        oc_tensors_free(alone);
    }
    oc_tensors_free(all);
}

/* Logits of all positions. Without pictures a forward pass counts pads as positions, too,
 * unless it is told. */
static oc_tensors *forward(oc_context *cx, const oc_model *model, const batch *b,
                           int first, int count)
{
    oc_tensor_view mask;
    oc_tensors *in = inputs_of(cx, b, first, count);
    assert_true(oc_tensors_find(in, "attention_mask", &mask));
    if (b->pictures[first] == 0 && b->pictures[0] == 0) {
        int64_t positions[ROWS * MOST], n = 0;
        for (int64_t i = 0; i < mask.shape[0] * mask.shape[1]; i++) {
            if (i % mask.shape[1] == 0) n = 0;
            n += ((const int64_t *)mask.data)[i];
            positions[i] = n > 0 ? n - 1 : 0;
        }
        oc_tensors_add(cx, in, "position_ids", OC_I64, 2, mask.shape, positions);
    }
    oc_tensors *out = oc_forward(cx, model, in, NULL);
    assert_fine(cx);
    oc_tensors_free(in);
    return out;
}

static void check_forward(oc_context *cx, const oc_model *model, const batch *b)
{
    oc_tensors *all = forward(cx, model, b, 0, ROWS);
    for (int r = 0; r < ROWS; r++) {
        oc_tensors *alone = forward(cx, model, b, r, 1);
        expect_rows(all, alone, "logits", r, true);
        oc_tensors_free(alone);
    }
    oc_tensors_free(all);
}

static const int64_t lengths[ROWS] = { 7, 38, 5, 20 };

static void check_isa(oc_isa isa)
{
    static const int64_t even[3][ROWS] = { { 1, 1, 1, 1 }, { 2, 2, 2, 2 }, { 0 } };
    static const int64_t uneven[ROWS] = { 2, 0, 1, 2 };
    static const struct {
        const char *config;
        int width;              /* rows of scores for each prompt */
    } searches[] = {
        { "{\"max_new_tokens\": 5, \"min_new_tokens\": 5}", 1 },
        { "{\"max_new_tokens\": 5, \"min_new_tokens\": 5, \"num_beams\": 3}", 3 },
        { "{\"max_new_tokens\": 5, \"min_new_tokens\": 5, \"do_sample\": true, "
          "\"seed\": 9, \"num_return_sequences\": 2}", 2 },
        { "{\"max_new_tokens\": 5, \"min_new_tokens\": 5, \"do_sample\": true, "
          "\"seed\": 9, \"num_beams\": 2}", 2 },
    };
    static const oc_dtype dtypes[] = { OC_F32, OC_BF16, OC_INT8 };
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .isa = isa,
                                                   .threads = 2));
    oc_model *model = oc_model_open(cx, folder, &OC_OPTIONS(oc_model_options,
                                                            .weights_only = true));
    assert_fine(cx);
    for (size_t e = 0; e < sizeof even / sizeof *even; e++) {
        batch b = make_batch(lengths, even[e]);
        for (size_t s = 0; s < sizeof searches / sizeof *searches; s++)
            for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
                check_search(cx, model, &b, searches[s].config, searches[s].width,
                             dtypes[i], STEPS);
        check_forward(cx, model, &b);
    }
    batch b = make_batch(lengths, uneven);
    check_search(cx, model, &b, "{\"max_new_tokens\": 1}", 1, OC_F32, 1);
    check_forward(cx, model, &b);
    oc_model_close(model);
    oc_context_free(cx);
}

static void rows_are_as_alone(void **state)
{
    (void)state;
    for (oc_isa isa = OC_ISA_GENERIC; isa <= OC_ISA_AVX512; isa++) {
        if (!oci_cpu_has_isa(isa)) {
            print_message("skipped: this CPU has no %s\n", oci_isa_name(isa));
            continue;
        }
        check_isa(isa);
    }
}

static void odd_dtypes_are_refused(void **state)
{
    (void)state;
    static const oc_dtype odd[] = { OC_F16, OC_I8, OC_INT4, OC_F64, OC_DTYPE_COUNT };
    static const int64_t none[ROWS] = { 0 };
    oc_context *cx = oc_context_create(NULL);
    oc_model *model = oc_model_open(cx, folder, &OC_OPTIONS(oc_model_options,
                                                            .weights_only = true));
    batch b = make_batch(lengths, none);
    oc_tensors *in = inputs_of(cx, &b, 0, 1);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .kv_dtype = odd[i]);
        assert_null(oc_generate(cx, model, in, &o));
        assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
        assert_non_null(strstr(oc_context_message(cx), "kv_dtype: expected F32"));
        oc_context_clear(cx);
    }
    oc_tensors_free(in);
    oc_model_close(model);
    oc_context_free(cx);
}

static int make_model(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    oc_context *cx = oc_context_create(NULL);
    bool made = seeded_save(cx, "tests/data/models/vipllava_generate", folder);
    if (!made) print_message("%s\n", oc_context_message(cx));
    oc_context_free(cx);
    return made ? 0 : -1;
}

static int remove_model(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_as_alone), cmocka_unit_test(odd_dtypes_are_refused),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
