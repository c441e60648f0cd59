/* oc_parse against Transformers 4.37.2: models of random weights in the shapes of Donut
 * and Nougat, prompts, questions, and what is made of what they write. And the bundled
 * captioner against the reference's sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "io/json.h"

#define DATA "tests/data/documents/"

static oc_context *two_threads(void)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 2);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    return cx;
}

static void free_context(oc_context *cx)
{
    assert_true(oc_context_memory(cx).live_count <= 8);  /* what a context itself keeps */
    oc_context_free(cx);
}

static oc_model *open_model(oc_context *cx, const char *path)
{
    oc_model *model = oc_model_open(cx, path, NULL);
    if (!model) fail_msg("%s", oc_context_message(cx));
    return model;
}

static oc_image *open_image(oc_context *cx, const char *path)
{
    const oc_image_options turned = { .size = sizeof turned, .exif_orientation = true };
    oc_image *image = oc_image_open(cx, path, &turned);
    if (!image) fail_msg("%s", oc_context_message(cx));
    return image;
}

/* The ids of the line's sequence end with those that were generated; pads may follow. */
static void check_ids(const json_t *want, const oc_text *found, const char *line)
{
    size_t n = json_array_size(want), given = n;
    while (given > 0 && json_integer_value(json_array_get(want, given - 1)) == 1) given--;
    assert_true((size_t)found->tokens <= given);
    for (size_t i = 0; i < (size_t)found->tokens; i++)
        if (json_integer_value(json_array_get(want, given - (size_t)found->tokens + i)) !=
            found->ids[i])
            fail_msg("%s: id %zu is %lld", line, i, (long long)found->ids[i]);
}

/* [folder, picture, task, question, answer, ids] */
static void check_line(oc_context *cx, const oc_model *model, const json_t *row,
                       const char *line)
{
    oc_parse_options o = OC_OPTIONS(oc_parse_options,
        .task = json_string_value(json_array_get(row, 2)),
        .question = json_string_value(json_array_get(row, 3)));
    oc_image *image = open_image(cx, json_string_value(json_array_get(row, 1)));
    oc_texts *texts = oc_parse(cx, model, &image, 1, &o);
    if (!texts) fail_msg("%s: %s", line, oc_context_message(cx));
    assert_int_equal(oc_texts_count(texts), 1);
    const oc_text *text = oc_texts_get(texts, 0);
    const json_t *answer = json_array_get(row, 4);
    check_ids(json_array_get(row, 5), text, line);
    assert_int_equal(text->is_json, !json_is_string(answer));
    char *want = text->is_json ? oci_json_text_of(cx, answer)
                               : oci_strdup(cx, json_string_value(answer));
    if (strcmp(want, text->text) != 0)
        fail_msg("%s: expected %s, found %s", line, want, text->text);
    oci_free(want);
    oc_texts_free(texts);
    oc_image_free(image);
}

static void test_answers_equal_transformers(void **state)
{
    static char line[1 << 16];
    (void)state;
    oc_context *cx = two_threads();
    FILE *file = fopen(DATA "parse.jsonl", "r");
    assert_non_null(file);
    oc_model *model = NULL;
    char opened[64] = "", path[128];
    int count = 0;
    for (; fgets(line, sizeof line, file); count++) {
        oci_json doc;
        assert_true(oci_json_parse(cx, &doc, "parse.jsonl", line, strlen(line)));
        const char *folder = json_string_value(json_array_get(doc.root, 0));
        if (strcmp(opened, folder) != 0) {
            oc_model_close(model);
            snprintf(opened, sizeof opened, "%s", folder);
            snprintf(path, sizeof path, DATA "%s", folder);
            model = open_model(cx, path);
        }
        check_line(cx, model, doc.root, line);
        oci_json_close(&doc);
    }
    fclose(file);
    assert_int_equal(count, 20);
    oc_model_close(model);
    free_context(cx);
}

/* Several pages at once answer as each alone; drawn tokens do, too, if each says which of
 * all pictures it is. */
static void check_batch(const char *config)
{
    oc_context *cx = two_threads();
    oc_model *model = open_model(cx, DATA "donut-tiny");
    oc_image *images[] = { open_image(cx, "examples/lines/fox.png"),
                           open_image(cx, "examples/lines/receipt.jpg") };
    oc_parse_options o = OC_OPTIONS(oc_parse_options, .question = "What is the total?",
                                    .config = config);
    oc_texts *both = oc_parse(cx, model, images, 2, &o);
    for (size_t i = 0; i < 2; i++) {
        o.first_picture = (int64_t)i;
        oc_texts *one = oc_parse(cx, model, &images[i], 1, &o);
        assert_string_equal(oc_texts_get(one, 0)->text, oc_texts_get(both, i)->text);
        oc_texts_free(one);
    }
    oc_texts_free(both);
    for (size_t i = 0; i < 2; i++) oc_image_free(images[i]);
    oc_model_close(model);
    free_context(cx);
}

static void test_batches(void **state)
{
    (void)state;
    check_batch(NULL);
    check_batch("{\"do_sample\": true, \"seed\": 3, \"temperature\": 3.0}");
}

static void expect(oc_context *cx, const oc_model *model, oc_parse_options o,
                   oc_status status, const char *part)
{
    oc_image *image = open_image(cx, "examples/lines/fox.png");
    oc_texts *texts = oc_parse(cx, model, &image, 1, &o);
    assert_null(texts);
    assert_int_equal(oc_context_status(cx), status);
    if (!strstr(oc_context_message(cx), part))
        fail_msg("the message lacks %s: %s", part, oc_context_message(cx));
    oc_context_clear(cx);
    oc_image_free(image);
}

static void test_errors(void **state)
{
    (void)state;
    oc_context *cx = two_threads();
    oc_model *model = open_model(cx, DATA "donut-tiny");
    expect(cx, model, OC_OPTIONS(oc_parse_options, .task = "rvlcdip"), OC_E_ARGUMENT,
           "<s_rvlcdip>");
    expect(cx, model, OC_OPTIONS(oc_parse_options, .question = "\xff"), OC_E_MALFORMED,
           "UTF-8");
    expect(cx, model, OC_OPTIONS(oc_parse_options, .config = "{"), OC_E_MALFORMED,
           "options");
    expect(cx, model, OC_OPTIONS(oc_parse_options, .config = "[]"), OC_E_ARGUMENT,
           "object");
    /* Longer than the decoder's 40 positions. */
    char question[256] = "";
    for (int i = 0; i < 60; i++) strcat(question, "the ");
    expect(cx, model, OC_OPTIONS(oc_parse_options, .question = question), OC_E_MALFORMED,
           "max_position_embeddings");
    oc_model_close(model);
    free_context(cx);
}

/* Sentences of the reference, one line a picture and number of beams. */
static void test_captions(void **state)
{
    (void)state;
    char line[512], name[64], path[512], want[256];
    const char *shared = getenv("OCELLI_SHARED");
    int beams, checked = 0, skipped = 0;
    double confidence;
    oc_context *cx = two_threads();
    oc_model *model = open_model(cx, "models/emoji-caption");
    FILE *file = fopen(DATA "captions.tsv", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        int got = sscanf(line, "%63s\t%d\t%255[^\t]\t%lf", name, &beams, want,
                         &confidence);
        assert_true(got >= 3);
        snprintf(path, sizeof path, "examples/scenes/%s", name);
        if (access(path, R_OK) != 0)
            snprintf(path, sizeof path, "%s/images/emoji/%s",
                     shared ? shared : "../shared", name);
        if (access(path, R_OK) != 0) {
            skipped++;
            continue;
        }
        oc_image *image = open_image(cx, path);
        oc_read_options o = OC_OPTIONS(oc_read_options,
                                       .config = beams > 1 ? "{\"num_beams\": 4}" : NULL);
        oc_texts *texts = oc_read(cx, model, &image, 1, &o);
        if (!texts) fail_msg("%s", oc_context_message(cx));
        assert_string_equal(oc_texts_get(texts, 0)->text, want);
        if (got == 4 && !(oc_texts_get(texts, 0)->confidence > confidence - 1e-4 &&
                          oc_texts_get(texts, 0)->confidence < confidence + 1e-4))
            fail_msg("%s: expected confidence %f, found %f", name, confidence,
                     oc_texts_get(texts, 0)->confidence);
        oc_texts_free(texts);
        oc_image_free(image);
        checked++;
    }
    fclose(file);
    if (skipped) printf("skipped %d captions: their pictures are not there\n", skipped);
    assert_true(checked >= 6);
    assert_int_equal(checked + skipped, 24);
    oc_model_close(model);
    free_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_equal_transformers), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_captions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
