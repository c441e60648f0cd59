/* What holds for all ops beside their numbers: wrong shapes are refused by name, nothing
 * runs after an error, and memory comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "../faults/faults.h"
#include "nn/cache.h"
#include "op_samples.h"
#include "support/context.h"

/* ---- wrong shapes ------------------------------------------------------------------ */

static const oci_segments one_and_two = { 2, (const int64_t[]){ 1, 2 } };

/* Inputs as "2,3;4,5;-": sizes, "-" for none, "i" in front for ids, "" for a scalar. */
static const struct fault {
    const char *op, *inputs;
    oci_args args;
} faults[] = {
    { "linear", "2,3;4,5", { 0 } },             /* widths */
    { "linear", "2,3;4,3,1", { 0 } },           /* rank of the weight */
    { "linear", ";4,3", { 0 } },                /* a scalar */
    { "linear", "2,3;4,3;3", { 0 } },           /* bias */
    { "linear", "2,3;4,3;1,4", { 0 } },
    { "linear", "2,3;4,3;4;2,5", { 0 } },       /* residual */
    { "linear", "2,3;4,3;4;1,2,4", { 0 } },
    { "attention", "2,3;2,3,4;2,3,4", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,6,4", { .heads = 2 } },
    { "attention", "2,3,4;1,5,4;1,5,4", { .heads = 2 } },
    { "attention", "2,3,4;2,5,6;2,5,6", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;-", { .heads = 2 } },
    { "attention", "2,3,4;-;2,5,4", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4", { .heads = 3 } },
    { "attention", "2,3,4;2,5,4;2,5,4", { .heads = 0 } },
    { "attention", "2,3,4;2,5,4;2,5,4", { .heads = -2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;2,1,3,4", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;3,1,3,5", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;2,3,3,5", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;2,1,2,5", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;2,3,5", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;3,1,3,5;-;i3", { .heads = 2 } },   /* mask_rows */
    { "attention", "2,3,4;2,5,4;2,5,4;3,1,3,5;-;2", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;0,1,3,5;-;i2", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;-;3", { .heads = 2 } },
    { "attention", "2,3,4;2,5,4;2,5,4;-;1,2", { .heads = 2 } },
    { "attention", "1,5,4;1,5,4;1,5,4", { .heads = 2, .segments = &one_and_two } },
    { "attention", "1,2,4;1,2,4;1,2,4", { .heads = 2, .segments = &one_and_two } },
    { "attention", "2,3,4;2,3,4;2,3,4", { .heads = 2, .segments = &one_and_two } },
    { "attention", "1,3,4;1,4,4;1,4,4", { .heads = 2, .segments = &one_and_two } },
    { "attention", "1,3,4;1,3,4;1,3,4;1,1,1,3",
      { .heads = 2, .segments = &one_and_two } },
    { "attention", "1,3,4;1,3,4;1,3,4;-;2", { .heads = 2, .segments = &one_and_two } },
    { "layer_norm", "2,3;3;2", { 0 } },
    { "layer_norm", "2,3;2;3", { 0 } },
    { "layer_norm", "2,3;1,3;3", { 0 } },
    { "layer_norm", ";1;1", { 0 } },
    { "attention", "2,3,8;2,5,6;2,5,6", { .heads = 4 } },               /* 3 of 4 heads */
    { "attention", "2,3,8;2,5,3;2,5,3", { .heads = 4 } },
    { "rms_norm", "2,3;2", { 0 } },
    { "rms_norm", "2,3;1,3", { 0 } },
    { "rms_norm", ";1", { 0 } },
    { "gated", "2,3;3,2", { 0 } },
    { "gated", "2,3;3", { 0 } },
    { "rope", "2,3,4;2,3,3", { 0 } },
    { "rope", "2,3,4;2,3,8", { 0 } },
    { "rope", "2,3,4;1,2,4", { 0 } },
    { "rope", "3,3,4;2,3,4", { 0 } },
    { "rope", "3,4;3,4", { 0 } },
    { "gather", "2,3;2,3", { 0 } },
    { "gather", "3;i1,1", { 0 } },
    { "gather", "2,3;i3", { 0 } },
    { "gather", "2,3;i1,1;2,4", { 0 } },
    { "add", "2,3;3,3", { 0 } },
    { "add", "2,3;2", { 0 } },
    { "add", "2,3;2,1", { 0 } },
    { "add", "3;1,3", { 0 } },
    { "replace", "2,3,4;3;2,3", { 0 } },
    { "replace", "2,3,4;4;3,2", { 0 } },
    { "replace", "2,3,4;4;6", { 0 } },
    { "replace", "2,3;3;2,3", { 0 } },
    { "concat", "2,3,4;3,3,4", { 0 } },
    { "concat", "2,3,4;2,3,5", { 0 } },
    { "concat", "3,4;2,3,4", { 0 } },
    { "concat", "2,3,4;3,4", { 0 } },
    { "slice", "3,4", { .size = { 0, 1 } } },
    { "slice", "2,3,4", { .size = { -1, 2 } } },
    { "slice", "2,3,4", { .size = { 1, -1 } } },
    { "slice", "2,3,4", { .size = { 2, 2 } } },
    { "slice", "2,3,4", { .size = { 4, 0 } } },
    { "slice", "2,3,4", { .size = { 1, INT64_MAX } } },
    { "slice", "2,3,4", { .size = { INT64_MAX, 1 } } },
    { "columns", "", { .size = { 0, 2 } } },
    { "columns", "2,4", { .size = { -1, 2 } } },
    { "columns", "2,4", { .size = { 1, -1 } } },
    { "columns", "2,3,4", { .size = { 3, 2 } } },
    { "columns", "2,3,4", { .size = { 1, INT64_MAX } } },
    { "columns", "2,3,4", { .size = { INT64_MAX, 1 } } },
    { "patches", "3,8,8", { .size = { 2, 2 } } },
    { "patches", "1,3,8,8", { .size = { 0, 2 } } },
    { "patches", "1,3,8,8", { .size = { 2, -1 } } },
    { "patches", "1,3,8,8", { .size = { 9, 2 } } },
    { "patches", "1,3,8,8", { .size = { 2, 9 } } },
    { "interpolate", "1,6,2", { .size = { 2, 2, 3, 3 }, .factor = { 1, 1 } } },
    { "interpolate", "2,4,2", { .size = { 2, 2, 3, 3 }, .factor = { 1, 1 } } },
    { "interpolate", "4,2", { .size = { 2, 2, 3, 3 }, .factor = { 1, 1 } } },
    { "interpolate", "1,4,2", { .size = { 2, 2, 0, 3 }, .factor = { 1, 1 } } },
    { "interpolate", "1,4,2", { .size = { 2, 2, 3, -3 }, .factor = { 1, 1 } } },
    { "multiply", "2,3;2", { 0 } },
    { "multiply", "2,3;1,3", { 0 } },
    { "multiply", ";1", { 0 } },
    { "mean", "2,3", { 0 } },
    { "mean", "2,0,3", { 0 } },
    { "windows", "2,6,3", { .size = { 2, 4, 2, 0 } } },
    { "windows", "6,3", { .size = { 2, 3, 2, 0 } } },
    { "windows", "2,6,3", { .size = { 2, 3, 0, 0 } } },
    { "windows", "2,6,3", { .size = { 2, 3, 2, 2 } } },
    { "windows", "2,6,3", { .size = { 2, 3, 2, -1 } } },
    { "windows", "2,6,3", { .size = { 2, 3, 4, 0 } } },
    { "windows", "2,6,3", { .size = { -2, -3, 1, 0 } } },
    { "windows", "2,6,0", { .size = { 2, 3, 1, 0 } } },
    { "unwindows", "4,4,3;2,6,3", { .size = { 2, 4, 2, 0 } } },
    { "unwindows", "3,4,3;2,6,3", { .size = { 2, 3, 2, 0 } } },
    { "unwindows", "4,3,3;2,6,3", { .size = { 2, 3, 2, 0 } } },
    { "unwindows", "4,4,2;2,6,3", { .size = { 2, 3, 2, 0 } } },
    { "unwindows", "4,4,3;2,6,3", { .size = { 2, 3, 2, 3 } } },
    { "merge", "2,6,3", { .size = { 2, 4 } } },
    { "merge", "6,3", { .size = { 2, 3 } } },
    { "merge", "2,6,3", { .size = { 2, 3, 2, 0 } } },
    { "pad", "2,3,4,5", { .size = { 3, 5 } } },
    { "pad", "2,3,4,5", { .size = { 4, 4 } } },
    { "pad", "3,4,5", { .size = { 4, 5 } } },
    { "relative_bias", "15,2", { .size = { 2, 2 } } },
    { "relative_bias", "9", { .size = { 2, 2 } } },
    { "relative_bias", "9,2", { .size = { 2, 2, 0, 1 } } },
    { "relative_bias", "9,2", { .size = { 2, 2, 2, 0 } } },
    { "relative_bias", "15,2", { .size = { 2, 3, 1, 0 } } },
    { "relative_bias", "12,2", { .size = { 2, 2, 1, 1 } } },
    { "relative_bias", "9,2", { .size = { 2, 2, -1, 0 } } },
    { "relative_bias", "9,2", { .size = { 0, 2 } } },
    { "relative_bias", "9,2", { .size = { INT64_MAX, 2 } } },
    { "embedding", "4;i2,2", { 0 } },
    { "embedding", "4,3;i2", { 0 } },
    { "embedding", "4,3;2,2", { 0 } },          /* ids that are no integers */
    { "cross_entropy", "2,3;i3", { 0 } },
    { "cross_entropy", "2,3;2", { 0 } },
    { "cross_entropy", ";i1", { 0 } },
    { "embedding_mean", "4,3;i2,2", { 0 } },
    { "embedding_mean", "4,3;2,2,2", { 0 } },
    { "embedding_mean", "4;i2,2,2", { 0 } },
    { "scores", "2,3,4;2,5,3", { 0 } },
    { "scores", "2,3,4;3,5,4", { 0 } },
    { "scores", "3,4;2,5,4", { 0 } },
    { "scores", "2,3,4;2,5,4;2,4", { 0 } },
    { "scores", "2,3,4;2,5,4;2,3,5", { 0 } },
    { "log_softmax", "", { 0 } },
    { "kl_div", "2,3;2,4", { 0 } },
    { "kl_div", "2,3;6", { 0 } },
    { "kl_div", "2,3;i2,3", { 0 } },
    { "scale_exp", "2,3;1", { 0 } },
    { "transpose", "3", { 0 } },
    { "transpose", "2,3,4", { 0 } },
};
enum { FAULTS = sizeof faults / sizeof *faults };

static void tensors_of(const char *text, oci_tensor *in[OCI_MAX_INPUTS])
{
    for (int i = 0; i < OCI_MAX_INPUTS; i++) in[i] = NULL;
    for (int i = 0;; i++, text++) {
        int64_t shape[OCI_MAX_RANK];
        int rank = 0;
        bool none = *text == '-', ids = *text == 'i';
        text += none || ids;
        while (*text >= '0' && *text <= '9') {
            char *end;
            shape[rank++] = strtoll(text, &end, 10);
            text = *end == ',' ? end + 1 : end;
        }
        in[i] = none ? NULL : oci_tensor_create(cx, ids ? OC_I64 : OC_F32, rank, shape);
        if (in[i])
            memset(in[i]->data, 0, (size_t)oci_tensor_count(in[i]) * (ids ? 8 : 4));
        if (*text != ';') return;
    }
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    size_t count;
    const oci_op *const *table = oci_op_table(&count);
    for (size_t r = 0; r < count; r++) {
        int tried = 0;
        for (int i = 0; i < FAULTS; i++) {
            if (strcmp(faults[i].op, table[r]->name)) continue;
            oci_tensor *in[OCI_MAX_INPUTS];
            oci_arena_mark mark = oci_mark(cx);
            tensors_of(faults[i].inputs, in);
            const oci_tensor *y = oci_apply(cx, table[r], in, faults[i].args);
            size_t n = strlen(faults[i].op);
            const char *message = oc_context_message(cx);
            if (y || oc_context_status(cx) != OC_E_ARGUMENT ||
                strncmp(message, faults[i].op, n) || !strstr(message, "expected") ||
                !strstr(message, "found"))
                fail_msg("%s with %s: %s \"%s\"", faults[i].op, faults[i].inputs,
                         oc_status_name(oc_context_status(cx)), message);
            oc_context_clear(cx);
            oci_arena_reset(&cx->arena, mark);
            tried++;
        }
        /* Reshape's fault needs a target; act and scale take every shape. */
        if (table[r]->shape && !tried && strcmp(table[r]->name, "reshape"))
            fail_msg("%s: no wrong shapes in the test", table[r]->name);
    }
}

static void reshape_keeps_the_number_of_elements(void **state)
{
    (void)state;
    sample s = { 0 };
    oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(2, 3));
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    assert_null(oci_op_reshape(cx, x, OCI_SHAPE(2, 4)));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    assert_non_null(strstr(oc_context_message(cx), "reshape"));
    oc_context_clear(cx);
    oci_tape_end(cx);
}

/* Values that only the input can be blamed for are malformed, not a wrong argument. */
static void ids_and_labels_are_checked(void **state)
{
    (void)state;
    static const int64_t wrong[] = { -1, 4, INT64_MAX, INT64_MIN, -100 };
    for (int i = 0; i < 5; i++)
        for (int labels = 0; labels < 2; labels++) {
            oci_tensor *in[OCI_MAX_INPUTS];
            tensors_of(labels ? "2,4;i2" : "4,3;i1,2", in);
            oci_i64(in[1])[1] = wrong[i];
            const oci_tensor *y = labels ? oci_op_cross_entropy(cx, in[0], in[1])
                                         : oci_op_embedding(cx, in[0], in[1], -1);
            bool good = labels && wrong[i] == -100;
            assert_int_equal(y != NULL, good);
            assert_int_equal(oc_context_status(cx), good ? OC_OK : OC_E_MALFORMED);
            oc_context_clear(cx);
        }
}

static void fused_parts_are_refused_on_a_tape(void **state)
{
    (void)state;
    oci_tensor *in[OCI_MAX_INPUTS];
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    tensors_of("2,3;4,3;4;2,4", in);
    assert_null(oci_op_linear(cx, in[0], in[1], in[2], OCI_ACT_GELU, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oci_op_linear(cx, in[0], in[1], in[2], OCI_ACT_NONE, in[3]));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oci_tape_end(cx);
}

/* ---- errors ------------------------------------------------------------------------ */

static void nothing_runs_after_an_error(void **state)
{
    (void)state;
    size_t count;
    const oci_op *const *table = oci_op_table(&count);
    for (size_t r = 0; r < count; r++) {
        sample s;
        sample_make(cx, op_case_find(table[r]->name), 0, &s);
        oci_fail(cx, OC_E_IMAGE, "the first error");
        assert_null(oci_apply(cx, table[r], s.in, s.args));
        assert_string_equal(oc_context_message(cx), "the first error");
        oc_context_clear(cx);
        /* what an earlier op did not give */
        for (int i = 0; i < table[r]->required; i++) {
            oci_tensor *in[OCI_MAX_INPUTS];
            memcpy(in, s.in, sizeof in);
            in[i] = NULL;
            assert_null(oci_apply(cx, table[r], in, s.args));
        }
        assert_int_equal(oc_context_status(cx), OC_OK);
    }
}

static void every_function_takes_null_after_an_error(void **state)
{
    (void)state;
    const oci_kv kv = { .heads = 1, .head_dim = 1 };
    oci_tensor *weights;
    oci_fail(cx, OC_E_IMAGE, "the first error");
    assert_null(oci_op_linear(cx, NULL, NULL, NULL, OCI_ACT_GELU, NULL));
    assert_null(oci_op_attention(cx, NULL, NULL, NULL, NULL, NULL, NULL, 2, 1, true,
                                 &weights));
    assert_null(weights);
    assert_null(oci_op_attention_cached(cx, NULL, (oci_cached){ .kv = &kv, .length = 1 },
                                        NULL, NULL, 1, true, &weights));
    assert_null(weights);
    assert_null(oci_op_layer_norm(cx, NULL, NULL, NULL, 1));
    assert_null(oci_op_rms_norm(cx, NULL, NULL, 1));
    assert_null(oci_op_gated(cx, OCI_ACT_SILU, NULL, NULL));
    assert_null(oci_op_rope(cx, NULL, NULL));
    assert_null(oci_op_gather(cx, NULL, NULL, NULL));
    assert_null(oci_op_act(cx, OCI_ACT_RELU, NULL));
    assert_null(oci_op_act(cx, OCI_ACT_NONE, NULL));
    assert_null(oci_op_add(cx, NULL, NULL));
    assert_null(oci_op_scale(cx, NULL, 1));
    assert_null(oci_op_replace(cx, NULL, NULL, NULL));
    assert_null(oci_op_reshape(cx, NULL, OCI_SHAPE(1)));
    assert_null(oci_op_concat(cx, NULL, NULL));
    assert_null(oci_op_slice(cx, NULL, 0, 1));
    assert_null(oci_op_patches(cx, NULL, 1, 1));
    assert_null(oci_op_interpolate(cx, NULL, 1, 1, 1, 1, 1, 1));
    assert_null(oci_op_multiply(cx, NULL, NULL));
    assert_null(oci_op_mean(cx, NULL));
    assert_null(oci_op_windows(cx, NULL, 1, 1, 1, 0));
    assert_null(oci_op_unwindows(cx, NULL, NULL, 1, 1, 1, 0));
    assert_null(oci_op_merge(cx, NULL, 1, 1));
    assert_null(oci_op_pad(cx, NULL, 1, 1));
    assert_null(oci_op_relative_bias(cx, NULL, 1, 1, 0, false));
    assert_null(oci_window_patterns(cx, 1, 1, 1, 1));
    assert_null(oci_op_embedding(cx, NULL, NULL, -1));
    assert_null(oci_op_cross_entropy(cx, NULL, NULL));
    assert_null(oci_op_embedding_mean(cx, NULL, NULL));
    assert_null(oci_op_scores(cx, NULL, NULL, NULL, 1));
    assert_null(oci_op_log_softmax(cx, NULL));
    assert_null(oci_op_kl_div(cx, NULL, NULL));
    assert_null(oci_tensor_create(cx, OC_F32, OCI_SHAPE(2)));
    assert_null(oci_tensor_view(cx, NULL, OCI_SHAPE(2), 0));
    assert_null(oci_settle(cx, oci_mark(cx), NULL));
    assert_int_equal(oci_backward(cx, NULL), OC_E_IMAGE);
    assert_string_equal(oc_context_message(cx), "the first error");
    oc_context_clear(cx);
}

static void sizes_that_no_memory_holds(void **state)
{
    (void)state;
    assert_null(oci_tensor_create(cx, OC_F32, OCI_SHAPE(INT64_MAX, INT64_MAX)));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oci_tensor_create(cx, OC_F32, OCI_SHAPE(3, -1)));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oci_tensor_create(cx, OC_F32, OCI_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
}

/* ---- memory ------------------------------------------------------------------------ */

static void settle_moves_the_result_down(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 5000; n = n * 3 + 1) {
        oci_arena_mark start = oci_mark(cx);
        sample s = { 0 };
        oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(n, 3));
        float *copy = malloc((size_t)n * 3 * sizeof *copy);
        memcpy(copy, x->data, (size_t)n * 3 * sizeof *copy);
        oci_arena_mark mark = oci_mark(cx);
        uint64_t before = 0;
        for (int i = 0; i < 20; i++) {
            oci_tensor *y = oci_op_scale(cx, x, 1);
            for (int k = 0; k < 3; k++) y = oci_op_scale(cx, y, 1);
            x = oci_settle(cx, mark, y);
            assert_non_null(x);
            assert_memory_equal(x->data, copy, (size_t)n * 3 * sizeof *copy);
            if (i == 1) before = oc_context_memory(cx).live_bytes;
        }
        /* As much in the last round as in the second: the loop's memory does not grow. */
        assert_int_equal(oc_context_memory(cx).live_bytes, before);
        free(copy);
        oci_arena_reset(&cx->arena, start);
    }
}

static void settle_waits_for_the_gradient(void **state)
{
    (void)state;
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    sample s = { 0 };
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(4));
    assert_ptr_equal(oci_settle(cx, mark, x), x);
    oci_tape_end(cx);
}

/* Only what leads back to something that wants a gradient is recorded. */
static void the_tape_records_what_it_must(void **state)
{
    (void)state;
    oci_tape tape;
    sample s = { 0 };
    oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(4)),
               *w = random_tensor(cx, &s, OCI_SHAPE(4));
    uint64_t live = oc_context_memory(cx).live_count;
    oci_tape_begin(cx, &tape);
    w->requires_grad = true;
    const oci_tensor *y = oci_op_scale(cx, x, 2);
    assert_false(y->requires_grad);
    assert_int_equal(tape.count, 0);
    oci_tensor *z = oci_op_scale(cx, w, 2);
    for (int i = 0; i < 1000; i++) z = oci_op_add(cx, z, x);
    assert_true(z->requires_grad);
    assert_int_equal(tape.count, 1001);
    assert_int_equal(oci_backward(cx, z), OC_OK);
    assert_float_equal(w->grad[0], 2, 0);
    assert_null(x->grad);
    oci_tape_end(cx);
    assert_null(cx->tape);
    /* The arena may have grown by blocks, which it keeps; the tape itself is gone. */
    assert_null(tape.calls);
    assert_in_range(oc_context_memory(cx).live_count, live, live + 2);
}

/* An input that is used twice gets the sum; what the loss does not reach gets nothing. */
static void gradients_of_shared_inputs(void **state)
{
    (void)state;
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    sample s = { 0 };
    oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(1));
    oci_tensor *idle = random_tensor(cx, &s, OCI_SHAPE(1));
    x->requires_grad = idle->requires_grad = true;
    oci_tensor *beside = oci_op_scale(cx, idle, 3);
    oci_tensor *loss = oci_op_add(cx, oci_op_scale(cx, x, 3), oci_op_add(cx, x, x));
    assert_int_equal(oci_backward(cx, loss), OC_OK);
    assert_float_equal(x->grad[0], 5, 0);
    assert_null(idle->grad);
    assert_null(beside->grad);
    oci_tape_end(cx);
}

/* ---- inference only ---------------------------------------------------------------- */

static oci_cache *make_cache(int64_t length)
{
    return oci_cache_create(cx, (oci_cache_spec){ .layers = 1, .rows = 2, .heads = 2,
                                                  .head_dim = 3, .length = length,
                                                  .dtype = OC_F32 });
}

static void no_gradient_through_a_cache(void **state)
{
    (void)state;
    oci_tape tape;
    sample s = { 0 };
    /* So many weights that a place too small for them would show under ASan. */
    enum { T = 64, KEYS = 4096 };
    oci_cache *cache = make_cache(KEYS);
    oci_tensor *q = random_tensor(cx, &s, OCI_SHAPE(2, T, 6));
    oci_tensor *k = random_tensor(cx, &s, OCI_SHAPE(2, KEYS, 6));
    oci_backend_get(cx)->kv_append(cx, cache->self, NULL, 2, KEYS, 0, oci_f32(k),
                                   oci_f32(k), 6);
    oci_tape_begin(cx, &tape);
    q->requires_grad = true;
    oci_tensor *y = oci_op_attention_cached(cx, q,
                                            (oci_cached){ .kv = cache->self,
                                                          .rows = cache->rows,
                                                          .length = KEYS },
                                            NULL, NULL, 1, true, NULL);
    assert_non_null(y);
    assert_int_equal(oci_backward(cx, y), OC_E_UNSUPPORTED);
    assert_non_null(strstr(oc_context_message(cx), "attention"));
    oc_context_clear(cx);
    oci_tape_end(cx);
    oci_cache_free(cache);
}

static void a_cache_must_fit(void **state)
{
    (void)state;
    sample s = { 0 };
    oci_cache *cache = make_cache(8);
    oci_tensor *wide = random_tensor(cx, &s, OCI_SHAPE(2, 1, 8));
    oci_tensor *q = random_tensor(cx, &s, OCI_SHAPE(2, 1, 6));
    for (int i = 0; i < 2; i++) {
        int64_t length = i ? cache->self->room + 1 : 1;
        oci_cached cached = { .kv = cache->self, .rows = cache->rows, .length = length };
        assert_null(oci_op_attention_cached(cx, i ? q : wide, cached, NULL, NULL, 1, true,
                                            NULL));
        assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
        oc_context_clear(cx);
    }
    oci_cache_free(cache);
}

static void no_effect(oc_context *c, oci_call *call)
{
    (void)c;
    (void)call;
}

static void an_op_without_a_gradient(void **state)
{
    (void)state;
    const oci_op op = {
        .name = "one_way", .required = 1, .inputs = 1, .forward = no_effect
    };
    oci_tape tape;
    sample s = { 0 };
    oci_tape_begin(cx, &tape);
    oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(1));
    x->requires_grad = true;
    oci_tensor *y = oci_apply(cx, &op, OCI_IN(x), (oci_args){ 0 });
    assert_int_equal(oci_backward(cx, y), OC_E_UNSUPPORTED);
    assert_non_null(strstr(oc_context_message(cx), "one_way"));
    oc_context_clear(cx);
    oci_tape_end(cx);
}

/* ---- refused memory ---------------------------------------------------------------- */

static void forward_and_backward_of_all(oc_context *c, void *user)
{
    (void)user;
    oc_context *kept = cx;          /* makes the samples: it lacks no memory */
    oci_arena_mark mark = oci_mark(kept);
    for (size_t i = 0; i < sizeof op_cases / sizeof *op_cases; i++) {
        sample s;
        oci_tape tape;
        sample_make(kept, &op_cases[i], 1, &s);
        oci_tape_begin(c, &tape);
        for (int k = 0; k < OCI_MAX_INPUTS; k++)
            if (s.in[k]) s.in[k]->requires_grad = s.wanted[k];
        oci_tensor *y = oci_apply(c, op_find(op_cases[i].op), s.in, s.args);
        oci_backward(c, y);
        oci_tape_end(c);
    }
    oci_arena_reset(&kept->arena, mark);
}

static void no_refused_request_leaks(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = forward_and_backward_of_all }) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(reshape_keeps_the_number_of_elements),
        cmocka_unit_test(ids_and_labels_are_checked),
        cmocka_unit_test(fused_parts_are_refused_on_a_tape),
        cmocka_unit_test(nothing_runs_after_an_error),
        cmocka_unit_test(every_function_takes_null_after_an_error),
        cmocka_unit_test(sizes_that_no_memory_holds),
        cmocka_unit_test(settle_moves_the_result_down),
        cmocka_unit_test(settle_waits_for_the_gradient),
        cmocka_unit_test(the_tape_records_what_it_must),
        cmocka_unit_test(gradients_of_shared_inputs),
        cmocka_unit_test(no_gradient_through_a_cache),
        cmocka_unit_test(a_cache_must_fit),
        cmocka_unit_test(an_op_without_a_gradient),
        cmocka_unit_test(no_refused_request_leaks),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
