/* Attention layers: decoding with a cache, a position or several at a time, gives
 * the bits of the forward pass over everything; the masks that are added to
 * scores; caches out and in. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../faults/faults.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "nn/layers.h"

enum { HEADS = 3, HEAD = 5, D = HEADS * HEAD, SOURCE = 11, ROWS = 3, LENGTH = 37 };

static const oc_isa isas[] = { OC_ISA_GENERIC, OC_ISA_AVX2, OC_ISA_AVX512 };
static oc_context *cx;      /* of the ISA that is on trial */
static oci_rng rng;

static oci_tensor *random_tensor(int rank, const int64_t *shape)
{
    oci_tensor *x = oci_tensor_create(cx, OC_F32, rank, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < oci_tensor_count(x); i++)
        oci_f32(x)[i] = oci_rng_normal(&rng);
    return x;
}

static oci_linear_layer random_linear(int64_t N, int64_t K)
{
    return (oci_linear_layer){ .weight = random_tensor(OCI_SHAPE(N, K)),
                               .bias = random_tensor(OCI_SHAPE(N)) };
}

static oci_attention_layer random_layer(int64_t source)
{
    return (oci_attention_layer){ .q = random_linear(D, D),
                                  .k = random_linear(D, source),
                                  .v = random_linear(D, source),
                                  .out = random_linear(D, D),
                                  .heads = HEADS,
                                  .scale = 0.447f };
}

/* Positions begin .. begin + count - 1 of rows rows[0 .. B-1]. */
static oci_tensor *part(const oci_tensor *x, const int64_t *rows, int64_t B,
                        int64_t begin, int64_t count)
{
    int64_t T = x->shape[1], width = x->shape[2];
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, count, width));
    assert_non_null(y);
    for (int64_t b = 0; b < B; b++)
        memcpy(oci_f32(y) + b * count * width, oci_f32(x) + (rows[b] * T + begin) * width,
               (size_t)(count * width) * sizeof(float));
    return y;
}

static void expect_part(const oci_tensor *found, const oci_tensor *whole,
                        const int64_t *rows, int64_t begin)
{
    if (!found) fail_msg("%s", oc_context_message(cx));
    const oci_tensor *want = part(whole, rows, found->shape[0], begin, found->shape[1]);
    size_t bytes = (size_t)oci_tensor_count(want) * sizeof(float);
    if (memcmp(found->data, want->data, bytes))
        fail_msg("%s: other bits from position %lld on", oc_context_isa(cx),
                 (long long)begin);
}

/* ---- step by step ---- */

static oci_cache *make_cache(oc_context *c, int64_t layers, int64_t rows, int64_t heads,
                             int64_t head_dim, int64_t length, int64_t cross_length)
{
    return oci_cache_create(c, (oci_cache_spec){
        .layers = layers, .rows = rows, .heads = heads, .head_dim = head_dim,
        .length = length, .cross_length = cross_length, .dtype = OC_F32 });
}

static const int64_t all_rows[ROWS] = { 0, 1, 2 };

/* Steps of these many positions; -1 ends. */
static void decode(const int *steps, const oci_attention_layer *self,
                   const oci_attention_layer *cross, const oci_tensor *x,
                   oci_tensor *source, const oci_tensor *whole_self,
                   const oci_tensor *whole_cross)
{
    oci_cache *cache = make_cache(cx, 1, ROWS, HEADS, HEAD, LENGTH, SOURCE);
    assert_non_null(cache);
    for (int64_t at = 0; *steps > 0; at += *steps++) {
        oci_tensor *h = part(x, all_rows, ROWS, at, *steps);
        oci_tensor *y = oci_attention(cx, self, h, .causal = true, .cache = cache);
        expect_part(y, whole_self, all_rows, at);
        y = oci_attention(cx, cross, h, .source = source, .cache = cache);
        expect_part(y, whole_cross, all_rows, at);
        oci_cache_advance(cache, *steps, SOURCE);
        assert_int_equal(cache->length, at + *steps);
    }
    oci_cache_free(cache);
}

static void cache_equals_full_forward(void **state)
{
    (void)state;
    static const int ones[] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1
    };
    static const int prefill[] = { 20, 1, 1, 7, 1, 7, -1 }, at_once[] = { LENGTH, -1 };
    oci_attention_layer self = random_layer(D), cross = random_layer(9);
    oci_tensor *x = random_tensor(OCI_SHAPE(ROWS, LENGTH, D));
    oci_tensor *source = random_tensor(OCI_SHAPE(ROWS, SOURCE, 9));
    oci_tensor *whole_self = oci_attention(cx, &self, x, .causal = true);
    oci_tensor *whole_cross = oci_attention(cx, &cross, x, .source = source);
    assert_non_null(whole_cross);
    decode(ones, &self, &cross, x, source, whole_self, whole_cross);
    decode(prefill, &self, &cross, x, source, whole_self, whole_cross);
    decode(at_once, &self, &cross, x, source, whole_self, whole_cross);
}

/* [B, T, d], once for each head: [B, T, HEADS * d]. */
static oci_tensor *for_each_head(oci_tensor *x)
{
    int64_t B = x->shape[0], T = x->shape[1], d = x->shape[2];
    oci_tensor *one = oci_op_reshape(cx, x, OCI_SHAPE(B * T, 1, d)), *all = one;
    for (int h = 1; h < HEADS; h++) all = oci_op_concat(cx, all, one);
    return oci_op_reshape(cx, all, OCI_SHAPE(B, T, HEADS * d));
}

/* Three heads of queries on one of keys, turned by rotary positions: by steps
 * through a cache that has the one head alone, and the numbers of keys that
 * are repeated for each head. */
static void grouped_queries(void **state)
{
    (void)state;
    enum { SIZE = 6, WIDTH = HEADS * SIZE };
    oci_attention_layer self = { .q = random_linear(WIDTH, WIDTH),
                                 .k = random_linear(SIZE, WIDTH),
                                 .v = random_linear(SIZE, WIDTH),
                                 .out = random_linear(WIDTH, WIDTH),
                                 .heads = HEADS,
                                 .kv_heads = 1,
                                 .scale = 0.4f };
    oci_rope rope = { .theta = 100, .head_dim = SIZE };
    oci_tensor *x = random_tensor(OCI_SHAPE(ROWS, LENGTH, WIDTH)), *at, *k, *v;
    at = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, LENGTH));
    for (int64_t t = 0; t < LENGTH; t++) oci_i64(at)[t] = t;
    oci_tensor *table = oci_rope_table(cx, &rope, at, LENGTH);
    oci_tensor *whole = oci_attention(cx, &self, x, .causal = true, .rope = table,
                                      .keys = &k, .values = &v);
    oci_tensor *q = oci_op_rope(cx, oci_linear(cx, &self.q, x), table);
    const oci_tensor *repeated =
        oci_linear(cx, &self.out,
                   oci_op_attention(cx, q, for_each_head(k), for_each_head(v), NULL, NULL,
                                    NULL, HEADS, self.scale, true, NULL));
    expect_part(whole, repeated, all_rows, 0);
    oci_cache *cache = make_cache(cx, 1, ROWS, 1, SIZE, LENGTH, 0);
    for (int64_t t = 0, n = 20; t < LENGTH; t += n, n = 1 + t % 3) {
        if (t + n > LENGTH) n = LENGTH - t;
        expect_part(oci_attention(cx, &self, part(x, all_rows, ROWS, t, n),
                                  .causal = true, .rope = oci_op_slice(cx, table, t, n),
                                  .cache = cache),
                    whole, all_rows, t);
        oci_cache_advance(cache, n, 0);
    }
    oci_cache_free(cache);
}

/* Rows that finish leave the batch: the others keep their cache rows, and their bits. */
static void rows_leave_without_a_trace(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    oci_tensor *x = random_tensor(OCI_SHAPE(ROWS, LENGTH, D));
    oci_tensor *whole = oci_attention(cx, &self, x, .causal = true);
    oci_cache *cache = make_cache(cx, 1, ROWS, HEADS, HEAD, LENGTH, 0);
    int64_t B = ROWS;
    for (int64_t at = 0; at < LENGTH; at++) {
        if (at == 10) cache->rows[--B - 1] = 2;             /* row 1 is done: rows 0, 2 */
        if (at == 20) cache->rows[--B - 1] = 2;             /* row 0 too: row 2 alone */
        oci_tensor *h = part(x, cache->rows, B, at, 1);
        oci_tensor *y = oci_attention(cx, &self, h, .causal = true, .cache = cache);
        expect_part(y, whole, cache->rows, at);
        oci_cache_advance(cache, 1, 0);
    }
    oci_cache_free(cache);
}

/* A row alone, and the same row among others. */
static void batches_do_not_show(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    oci_tensor *x = random_tensor(OCI_SHAPE(ROWS, LENGTH, D));
    oci_tensor *whole = oci_attention(cx, &self, x, .causal = true, .residual = x);
    for (int64_t row = 0; row < ROWS; row++) {
        oci_tensor *h = part(x, &row, 1, 0, LENGTH);
        oci_tensor *y = oci_attention(cx, &self, h, .causal = true, .residual = h);
        expect_part(y, whole, &row, 0);
    }
}

static void weights_and_head_mask(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    oci_tensor *x = random_tensor(OCI_SHAPE(2, 7, D)), *w, *cached, *masked;
    oci_tensor *head_mask = oci_tensor_create(cx, OC_F32, OCI_SHAPE(2, HEADS));
    for (int i = 0; i < 2 * HEADS; i++) oci_f32(head_mask)[i] = (float)i / 2;
    oci_cache *cache = make_cache(cx, 1, 2, HEADS, HEAD, 7, 0);
    assert_non_null(oci_attention(cx, &self, x, .causal = true, .weights = &w));
    assert_non_null(oci_attention(cx, &self, x, .causal = true, .cache = cache,
                                  .weights = &cached));
    assert_non_null(oci_attention(cx, &self, x, .causal = true, .weights = &masked,
        .head_mask = oci_head_mask_of(cx, head_mask, 1, 2, HEADS)));
    assert_memory_equal(w->data, cached->data,
                        (size_t)oci_tensor_count(w) * sizeof(float));
    for (int64_t r = 0; r < 2 * HEADS * 7; r++) {
        double sum = 0;
        for (int64_t j = 0; j < 7; j++) {
            float each = oci_f32(w)[r * 7 + j];
            if (j > r % 7) assert_float_equal(each, 0, 0);
            sum += (double)each;
            assert_float_equal(oci_f32(masked)[r * 7 + j],
                               each * oci_f32(head_mask)[HEADS + r / 7 % HEADS], 1e-6);
        }
        assert_float_equal(sum, 1, 1e-6);
    }
    oci_cache_free(cache);
}

static void a_full_cache_is_an_error(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    oci_cache *cache = make_cache(cx, 1, 1, HEADS, HEAD, 4, 0);
    oci_tensor *x = random_tensor(OCI_SHAPE(1, cache->self->room, D));
    assert_non_null(oci_attention(cx, &self, x, .causal = true, .cache = cache));
    oci_cache_advance(cache, x->shape[1], 0);
    assert_null(oci_attention(cx, &self, part(x, all_rows, 1, 0, 1), .causal = true,
                              .cache = cache));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    oci_cache_free(cache);
}

/* ---- masks ---- */

static oci_tensor *mask_of(int64_t B, int64_t keys, const float *values)
{
    oci_tensor *x = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, keys));
    memcpy(x->data, values, (size_t)(B * keys) * sizeof *values);
    return x;
}

static void masks_as_transformers_makes_them(void **state)
{
    (void)state;
    const float one[] = { 1, 1, 1, 1 }, some[] = { 0, 1, 1, 1, 1, 1, 0, 1 }, L = -FLT_MAX;
    assert_null(oci_causal_mask(cx, NULL, 2, 4));
    assert_null(oci_causal_mask(cx, mask_of(1, 4, one), 2, 4));   /* causal says it all */
    const oci_tensor *m = oci_causal_mask(cx, mask_of(2, 4, some), 3, 4);
    const float want[] = { L, 0, L, L,  L, 0, 0, L,  L, 0, 0, 0,    /* query i sees i + 1
                                                                       on */
                           0, 0, L, L,  0, 0, L, L,  0, 0, L, 0 };
    assert_int_equal(m->rank, 4);
    assert_memory_equal(m->shape, ((const int64_t[]){ 2, 1, 3, 4 }), 4 * sizeof(int64_t));
    assert_memory_equal(m->data, want, sizeof want);
    m = oci_padding_mask(cx, mask_of(2, 4, some));
    const float padding[] = { L, 0, 0, 0, 0, 0, L, 0 };
    assert_memory_equal(m->shape, ((const int64_t[]){ 2, 1, 1, 4 }), 4 * sizeof(int64_t));
    assert_memory_equal(m->data, padding, sizeof padding);
    assert_null(oci_padding_mask(cx, NULL));
}

/* Left padding: the fused attention lets queries before the first key see everything;
 * counted from the first query of the call, past or not, as 4.37.2 does. */
static void fused_masks(void **state)
{
    (void)state;
    const float some[] = { 0, 0, 1, 1, 1, 0, 1, 1 }, none[] = { 0, 0, 0, 0 },
                L = -FLT_MAX;
    const oci_tensor *m = oci_causal_mask_fused(cx, mask_of(2, 4, some), 4, 4);
    const float want[] = { 0, 0, 0, 0,  0, 0, 0, 0,  L, L, 0, L,  L, L, 0, 0,
                           0, L, L, L,  0, L, L, L,  0, L, 0, L,  0, L, 0, 0 };
    assert_memory_equal(m->data, want, sizeof want);
    m = oci_causal_mask_fused(cx, mask_of(1, 4, some), 1, 4);    /* one query: as it is */
    assert_memory_equal(m->data, ((const float[]){ L, L, 0, 0 }), 4 * sizeof(float));
    m = oci_causal_mask_fused(cx, mask_of(1, 4, none), 2, 4);
    for (int i = 0; i < 8; i++) assert_true(oci_f32(m)[i] == L);
    m = oci_causal_mask_fused(cx, mask_of(1, 4, some), 2, 4);
    for (int i = 0; i < 8; i++) assert_true(oci_f32(m)[i] == 0);
    const float late[] = { 0, 0, 0, 1 };
    assert_null(oci_causal_mask_fused(cx, mask_of(1, 4, late), 2, 4));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
}

/* Positions outside the table are refused; negative ones count from its end. */
static void rope_tables(void **state)
{
    (void)state;
    oci_rope rope = { .theta = 10000, .head_dim = 4 };
    oci_tensor *at = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, 2));
    oci_i64(at)[0] = 3;
    oci_i64(at)[1] = -2;
    const float *t = oci_f32(oci_rope_table(cx, &rope, at, 5));
    const double want[] = { cos(3), cos(0.03), sin(3), sin(0.03) };
    for (int i = 0; i < 8; i++) assert_true(fabs((double)t[i] - want[i % 4]) < 1e-6);
    rope.kind = OCI_ROPE_LINEAR;
    rope.factor = 2.5;
    t = oci_f32(oci_rope_table(cx, &rope, at, 5));
    assert_true(fabs((double)t[3] - sin(0.012)) < 1e-6);
    rope.kind = OCI_ROPE_DYNAMIC;           /* base (2.5 * 5 / 4 - 1.5)^(4/2) at 5 of 4 */
    rope.max_positions = 4;
    t = oci_f32(oci_rope_table(cx, &rope, at, 5));
    assert_true(fabs((double)t[3] - sin(3 / sqrt(10000 * 1.625 * 1.625))) < 1e-6);
    t = oci_f32(oci_rope_table(cx, &rope, at, 4));
    assert_true(fabs((double)t[3] - sin(0.03)) < 1e-6);
    assert_null(oci_rope_table(cx, &rope, at, 3));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    oc_context_clear(cx);
}

/* The explicit mask and the flag agree in what they give, bit for bit. */
static void causal_flag_equals_causal_mask(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    const float seen[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
    oci_tensor *x = random_tensor(OCI_SHAPE(2, 6, D));
    const oci_tensor *by_flag = oci_attention(cx, &self, x, .causal = true);
    const oci_tensor *by_mask = oci_attention(
        cx, &self, x, .mask = oci_causal_mask(cx, mask_of(2, 6, seen), 6, 6));
    /* The one key that is padding is seen by the last query of the second row only. */
    assert_memory_equal(by_flag->data, by_mask->data, (size_t)(11 * D) * sizeof(float));
}

static void head_masks_are_checked(void **state)
{
    (void)state;
    assert_null(oci_head_mask_of(cx, NULL, 0, 2, HEADS));
    const oci_tensor *each = oci_head_mask_of(cx, random_tensor(OCI_SHAPE(HEADS)), 1, 2,
                                              HEADS);
    assert_int_equal(each->shape[0], HEADS);
    static const int64_t wrong[][2] = { { HEADS, 2 }, { 2, HEADS + 1 }, { 1, HEADS } };
    for (int i = 0; i < 3; i++) {
        assert_null(oci_head_mask_of(cx, random_tensor(2, wrong[i]), 0, 2, HEADS));
        assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
        oc_context_clear(cx);
    }
}

/* ---- caches out and in ---- */

static void export_and_import(void **state)
{
    (void)state;
    oci_tensor *k = random_tensor(OCI_SHAPE(ROWS, 19, D));
    oci_tensor *v = random_tensor(OCI_SHAPE(ROWS, 19, D));
    oci_cache *a = make_cache(cx, 2, ROWS, HEADS, HEAD, 23, 0);
    oci_cache *b = make_cache(cx, 1, ROWS, HEADS, HEAD, 40, 0);
    oci_backend_get(cx)->kv_append(cx, &a->self[1], a->rows, ROWS, 19, 0, oci_f32(k),
                                   oci_f32(v), D);
    const oci_tensor *keys = oci_kv_export(cx, &a->self[1], ROWS, 19, 0);
    const oci_tensor *values = oci_kv_export(cx, &a->self[1], ROWS, 19, 1);
    size_t bytes = (size_t)(ROWS * 19 * D) * sizeof(float);
    assert_memory_equal(keys->shape, ((const int64_t[]){ ROWS, HEADS, 19, HEAD }),
                        4 * sizeof(int64_t));
    assert_memory_equal(keys->data, oci_split_heads(cx, k, HEADS)->data, bytes);
    assert_memory_equal(values->data, oci_split_heads(cx, v, HEADS)->data, bytes);
    assert_memory_equal(oci_merge_heads(cx, values)->data, v->data, bytes);
    assert_int_equal(oci_kv_import(cx, b->self, keys, values), OC_OK);
    assert_memory_equal(oci_kv_export(cx, b->self, ROWS, 19, 0)->data, keys->data, bytes);
    assert_memory_equal(oci_kv_export(cx, b->self, ROWS, 19, 1)->data, values->data,
                        bytes);
    assert_memory_equal(oci_kv_export(cx, b->self, 1, 1, 1)->data, values->data,
                        HEAD * sizeof(float));
    oci_cache_free(a);
    oci_cache_free(b);
}

/* Steps on an imported cache go on as on the one that it came from. */
static void decoding_on_an_imported_cache(void **state)
{
    (void)state;
    oci_attention_layer self = random_layer(D);
    oci_tensor *x = random_tensor(OCI_SHAPE(ROWS, LENGTH, D));
    oci_tensor *whole = oci_attention(cx, &self, x, .causal = true);
    oci_cache *a = make_cache(cx, 1, ROWS, HEADS, HEAD, LENGTH, 0);
    oci_cache *b = make_cache(cx, 1, ROWS, HEADS, HEAD, 2 * LENGTH, 0);
    oci_attention(cx, &self, part(x, all_rows, ROWS, 0, 30), .causal = true, .cache = a);
    oci_kv_import(cx, b->self, oci_kv_export(cx, a->self, ROWS, 30, 0),
                  oci_kv_export(cx, a->self, ROWS, 30, 1));
    oci_cache_advance(b, 30, 0);
    oci_tensor *y = oci_attention(cx, &self, part(x, all_rows, ROWS, 30, 7),
                                  .causal = true, .cache = b);
    expect_part(y, whole, all_rows, 30);
    oci_cache_free(a);
    oci_cache_free(b);
}

static void make_caches(oc_context *c, void *user)
{
    (void)user;
    oci_cache_free(make_cache(c, 3, 2, HEADS, HEAD, 9, 5));
}

static void a_cache_comes_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = make_caches }) >= 4);
    assert_null(make_cache(cx, 4, 2, HEADS, HEAD, INT64_C(1) << 60, 0));
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    oc_context_clear(cx);
}

/* ---- every ISA ---- */

static int begin(void **state)
{
    (void)state;
    oci_rng_init(&rng, 11, 1);
    return cx ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(cache_equals_full_forward, begin),
        cmocka_unit_test_setup(grouped_queries, begin),
        cmocka_unit_test_setup(rows_leave_without_a_trace, begin),
        cmocka_unit_test_setup(batches_do_not_show, begin),
        cmocka_unit_test_setup(weights_and_head_mask, begin),
        cmocka_unit_test_setup(a_full_cache_is_an_error, begin),
        cmocka_unit_test_setup(masks_as_transformers_makes_them, begin),
        cmocka_unit_test_setup(fused_masks, begin),
        cmocka_unit_test_setup(rope_tables, begin),
        cmocka_unit_test_setup(causal_flag_equals_causal_mask, begin),
        cmocka_unit_test_setup(head_masks_are_checked, begin),
        cmocka_unit_test_setup(export_and_import, begin),
        cmocka_unit_test_setup(decoding_on_an_imported_cache, begin),
        cmocka_unit_test_setup(a_cache_comes_whole_or_not_at_all, begin),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (!oci_cpu_has_isa(isas[i])) {
            print_message("skipped: this CPU lacks %s\n", oci_isa_name(isas[i]));
            continue;
        }
        cx = oc_context_create(
            &OC_OPTIONS(oc_context_options, .isa = isas[i], .threads = 2));
        failed += cmocka_run_group_tests_name(oci_isa_name(isas[i]), tests, NULL, NULL);
        oc_context_free(cx);
    }
    return failed;
}
