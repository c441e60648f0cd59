#include "base/size.h"
#include "base_test.h"

static void checked_arithmetic(void **state)
{
    (void)state;
    size_t r = 7;
    uint64_t u = 7;
    assert_true(oci_mul(3, 4, &r) && r == 12);
    assert_true(oci_mul(SIZE_MAX, 1, &r) && r == SIZE_MAX);
    assert_true(oci_mul(SIZE_MAX, 0, &r) && r == 0);
    assert_false(oci_mul(SIZE_MAX, 2, &r));
    assert_false(oci_mul(SIZE_MAX / 2 + 1, 2, &r));
    assert_true(oci_add(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(oci_add(SIZE_MAX, 1, &r));
    assert_true(oci_mul_u64(UINT32_MAX, UINT32_MAX, &u) &&
                u == UINT64_C(0xfffffffe00000001));
    assert_false(oci_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &u));
    assert_true(oci_add_u64(1, 2, &u) && u == 3);
    assert_false(oci_add_u64(UINT64_MAX, 1, &u));
}

static void division_and_order(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 100; n++)
        for (int64_t size = 1; size < 20; size++) {
            int64_t blocks = oci_ceil_div(n, size);
            assert_true(blocks * size >= n && (blocks - 1) * size < n);
        }
    assert_true(oci_ceil_div(INT64_MAX, 2) == INT64_MAX / 2 + 1);
    assert_int_equal(oci_min(-3, 2), -3);
    assert_int_equal(oci_max(-3, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(division_and_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
