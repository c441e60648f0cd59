/* Every public function that takes a context: nothing where something must be given is a
 * status and no crash; with no context at all, and with an error set, nothing happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ocelli.h"

/* The call fails and says so. What it returns is NULL, 0 or a status. */
#define REFUSED(call)                                                                    \
    do {                                                                                 \
        (void)!(call);                                                                   \
        if (cx && oc_context_status(cx) == OC_OK) fail_msg("no status: %s", #call);      \
        if (clear) oc_context_clear(cx);                                                 \
    } while (0)

static void files_and_sets(oc_context *cx, bool clear)
{
    size_t size;
    const uint8_t pixel[3] = { 0 };
    const int64_t one = 1;
    REFUSED(oc_context_limit(cx, NULL, 1));
    REFUSED(oc_tensors_open(cx, NULL));
    REFUSED(oc_tensors_save(cx, NULL, NULL));
    REFUSED(oc_tensors_add(cx, NULL, "a", OC_F32, 1, &one, NULL));
    REFUSED(oc_npy_save(cx, NULL, NULL, NULL));
    REFUSED(oc_image_open(cx, NULL, NULL));
    REFUSED(oc_image_decode(cx, NULL, NULL, 0, NULL));
    REFUSED(oc_image_decode(cx, NULL, NULL, 9, NULL));
    REFUSED(oc_image_create(cx, 1, 1, NULL));
    REFUSED(oc_image_create(cx, 0, 1, pixel));
    REFUSED(oc_image_fit(cx, NULL, 1));
    REFUSED(oc_image_png(cx, NULL, &size));
    REFUSED(oc_image_save(cx, NULL, NULL));
    REFUSED(oc_image_mark(cx, NULL, NULL));
    REFUSED(oc_image_marks(cx, NULL, NULL, 0));
    REFUSED(oc_image_marks_open(cx, NULL, NULL));
    REFUSED(oc_regions_open(cx, NULL, NULL));
    REFUSED(oc_measure_machine(cx, NULL));
}

static void texts(oc_context *cx, bool clear)
{
    const int64_t id = 1;
    REFUSED(oc_tokenizer_open(cx, NULL));
    REFUSED(oc_encode(cx, NULL, "a", 1, NULL, 0, NULL));
    REFUSED(oc_decode(cx, NULL, &id, 1, false, OC_CLEAN_UP_NO, NULL));
    REFUSED(oc_model_tokenizer(cx, NULL));
    REFUSED(oc_document_json(cx, NULL, 1, NULL));
    REFUSED(oc_document_markup(cx, NULL, 1, false, NULL));
}

static void models(oc_context *cx, bool clear)
{
    REFUSED(oc_model_open(cx, NULL, NULL));
    REFUSED(oc_model_folder(cx, NULL, NULL));
    REFUSED(oc_model_save(cx, NULL, NULL, NULL));
    REFUSED(oc_inspect(cx, NULL, NULL));
    REFUSED(oc_model_create(cx, NULL, NULL));
    REFUSED(oc_model_join(cx, NULL, NULL, NULL));
    REFUSED(oc_config_join(cx, NULL, NULL, NULL));
    REFUSED(oc_model_parameters(cx, NULL));
    REFUSED(oc_model_resize_tokens(cx, NULL, 1, 1, 0));
    REFUSED(oc_model_prune_heads(cx, NULL, "{}"));
    REFUSED(oc_model_freeze(cx, NULL, ""));
    REFUSED(oc_model_get(cx, NULL, ""));
    REFUSED(oc_model_set(cx, NULL, NULL));
    REFUSED(oc_forward(cx, NULL, NULL, NULL));
    REFUSED(oc_preprocess(cx, NULL, NULL, 0));
    REFUSED(oc_generate(cx, NULL, NULL, NULL));
    REFUSED(oc_read(cx, NULL, NULL, 0, NULL));
    REFUSED(oc_parse(cx, NULL, NULL, 0, NULL));
    REFUSED(oc_trainer_create(cx, NULL, NULL));
    REFUSED(oc_trainer_step(cx, NULL, NULL, NULL));
}

static void pictures_and_texts(oc_context *cx, bool clear)
{
    oc_hit hit;
    const float query = 1;
    REFUSED(oc_embed_images(cx, NULL, NULL, 0, NULL));
    REFUSED(oc_embed_texts(cx, NULL, NULL, 0, NULL));
    REFUSED(oc_classify(cx, NULL, NULL, 0, NULL, 0, NULL));
    REFUSED(oc_embed_regions(cx, NULL, NULL, NULL));
    REFUSED(oc_answer_regions(cx, NULL, NULL, NULL, NULL));
    REFUSED(oc_answer_image(cx, NULL, NULL, NULL, NULL));
    REFUSED(oc_index_build(cx, NULL, NULL, NULL));
    REFUSED(oc_index_open(cx, NULL, NULL));
    REFUSED(oc_index_search(cx, NULL, &query, 1, 1, &hit));
    REFUSED(oc_index_search_text(cx, NULL, NULL, "a", 1, &hit));
    REFUSED(oc_index_search_image(cx, NULL, NULL, NULL, 1, &hit));
}

static void all(oc_context *cx, bool clear)
{
    files_and_sets(cx, clear);
    texts(cx, clear);
    models(cx, clear);
    pictures_and_texts(cx, clear);
}

static void test_nothing_given(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    all(cx, true);
    oc_context_free(cx);
}

static void test_no_context(void **state)
{
    (void)state;
    all(NULL, true);
}

/* The first error stays, whatever is called after it. */
static void test_after_an_error(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    assert_null(oc_tokenizer_open(cx, "no such folder"));
    oc_status first = oc_context_status(cx);
    all(cx, false);
    assert_int_equal(oc_context_status(cx), first);
    oc_context_free(cx);
}

/* What borrows, counts and frees. */
static void test_no_object(void **state)
{
    (void)state;
    oc_tensor_view view;
    float number;
    assert_int_equal(oc_tensors_count(NULL) + oc_texts_count(NULL) +
                         oc_answers_count(NULL) + oc_encoding_count(NULL) +
                         oc_encoding_overflow_count(NULL) + oc_index_count(NULL) +
                         oc_index_width(NULL),
                     0);
    assert_false(oc_tensors_find(NULL, "a", &view) || oc_index_vector(NULL, 0, &number));
    assert_null(oc_tensors_get(NULL, 0).name);
    assert_null(oc_tensors_metadata(NULL, NULL));
    assert_null(oc_texts_get(NULL, 0));
    assert_null(oc_answers_get(NULL, 0));
    assert_null(oc_encoding_ids(NULL));
    assert_null(oc_encoding_attention_mask(NULL));
    assert_null(oc_encoding_token_type_ids(NULL));
    assert_null(oc_encoding_offsets(NULL));
    assert_null(oc_encoding_sequence_ids(NULL));
    assert_null(oc_encoding_token(NULL, 0));
    assert_null(oc_encoding_overflow(NULL, 0));
    assert_null(oc_tokenizer_token(NULL, 0));
    assert_null(oc_model_type(NULL));
    assert_null(oc_model_fresh(NULL, 0));
    assert_null(oc_index_path(NULL, 0));
    assert_int_equal(oc_tokenizer_find(NULL, "a"), -1);
    assert_int_equal(oc_image_width(NULL) + oc_image_height(NULL), 0);
    oc_context_cancel(NULL);
    oc_context_clear(NULL);
    oc_context_free(NULL);
    oc_tensors_free(NULL);
    oc_image_free(NULL);
    oc_tokenizer_close(NULL);
    oc_encoding_free(NULL);
    oc_model_close(NULL);
    oc_texts_free(NULL);
    oc_answers_free(NULL);
    oc_index_close(NULL);
    oc_trainer_free(NULL);
    oc_string_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_given), cmocka_unit_test(test_no_context),
        cmocka_unit_test(test_after_an_error), cmocka_unit_test(test_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
