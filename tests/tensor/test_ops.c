/* Every row of the op table, with the kernels of every ISA that this CPU has:
 * forward against the same operation in doubles, gradients against central
 * differences of that, both against PyTorch's (tools/goldens/make_ops.py), and the
 * same bits from any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "io/json.h"
#include "op_samples.h"

/* Sums of at most some 300 products of numbers around 1 in
 * f32, and their exponentials. */
#define TOLERANCE 1e-5

static const oc_isa isas[] = { OC_ISA_GENERIC, OC_ISA_AVX2, OC_ISA_AVX512 };
enum { ISAS = sizeof isas / sizeof *isas };

static oc_context *contexts[ISAS];      /* NULL: the CPU lacks it */

static oc_context *context_of(oc_isa isa, int threads)
{
    oc_context *cx = oc_context_create(
        &OC_OPTIONS(oc_context_options, .isa = isa, .threads = threads));
    assert_non_null(cx);
    assert_int_equal(oc_context_status(cx), OC_OK);
    return cx;
}

/* ---- comparing ---- */

/* The largest difference may be TOLERANCE of the largest value, or of 1. */
static void expect_close(const char *what, const char *isa, const sample *s,
                         const double *want, const float *found, int64_t n)
{
    double scale = 1;
    for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - (double)found[i]) <= TOLERANCE * scale))
            fail_msg("%s %s, variant %d, %s: element %lld: expected %.9g, found %.9g",
                     s->kind->op, what, s->variant, isa, (long long)i, want[i],
                     (double)found[i]);
}

static double *as_doubles(const oci_tensor *x)
{
    if (!x) return NULL;
    int64_t n = oci_tensor_count(x);
    double *to = calloc((size_t)n + 1, sizeof *to);
    float *wide = calloc((size_t)n + 1, sizeof *wide);
    if (x->dtype != OC_I64) oci_dtype_to_f32(x->dtype, x->data, wide, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        to[i] = x->dtype == OC_I64 ? (double)oci_i64(x)[i] : (double)wide[i];
    free(wide);
    return to;
}

/* ---- running ---- */

/* What is fed into the backward pass; the first is the 1 that oci_backward sets. */
static float feed(int64_t i) { return i ? (float)((i * 37 + 11) % 17 - 8) / 5 : 1; }

static oci_tensor *forward(oc_context *cx, sample *s)
{
    oci_tensor *y = oci_apply(cx, op_find(s->kind->op), s->in, s->args);
    if (!y)
        fail_msg("%s, variant %d: %s", s->kind->op, s->variant, oc_context_message(cx));
    return y;
}

/* Forward under a tape and backward; the gradients are then in s->in[i]->grad. */
static oci_tensor *backward(oc_context *cx, sample *s)
{
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    for (int i = 0; i < OCI_MAX_INPUTS; i++)
        if (s->in[i]) s->in[i]->requires_grad = s->wanted[i];
    oci_tensor *y = forward(cx, s);
    float *dy = oci_tensor_grad(cx, y);
    for (int64_t i = 0; i < oci_tensor_count(y); i++) dy[i] = feed(i);
    if (oci_tensor_count(y) && oci_backward(cx, y) != OC_OK)
        fail_msg("%s, variant %d: %s", s->kind->op, s->variant, oc_context_message(cx));
    oci_tape_end(cx);
    return y;
}

static bool has_gradient(const sample *s)
{
    bool any = false;
    for (int i = 0; i < OCI_MAX_INPUTS; i++) any = any || s->wanted[i];
    return any;
}

typedef void variant_check(oc_context *cx, const char *isa, sample *s);

/* The whole table, every variant, every ISA. */
static void walk_table(variant_check *check)
{
    size_t count;
    const oci_op *const *table = oci_op_table(&count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        const op_case *kind = op_case_find(table[i]->name);
        for (int v = 0; v < kind->variants; v++)
            for (int k = 0; k < ISAS; k++) {
                if (!contexts[k]) continue;
                sample s;
                oci_arena_mark mark = oci_mark(contexts[k]);
                sample_make(contexts[k], kind, v, &s);
                check(contexts[k], oci_isa_name(isas[k]), &s);
                oci_arena_reset(&contexts[k]->arena, mark);
            }
    }
}

/* ---- forward and gradient against doubles ---- */

static void check_forward(oc_context *cx, const char *isa, sample *s)
{
    double *in[OCI_MAX_INPUTS];
    for (int i = 0; i < OCI_MAX_INPUTS; i++) in[i] = as_doubles(s->in[i]);
    const oci_tensor *y = forward(cx, s);
    double *want = calloc((size_t)oci_tensor_count(y) + 1, sizeof *want);
    s->kind->reference(s, in, want);
    expect_close("forward", isa, s, want, oci_f32(y), oci_tensor_count(y));
    free(want);
    for (int i = 0; i < OCI_MAX_INPUTS; i++) free(in[i]);
}

static double weighted(const sample *s, double *const in[], double *out, int64_t n)
{
    double sum = 0;
    s->kind->reference(s, in, out);
    for (int64_t i = 0; i < n; i++) sum += out[i] * (double)feed(i);
    return sum;
}

static void check_gradient(oc_context *cx, const char *isa, sample *s)
{
    const double h = 1e-5;
    double *in[OCI_MAX_INPUTS];
    if (!has_gradient(s)) return;
    const oci_tensor *y = backward(cx, s);
    int64_t n = oci_tensor_count(y);
    double *out = calloc((size_t)n + 1, sizeof *out);
    for (int i = 0; i < OCI_MAX_INPUTS; i++) in[i] = as_doubles(s->in[i]);
    for (int i = 0; i < OCI_MAX_INPUTS; i++) {
        if (!s->in[i] || !s->wanted[i] || n == 0) continue;
        int64_t each = oci_tensor_count(s->in[i]);
        double *want = calloc((size_t)each + 1, sizeof *want);
        for (int64_t k = 0; k < each; k++) {
            double x = in[i][k];
            in[i][k] = x + h;
            want[k] = weighted(s, in, out, n);
            in[i][k] = x - h;
            want[k] = (want[k] - weighted(s, in, out, n)) / (2 * h);
            in[i][k] = x;
        }
        if (each) assert_non_null(s->in[i]->grad);
        expect_close("gradient", isa, s, want, s->in[i]->grad, each);
        free(want);
    }
    for (int i = 0; i < OCI_MAX_INPUTS; i++) free(in[i]);
    free(out);
}

static void forward_equals_doubles(void **state)
{
    (void)state;
    walk_table(check_forward);
}

static void gradients_equal_differences(void **state)
{
    (void)state;
    walk_table(check_gradient);
}

/* A second backward pass adds: what an input that is used twice relies on. */
static void check_accumulation(oc_context *cx, const char *isa, sample *s)
{
    if (!has_gradient(s)) return;
    oci_tensor *y = backward(cx, s);
    if (oci_tensor_count(y) == 0) return;
    float *first[OCI_MAX_INPUTS] = { 0 };
    for (int i = 0; i < OCI_MAX_INPUTS; i++) {
        if (!s->in[i] || !s->wanted[i]) continue;
        size_t bytes = (size_t)oci_tensor_count(s->in[i]) * sizeof(float);
        first[i] = malloc(bytes + 1);
        memcpy(first[i], s->in[i]->grad, bytes);
    }
    backward(cx, s);
    for (int i = 0; i < OCI_MAX_INPUTS; i++) {
        if (!first[i]) continue;
        int64_t n = oci_tensor_count(s->in[i]);
        double *want = calloc((size_t)n + 1, sizeof *want);
        for (int64_t k = 0; k < n; k++) want[k] = 2 * (double)first[i][k];
        expect_close("second gradient", isa, s, want, s->in[i]->grad, n);
        free(want);
        free(first[i]);
    }
}

static void gradients_accumulate(void **state)
{
    (void)state;
    walk_table(check_accumulation);
}

/* ---- one ISA, one result ---- */

static void check_threads(oc_context *cx, const char *isa, sample *s)
{
    oc_context *other = context_of(cx->isa, oc_context_threads(cx) + 2);
    sample t;
    sample_make(other, s->kind, s->variant, &t);
    const oci_tensor *a = has_gradient(s) ? backward(cx, s) : forward(cx, s);
    const oci_tensor *b = has_gradient(s) ? backward(other, &t) : forward(other, &t);
    bool same = !memcmp(a->data, b->data, (size_t)oci_tensor_count(a) * sizeof(float));
    for (int i = 0; i < OCI_MAX_INPUTS; i++)
        if (s->in[i] && s->in[i]->grad)
            same = same && !memcmp(s->in[i]->grad, t.in[i]->grad,
                                   (size_t)oci_tensor_count(s->in[i]) * sizeof(float));
    if (!same) fail_msg("%s, variant %d, %s: other bits with more threads", s->kind->op,
                        s->variant, isa);
    oc_context_free(other);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    walk_table(check_threads);
}

/* ---- against PyTorch ---- */

static oci_tensor *golden(oc_context *cx, const oc_tensors *set, const char *name,
                          const char *part, int i)
{
    char key[96];
    oc_tensor_view v;
    snprintf(key, sizeof key, i < 0 ? "%s.%s" : "%s.%s%d", name, part, i);
    if (!oc_tensors_find(set, key, &v)) return NULL;
    oci_tensor *x = oci_tensor_create(cx, v.dtype, v.rank, v.shape);
    assert_non_null(x);
    memcpy(x->data, v.data, v.bytes);
    return x;
}

static double number(const json_t *args, const char *key, size_t i)
{
    const json_t *value = json_object_get(args, key);
    return json_number_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static void read_args(const json_t *args, sample *s)
{
    const json_t *like = json_object_get(args, "like");
    const char *act = json_string_value(json_object_get(args, "act"));
    if (act) assert_true(oci_act_find(act, &s->args.act));
    s->args.causal = json_is_true(json_object_get(args, "causal"));
    s->args.heads = (int64_t)number(args, "heads", 0);
    s->args.scale = (float)number(args, "scale", 0);
    s->args.eps = (float)number(args, "eps", 0);
    for (size_t i = 0; i < 4; i++) s->args.size[i] = (int64_t)number(args, "size", i);
    for (size_t i = 0; i < 2; i++) s->args.factor[i] = number(args, "factor", i);
    if (!like) return;
    s->like = (oci_tensor){ .dtype = OC_F32, .rank = (int)json_array_size(like) };
    for (size_t i = 0; i < json_array_size(like); i++)
        s->like.shape[i] = json_integer_value(json_array_get(like, i));
    s->args.saved[0] = &s->like;
}

static void expect_golden(const char *what, const char *isa, const sample *s,
                          const oci_tensor *want, const float *found)
{
    assert_non_null(want);
    assert_non_null(found);
    double *wide = as_doubles(want);
    expect_close(what, isa, s, wide, found, oci_tensor_count(want));
    free(wide);
}

static void check_golden(oc_context *cx, const char *isa, const oc_tensors *set,
                         const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const op_case kind = { .op = json_string_value(json_object_get(item, "op")) };
    const json_t *wanted = json_object_get(item, "wanted");
    sample s = { .kind = &kind };
    read_args(json_object_get(item, "args"), &s);
    for (int i = 0; i < OCI_MAX_INPUTS; i++) s.in[i] = golden(cx, set, name, "in", i);
    oci_tape tape;
    oci_tape_begin(cx, &tape);
    for (size_t i = 0; i < json_array_size(wanted); i++)
        s.in[json_integer_value(json_array_get(wanted, i))]->requires_grad = true;
    oci_tensor *y = forward(cx, &s), *dy = golden(cx, set, name, "dout", -1);
    expect_golden(name, isa, &s, golden(cx, set, name, "out", -1), oci_f32(y));
    memcpy(oci_tensor_grad(cx, y), dy->data, (size_t)oci_tensor_count(y) * sizeof(float));
    assert_int_equal(oci_backward(cx, y), OC_OK);
    for (int i = 0; i < OCI_MAX_INPUTS; i++)
        if (s.in[i] && s.in[i]->requires_grad)
            expect_golden(name, isa, &s, golden(cx, set, name, "grad", i), s.in[i]->grad);
    oci_tape_end(cx);
}

static void as_in_pytorch(void **state)
{
    (void)state;
    size_t rows;
    const oci_op *const *table = oci_op_table(&rows);
    for (int k = 0; k < ISAS; k++) {
        oc_context *cx = contexts[k];
        oci_json doc;
        if (!cx) continue;
        oc_tensors *set = oc_tensors_open(cx, "tests/data/tensor/ops.safetensors");
        assert_true(oci_json_open(cx, &doc, "tests/data/tensor/ops.json"));
        for (size_t r = 0; r < rows; r++) {
            size_t found = 0;
            for (size_t i = 0; i < json_array_size(doc.root); i++) {
                const json_t *item = json_array_get(doc.root, i);
                if (strcmp(json_string_value(json_object_get(item, "op")),
                           table[r]->name))
                    continue;
                oci_arena_mark mark = oci_mark(cx);
                check_golden(cx, oci_isa_name(isas[k]), set, item);
                oci_arena_reset(&cx->arena, mark);
                found++;
            }
            if (!found) fail_msg("%s: no golden", table[r]->name);
        }
        oci_json_close(&doc);
        oc_tensors_free(set);
    }
}

/* ---- weights in panels ---- */

/* A model that is not trained keeps panels only: products and
 * look-ups must not show it. */
static void panels_equal_raw_weights(void **state)
{
    (void)state;
    static const oc_dtype dtypes[] = { OC_F32, OC_BF16, OC_F16 };
    for (int k = 0; k < ISAS * 3; k++) {
        oc_context *cx = contexts[k / 3];
        if (!cx) continue;
        const oci_backend *be = oci_backend_get(cx);
        oci_arena_mark mark = oci_mark(cx);
        sample s = { 0 };
        oci_rng_init(&s.rng, 3, 4);
        const int64_t N = 37, K = 21;
        oci_tensor *x = random_tensor(cx, &s, OCI_SHAPE(2, 5, K));
        oci_tensor *w = narrowed(cx, random_tensor(cx, &s, OCI_SHAPE(N, K)),
                                 dtypes[k % 3]);
        oci_tensor *ids = random_ids(cx, &s, N, OCI_SHAPE(3, 9)), packed = *w;
        packed.panels = oci_buffer_create(cx, be->packed_bytes(w->dtype, N, K));
        be->pack(cx, w->dtype, N, K, w->data, K, 1, packed.panels->data);
        packed.data = NULL;
        const oci_tensor *a = oci_op_linear(cx, x, w, NULL, OCI_ACT_NONE, NULL);
        const oci_tensor *b = oci_op_linear(cx, x, &packed, NULL, OCI_ACT_NONE, NULL);
        assert_memory_equal(a->data, b->data, sizeof(float) * (size_t)(2 * 5 * N));
        a = oci_op_embedding(cx, w, ids, -1);
        b = oci_op_embedding(cx, &packed, ids, -1);
        assert_memory_equal(a->data, b->data, sizeof(float) * (size_t)(3 * 9 * K));
        oci_buffer_unref(&packed.panels);
        oci_arena_reset(&cx->arena, mark);
    }
}

static int set_up(void **state)
{
    (void)state;
    for (int k = 0; k < ISAS; k++) {
        if (oci_cpu_has_isa(isas[k])) contexts[k] = context_of(isas[k], 1);
        else print_message("skipped: this CPU lacks %s\n", oci_isa_name(isas[k]));
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int k = 0; k < ISAS; k++) oc_context_free(contexts[k]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_equals_doubles),
        cmocka_unit_test(gradients_equal_differences),
        cmocka_unit_test(gradients_accumulate),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(as_in_pytorch),
        cmocka_unit_test(panels_equal_raw_weights),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
