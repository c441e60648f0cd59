/* Arguments that no program means to give: each is refused by name, none is followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ocelli.h"

static void refused(oc_context *cx, const char *part)
{
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    if (!strstr(oc_context_message(cx), part)) fail_msg("%s", oc_context_message(cx));
    oc_context_clear(cx);
}

static void nothing_given(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_image *none[1] = { NULL };
    assert_null(oc_model_open(cx, NULL, NULL));
    refused(cx, "found NULL");
    oc_model *model = oc_model_open(cx, "models/printed-line-ocr", NULL);
    assert_non_null(model);
    assert_null(oc_preprocess(cx, model, NULL, 3));
    refused(cx, "expected images, found none");
    assert_null(oc_preprocess(cx, model, none, 1));
    refused(cx, "image 0: expected one, found NULL");
    assert_null(oc_read(cx, model, none, 1, NULL));
    refused(cx, "image 0: expected one, found NULL");
    oc_model_save(cx, model, NULL, NULL);
    refused(cx, "save: expected a folder, found NULL");
    assert_null(oc_generate(cx, model, NULL, NULL));
    refused(cx, "oc_generate: expected named tensors, found NULL");
    assert_null(oc_forward(cx, model, NULL, NULL));
    refused(cx, "oc_forward: expected named tensors, found NULL");
    assert_null(oc_read(cx, model, none, 0, NULL));
    refused(cx, "oc_read: expected pictures, found NULL");
    assert_null(oc_parse(cx, model, NULL, 1, NULL));
    refused(cx, "oc_parse: expected pictures, found NULL");
    assert_null(oc_encode(cx, oc_model_tokenizer(cx, model), NULL, 0, NULL, 0, NULL));
    refused(cx, "oc_encode: expected a text, found NULL");
    assert_null(oc_decode(cx, oc_model_tokenizer(cx, model), NULL, 1, false,
                          OC_CLEAN_UP_DEFAULT, NULL));
    refused(cx, "oc_decode: expected ids, found NULL");
    assert_int_equal(oc_measure_machine(cx, NULL), OC_E_ARGUMENT);
    refused(cx, "found NULL");
    oc_model_close(model);
    oc_context_free(cx);
}

/* Each call with NULL for the object that it works on. */
static void call_on_nothing(oc_context *cx, int which)
{
    oc_tensors *set = oc_tensors_create(cx);
    oc_image *none[1] = { NULL };
    switch (which) {
    case 0: assert_null(oc_tokenizer_open(cx, NULL)); break;
    case 1: assert_null(oc_encode(cx, NULL, "x", 1, NULL, 0, NULL)); break;
    case 2:
        assert_null(oc_decode(cx, NULL, NULL, 0, false, OC_CLEAN_UP_DEFAULT, NULL));
        break;
    case 3: assert_null(oc_forward(cx, NULL, set, NULL)); break;
    case 4: assert_null(oc_generate(cx, NULL, set, NULL)); break;
    case 5: assert_null(oc_read(cx, NULL, none, 1, NULL)); break;
    case 6: assert_null(oc_parse(cx, NULL, none, 1, NULL)); break;
    case 7: assert_null(oc_trainer_create(cx, NULL, NULL)); break;
    case 8: assert_int_not_equal(oc_trainer_step(cx, NULL, set, NULL), OC_OK); break;
    case 9: assert_null(oc_preprocess(cx, NULL, none, 1)); break;
    case 10: assert_null(oc_model_tokenizer(cx, NULL)); break;
    case 11: assert_int_not_equal(oc_model_save(cx, NULL, "/", NULL), OC_OK); break;
    case 12: assert_null(oc_image_open(cx, NULL, NULL)); break;
    case 13: assert_null(oc_document_json(cx, NULL, 0, NULL)); break;
    case 14: assert_null(oc_document_markup(cx, NULL, 0, true, NULL)); break;
    default: break;
    }
    oc_tensors_free(set);
}

/* An argument that is NULL by itself is an error; one that an earlier failure left NULL
 * is not spoken of: the first error stays. */
static void nothing_to_work_on(void **state)
{
    enum { CALLS = 15 };
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    for (int i = 0; i < CALLS; i++) {
        call_on_nothing(cx, i);
        refused(cx, "found NULL");
        assert_null(oc_tensors_open(cx, "no/such/file"));
        call_on_nothing(cx, i);
        assert_int_equal(oc_context_status(cx), OC_E_FILE);
        oc_context_clear(cx);
    }
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given), cmocka_unit_test(nothing_to_work_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
