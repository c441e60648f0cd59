/* Every call of an index under tests/data/models on every ISA of this machine: the
 * answers of Transformers 4.37.2, all outputs and gradients, and what it refuses. One
 * test program an index, so that they run side by side:
 *     #include "goldens.h"
 *     int main(void) { return check_goldens("INDEX-decoders.txt", 200); }
 */
#ifndef OCELLI_TESTS_GOLDENS_H
#define OCELLI_TESTS_GOLDENS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cpu.h"
#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define DATA "tests/data/models"
/* Of the largest value of a tensor, or (gradients) of the call's largest gradient: the
 * goldens themselves are within 3e-6 of float64. */
static const double tolerance = 1e-5;

typedef struct call {
    char folder[256], id[320];
    char checkpoint[256];           /* the folder, or where a seeded one's was made */
    json_t *json;
    const char *class_name;
    json_t *options;
} call;

static int complaints, fewest_calls;
static const char *index_name;

static void complain(const call *c, const char *format, ...)
{
    va_list args;
    complaints++;
    if (!*c->id) return;                /* wanted to fail */
    va_start(args, format);
    fprintf(stderr, "%s: ", c->id);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool option(const call *c, const char *name)
{
    return json_is_true(json_object_get(c->options, name));
}

static double largest(oc_tensor_view v)
{
    double most = 0;
    for (size_t i = 0; i < v.bytes / 4; i++)
        most = fmax(most, fabs((double)((const float *)v.data)[i]));
    return most;
}

static bool same_shape(oc_tensor_view a, oc_tensor_view b)
{
    return a.dtype == b.dtype && a.rank == b.rank &&
           !memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape);
}

static void compare(const call *c, oc_tensor_view want, oc_tensor_view got, double scale)
{
    if (!same_shape(want, got)) {
        complain(c, "%s: another shape or type", want.name);
        return;
    }
    if (want.dtype == OC_I64) {
        if (memcmp(want.data, got.data, want.bytes))
            complain(c, "%s: other ids", want.name);
        return;
    }
    const float *a = want.data, *b = got.data;
    double worst = 0;
    for (size_t i = 0; i < want.bytes / 4; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (isinf(a[i]) && a[i] == b[i]) continue;
        double off = fabs((double)a[i] - (double)b[i]);
        if (!(off <= worst)) worst = off;
    }
    if (!(worst <= tolerance * scale + 1e-12))
        complain(c, "%s: off by %.3g of %.3g", want.name, worst, scale);
}

/* A gradient of which the golden keeps products with vectors of signs only: its rows of
 * `sketches`, of which the first is *row. Errors of `tolerance` each add up to the root
 * of their number of them: as random as the signs are. */
static void compare_sketch(const call *c, oc_tensor_view sketches, size_t *row,
                           oc_tensor_view gradient, double scale)
{
    const float *x = gradient.data;
    const char *name = gradient.name + strlen("grad.");
    size_t n = gradient.bytes / 4, pieces = seeded_pieces(n);
    size_t width = (n + pieces - 1) / pieces;
    double b[SKETCH_VECTORS], worst = 0, most = tolerance * scale * sqrt((double)width);
    for (size_t i = 0; i < n && *row < (size_t)sketches.shape[0]; i += width, ++*row) {
        const float *a = (const float *)sketches.data + *row * SKETCH_VECTORS;
        seeded_sketch(name, x + i, i, i + width < n ? width : n - i, b);
        for (int j = 0; j < SKETCH_VECTORS; j++) {
            double off = fabs((double)a[j] - b[j]);
            if (!(off <= worst)) worst = off;
        }
    }
    if (!(worst <= most))
        complain(c, "sketch of grad.%s: off by %.3g, expected at most %.3g", name, worst,
                 most);
}

static int by_name(const void *a, const void *b)
{
    const oc_tensor_view *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void compare_sketches(const call *c, oc_tensor_view want, const oc_tensors *got,
                             double scale)
{
    size_t count = 0, row = 0, rows = 0;
    oc_tensor_view *gradients = calloc(oc_tensors_count(got), sizeof *gradients);
    assert_non_null(gradients);
    for (size_t i = 0; i < oc_tensors_count(got); i++) {
        oc_tensor_view g = oc_tensors_get(got, i);
        if (strncmp(g.name, "grad.", 5)) continue;
        gradients[count++] = g;
        rows += seeded_pieces(g.bytes / 4);
    }
    qsort(gradients, count, sizeof *gradients, by_name);
    for (size_t i = 0; i < count; i++) compare_sketch(c, want, &row, gradients[i], scale);
    if (rows != (size_t)want.shape[0])
        complain(c, "%zu rows of sketches, expected %lld", rows,
                 (long long)want.shape[0]);
    free(gradients);
}

/* Of all gradients of the call: as recorded, where only sketches are kept. */
static double largest_gradient(const call *c, const oc_tensors *want)
{
    double most = json_number_value(json_object_get(c->json, "largest_gradient"));
    for (size_t i = 0; i < oc_tensors_count(want); i++) {
        oc_tensor_view w = oc_tensors_get(want, i);
        if (!strncmp(w.name, "grad.", 5)) most = fmax(most, largest(w));
    }
    return most;
}

static void compare_one(const call *c, oc_tensor_view w, const oc_tensors *got,
                        double gradient)
{
    oc_tensor_view g;
    if (!strcmp(w.name, "sketches")) compare_sketches(c, w, got, gradient);
    else if (!oc_tensors_find(got, w.name, &g)) complain(c, "%s: missing", w.name);
    else if (!strncmp(w.name, "grad.", 5)) compare(c, w, g, gradient);
    else compare(c, w, g, w.dtype == OC_F32 ? largest(w) : 0);
}

static bool is_wanted(const oc_tensors *want, const char *name)
{
    oc_tensor_view v;
    return oc_tensors_find(want, name, &v) ||
           (!strncmp(name, "grad.", 5) && oc_tensors_find(want, "sketches", &v));
}

/* All of `want` is in `got` with these values, and nothing
 * more unless `only` is there. */
static void compare_sets(const call *c, const oc_tensors *want, const oc_tensors *got)
{
    double gradient = largest_gradient(c, want);
    for (size_t i = 0; i < oc_tensors_count(want); i++)
        compare_one(c, oc_tensors_get(want, i), got, gradient);
    for (size_t i = 0; !json_object_get(c->json, "only") && i < oc_tensors_count(got);
         i++) {
        const char *name = oc_tensors_get(got, i).name;
        if (!is_wanted(want, name)) complain(c, "%s: one too many", name);
    }
}

/* Whose answer it is: PyTorch's, unless the call says "tf" or "flax". */
static void choose_framework(oc_context *cx, const call *c)
{
    const char *name = json_string_value(json_object_get(c->json, "framework"));
    if (name)
        oc_context_set_framework(cx, !strcmp(name, "flax") ? OC_FLAX : OC_TENSORFLOW);
}

/* The model without the heads of `prune`, saved and opened again. */
static oc_model *pruned(oc_context *cx, const call *c, oc_model *model,
                        const oc_model_options *options)
{
    char folder[64], *heads = json_dumps(json_object_get(c->json, "prune"), 0);
    snprintf(folder, sizeof folder, "%s/pruned", work_folder);
    oc_model_prune_heads(cx, model, heads);
    oc_model_save(cx, model, folder, NULL);
    oc_model_close(model);
    free(heads);
    return oc_model_open(cx, folder, options);
}

static oc_tensors *run(oc_context *cx, const call *c, const oc_tensors *in)
{
    bool gradients = option(c, "gradients"), forward = false;
    oc_model_options open = OC_OPTIONS(oc_model_options, .trainable = gradients,
                                       .class_name = c->class_name);
    oc_model *model = oc_model_open(cx, c->checkpoint, &open);
    if (json_object_get(c->json, "prune")) model = pruned(cx, c, model, &open);
    oc_tensors *out;
    forward = !strcmp(json_string_value(json_object_get(c->json, "command")), "forward");
    if (forward) {
        oc_forward_options o = OC_OPTIONS(oc_forward_options, .class_name = c->class_name,
            .output_hidden_states = option(c, "output_hidden_states"),
            .output_attentions = option(c, "output_attentions"),
            .use_cache = option(c, "use_cache"), .gradients = gradients);
        out = oc_forward(cx, model, in, &o);
    } else {
        json_t *rest = json_copy(c->options);
        json_object_del(rest, "output_scores");
        char *config = json_dumps(rest, JSON_ENCODE_ANY);
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
            .output_scores = option(c, "output_scores"), .output_logprobs = true);
        out = oc_generate(cx, model, in, &o);
        free(config);
        json_decref(rest);
    }
    oc_model_close(model);
    return out;
}

/* The reference writes its log-probability of the pads of ended rows too; ours are 0. */
static inline void drop_pads(oc_tensors *set, const oc_tensors *other)
{
    oc_tensor_view a, b;
    if (!oc_tensors_find(set, "token_logprobs", &a) ||
        !oc_tensors_find(other, a.name, &b) || !same_shape(a, b))
        return;
    for (size_t i = 0; i < a.bytes / 4; i++)
        if (((const float *)b.data)[i] == 0.0f) ((float *)(uintptr_t)a.data)[i] = 0.0f;
}

/* The call's IN; of some calls, no more than the pictures of another call's. */
static oc_tensors *inputs_of(oc_context *cx, const call *c, const char *name)
{
    char path[640];
    oc_tensor_view v;
    const char *other = json_string_value(json_object_get(c->json, "pictures_of"));
    snprintf(path, sizeof path, "%s/%s.in.safetensors", c->folder, other ? other : name);
    oc_tensors *all = oc_tensors_open(cx, path);
    if (!other) return all;
    oc_tensors *in = oc_tensors_create(cx);
    assert_true(oc_tensors_find(all, "pixel_values", &v));
    oc_tensors_add(cx, in, v.name, v.dtype, v.rank, v.shape, v.data);
    oc_tensors_free(all);
    return in;
}

/* A case without weights gets its checkpoint made at its first call, and all its calls
 * open that: what is saved is loaded in every one of them. */
static void find_checkpoint(call *c, const char *folder)
{
    uint64_t seed;
    double gain;
    struct stat there;
    if (!seeded_find(c->folder, &seed, &gain)) {
        snprintf(c->checkpoint, sizeof c->checkpoint, "%s", c->folder);
        return;
    }
    snprintf(c->checkpoint, sizeof c->checkpoint, "%s/%s", work_folder, folder);
    if (stat(c->checkpoint, &there) == 0) return;
    oc_context *cx = oc_context_create(NULL);
    if (!seeded_save(cx, c->folder, c->checkpoint))
        complain(c, "no checkpoint: %s", oc_context_message(cx));
    oc_context_free(cx);
}

static inline void check_call(oc_isa isa, const char *folder, const char *name)
{
    call c = { 0 };
    char path[640];
    snprintf(c.folder, sizeof c.folder, DATA "/%s", folder);
    snprintf(c.id, sizeof c.id, "%s %s (%s)", folder, name, oci_isa_name(isa));
    snprintf(path, sizeof path, "%s/%s.json", c.folder, name);
    c.json = json_load_file(path, 0, NULL);
    assert_non_null(c.json);
    c.class_name = json_string_value(json_object_get(c.json, "class"));
    c.options = json_object_get(c.json, "options");
    find_checkpoint(&c, folder);
    oc_context *cx = oc_context_create(
        &OC_OPTIONS(oc_context_options, .isa = isa, .threads = 2));
    oc_tensors *in = inputs_of(cx, &c, name), *want = NULL;
    assert_int_equal(oc_context_status(cx), OC_OK);
    choose_framework(cx, &c);
    oc_tensors *got = run(cx, &c, in);
    if (json_object_get(c.json, "error")) {
        if (got || oc_context_status(cx) == OC_OK) complain(&c, "expected to be refused");
    } else if (!got) {
        complain(&c, "%s", oc_context_message(cx));
    } else {
        snprintf(path, sizeof path, "%s/%s.out.safetensors", c.folder, name);
        want = oc_tensors_open(cx, path);
        assert_non_null(want);
        drop_pads(want, got);
        compare_sets(&c, want, got);
    }
    oc_tensors_free(in);
    oc_tensors_free(want);
    oc_tensors_free(got);
    json_decref(c.json);
    assert_true(oc_context_memory(cx).live_count <= 8);     /* the arena's blocks */
    oc_context_free(cx);
}

static inline void check_all(oc_isa isa)
{
    char path[256], folder[128], name[128];
    int calls = 0;
    if (!oci_cpu_has_isa(isa)) {
        print_message("skipped: this processor has no %s\n", oci_isa_name(isa));
        return;
    }
    snprintf(path, sizeof path, DATA "/%s", index_name);
    FILE *index = fopen(path, "r");
    assert_non_null(index);
    complaints = 0;
    while (fscanf(index, "%127s %127s", folder, name) == 2) {
        check_call(isa, folder, name);
        calls++;
    }
    fclose(index);
    print_message("%d calls on %s, %d complaints\n", calls, oci_isa_name(isa),
                  complaints);
    assert_true(calls >= fewest_calls);
    assert_int_equal(complaints, 0);
}

static inline void test_generic(void **state) { (void)state; check_all(OC_ISA_GENERIC); }
static inline void test_avx2(void **state) { (void)state; check_all(OC_ISA_AVX2); }
static inline void test_avx512(void **state) { (void)state; check_all(OC_ISA_AVX512); }

/* main()'s result. `fewest` guards against an index that lost its lines. */
static inline int check_goldens(const char *index, int fewest)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generic), cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_avx512),
    };
    index_name = index;
    fewest_calls = fewest;
    return cmocka_run_group_tests_name(index, tests, make_work_folder,
                                       remove_work_folder);
}

#endif
