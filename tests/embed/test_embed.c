/* oc_embed_images, oc_embed_texts and oc_classify with the bundled emoji-match: the
 * reference's numbers (tools/goldens/make_classify.py), the same bits in any
 * company, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cpu.h"
#include "faults/faults.h"
#include "ocelli.h"

#define GOLDENS "tests/data/embed/classify.json"
enum { PICTURES = 12, TEXTS = 300, LONGEST = 40, WIDTH = 128 };

static oc_context *context_of(oc_isa isa, int threads)
{
    oc_context *cx = oc_context_create(
        &OC_OPTIONS(oc_context_options, .isa = isa, .threads = threads));
    assert_non_null(cx);
    return cx;
}

static void free_context(oc_context *cx)
{
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_true(oc_context_memory(cx).live_count <= 8);  /* what a context itself keeps */
    oc_context_free(cx);
}

static oc_model *open_model(oc_context *cx, const char *name)
{
    oc_model *model = oc_model_open(cx, name, NULL);
    if (!model) fail_msg("%s", oc_context_message(cx));
    return model;
}

/* A scene of the clone, or of the larger set; NULL where that is not there. */
static oc_image *open_scene(oc_context *cx, const char *name)
{
    char path[512];
    const char *shared = getenv("OCELLI_SHARED");
    snprintf(path, sizeof path, "examples/scenes/%s", name);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%s/images/emoji/%s", shared ? shared : "../shared",
                 name);
    return access(path, R_OK) == 0 ? oc_image_open(cx, path, NULL) : NULL;
}

static oc_tensor_view view_of(oc_context *cx, const oc_tensors *set, const char *name,
                              size_t rows, size_t width)
{
    oc_tensor_view v;
    if (!set) fail_msg("%s", oc_context_message(cx));
    assert_true(oc_tensors_find(set, name, &v));
    assert_int_equal(v.rank, 2);
    assert_int_equal(v.shape[0], rows);
    assert_int_equal(v.shape[1], width);
    return v;
}

static void expect_rows(const char *what, const json_t *want, const float *found,
                        double most)
{
    for (size_t i = 0; i < json_array_size(want); i++) {
        double w = json_number_value(json_array_get(want, i));
        if (!(fabs(w - (double)found[i]) <= most))
            fail_msg("%s: number %zu: expected %.7g, found %.7g", what, i, w,
                     (double)found[i]);
    }
}

/* ---- against Transformers ---- */

static const char **strings_of(const json_t *list)
{
    const char **texts = calloc(json_array_size(list), sizeof *texts);
    assert_non_null(texts);
    for (size_t i = 0; i < json_array_size(list); i++)
        texts[i] = json_string_value(json_array_get(list, i));
    return texts;
}

static void test_classes(void **state)
{
    (void)state;
    json_t *root = json_load_file(GOLDENS, 0, NULL);
    const json_t *names = json_object_get(root, "pictures");
    size_t count = json_array_size(json_object_get(root, "labels")), skipped = 0;
    const char **labels = strings_of(json_object_get(root, "labels"));
    oc_context *cx = context_of(OC_ISA_AUTO, 2);
    oc_model *model = open_model(cx, "models/emoji-match");
    oc_classify_options o = OC_OPTIONS(oc_classify_options,
        .pattern = json_string_value(json_object_get(root, "pattern")));
    oc_tensors *alone = oc_classify(cx, model, NULL, 0, labels, count, &o);
    /* the labels' vectors, and no scores */
    assert_int_equal(oc_tensors_count(alone), 1);
    assert_int_equal(json_array_size(names), PICTURES);
    for (size_t i = 0; i < PICTURES; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        oc_image *image = open_scene(cx, name);
        if (!image) {
            skipped++;
            continue;
        }
        o.earlier = i % 2 ? alone : NULL;
        oc_tensors *out = oc_classify(cx, model, &image, 1, labels, count, &o);
        oc_tensor_view logits = view_of(cx, out, "logits_per_image", 1, count);
        oc_tensor_view p = view_of(cx, out, "probabilities", 1, count);
        expect_rows(name, json_array_get(json_object_get(root, "logits"), i), logits.data,
                    1e-4);
        expect_rows(name, json_array_get(json_object_get(root, "probabilities"), i),
                    p.data, 1e-5);
        oc_tensors_free(out);
        oc_image_free(image);
    }
    if (skipped) print_message("%zu pictures are in ../shared alone: skipped\n", skipped);
    assert_true(skipped <= PICTURES - 3);
    oc_tensors_free(alone);
    oc_model_close(model);
    free_context(cx);
    free(labels);
    json_decref(root);
}

static void test_texts(void **state)
{
    (void)state;
    json_t *root = json_load_file(GOLDENS, 0, NULL);
    const json_t *want = json_object_get(root, "text_features");
    size_t count = json_array_size(json_object_get(root, "texts"));
    const char **texts = strings_of(json_object_get(root, "texts"));
    oc_context *cx = context_of(OC_ISA_AUTO, 2);
    oc_model *model = open_model(cx, "models/emoji-match");
    oc_tensors *out = oc_embed_texts(cx, model, texts, count, NULL);
    oc_tensor_view v = view_of(cx, out, "text_embeds", count, WIDTH);
    for (size_t i = 0; i < count; i++)
        expect_rows(texts[i], json_array_get(want, i), (const float *)v.data + i * WIDTH,
                    2e-6);
    oc_tensors_free(out);
    oc_model_close(model);
    free_context(cx);
    free(texts);
    json_decref(root);
}

/* ---- in any company ---- */

/* More texts than are tokenized together, and more tokens than run together. */
static char **make_texts(void)
{
    static const char *const words[] = {
        "cat", "two", "blue", "key", "a", "picture", "of"
    };
    char **texts = calloc(TEXTS, sizeof *texts);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t count = i * i % LONGEST;
        texts[i] = calloc(LONGEST, 8);
        for (size_t k = 0; k < count; k++) {
            strcat(texts[i], words[(i * 3 + k * k) % 7]);
            strcat(texts[i], " ");
        }
    }
    return texts;
}

static void check_company(oc_isa isa)
{
    char **texts = make_texts();
    const char *const *all = (const char *const *)texts;
    oc_context *cx = context_of(isa, 2), *other = context_of(isa, 3);
    oc_model *model = open_model(cx, "models/emoji-match");
    oc_embed_options o = OC_OPTIONS(oc_embed_options, .normalize = true);
    oc_tensors *together = oc_embed_texts(cx, model, all, TEXTS, &o);
    oc_tensor_view v = view_of(cx, together, "text_embeds", TEXTS, WIDTH);
    for (size_t i = 0; i < TEXTS; i += 1 + i % 7) {
        oc_tensors *alone = oc_embed_texts(other, model, all + i, 1, &o);
        oc_tensor_view one = view_of(other, alone, "text_embeds", 1, WIDTH);
        double length = 0;
        for (size_t k = 0; k < WIDTH; k++)
            length += pow((double)((const float *)one.data)[k], 2);
        assert_true(fabs(length - 1) < 1e-6);
        if (memcmp(one.data, (const float *)v.data + i * WIDTH, one.bytes))
            fail_msg("text %zu has other bits in company (%s)", i, oci_isa_name(isa));
        oc_tensors_free(alone);
    }
    oc_tensors_free(together);
    oc_model_close(model);
    free_context(other);
    free_context(cx);
    for (size_t i = 0; i < TEXTS; i++) free(texts[i]);
    free(texts);
}

static void test_company(void **state)
{
    (void)state;
    static const oc_isa isas[] = { OC_ISA_GENERIC, OC_ISA_AVX2, OC_ISA_AVX512 };
    for (size_t i = 0; i < 3; i++)
        if (oci_cpu_has_isa(isas[i])) check_company(isas[i]);
}

/* The pixels of a picture that is made up. */
static oc_image *make_image(oc_context *cx, int64_t side, int seed)
{
    uint8_t *rgb = calloc((size_t)(side * side), 3);
    for (int64_t i = 0; i < side * side * 3; i++) rgb[i] = (uint8_t)(i * seed + i / 7);
    oc_image *image = oc_image_create(cx, side, side, rgb);
    free(rgb);
    return image;
}

static void test_pictures(void **state)
{
    (void)state;
    enum { COUNT = 11 };
    oc_image *images[COUNT];
    oc_context *cx = context_of(OC_ISA_AUTO, 2);
    oc_model *model = open_model(cx, "models/emoji-match");
    for (int i = 0; i < COUNT; i++) images[i] = make_image(cx, 40 + 9 * i, i + 3);
    oc_tensors *together = oc_embed_images(cx, model, images, COUNT, NULL);
    oc_tensor_view v = view_of(cx, together, "image_embeds", COUNT, WIDTH), f;
    for (size_t i = 0; i < COUNT; i++) {
        oc_tensors *pixels = oc_preprocess(cx, model, images + i, 1);
        oc_tensors *alone = oc_embed_images(cx, model, images + i, 1, NULL);
        oc_tensors *raw = oc_forward(cx, model, pixels, &OC_OPTIONS(oc_forward_options,
            .class_name = "VisionTextDualEncoderModel.get_image_features"));
        const float *want = (const float *)v.data + i * WIDTH;
        f = view_of(cx, alone, "image_embeds", 1, WIDTH);
        assert_memory_equal(f.data, want, f.bytes);
        f = view_of(cx, raw, "image_features", 1, WIDTH);
        assert_memory_equal(f.data, want, f.bytes);
        oc_tensors_free(pixels);
        oc_tensors_free(alone);
        oc_tensors_free(raw);
        oc_image_free(images[i]);
    }
    oc_tensors_free(together);
    oc_model_close(model);
    free_context(cx);
}

/* ---- what is refused ---- */

static void expect(oc_context *cx, const oc_tensors *got, oc_status status,
                   const char *words)
{
    assert_null(got);
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), words))
        fail_msg("expected %s with '%s', found %s: %s", oc_status_name(status), words,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static void test_refused(void **state)
{
    (void)state;
    char long_text[400] = "";
    while (strlen(long_text) < 390) strcat(long_text, "cat ");
    const char *texts[] = { "cat", long_text }, *none[] = { "cat", NULL };
    oc_context *cx = context_of(OC_ISA_AUTO, 1);
    oc_model *model = open_model(cx, "models/emoji-match");
    oc_model *reader = open_model(cx, "models/printed-line-ocr");
    oc_image *image = make_image(cx, 50, 5), *holes[] = { image, NULL };
    expect(cx, oc_embed_texts(cx, model, texts, 0, NULL), OC_E_ARGUMENT, "texts");
    expect(cx, oc_embed_texts(cx, model, none, 2, NULL), OC_E_ARGUMENT, "text 1");
    expect(cx, oc_embed_texts(cx, model, texts, 2, NULL), OC_E_MALFORMED,
           "text 1: expected at most 48 tokens");
    expect(cx, oc_embed_texts(cx, model, (const char *[]){ "\xff" }, 1, NULL),
           OC_E_MALFORMED, "UTF-8");
    expect(cx, oc_embed_images(cx, model, holes, 2, NULL), OC_E_ARGUMENT, "image 1");
    expect(cx, oc_embed_images(cx, model, NULL, 1, NULL), OC_E_ARGUMENT, "images");
    expect(cx, oc_embed_images(cx, reader, &image, 1, NULL), OC_E_UNSUPPORTED,
           "vision-encoder-decoder");
    expect(cx, oc_embed_texts(cx, reader, texts, 1, NULL), OC_E_UNSUPPORTED, "texts");
    expect(cx, oc_classify(cx, reader, &image, 1, texts, 1, NULL), OC_E_UNSUPPORTED,
           "vision-text-dual-encoder");
    expect(cx, oc_classify(cx, model, &image, 1, texts, 0, NULL), OC_E_ARGUMENT,
           "labels");
    expect(cx, oc_classify(cx, model, &image, 1, none, 2, NULL), OC_E_ARGUMENT,
           "label 1");
    oc_classify_options o = OC_OPTIONS(oc_classify_options, .pattern = "a picture");
    expect(cx, oc_classify(cx, model, &image, 1, texts, 1, &o), OC_E_ARGUMENT, "{}");
    oc_tensors *earlier = oc_classify(cx, model, &image, 1, texts, 1, NULL);
    o = OC_OPTIONS(oc_classify_options, .earlier = earlier);
    expect(cx, oc_classify(cx, model, &image, 1, texts, 2, &o), OC_E_ARGUMENT, "earlier");
    oc_tensors_free(earlier);
    oc_image_free(image);
    oc_model_close(reader);
    oc_model_close(model);
    free_context(cx);
}

/* A text that is too long, cut on request, is what its beginning is. */
static void test_truncate(void **state)
{
    (void)state;
    char all[400] = "", begin[400] = "";
    for (int i = 0; i < 80; i++) strcat(all, "cat ");
    for (int i = 0; i < 46; i++) strcat(begin, "cat ");    /* with [CLS] and [SEP] 48 */
    oc_context *cx = context_of(OC_ISA_AUTO, 1);
    oc_model *model = open_model(cx, "models/emoji-match");
    oc_tensors *cut = oc_embed_texts(cx, model, (const char *[]){ all }, 1,
                                     &OC_OPTIONS(oc_embed_options, .truncate = true));
    oc_tensors *whole = oc_embed_texts(cx, model, (const char *[]){ begin }, 1, NULL);
    oc_tensor_view a = view_of(cx, cut, "text_embeds", 1, WIDTH);
    oc_tensor_view b = view_of(cx, whole, "text_embeds", 1, WIDTH);
    assert_memory_equal(a.data, b.data, a.bytes);
    oc_tensors_free(cut);
    oc_tensors_free(whole);
    oc_model_close(model);
    free_context(cx);
}

/* ---- faults ---- */

static void job(oc_context *cx, void *user)
{
    (void)user;
    const char *labels[] = { "cat", "a key on a blue background" };
    oc_classify_options o = OC_OPTIONS(oc_classify_options, .pattern = "a picture of a "
                                                                       "{}");
    oc_model *model = oc_model_open(cx, "models/emoji-match", NULL);
    oc_image *image = oc_image_open(cx, "examples/scenes/scene-01.png", NULL);
    oc_tensors *first = oc_classify(cx, model, &image, 1, labels, 2, &o);
    o.earlier = first;
    oc_tensors_free(oc_classify(cx, model, &image, 1, labels, 2, &o));
    oc_tensors_free(oc_embed_texts(cx, model, labels, 2, NULL));
    oc_tensors_free(first);
    oc_image_free(image);
    oc_model_close(model);
}

static void faults_leave_nothing(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job, .step = 151, .dense = 3 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_texts),
        cmocka_unit_test(test_company),  cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_truncate),
        cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests_name("embed", tests, NULL, NULL);
}
