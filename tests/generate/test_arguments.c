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
    oc_model_save(cx, model, NULL);
    refused(cx, "save: expected a folder, found NULL");
    assert_int_equal(oc_measure_machine(cx, NULL), OC_OK);
    oc_model_close(model);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_given) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
