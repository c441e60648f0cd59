/* Seeded weights are the reference's (numbers by tools/goldens/seeded.py), and a sketch
 * of a gradient shows one wrong element. */
#include "goldens.h"

static void values_are_the_references(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        double gain;
        const char *name;
        int rank;
        int64_t shape[3];
        float last[2];              /* elements n - 2 and n - 1 */
    } cases[] = {
        { 7, 1.5, "encoder.layer.0.norm.weight", 1, { 3 },
          { 0x1.95d95ep-1f, 0x1.f01828p-1f } },
        { 7, 1.5, "h.0.ln_1.bias", 1, { 3 }, { 0x1.1702cep-8f, 0x1.dd134ep-5f } },
        { 8, 2.0, "wte.weight", 2, { 5, 4 }, { 0x1.6031a2p+0f, -0x1.f09e58p-1f } },
        { 8, 2.0, "embeddings.position_embeddings", 3, { 1, 5, 4 },
          { -0x1.8823d6p+0f, 0x1.f4a12cp-1f } },
        { 8, 2.0, "lambda_1", 1, { 2 }, { 0x1.90d9ecp-1f, 0x1.1a671ap+0f } },
    };
    float out[20];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = 1;
        for (int j = 0; j < cases[i].rank; j++) n *= (size_t)cases[i].shape[j];
        seeded_values(cases[i].seed, cases[i].gain, cases[i].name, cases[i].rank,
                      cases[i].shape, out);
        assert_memory_equal(out + n - 2, cases[i].last, sizeof cases[i].last);
    }
}

static void sketches_are_the_references(void **state)
{
    (void)state;
    static const double want[2][SKETCH_VECTORS] = {
        { 31, -7, -25, -107, 101, -15, 77, 81 }, { 0, -10, -54, 80, -36, -14, 8, 90 }
    };
    float x[1500];
    double got[SKETCH_VECTORS];
    for (int i = 0; i < 1500; i++) x[i] = (float)(i % 7 - 3);
    assert_int_equal(seeded_pieces(1500), 2);
    for (size_t i = 0; i < 2; i++) {
        seeded_sketch("a.b", x + i * 750, i * 750, 750, got);
        assert_memory_equal(got, want[i], sizeof got);
    }
}

static double deviation(oc_tensor_view v)
{
    double sum = 0;
    size_t n = v.bytes / 4;
    for (size_t i = 0; i < n; i++) sum += pow((double)((const float *)v.data)[i], 2);
    return sqrt(sum / (double)n);
}

/* One element of each gradient in turn is off by what is an ordinary value there.
 * Gradients that are nothing beside the call's largest (keys' biases: zero but for
 * rounding) are left out: no tolerance relative to that sees them. */
static void one_wrong_element_shows(void **state)
{
    (void)state;
    call c = { .folder = DATA "/pair_swin_mbart" };
    oc_context *cx = oc_context_create(NULL);
    c.json = json_load_file(DATA "/pair_swin_mbart/labels_grad.json", 0, NULL);
    assert_non_null(c.json);
    c.options = json_object_get(c.json, "options");
    find_checkpoint(&c, "pair_swin_mbart");
    oc_tensors *in = inputs_of(cx, &c, "labels_grad");
    oc_tensors *want = oc_tensors_open(cx, DATA
                                       "/pair_swin_mbart/labels_grad.out.safetensors");
    oc_tensors *got = run(cx, &c, in);
    assert_non_null(got);
    double most = largest_gradient(&c, want);
    complaints = 0;
    compare_sets(&c, want, got);
    assert_int_equal(complaints, 0);
    int tried = 0;
    for (size_t i = 0; i < oc_tensors_count(got); i++) {
        oc_tensor_view g = oc_tensors_get(got, i);
        float usual = (float)deviation(g), *x = (float *)(uintptr_t)g.data;
        if (strncmp(g.name, "grad.", 5) || usual < 1e-3 * most) continue;
        size_t at = g.bytes / 4 / 2;
        float kept = x[at];
        x[at] += usual;
        tried++;
        compare_sets(&c, want, got);
        if (complaints != tried) fail_msg("%s: a wrong element went through", g.name);
        x[at] = kept;
    }
    assert_true(tried > 30);
    oc_tensors_free(in);
    oc_tensors_free(want);
    oc_tensors_free(got);
    json_decref(c.json);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_references),
        cmocka_unit_test(sketches_are_the_references),
        cmocka_unit_test(one_wrong_element_shows),
    };
    return cmocka_run_group_tests(tests, make_work_folder, remove_work_folder);
}
