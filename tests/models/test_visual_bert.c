/* VisualBERT beyond single calls: one class's folder opened as another, what is drawn
 * then and what is refused, tokens, saving, and the bundled model's answers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define DATA "tests/data/models/"

static oc_context *cx;

/* ---- folders and calls ---- */

/* The checkpoint of a seeded case, made when first asked for. */
static const char *checkpoint(const char *name)
{
    static char to[128];
    char from[128];
    snprintf(from, sizeof from, DATA "%s", name);
    snprintf(to, sizeof to, "%s/%s", work_folder, name);
    if (access(to, F_OK) != 0 && !seeded_save(cx, from, to))
        fail_msg("%s: %s", name, oc_context_message(cx));
    return to;
}

static oc_model *open_as(const char *folder, const char *class_name, bool allow_missing)
{
    return oc_model_open(cx, folder,
                         &OC_OPTIONS(oc_model_options, .class_name = class_name,
                                     .allow_missing = allow_missing,
                                     .weights_only = true));
}

static oc_tensors *inputs(const char *call)
{
    char path[256];
    snprintf(path, sizeof path, DATA "%s.in.safetensors", call);
    oc_tensors *in = oc_tensors_open(cx, path);
    assert_non_null(in);
    return in;
}

static oc_tensors *forward(const oc_model *model, const oc_tensors *in,
                           const char *class_name)
{
    return oc_forward(cx, model, in,
                      &OC_OPTIONS(oc_forward_options, .class_name = class_name));
}

/* The context holds this error, whose message has all of these texts; it is cleared. */
static void expect_error(oc_status status, const char *const *texts, size_t count)
{
    const char *message = oc_context_message(cx);
    assert_int_equal(oc_context_status(cx), status);
    for (size_t i = 0; i < count; i++)
        if (!strstr(message, texts[i]))
            fail_msg("\"%s\" lacks \"%s\"", message, texts[i]);
    oc_context_clear(cx);
}
#define EXPECT_ERROR(status, ...) \
    expect_error(status, (const char *const[]){ __VA_ARGS__ }, \
                 sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

static void expect_same(oc_tensors *a, oc_tensors *b)
{
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_int_equal(oc_tensors_count(a), oc_tensors_count(b));
    for (size_t i = 0; i < oc_tensors_count(a); i++) {
        oc_tensor_view x = oc_tensors_get(a, i), y;
        assert_true(oc_tensors_find(b, x.name, &y));
        assert_int_equal(x.bytes, y.bytes);
        assert_memory_equal(x.data, y.data, x.bytes);
    }
    oc_tensors_free(a);
    oc_tensors_free(b);
}

/* ---- one class's folder as another ---- */

/* What the base model lacks for a class, and the first that is drawn
 * (cls.predictions.bias may also be there as decoder.bias, under
 * which name it is missed). */
#define DENSE "cls.predictions.transform.dense.weight"
static const struct { const char *name, *missed, *drawn, *call; } classes[] = {
    { "VisualBertModel", NULL, NULL, "vb_base/text_and_regions" },
    { "VisualBertForPreTraining", DENSE, "cls.predictions.bias", "vb_base/all" },
    { "VisualBertForMultipleChoice", "cls.weight", "cls.weight", "vb_choice/no_labels" },
    { "VisualBertForQuestionAnswering", "cls.weight", "cls.weight",
      "vb_answer/no_labels" },
    { "VisualBertForVisualReasoning", "cls.weight", "cls.weight", "vb_answer/no_labels" },
    { "VisualBertForRegionToPhraseAlignment", DENSE, "cls.predictions.bias",
      "vb_phrase/no_labels" },
};
enum { CLASSES = sizeof classes / sizeof *classes };

static void a_head_that_is_missing_is_named(void **state)
{
    (void)state;
    const char *folder = checkpoint("vb_base");
    for (int i = 1; i < CLASSES; i++) {
        assert_null(open_as(folder, classes[i].name, false));
        EXPECT_ERROR(OC_E_MALFORMED, folder, classes[i].name, classes[i].missed,
                     "required, but missing", "--allow-missing");
    }
}

/* Saved and opened again it is of the class that it was
 * opened as, and has its numbers. */
static void a_missing_head_is_drawn_if_allowed(void **state)
{
    (void)state;
    char to[160];
    for (int i = 0; i < CLASSES; i++) {
        oc_model *model = open_as(checkpoint("vb_base"), classes[i].name, true);
        assert_non_null(model);
        if (classes[i].drawn)
            assert_string_equal(oc_model_fresh(model, 0), classes[i].drawn);
        else assert_null(oc_model_fresh(model, 0));
        oc_tensors *in = inputs(classes[i].call), *before = forward(model, in, NULL);
        snprintf(to, sizeof to, "%s/saved-%d", work_folder, i);
        assert_int_equal(oc_model_save(cx, model, to, NULL), OC_OK);
        oc_model_close(model);
        model = open_as(to, NULL, false);
        expect_same(before, forward(model, in, classes[i].name));
        assert_null(oc_model_fresh(model, 0));
        oc_model_close(model);
        oc_tensors_free(in);
    }
}

static void the_drawn_head_is_as_transformers_draws_it(void **state)
{
    (void)state;
    oc_model *model = open_as(checkpoint("vb_base"), "VisualBertForQuestionAnswering",
                              true);
    oc_tensors *cls = oc_model_get(cx, model, "cls.");
    oc_tensor_view v;
    assert_true(oc_tensors_find(cls, "cls.bias", &v));
    for (size_t i = 0; i < v.bytes / 4; i++) assert_true(((const float *)v.data)[i] == 0);
    assert_true(oc_tensors_find(cls, "cls.weight", &v));
    double square = 0;
    size_t n = v.bytes / 4;
    for (size_t i = 0; i < n; i++) square += pow((double)((const float *)v.data)[i], 2);
    assert_true(n == 24 && fabs(sqrt(square / (double)n) - 0.02) < 0.01);
    oc_tensors_free(cls);
    oc_model_close(model);
}

/* Any head's file has the base model, under its prefix. */
static void the_base_of_every_head(void **state)
{
    (void)state;
    static const char *const folders[] = { "vb_pretraining", "vb_answer", "vb_phrase" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        oc_model *whole = open_as(checkpoint(folders[i]), NULL, false);
        oc_model *base = open_as(checkpoint(folders[i]), "VisualBertModel", false);
        oc_tensors *in = inputs("vb_base/text_and_regions");
        expect_same(forward(whole, in, "VisualBertModel"), forward(base, in, NULL));
        assert_null(oc_model_fresh(base, 0));
        oc_tensors_free(in);
        oc_model_close(whole);
        oc_model_close(base);
    }
}

static void wrong_classes(void **state)
{
    (void)state;
    assert_null(open_as(checkpoint("vb_answer"), "BertModel", true));
    EXPECT_ERROR(OC_E_UNSUPPORTED, "BertModel", "VisualBertModel");
    /* Same names, other shapes: drawing would hide it. */
    assert_null(open_as(checkpoint("vb_answer"), "VisualBertForMultipleChoice", true));
    EXPECT_ERROR(OC_E_MALFORMED, "cls.weight", "[1, 12]", "[4, 12]");
    oc_model *model = open_as(checkpoint("vb_answer"), NULL, false);
    oc_tensors *in = inputs("vb_answer/no_labels");
    assert_null(forward(model, in, "VisualBertForVisualReasoning"));
    EXPECT_ERROR(OC_E_ARGUMENT, "VisualBertForVisualReasoning",
                 "VisualBertForQuestionAnswering");
    oc_tensors_free(in);
    oc_model_close(model);
}

/* The same mechanism, of another model type. */
static void other_model_types(void **state)
{
    (void)state;
    assert_null(open_as(DATA "bert_base", "BertLMHeadModel", false));
    EXPECT_ERROR(OC_E_MALFORMED, "BertLMHeadModel",
                 "cls.predictions.transform.dense.weight");
    oc_model *model = open_as(DATA "bert_base", "BertLMHeadModel", true);
    assert_string_equal(oc_model_fresh(model, 0), "cls.predictions.bias");
    oc_model_close(model);
}

static void inspect_tells_what_a_class_would_miss(void **state)
{
    (void)state;
    char *text = oc_inspect(cx, checkpoint("vb_base"), &OC_OPTIONS(oc_inspect_options,
                            .class_name = "VisualBertForVisualReasoning"));
    assert_non_null(text);
    json_t *told = json_loads(text, 0, NULL), *missing = json_object_get(told, "missing");
    assert_string_equal(json_string_value(json_object_get(told, "architecture")),
                        "VisualBertForVisualReasoning");
    assert_int_equal(json_array_size(missing), 2);
    assert_string_equal(json_string_value(json_array_get(missing, 1)), "cls.bias");
    json_decref(told);
    oc_string_free(text);
}

/* ---- arguments that 4.37.2 would let pass ---- */

static void put(oc_tensors *set, const char *name, oc_dtype dtype, int rank,
                const int64_t *shape, const void *data)
{
    assert_int_equal(oc_tensors_add(cx, set, name, dtype, rank, shape, data), OC_OK);
}

/* Masks that are wrong by themselves but right in sum, and targets that broadcast. */
static void sums_that_happen_to_fit(void **state)
{
    (void)state;
    static const int64_t ones[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    static const float target[8] = { 1 };
    oc_model *model = open_as(checkpoint("vb_answer"), NULL, false);
    oc_tensors *good = inputs("vb_answer/no_labels"), *in = oc_tensors_create(cx);
    oc_tensor_view v;
    assert_true(oc_tensors_find(good, "input_ids", &v));
    put(in, v.name, v.dtype, v.rank, v.shape, v.data);
    assert_true(oc_tensors_find(good, "visual_embeds", &v));
    put(in, v.name, v.dtype, v.rank, v.shape, v.data);
    put(in, "attention_mask", OC_I64, 2, (const int64_t[]){ 2, 3 }, ones);
    put(in, "visual_attention_mask", OC_I64, 2, (const int64_t[]){ 2, 4 }, ones);
    assert_null(forward(model, in, NULL));
    EXPECT_ERROR(OC_E_MALFORMED, "attention_mask", "[2, 4]", "[2, 3]");
    oc_tensors_free(in);
    put(good, "labels", OC_F32, 3, (const int64_t[]){ 2, 1, 4 }, target);
    assert_null(forward(model, good, NULL));
    EXPECT_ERROR(OC_E_MALFORMED, "labels", "[2, 4]", "[2, 1, 4]");
    oc_tensors_free(good);
    oc_model_close(model);
}

/* ---- tokens ---- */

static int64_t rows_of(const oc_model *model, const char *name)
{
    oc_tensor_view v;
    oc_tensors *set = oc_model_get(cx, model, name);
    assert_true(oc_tensors_find(set, name, &v));
    int64_t rows = v.shape[0];
    oc_tensors_free(set);
    return rows;
}

/* The tied decoder follows, its bias with zeros; logits of old
 * tokens stay as they were. */
static void tokens_are_resized(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 33, 8 };
    char to[160];
    for (int i = 0; i < 2; i++) {
        oc_model *model = open_as(checkpoint("vb_pretraining"), NULL, false);
        oc_tensors *bias = oc_model_get(cx, model, "cls.predictions.bias"), *now;
        oc_tensor_view old, new;
        assert_int_equal(oc_model_resize_tokens(cx, model, sizes[i], 0, 5), OC_OK);
        assert_int_equal(rows_of(model, "visual_bert.embeddings.word_embeddings.weight"),
                         sizes[i]);
        now = oc_model_get(cx, model, "cls.predictions.bias");
        old = oc_tensors_get(bias, 0);
        new = oc_tensors_get(now, 0);
        assert_int_equal(new.shape[0], sizes[i]);
        assert_memory_equal(old.data, new.data, 8 * sizeof(float));
        for (int64_t k = old.shape[0]; k < sizes[i]; k++)
            assert_true(((const float *)new.data)[k] == 0);
        snprintf(to, sizeof to, "%s/resized-%d", work_folder, i);
        assert_int_equal(oc_model_save(cx, model, to, NULL), OC_OK);
        oc_model *again = open_as(to, NULL, false);
        oc_tensors *in = oc_tensors_create(cx);
        put(in, "input_ids", OC_I64, 2, (const int64_t[]){ 1, 3 },
            (const int64_t[]){ 2, 7, 1 });
        expect_same(forward(model, in, NULL), forward(again, in, NULL));
        oc_tensors_free(in);
        oc_tensors_free(now);
        oc_tensors_free(bias);
        oc_model_close(again);
        oc_model_close(model);
    }
}

/* ---- the bundled model ---- */

/* Features of two scenes [2, 10, 132], four questions to each. */
static oc_tensors *questions(const oc_tensors *stored)
{
    enum { SCENES = 2, QUESTIONS = 4 };
    oc_tensors *in = oc_tensors_create(cx);
    oc_tensor_view v;
    assert_true(oc_tensors_find(stored, "visual_embeds", &v));
    size_t each = v.bytes / SCENES / sizeof(float);
    float *all = calloc(QUESTIONS * SCENES * each, sizeof *all);
    for (size_t q = 0; q < SCENES * QUESTIONS; q++)
        memcpy(all + q * each, (const float *)v.data + q / QUESTIONS * each,
               each * sizeof *all);
    put(in, v.name, OC_F32, 3,
        (const int64_t[]){ SCENES * QUESTIONS, v.shape[1], v.shape[2] }, all);
    free(all);
    for (int i = 0; i < 2; i++) {
        assert_true(oc_tensors_find(stored, i ? "attention_mask" : "input_ids", &v));
        put(in, v.name, v.dtype, v.rank, v.shape, v.data);
    }
    return in;
}

static void the_bundled_model_answers(void **state)
{
    (void)state;
    oc_tensors *stored = oc_tensors_open(cx, DATA "emoji_vqa/features.safetensors");
    oc_tensors *answers = oc_tensors_open(cx, DATA "emoji_vqa/answers.safetensors");
    oc_model *model = open_as("models/emoji-vqa", NULL, false);
    oc_tensors *in = questions(stored), *out = forward(model, in, NULL);
    oc_tensor_view want, got;
    assert_true(oc_tensors_find(answers, "logits", &want));
    assert_true(oc_tensors_find(out, "logits", &got));
    assert_int_equal(want.bytes, got.bytes);
    int64_t K = want.shape[1];
    for (int64_t r = 0; r < want.shape[0]; r++) {
        const float *a = (const float *)want.data + r * K,
                    *b = (const float *)got.data + r * K;
        int64_t best = 0, ours = 0;
        for (int64_t k = 0; k < K; k++) {
            if (fabsf(a[k] - b[k]) > 1e-4f)
                fail_msg("question %d, answer %d: expected %g, found %g", (int)r, (int)k,
                         (double)a[k], (double)b[k]);
            if (a[k] > a[best]) best = k;
            if (b[k] > b[ours]) ours = k;
        }
        assert_int_equal(ours, best);
    }
    oc_tensors_free(stored);
    oc_tensors_free(answers);
    oc_tensors_free(in);
    oc_tensors_free(out);
    oc_model_close(model);
}

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(NULL);
    return cx ? make_work_folder(state) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oc_context_free(cx);
    return remove_work_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_is_missing_is_named),
        cmocka_unit_test(a_missing_head_is_drawn_if_allowed),
        cmocka_unit_test(the_drawn_head_is_as_transformers_draws_it),
        cmocka_unit_test(the_base_of_every_head),
        cmocka_unit_test(wrong_classes),
        cmocka_unit_test(other_model_types),
        cmocka_unit_test(inspect_tells_what_a_class_would_miss),
        cmocka_unit_test(sums_that_happen_to_fit),
        cmocka_unit_test(tokens_are_resized),
        cmocka_unit_test(the_bundled_model_answers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
