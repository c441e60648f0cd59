#include "base/rng.h"
#include "base_test.h"

static void marks_and_resets(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_arena arena = { 0 };
    oci_arena_mark start = oci_arena_get_mark(&arena);
    char *a = oci_arena_alloc(cx, &arena, 10);
    oci_arena_mark mark = oci_arena_get_mark(&arena);
    char *b = oci_arena_alloc(cx, &arena, 10);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal(b - a, 64);
    memcpy(b, "still here", 10);
    oci_arena_reset(&arena, mark);
    assert_memory_equal(b, "still here", 10);
    assert_ptr_equal(oci_arena_alloc(cx, &arena, 1), b);
    oci_arena_reset(&arena, start);
    assert_ptr_equal(oci_arena_alloc(cx, &arena, 1), a);
    oci_arena_deinit(&arena);
    end_context(cx);
}

/* A loop of equal steps takes memory in its first one only. */
static void steps_reuse_blocks(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 0);
    oci_arena arena = { 0 };
    uint64_t after_first = 0;
    for (int step = 0; step < 20; step++) {
        oci_arena_mark mark = oci_arena_get_mark(&arena);
        for (int i = 1; i < 40; i++) {
            unsigned char *p = oci_arena_alloc(cx, &arena, (size_t)i * 10007);
            assert_non_null(p);
            memset(p, i, (size_t)i * 10007);
        }
        oci_arena_reset(&arena, mark);
        if (step == 0) after_first = oc_context_memory(cx).total_count;
    }
    assert_int_equal(oc_context_memory(cx).total_count, after_first);
    oci_arena_deinit(&arena);
    end_context(cx);
}

/* Pieces that live at the same time never overlap, whatever the
 * order of marks and resets. */
static void pieces_are_apart(void **state)
{
    (void)state;
    enum { DEPTH = 200 };
    oc_context *cx = new_context(1, 0);
    oci_arena arena = { 0 };
    oci_rng rng;
    oci_rng_init(&rng, 1, 0);
    struct { oci_arena_mark mark; unsigned char *p; size_t size; } live[DEPTH];
    int n = 0;
    for (int i = 0; i < 20000; i++) {
        if (n > 0 && (n == DEPTH || oci_rng_u32(&rng) % 5 == 0)) {
            int down = (int)(oci_rng_u32(&rng) % (unsigned)n);
            for (int k = down; k < n; k++) {
                assert_int_equal(live[k].p[0], k + 1);
                assert_int_equal(live[k].p[live[k].size - 1], k + 1);
            }
            oci_arena_reset(&arena, live[down].mark);
            n = down;
        }
        bool large = oci_rng_u32(&rng) % 50 == 0;
        live[n].mark = oci_arena_get_mark(&arena);
        live[n].size = 1 + oci_rng_u32(&rng) % (large ? 3000000 : 5000);
        live[n].p = oci_arena_alloc(cx, &arena, live[n].size);
        assert_non_null(live[n].p);
        live[n].p[0] = live[n].p[live[n].size - 1] = (unsigned char)(n + 1);
        n++;
    }
    oci_arena_deinit(&arena);
    end_context(cx);
}

static void refusals(void **state)
{
    (void)state;
    oc_context *cx = new_context(1, 3 << 20);
    oci_arena arena = { 0 };
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 200, SIZE_MAX / 2,
                                    4 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_null(oci_arena_alloc(cx, &arena, sizes[i]));
        assert_int_equal(oc_context_status(cx), OC_E_MEMORY);
        assert_null(oci_arena_alloc(cx, &arena, 1));    /* sticky */
        oc_context_clear(cx);
        assert_non_null(oci_arena_alloc(cx, &arena, 1));
    }
    oci_arena_deinit(&arena);
    end_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_and_resets),
        cmocka_unit_test(steps_reuse_blocks),
        cmocka_unit_test(pieces_are_apart),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
