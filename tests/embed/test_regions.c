/* Questions about regions with the bundled emoji-vqa: the reference's features, answers
 * and probabilities (tools/goldens/make_vqa.py), files of features, and every way in
 * which a regions.json or a file of features may lie. */
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

#include "base/context.h"
#include "support/check.h"

#define DATA "tests/data/embed/"
#define SCENE "examples/scenes/scene-01.png"
enum { V = 10, D = 132, BOX = 4, TOP = 5 };

static oc_context *cx;
static oc_model *vqa;
static char folder[] = "/tmp/ocelli-test-XXXXXX";

static void expect_error(const char *what, oc_status status, const char *part)
{
    check_error(cx, what, status, part);
}

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* A picture as make_vqa.py opens it; NULL where the larger set is not there. */
static oc_image *open_picture(const char *name)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    const char *shared = getenv("OCELLI_SHARED");
    char path[512];
    snprintf(path, sizeof path, strchr(name, '/') ? "%s" : "examples/scenes/%s", name);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%s/images/emoji/%s", shared ? shared : "../shared",
                 name);
    return access(path, R_OK) == 0 ? oc_image_open(cx, path, &turned) : NULL;
}

/* ---- against Transformers ---------------------------------------------------------- */

static void features_are_the_references(void **state)
{
    (void)state;
    static const struct { const char *name, *picture; } rows[] = {
        { "scene-01", "scene-01.png" }, { "fox", "examples/lines/fox.png" },
        { "receipt", "examples/lines/receipt.jpg" },
        { "code", "examples/lines/code.png" },
    };
    oc_tensors *golden = oc_tensors_open(cx, DATA "vqa.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        oc_tensor_view a, b, mask, types;
        oc_image *image = open_picture(rows[i].picture);
        oc_tensors *set = oc_embed_regions(cx, vqa, image, NULL);
        if (!set) fail_msg("%s", oc_context_message(cx));
        assert_true(oc_tensors_find(golden, rows[i].name, &a));
        assert_true(oc_tensors_find(set, "visual_embeds", &b));
        assert_true(b.rank == 3 && b.shape[0] == 1 && b.shape[1] == V && b.shape[2] == D);
        assert_int_equal(a.bytes, b.bytes);
        const float *x = a.data, *y = b.data;
        for (int k = 0; k < V * D; k++)
            if (!(fabsf(x[k] - y[k]) <= 1e-5f))
                fail_msg("%s: %d: expected %g, found %g", rows[i].name, k, (double)x[k],
                         (double)y[k]);
        assert_true(oc_tensors_find(set, "visual_attention_mask", &mask));
        assert_true(oc_tensors_find(set, "visual_token_type_ids", &types));
        for (int k = 0; k < V; k++) {
            assert_int_equal(((const int64_t *)mask.data)[k], 1);
            assert_int_equal(((const int64_t *)types.data)[k], 1);
        }
        oc_tensors_free(set);
        oc_image_free(image);
    }
    oc_tensors_free(golden);
}

/* One row of vqa.json; false when its picture is not there. */
static bool compare(const json_t *row)
{
    const oc_answer_options how = { .size = sizeof how, .top = TOP };
    const char *file = json_string_value(json_object_get(row, "file"));
    const char *question = json_string_value(json_object_get(row, "question"));
    const json_t *top = json_object_get(row, "top");
    oc_image *image = open_picture(file);
    if (!image) return false;
    oc_answers *answers = oc_answer_image(cx, vqa, question, image, &how);
    if (!answers) fail_msg("%s: %s", file, oc_context_message(cx));
    assert_int_equal(oc_answers_count(answers), TOP);
    assert_null(oc_answers_get(answers, TOP));
    for (size_t k = 0; k < TOP; k++) {
        const oc_answer *a = oc_answers_get(answers, k);
        const json_t *wanted = json_array_get(top, k);
        const char *text = json_string_value(json_array_get(wanted, 0));
        const double p = json_real_value(json_array_get(wanted, 1));
        if (!(fabs(a->probability - p) <= 1e-4))
            fail_msg("%s: %s: expected %g, found %g", file, question, p, a->probability);
        /* Those of a hundredth of a per cent may change places. */
        if (p > 1e-3 && strcmp(a->text, text))
            fail_msg("%s: %s: expected %s, found %s", file, question, text, a->text);
    }
    oc_answers_free(answers);
    oc_image_free(image);
    return true;
}

static void answers_are_the_references(void **state)
{
    (void)state;
    json_t *rows = json_load_file(DATA "vqa.json", 0, NULL);
    assert_int_equal(json_array_size(rows), 66);
    size_t compared = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        compared += compare(json_array_get(rows, i));
    assert_true(compared >= 3 * 5 + 6);
    if (compared < json_array_size(rows))
        printf("skipped %zu questions about pictures of the larger set\n",
               json_array_size(rows) - compared);
    json_decref(rows);
}

/* ---- the same by other ways -------------------------------------------------------- */

static double ask_features(const oc_tensors *regions)
{
    oc_answers *answers = oc_answer_regions(cx, vqa, "Where is the pig?", regions, NULL);
    if (!answers) fail_msg("%s", oc_context_message(cx));
    assert_int_equal(oc_answers_count(answers), 1);
    const oc_answer *a = oc_answers_get(answers, 0);
    assert_string_equal(a->text, "top left");
    assert_int_equal(a->label, 151);
    const double p = a->probability;
    oc_answers_free(answers);
    return p;
}

static oc_tensors *features_of_scene(void)
{
    oc_image *image = open_picture("scene-01.png");
    oc_tensors *set = oc_embed_regions(cx, vqa, image, NULL);
    oc_image_free(image);
    if (!set) fail_msg("%s", oc_context_message(cx));
    return set;
}

static void features_go_through_files(void **state)
{
    (void)state;
    char path[512];
    oc_tensors *set = features_of_scene();
    const double p = ask_features(set);
    snprintf(path, sizeof path, "%s", in_folder("a.safetensors"));
    assert_int_equal(oc_tensors_save(cx, set, path), OC_OK);
    oc_tensors *again = oc_regions_open(cx, path, NULL);
    assert_true(ask_features(again) == p);
    oc_tensors_free(again);
    unlink(path);

    snprintf(path, sizeof path, "%s", in_folder("a.npy"));
    assert_int_equal(oc_npy_save(cx, set, "visual_embeds", path), OC_OK);
    again = oc_regions_open(cx, path, "0");
    assert_true(ask_features(again) == p);
    oc_tensors_free(again);
    assert_null(oc_regions_open(cx, path, "1"));
    expect_error("picture 1", OC_E_ARGUMENT,
                 "the number of a picture from 0 to 0, found 1");
    unlink(path);
    oc_tensors_free(set);
}

/* The row of a batch, and its mask, in another type and under another name. */
static void pictures_are_chosen(void **state)
{
    (void)state;
    const double x[2][2][1] = { { { 1 }, { 2 } }, { { 3 }, { 4 } } };
    const int64_t shape[] = { 2, 2, 1 }, mask[2][2] = { { 1, 0 }, { 0, 1 } };
    const char *path = in_folder("b.safetensors");
    oc_tensors *set = oc_tensors_create(cx);
    oc_tensor_view v;
    oc_tensors_add(cx, set, "features", OC_F64, 3, shape, x);
    oc_tensors_add(cx, set, "visual_attention_mask", OC_I64, 2, shape, mask);
    oc_tensors_add(cx, set, "names", OC_U8, 1, shape, "ab");
    assert_int_equal(oc_tensors_save(cx, set, path), OC_OK);
    oc_tensors_free(set);
    set = oc_regions_open(cx, path, "1");
    assert_true(oc_tensors_find(set, "visual_embeds", &v));
    assert_true(v.dtype == OC_F32 && v.rank == 3 && v.shape[0] == 1 && v.shape[1] == 2);
    assert_true(((const float *)v.data)[0] == 3 && ((const float *)v.data)[1] == 4);
    assert_true(oc_tensors_find(set, "visual_attention_mask", &v));
    assert_true(((const int64_t *)v.data)[0] == 0 && ((const int64_t *)v.data)[1] == 1);
    assert_int_equal(oc_tensors_count(set), 2);
    oc_tensors_free(set);
    set = oc_regions_open(cx, path, NULL);
    assert_true(oc_tensors_find(set, "visual_embeds", &v));
    assert_int_equal(v.shape[0], 2);
    assert_null(oc_answer_regions(cx, vqa, "?", set, NULL));
    oc_tensors_free(set);
    expect_error("two pictures", OC_E_MALFORMED,
                 "the regions of one picture, found those of 2");
    static const char *const bad[] = { "2", "-1", "x", "1x", "", "99999999999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(oc_regions_open(cx, path, bad[i]));
        expect_error(bad[i], OC_E_ARGUMENT, "the number of a picture from 0 to 1");
    }
    unlink(path);
}

/* By hand: the whole picture is what oc_embed_images makes of it. */
static void a_dual_encoder_takes_any_boxes(void **state)
{
    (void)state;
    static const double boxes[] = { 0, 0, 1, 1, 0.25, 0.5, 0.75, 1 };
    oc_model *match = oc_model_open(cx, "emoji-match", NULL);
    oc_image *image = open_picture("scene-01.png");
    oc_tensor_view a, b;
    oc_region_options o = { .size = sizeof o, .boxes = boxes, .count = 2 };
    const oc_embed_options plain = { .size = sizeof plain };
    oc_tensors *whole = oc_embed_images(cx, match, &image, 1, &plain);
    oc_tensors *set = oc_embed_regions(cx, match, image, &o);
    if (!set || !whole) fail_msg("%s", oc_context_message(cx));
    assert_true(oc_tensors_find(whole, "image_embeds", &a));
    assert_true(oc_tensors_find(set, "visual_embeds", &b));
    assert_true(b.shape[1] == 2 && b.shape[2] == D - BOX);
    assert_memory_equal(a.data, b.data, a.bytes);
    oc_tensors_free(set);
    o.append_box = o.normalize = true;
    set = oc_embed_regions(cx, match, image, &o);
    assert_true(oc_tensors_find(set, "visual_embeds", &b));
    assert_int_equal(b.shape[2], D);
    const float *row = (const float *)b.data + D;
    double norm = 0;
    for (int k = 0; k < D - BOX; k++) norm += (double)row[k] * row[k];
    assert_true(fabs(norm - 1) < 1e-5);
    for (int k = 0; k < BOX; k++) assert_true(row[D - BOX + k] == (float)boxes[BOX + k]);
    oc_tensors_free(set);
    /* A file without feature_model is the form of a file alone. */
    o = (oc_region_options){ .size = sizeof o, .file = "models/emoji-vqa/regions.json" };
    set = oc_embed_regions(cx, match, image, &o);
    oc_tensors *own = features_of_scene();
    assert_true(oc_tensors_find(set, "visual_embeds", &a));
    assert_true(oc_tensors_find(own, "visual_embeds", &b));
    assert_memory_equal(a.data, b.data, a.bytes);
    oc_tensors_free(own);
    oc_tensors_free(set);
    oc_tensors_free(whole);

    static const double bad[][BOX] = {
        { 0, 0, 0, 1 }, { 0, 0, 1.01, 1 }, { -0.1, 0, 1, 1 }, { 0, 0.5, 1, 0.25 },
        { NAN, 0, 1, 1 }
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o = (oc_region_options){ .size = sizeof o, .boxes = bad[i], .count = 1 };
        assert_null(oc_embed_regions(cx, match, image, &o));
        expect_error("box", OC_E_ARGUMENT, "region 0: expected [x0, y0, x1, y1]");
    }
    o.count = 0;
    assert_null(oc_embed_regions(cx, match, image, &o));
    expect_error("none", OC_E_ARGUMENT, "expected 1 to 4096 boxes");
    assert_null(oc_embed_regions(cx, match, image, NULL));
    expect_error("no file", OC_E_UNSUPPORTED, "expected a regions.json");
    assert_null(oc_embed_regions(cx, match, NULL, &o));
    expect_error("no picture", OC_E_ARGUMENT, "expected a picture");
    static const double thin[] = { 0, 0, 0.0001, 1 };
    o = (oc_region_options){ .size = sizeof o, .boxes = thin, .count = 1 };
    assert_null(oc_embed_regions(cx, match, image, &o));
    expect_error("thin", OC_E_IMAGE, "holds no pixel of a picture of 384 x 384");
    oc_image_free(image);
    oc_model_close(match);
}

/* ---- what is refused --------------------------------------------------------------- */

static oc_tensors *features(oc_dtype dtype, int64_t regions, int64_t width, float value)
{
    oc_tensors *set = oc_tensors_create(cx);
    oc_tensor_view v;
    oc_tensors_add(cx, set, "visual_embeds", dtype, 3,
                   (const int64_t[]){ 1, regions, width }, NULL);
    if (dtype == OC_F32 && oc_tensors_find(set, "visual_embeds", &v) && v.bytes)
        ((float *)(uintptr_t)v.data)[v.bytes / sizeof value - 1] = value;
    return set;
}

static void expect_refused(oc_tensors *set, oc_status status, const char *part)
{
    assert_null(oc_answer_regions(cx, vqa, "Where?", set, NULL));
    oc_tensors_free(set);
    expect_error(part, status, part);
}

static void bad_features_are_refused(void **state)
{
    (void)state;
    expect_refused(oc_tensors_create(cx), OC_E_MALFORMED,
                   "visual_embeds: expected, found none");
    expect_refused(features(OC_F32, 3, D - 1, 0), OC_E_MALFORMED,
                   "expected 132 numbers a region, the visual_embedding_dim of");
    expect_refused(features(OC_F32, 0, D, 0), OC_E_MALFORMED,
                   "at least one region, found none");
    expect_refused(features(OC_I64, 3, D, 0), OC_E_MALFORMED, "found I64 of rank 3");
    expect_refused(features(OC_F32, 3, D, NAN), OC_E_MALFORMED,
                   "expected finite numbers, found nan in region 2 at 131");
    expect_refused(features(OC_F32, 3, D, -INFINITY), OC_E_MALFORMED,
                   "found -inf in region 2");
    static const char *const names[] = { "visual_attention_mask",
                                         "visual_token_type_ids" };
    for (int i = 0; i < 2; i++) {
        oc_tensors *set = features(OC_F32, 3, D, 0);
        oc_tensors_add(cx, set, names[i], OC_I64, 2, (const int64_t[]){ 1, 4 }, NULL);
        expect_refused(set, OC_E_MALFORMED,
                       "expected [1, 3], one for each region of visual_embeds");
    }
    oc_tensors *set = features(OC_F32, 3, D, 0);
    oc_tensors_add(cx, set, names[1], OC_I64, 1, (const int64_t[]){ 3 },
                   (const int64_t[]){ 0, 1, 2 });
    expect_refused(set, OC_E_MALFORMED, "visual_token_type_ids");
    set = features(OC_F32, 3, D, 0);
    char longest[400] = "";
    for (size_t i = 0; i < sizeof longest - 1; i++) longest[i] = i % 2 ? ' ' : 'x';
    assert_null(oc_answer_regions(cx, vqa, longest, set, NULL));
    oc_tensors_free(set);
    expect_error("a long question", OC_E_MALFORMED,
                 "question: expected at most 48 tokens");
    assert_null(oc_answer_regions(cx, vqa, NULL, NULL, NULL));
    expect_error("no regions", OC_E_ARGUMENT, "expected regions, found NULL");
    assert_int_equal(oc_answers_count(NULL), 0);
    assert_null(oc_answers_get(NULL, 0));
    oc_answers_free(NULL);
    oc_model *other = oc_model_open(cx, "emoji-caption", NULL);
    set = features(OC_F32, 3, D, 0);
    assert_null(oc_answer_regions(cx, other, "Where?", set, NULL));
    expect_error("captioner", OC_E_UNSUPPORTED,
                 "expected VisualBertForQuestionAnswering");
    oc_tensors_free(set);
    oc_model_close(other);
}

/* ---- regions.json ---- */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* The bundled model with another regions.json: it opens, and says
 * what is wrong when asked. */
static void lying_files_are_refused(void **state)
{
    (void)state;
    static const char *const links[] = { "config.json", "model.safetensors",
                                         "tokenizer.json", "tokenizer_config.json" };
#define BOXES "\"regions\": [[0, 0, 1, 1]]"
#define MODEL "\"feature_model\": \"emoji-match\""
    static const struct {
        const char *text; oc_status status; const char *part;
    } rows[] = {
        { "", OC_E_MALFORMED, "regions.json: " },
        { "[]", OC_E_MALFORMED, "expected an object" },
        { "{" MODEL "}", OC_E_MALFORMED, "regions: expected a list of boxes" },
        { "{" MODEL ", \"regions\": []}", OC_E_MALFORMED, "regions: expected a list of "
                                                          "boxes" },
        { "{" MODEL ", \"regions\": {}}", OC_E_MALFORMED, "regions: expected" },
        { "{" MODEL ", \"regions\": [1]}", OC_E_MALFORMED, "regions[0]: " },
        { "{" MODEL ", \"regions\": [[0, 0, 1]]}", OC_E_MALFORMED, "regions[0]: " },
        { "{" MODEL ", \"regions\": [[0, 0, 1, \"1\"]]}", OC_E_MALFORMED,
          "regions[0]: " },
        { "{" MODEL ", \"regions\": [[0, 0, 1, 1.5]]}", OC_E_MALFORMED, "regions[0]: " },
        { "{" MODEL ", \"regions\": [[0, 0, 384, 384]]}", OC_E_MALFORMED,
          "regions[0]: " },
        { "{" MODEL ", \"regions\": [[0, 0, 1, 1], [0.5, 0, 0.5, 1]]}", OC_E_MALFORMED,
          "regions[1]: expected [" },
        { "{" MODEL ", \"regions\": [[0, 0, 1, 1e999]]}", OC_E_MALFORMED,
          "regions.json" },
        { "{" BOXES "}", OC_E_MALFORMED, "feature_model: expected NAME or ../NAME" },
        { "{" BOXES ", \"feature_model\": \"/etc\"}", OC_E_MALFORMED, "expected NAME" },
        { "{" BOXES ", \"feature_model\": \"../../x\"}", OC_E_MALFORMED,
          "expected NAME" },
        { "{" BOXES ", \"feature_model\": \"..\"}", OC_E_MALFORMED, "expected NAME" },
        { "{" BOXES ", \"feature_model\": \"../\"}", OC_E_MALFORMED, "expected NAME" },
        { "{" BOXES ", \"feature_model\": \"a/../b\"}", OC_E_MALFORMED, "expected NAME" },
        { "{" BOXES ", \"feature_model\": 7}", OC_E_MALFORMED, "feature_model" },
        { "{" BOXES ", \"feature_model\": \"no-such-model\"}", OC_E_FILE,
          "no-such-model" },
        { "{" BOXES ", \"feature_model\": \"printed-line-ocr\"}", OC_E_UNSUPPORTED,
          "expected a model that embeds pictures" },
        { "{" BOXES ", \"feature_model\": \"emoji-vqa\"}", OC_E_UNSUPPORTED,
          "expected a model that embeds pictures" },
        { "{" BOXES ", " MODEL ", \"version\": 2}", OC_E_UNSUPPORTED,
          "version: expected 1, found 2" },
        { "{" BOXES ", " MODEL ", \"feature\": \"pooler_output\"}", OC_E_UNSUPPORTED,
          "feature: expected image_embeds, found pooler_output" },
        { "{" BOXES ", " MODEL ", \"padding\": 0.1}", OC_E_MALFORMED,
          "padding: no field of version 1" },
        { "{" BOXES ", " MODEL ", \"normalize\": 1}", OC_E_MALFORMED, "normalize" },
        { "{" BOXES ", " MODEL ", \"visual_token_type\": -1}", OC_E_MALFORMED,
          "visual_token_type" },
        { "{" BOXES ", " MODEL ", \"append_box\": true, \"visual_token_type\": 9}",
          OC_E_MALFORMED, "visual_token_type_ids" },
        { "{" BOXES ", " MODEL "}", OC_E_MALFORMED, "expected 132 numbers a region" },
    };
    char model[512], path[600], target[600], here[300];
    snprintf(model, sizeof model, "%s", in_folder("model"));
    assert_int_equal(mkdir(model, 0700), 0);
    assert_non_null(getcwd(here, sizeof here));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "%s/%s", model, links[i]);
        snprintf(target, sizeof target, "%s/models/emoji-vqa/%s", here, links[i]);
        assert_int_equal(symlink(target, path), 0);
    }
    oc_image *image = open_picture("scene-01.png");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(path, sizeof path, "%s/regions.json", model);
        write_text(path, rows[i].text);
        oc_model *lying = oc_model_open(cx, model, NULL);
        if (!lying) fail_msg("%s: %s", rows[i].text, oc_context_message(cx));
        assert_null(oc_answer_image(cx, lying, "Where?", image, NULL));
        oc_model_close(lying);
        expect_error(rows[i].text, rows[i].status, rows[i].part);
    }
    unlink(path);
    oc_image_free(image);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "%s/%s", model, links[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(model), 0);
    cx->limits.regions = 9;
    oc_model *limited = oc_model_open(cx, "emoji-vqa", NULL);
    assert_null(oc_embed_regions(cx, limited, NULL, NULL));
    oc_context_clear(cx);
    image = open_picture("scene-01.png");
    assert_null(oc_embed_regions(cx, limited, image, NULL));
    expect_error("limit", OC_E_LIMIT, "regions: expected at most 9, found 10");
    cx->limits = oci_default_limits;
    oc_image_free(image);
    oc_model_close(limited);
}

/* Saved, the model finds the bundled one of the name. */
static void saved_models_answer(void **state)
{
    (void)state;
    static const char *const files[] = {
        "config.json", "model.safetensors", "regions.json", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.txt"
    };
    char saved[512], path[600];
    snprintf(saved, sizeof saved, "%s", in_folder("saved"));
    assert_int_equal(oc_model_save(cx, vqa, saved, NULL), OC_OK);
    oc_model *again = oc_model_open(cx, saved, NULL);
    oc_image *image = open_picture("scene-01.png");
    oc_answers *a = oc_answer_image(cx, vqa, "Where is the pig?", image, NULL);
    oc_answers *b = oc_answer_image(cx, again, "Where is the pig?", image, NULL);
    if (!a || !b) fail_msg("%s", oc_context_message(cx));
    assert_true(oc_answers_get(a, 0)->probability == oc_answers_get(b, 0)->probability);
    oc_answers_free(a);
    oc_answers_free(b);
    oc_image_free(image);
    oc_model_close(again);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", saved, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(saved), 0);
}

static int setup(void **state)
{
    (void)state;
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
    vqa = oc_model_open(cx, "emoji-vqa", NULL);
    return vqa && mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    oc_model_close(vqa);
    /* what a context itself keeps */
    const bool clean = oc_context_memory(cx).live_count <= 8;
    oc_context_free(cx);
    return rmdir(folder) || !clean;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_are_the_references),
        cmocka_unit_test(answers_are_the_references),
        cmocka_unit_test(features_go_through_files),
        cmocka_unit_test(pictures_are_chosen),
        cmocka_unit_test(a_dual_encoder_takes_any_boxes),
        cmocka_unit_test(bad_features_are_refused),
        cmocka_unit_test(lying_files_are_refused),
        cmocka_unit_test(saved_models_answer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
