#include "base/bytes.h"
#include "base_test.h"

static void appends(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_bytes b;
    oci_bytes_init(&b, 1000000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(oci_bytes_printf(cx, &b, "%d,", i), OC_OK);
        assert_int_equal(b.data[b.size], 0);
    }
    oci_bytes_append(cx, &b, "a\0b", 3);
    oci_bytes_append_text(cx, &b, "end");
    oci_bytes_append(cx, &b, NULL, 0);
    assert_int_equal(b.size, 10 * 2 + 90 * 3 + 900 * 4 + 6);
    char *text = oci_bytes_take(cx, &b);
    assert_memory_equal(text, "0,1,2,3,", 8);
    assert_memory_equal(text + 3890, "a\0bend", 7);
    oci_free(text);
    text = oci_bytes_take(cx, &b);
    assert_string_equal(text, "");
    oci_free(text);
    end_context(cx);
}

static void largest_size_binds(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_bytes b;
    oci_bytes_init(&b, 5);
    assert_int_equal(oci_bytes_append(cx, &b, "12345", 5), OC_OK);
    assert_int_equal(oci_bytes_append(cx, &b, "6", 1), OC_E_LIMIT);
    /* what was there is released */
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    assert_int_equal(oci_bytes_append(cx, &b, "1", 1), OC_E_LIMIT);
    assert_null(oci_bytes_take(cx, &b));
    oc_context_clear(cx);
    oci_bytes_init(&b, SIZE_MAX);
    assert_int_equal(oci_bytes_append(cx, &b, "x", 1), OC_OK);
    assert_int_equal(oci_bytes_append(cx, &b, "x", SIZE_MAX - 1), OC_E_MEMORY);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_clear(cx);
    end_context(cx);
}

static void long_format(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_bytes b;
    oci_bytes_init(&b, 1 << 20);
    oci_bytes_append_text(cx, &b, "x");
    assert_int_equal(oci_bytes_printf(cx, &b, "%100000d", 1), OC_E_LIMIT);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_clear(cx);
    end_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(largest_size_binds),
        cmocka_unit_test(long_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
