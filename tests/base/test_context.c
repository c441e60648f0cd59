/* Options, the sticky error, limits, cancelling, sharing. */
#include "base_test.h"

static void first_error_sticks(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_string_equal(oc_context_message(cx), "");
    assert_int_equal(oci_fail(cx, OC_E_FILE, "%s: %d", "first", 1), OC_E_FILE);
    assert_int_equal(oci_fail(cx, OC_E_LIMIT, "second"), OC_E_FILE);
    assert_string_equal(oc_context_message(cx), "first: 1");
    assert_null(oci_alloc(cx, 1));
    oc_context_clear(cx);
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_string_equal(oc_context_message(cx), "");
    char long_text[3 * OCI_MAX_MESSAGE];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    oci_fail(cx, OC_E_FAILED, "%s", long_text);
    assert_int_equal(strlen(oc_context_message(cx)), OCI_MAX_MESSAGE - 1);
    oc_context_clear(cx);
    end_context(cx);
}

static void bad_options_leave_an_error(void **state)
{
    (void)state;
    static const int threads[] = { -1, OCI_MAX_THREADS + 1, INT32_MAX };
    for (size_t i = 0; i < 3; i++) {
        oc_context *cx = new_context(threads[i], 0);
        assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
        assert_non_null(strstr(oc_context_message(cx), "threads: expected 0..256"));
        oc_context_free(cx);
    }
    oc_context *cx = oc_context_create(NULL);
    assert_int_equal(oc_context_status(cx), OC_OK);
    assert_true(oc_context_threads(cx) >= 1);
    oc_context_free(cx);
    oc_context_free(NULL);
    assert_int_equal(oc_context_status(NULL), OC_E_MEMORY);
    assert_non_null(oc_context_message(NULL));
    oc_context_clear(NULL);
    oc_context_cancel(NULL);
    assert_int_equal(oc_context_threads(NULL), 0);
    assert_string_equal(oc_context_isa(NULL), "");
    assert_int_equal(oc_context_memory(NULL).live_bytes, 0);
    assert_int_equal(oc_context_limit(NULL, "threads", 1), OC_E_MEMORY);
}

/* A caller compiled against an older header has a shorter struct. */
static void shorter_options(void **state)
{
    (void)state;
    oc_context_options o = { .size = offsetof(oc_context_options, isa), .threads = 2,
                             .memory_budget = 1 };
    oc_context *cx = oc_context_create(&o);
    assert_int_equal(oc_context_threads(cx), 2);
    void *block = oci_alloc(cx, 100);       /* the budget is behind the struct's end */
    assert_non_null(block);
    oci_free(block);
    end_context(cx);
}

static void generic_isa(void **state)
{
    (void)state;
    oc_context_options o = { .size = sizeof o, .threads = 1, .isa = OC_ISA_GENERIC };
    oc_context *cx = oc_context_create(&o);
    assert_string_equal(oc_context_isa(cx), "generic");
    end_context(cx);
}

static void limits_only_fall(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    assert_int_equal(oc_context_limit(cx, "json_depth", 10), OC_OK);
    assert_int_equal(cx->limits.json_depth, 10);
    assert_int_equal(oc_context_limit(cx, "json_depth", 64), OC_OK);
    assert_int_equal(oc_context_limit(cx, "json_depth", 65), OC_E_ARGUMENT);
    assert_non_null(strstr(oc_context_message(cx), "limit json_depth: expected at most "
                                                   "64"));
    assert_int_equal(cx->limits.json_depth, 64);
    oc_context_clear(cx);
    assert_int_equal(oc_context_limit(cx, "no_such", 1), OC_E_ARGUMENT);
    assert_non_null(strstr(oc_context_message(cx), "no_such"));
    oc_context_clear(cx);
    end_context(cx);
}

static void cancelling(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    assert_false(oci_cancelled(cx));
    oc_context_cancel(cx);
    assert_true(oci_cancelled(cx));
    assert_int_equal(oc_context_status(cx), OC_E_CANCELLED);
    oc_context_clear(cx);
    assert_false(oci_cancelled(cx));
    end_context(cx);
}

static void sharing(void **state)
{
    (void)state;
    oc_context *a = new_context(3, 1000);
    oc_context_limit(a, "json_depth", 5);
    oc_context_options o = { .size = sizeof o, .share = a };
    oc_context *b = oc_context_create(&o);
    assert_int_equal(oc_context_threads(b), 3);
    assert_int_equal(b->limits.json_depth, 5);
    void *block = oci_alloc(a, 900);
    assert_null(oci_alloc(b, 200));         /* one budget for both */
    assert_int_equal(oc_context_status(b), OC_E_MEMORY);
    assert_int_equal(oc_context_status(a), OC_OK);
    oc_context_free(a);                     /* heap and threads live on */
    oc_context_clear(b);
    oci_free(block);
    block = oci_alloc(b, 200);
    assert_non_null(block);
    oci_free(block);
    end_context(b);
}

static void keep_message(void *user, oc_log_level level, const char *message)
{
    snprintf(user, 64, "%d %s", (int)level, message);
}

static void logging(void **state)
{
    (void)state;
    char kept[64] = "";
    oc_context_options o = { .size = sizeof o, .threads = 1, .log = keep_message,
                             .log_user = kept };
    oc_context *cx = oc_context_create(&o);
    oci_log(cx, OC_LOG_WARNING, "%s %d", "careful", 3);
    assert_string_equal(kept, "2 careful 3");
    end_context(cx);
    cx = new_context(1, 0);
    oci_log(cx, OC_LOG_WARNING, "to nobody");
    end_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_sticks),
        cmocka_unit_test(bad_options_leave_an_error),
        cmocka_unit_test(shorter_options),
        cmocka_unit_test(generic_isa),
        cmocka_unit_test(limits_only_fall),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(sharing),
        cmocka_unit_test(logging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
