/* The allocator gateway and the buffers on it: counters, budget, faults, alignment. */
#include "base/buffer.h"
#include "base_test.h"

static void blocks_are_aligned(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    static const size_t sizes[] = { 0, 1, 63, 64, 65, 4095, 100000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = oci_alloc(cx, sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 0xff, sizes[i]);
        oci_free(p);
        p = oci_calloc(cx, sizes[i], 1);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 0);
        oci_free(p);
    }
    oci_free(NULL);
    end_context(cx);
}

static void counters_count(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    void *a = oci_alloc(cx, 100), *b = oci_alloc(cx, 50);
    oc_memory_usage m = oc_context_memory(cx);
    assert_int_equal(m.live_bytes, 150);
    assert_int_equal(m.peak_bytes, 150);
    assert_int_equal(m.live_count, 2);
    assert_int_equal(m.total_count, 2);
    oci_free(a);
    m = oc_context_memory(cx);
    assert_int_equal(m.live_bytes, 50);
    assert_int_equal(m.peak_bytes, 150);
    assert_int_equal(m.live_count, 1);
    b = oci_realloc(cx, b, 70);
    m = oc_context_memory(cx);
    assert_int_equal(m.live_bytes, 70);
    assert_int_equal(m.total_count, 3);
    oci_free(b);
    end_context(cx);
}

static void realloc_keeps_bytes(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 300);
    char *p = oci_realloc(cx, NULL, 5);
    memcpy(p, "abcd", 5);
    p = oci_realloc(cx, p, 200);
    assert_string_equal(p, "abcd");
    assert_null(oci_realloc(cx, p, 101));       /* both are held for a moment */
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    assert_string_equal(p, "abcd");
    oc_context_clear(cx);
    p = oci_realloc(cx, p, 3);
    assert_memory_equal(p, "abc", 3);
    oci_free(p);
    char *copy = oci_strndup(cx, "abcdef", 3);
    assert_string_equal(copy, "abc");
    oci_free(copy);
    copy = oci_strdup(cx, "");
    assert_string_equal(copy, "");
    oci_free(copy);
    end_context(cx);
}

static void budget_binds(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 1000);
    void *a = oci_alloc(cx, 600);
    assert_null(oci_alloc(cx, 401));
    assert_string_equal(oc_context_message(cx),
                        "memory budget of 1000 bytes: 600 held, 401 more asked for");
    oc_context_clear(cx);
    void *b = oci_alloc(cx, 400);
    assert_non_null(b);
    oci_free(a);
    assert_true(oci_heap_charge(cx, 600));
    assert_false(oci_heap_charge(cx, 1));
    oc_context_clear(cx);
    oci_heap_discharge(cx->heap, 600);
    oci_free(b);
    assert_int_equal(oc_context_memory(cx).peak_bytes, 1000);
    end_context(cx);
}

static void overflow_is_memory(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    static const size_t counts[][2] = {
        { SIZE_MAX, 2 }, { SIZE_MAX / 2, 3 }, { SIZE_MAX, 1 }, { SIZE_MAX - 63, 1 },
        { SIZE_MAX / 4 + 1, 1 }, { SIZE_MAX / 5, 2 }
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_null(oci_calloc(cx, counts[i][0], counts[i][1]));
        assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
        oc_context_clear(cx);
    }
    end_context(cx);
}

static bool refuse_third(void *user, oci_fault what)
{
    return what == OCI_FAULT_ALLOC && ++*(int *)user == 3;
}

static void faults_fire(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    int asked = 0;
    cx->heap->fault_user = &asked;
    cx->heap->fault = refuse_third;
    void *a = oci_alloc(cx, 1), *b = oci_alloc(cx, 1);
    assert_true(a && b);
    assert_null(oci_alloc(cx, 8));
    assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
    assert_int_equal(oc_context_memory(cx).live_count, 2);
    assert_int_equal(oc_context_memory(cx).live_bytes, 2);
    oci_free(a);
    oci_free(b);
    oc_context_clear(cx);
    end_context(cx);
}

/* Blocks outlive their context, and may be freed without one. */
static void blocks_outlive_contexts(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_heap *heap = oci_heap_ref(cx->heap);
    void *block = oci_alloc(cx, 10);
    oc_context_free(cx);
    assert_int_equal(atomic_load(&heap->live_count), 1);
    memset(block, 1, 10);
    oci_free(block);
    assert_int_equal(atomic_load(&heap->live_count), 0);
    assert_int_equal(atomic_load(&heap->refs), 1);
    oci_heap_unref(&heap);
    assert_null(heap);
}

/* ---- buffers ----------------------------------------------------------------------- */

static int released;

static void count_release(oci_buffer *buffer)
{
    released += buffer->data == buffer->owner;
}

static void buffers_count_users(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    static unsigned char foreign[4];
    oci_buffer *a = oci_buffer_wrap(cx, foreign, 4, true, count_release), *b;
    a->owner = foreign;
    b = oci_buffer_ref(a);
    oci_buffer_unref(&a);
    assert_null(a);
    assert_int_equal(released, 0);
    oci_buffer_unref(&b);
    assert_int_equal(released, 1);
    oci_buffer_unref(&b);
    b = oci_buffer_create(cx, 100);
    assert_int_equal(b->size, 100);
    assert_int_equal((uintptr_t)b->data % 64, 0);
    assert_false(b->read_only);
    oci_buffer_unref(&b);
    end_context(cx);
}

static void failed_wrap_leaves_data(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 10);
    static unsigned char foreign[4];
    released = 0;
    assert_null(oci_buffer_wrap(cx, foreign, 4, true, count_release));
    assert_int_equal(released, 0);
    oc_context_clear(cx);
    assert_null(oci_buffer_create(cx, 8));   /* data fits into the budget, its head not */
    oc_context_clear(cx);
    end_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned),
        cmocka_unit_test(counters_count),
        cmocka_unit_test(realloc_keeps_bytes),
        cmocka_unit_test(budget_binds),
        cmocka_unit_test(overflow_is_memory),
        cmocka_unit_test(faults_fire),
        cmocka_unit_test(blocks_outlive_contexts),
        cmocka_unit_test(buffers_count_users),
        cmocka_unit_test(failed_wrap_leaves_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
