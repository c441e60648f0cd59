/* The bundled reader against Transformers' own answers: 52 set lines, 15 odd pictures,
 * and every layer on one line at real size (tests/data/lines). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cpu.h"
#include "ocelli.h"
#include "support/slow.h"

#define DATA "tests/data/lines/"

static oc_context *cx;
static oc_model *model;

static int open_model(oc_isa isa)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .isa = isa, .threads = 2);
    if (!oci_cpu_has_isa(isa)) {
        print_message("skipped: this processor has no %s\n", oci_isa_name(isa));
        return 0;
    }
    cx = oc_context_create(&o);
    model = oc_model_open(cx, "models/printed-line-ocr", NULL);
    if (!model) fail_msg("%s", oc_context_message(cx));
    return 1;
}

static void close_model(void)
{
    oc_model_close(model);
    oc_context_free(cx);
}

static oc_image *open_image(const char *file)
{
    char path[256];
    oc_image_options upright = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    snprintf(path, sizeof path, DATA "%s", file);
    return oc_image_open(cx, path, &upright);
}

/* Text, ids (the reference's begin with the start token) and log-probabilities. */
static void compare(const json_t *line, const oc_text *got)
{
    const char *file = json_string_value(json_object_get(line, "file"));
    const char *want = json_string_value(json_object_get(line, "text"));
    const json_t *ids = json_object_get(line, "ids"),
                 *p = json_object_get(line, "logprobs");
    if (strcmp(got->text, want))
        fail_msg("%s: \"%s\", reference \"%s\"", file, got->text, want);
    assert_int_equal(got->tokens + 1, json_array_size(ids));
    for (int64_t i = 0; i < got->tokens; i++) {
        json_int_t id = json_integer_value(json_array_get(ids, (size_t)i + 1));
        double off = (double)got->logprobs[i] -
                     json_number_value(json_array_get(p, (size_t)i));
        if (got->ids[i] != id || fabs(off) > 2e-4)
            fail_msg("%s token %d: id %d, reference %d, log-probability off by %g", file,
                     (int)i, (int)got->ids[i], (int)id, off);
    }
}

static void check_lines(const char *list)
{
    enum { MOST = 64 };
    json_t *lines = json_load_file(list, 0, NULL);
    oc_image *images[MOST];
    const json_t *of[MOST];
    size_t n = 0, refused = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        oc_image *image = open_image(json_string_value(json_object_get(line, "file")));
        assert_non_null(image);
        if (json_object_get(line, "error")) {   /* one row: no picture to the reference */
            assert_null(oc_read(cx, model, &image, 1, NULL));
            oc_context_clear(cx);
            oc_image_free(image);
            refused++;
            continue;
        }
        of[n] = line;
        images[n++] = image;
    }
    /* Alone, and all together: the batch must not matter. Generic code takes its time,
     * and so do sanitizers: there every fifth is enough. */
    size_t step = SLOW_BUILD || !strcmp(oc_context_isa(cx), "generic") ? 5 : 1;
    oc_texts *all = oc_read(cx, model, images, n, NULL);
    if (!all) fail_msg("%s", oc_context_message(cx));
    for (size_t i = 0; i < n; i++) compare(of[i], oc_texts_get(all, i));
    for (size_t i = 0; i < n; i += step) {
        oc_texts *one = oc_read(cx, model, &images[i], 1, NULL);
        if (!one) fail_msg("%s", oc_context_message(cx));
        const oc_text *a = oc_texts_get(one, 0), *b = oc_texts_get(all, i);
        assert_int_equal(a->tokens, b->tokens);
        assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->tokens * sizeof(float));
        oc_texts_free(one);
    }
    print_message("%s: %zu read as the reference reads them, %zu refused, on %s\n", list,
                  n, refused, oc_context_isa(cx));
    oc_texts_free(all);
    for (size_t i = 0; i < n; i++) oc_image_free(images[i]);
    json_decref(lines);
}

static void check_isa(oc_isa isa)
{
    if (!open_model(isa)) return;
    check_lines(DATA "lines.json");
    check_lines(DATA "odd.json");
    close_model();
}

static void test_lines_generic(void **state) { (void)state; check_isa(OC_ISA_GENERIC); }
static void test_lines_avx2(void **state) { (void)state; check_isa(OC_ISA_AVX2); }
static void test_lines_avx512(void **state) { (void)state; check_isa(OC_ISA_AVX512); }

/* Rows 0, step, 2 step, … of dimension 1 of got [1, N, D] against want. */
static void compare_rows(oc_tensor_view want, oc_tensor_view got, int64_t step)
{
    const float *a = want.data, *b = got.data;
    int64_t rows = want.shape[want.rank - 2], D = want.shape[want.rank - 1];
    double most = 0, worst = 0;
    assert_int_equal(got.shape[got.rank - 1], D);
    for (int64_t i = 0; i < rows * D; i++) {
        double off = (double)a[i] - (double)b[i / D * step * D + i % D];
        worst = fmax(worst, fabs(off));
        most = fmax(most, fabs((double)a[i]));
    }
    if (!(worst <= 1e-4 * most)) fail_msg("%s: off by %g of %g", want.name, worst, most);
}

static int64_t step_of(const json_t *slices, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)slices, key, value)
        if (!strncmp(key, name, strlen(key)))
            return json_integer_value(json_object_get(value, "step"));
    return 1;
}

static void test_every_layer(void **state)
{
    (void)state;
    assert_true(open_model(OC_ISA_GENERIC));
    json_t *golden = json_load_file(DATA "forward.json", 0, NULL);
    oc_tensors *in = oc_tensors_open(cx, DATA "forward.in.safetensors");
    oc_tensors *want = oc_tensors_open(cx, DATA "forward.out.safetensors");
    oc_forward_options o = OC_OPTIONS(oc_forward_options, .output_hidden_states = true);
    oc_tensors *got = oc_forward(cx, model, in, &o);
    if (!got) fail_msg("%s", oc_context_message(cx));
    size_t compared = 0;
    for (size_t i = 0; i < oc_tensors_count(want); i++) {
        oc_tensor_view a = oc_tensors_get(want, i), b;
        if (a.dtype != OC_F32 || !oc_tensors_find(got, a.name, &b)) continue;
        compare_rows(a, b, step_of(json_object_get(golden, "slice"), a.name));
        compared++;
    }
    assert_true(compared >= 12);        /* 7 + 4 hidden states, the last one, logits */
    oc_image *image = open_image("line.png");
    oc_tensors *pixels = oc_preprocess(cx, model, &image, 1);
    oc_tensor_view a, b;
    assert_true(oc_tensors_find(in, "pixel_values", &a));
    assert_true(oc_tensors_find(pixels, "pixel_values", &b));
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.data, b.data, a.bytes);
    oc_tensors_free(pixels);
    oc_image_free(image);
    oc_tensors_free(in);
    oc_tensors_free(want);
    oc_tensors_free(got);
    json_decref(golden);
    close_model();
}

static bool gather(void *user, int64_t row, int64_t token, const char *text)
{
    (void)row;
    (void)token;
    strncat(user, text, 63);
    return true;
}

/* What a callback hears, put together, is the text, wherever it was cut: a space that
 * could still have belonged to what follows comes with the last token. */
static void test_pieces_are_the_text(void **state)
{
    (void)state;
    assert_true(open_model(oci_cpu_best_isa()));
    const oc_tokenizer *t = oc_model_tokenizer(cx, model);
    oc_image *image = open_image("line.png");
    oc_tensors *pixels = oc_preprocess(cx, model, &image, 1);
    int blanks = 0;
    for (int n = 1; n < 64; n++) {
        char config[64], heard[4096] = "";
        snprintf(config, sizeof config, "{\"max_new_tokens\":%d,\"num_beams\":%d}", n,
                 1 + n % 2);
        oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = config,
                                           .callback = gather, .callback_user = heard);
        oc_tensors *out = oc_generate(cx, model, pixels, &o);
        oc_tensor_view ids;
        assert_true(oc_tensors_find(out, "sequences", &ids));
        char *text = oc_decode(cx, t, ids.data, (size_t)ids.shape[1], true,
                               OC_CLEAN_UP_DEFAULT, NULL);
        assert_string_equal(heard, text);
        blanks += strlen(text) > 0 && text[strlen(text) - 1] == ' ';
        oc_string_free(text);
        oc_tensors_free(out);
    }
    assert_true(blanks > 0);            /* or nothing has waited */
    oc_tensors_free(pixels);
    oc_image_free(image);
    close_model();
}

/* After the first step the loop takes no memory: longer texts
 * allocate as often as short. */
static void test_no_allocation_in_the_loop(void **state)
{
    (void)state;
    assert_true(open_model(OC_ISA_GENERIC));
    oc_image *image = open_image("line.png");
    uint64_t counts[3];
    static const char *const configs[] = { "{\"max_new_tokens\":64}",
                                           "{\"max_new_tokens\":8}",
                                           "{\"max_new_tokens\":40}" };
    for (int i = 0; i < 3; i++) {
        oc_read_options o = OC_OPTIONS(oc_read_options, .config = configs[i]);
        uint64_t before = oc_context_memory(cx).total_count;
        oc_texts_free(oc_read(cx, model, &image, 1, &o));
        counts[i] = oc_context_memory(cx).total_count - before;
    }
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_int_equal(counts[1], counts[2]);
    oc_image_free(image);
    close_model();
}

/* How keys and values are kept is the caller's to say, here as in oc_generate. */
static void test_kept_in_fewer_bits(void **state)
{
    (void)state;
    double confidence[3];
    static const oc_dtype types[] = { OC_F32, OC_INT8, OC_F16 };
    assert_true(open_model(OC_ISA_GENERIC));
    oc_image *image = oc_image_open(cx, "examples/lines/fox.png", NULL);
    for (int i = 0; i < 3; i++) {
        oc_read_options o = OC_OPTIONS(oc_read_options, .kv_dtype = types[i]);
        oc_texts *texts = oc_read(cx, model, &image, 1, &o);
        if (i == 2) break;
        assert_int_equal(oc_context_status(cx), OC_OK);
        assert_string_equal(oc_texts_get(texts, 0)->text,
                            "The quick brown fox jumps over the lazy dog.");
        confidence[i] = oc_texts_get(texts, 0)->confidence;
        oc_texts_free(texts);
    }
    assert_true(confidence[0] != confidence[1]);
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_image_free(image);
    close_model();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_layer),
        cmocka_unit_test(test_pieces_are_the_text),
        cmocka_unit_test(test_no_allocation_in_the_loop),
        cmocka_unit_test(test_kept_in_fewer_bits),
        cmocka_unit_test(test_lines_generic),
        cmocka_unit_test(test_lines_avx2),
        cmocka_unit_test(test_lines_avx512),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
