#include "base_test.h"

/* The contract of scripts and clients: exit status and HTTP status of each error. */
static void table(void **state)
{
    (void)state;
    static const struct {
        oc_status status; const char *name; int exit_code, http;
    } rows[] = {
        { OC_OK, "OC_OK", 0, 200 }, { OC_E_FAILED, "OC_E_FAILED", 1, 500 },
        { OC_E_IMAGE, "OC_E_IMAGE", 1, 422 }, { OC_E_WRITE, "OC_E_WRITE", 1, 500 },
        { OC_E_ARGUMENT, "OC_E_ARGUMENT", 2, 400 }, { OC_E_FILE, "OC_E_FILE", 3, 404 },
        { OC_E_MALFORMED, "OC_E_MALFORMED", 4, 422 },
        { OC_E_UNSUPPORTED, "OC_E_UNSUPPORTED", 5, 501 },
        { OC_E_MEMORY, "OC_E_MEMORY", 6, 503 }, { OC_E_LIMIT, "OC_E_LIMIT", 6, 413 },
        { OC_E_CANCELLED, "OC_E_CANCELLED", 130, 499 },
    };
    assert_int_equal(sizeof rows / sizeof *rows, OC_STATUS_COUNT);
    for (size_t i = 0; i < OC_STATUS_COUNT; i++) {
        assert_int_equal(rows[i].status, i);
        assert_string_equal(oc_status_name(rows[i].status), rows[i].name);
        assert_int_equal(oc_status_exit_code(rows[i].status), rows[i].exit_code);
        assert_int_equal(oc_status_http(rows[i].status), rows[i].http);
        assert_true(strlen(oc_status_text(rows[i].status)) > 1);
    }
}

static void unknown_codes_are_failures(void **state)
{
    (void)state;
    static const int codes[] = { -1, OC_STATUS_COUNT, 1000000, INT32_MIN };
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(oc_status_name((oc_status)codes[i]), "OC_E_FAILED");
        assert_int_equal(oc_status_exit_code((oc_status)codes[i]), 1);
    }
}

static void version(void **state)
{
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", OC_VERSION_MAJOR, OC_VERSION_MINOR,
             OC_VERSION_PATCH);
    assert_string_equal(oc_version(), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(unknown_codes_are_failures),
        cmocka_unit_test(version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
