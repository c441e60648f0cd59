/* Scores of stored vectors with queries, against long double and exact integers; and that
 * a score depends on nothing but its own row and query. */
#include "backend_test.h"

static const int64_t strides[] = { 16, 32, 48, 64, 112, 512, 768, 1040 };
enum { STRIDES = sizeof strides / sizeof *strides, ROWS = 13, QUERIES_MOST = 9 };

static void *aligned(int64_t bytes)
{
    void *p = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}

static void float_dots(const under_test *t)
{
    for (int s = 0; s < STRIDES; s++) {
        int64_t n = strides[s], ldy = ROWS + 2;
        float *x = aligned(ROWS * n * 4), *q = aligned(QUERIES_MOST * n * 4), alone[ROWS];
        fill(x, ROWS * n);
        fill(q, QUERIES_MOST * n);
        for (int64_t queries = 1; queries <= QUERIES_MOST; queries++) {
            float *y = guarded(queries * ldy);
            t->be->dots(ROWS, n, x, queries, q, y, ldy);
            for (int64_t j = 0; j < queries; j++) {
                for (int64_t r = 0; r < ROWS; r++) {
                    long double exact = 0, size = 0;
                    for (int64_t i = 0; i < n; i++) {
                        exact += (long double)x[r * n + i] * q[j * n + i];
                        size += fabsl((long double)x[r * n + i] * q[j * n + i]);
                    }
                    assert_true(fabsl(y[j * ldy + r] - exact) <= 0x1p-20L * size);
                }
                t->be->dots(ROWS, n, x, 1, q + j * n, alone, ROWS);
                assert_true(same_bits(y + j * ldy, alone, ROWS));
                t->be->dots(1, n, x + 5 * n, 1, q + j * n, alone, ROWS);
                assert_true(same_bits(y + j * ldy + 5, alone, 1));
            }
            free_guarded(y, queries, ROWS, ldy);
        }
        free(x);
        free(q);
    }
}

/* Also at the ends of their range, where sums of 16 bits would overflow. */
static void byte_dots(const under_test *t)
{
    for (int s = 0; s <= STRIDES; s++) {
        int64_t n = s < STRIDES ? 4 * strides[s] : 65536;
        int8_t *x = aligned(ROWS * n), *q = aligned(3 * n);
        int32_t y[3 * (ROWS + 1)];
        for (int64_t i = 0; i < ROWS * n; i++)
            x[i] = (int8_t)(i < 2 * n ? (i < n ? 127 : -127)
                                      : (int)(random_bits() % 255) - 127);
        for (int64_t i = 0; i < 3 * n; i++)
            q[i] = (int8_t)(i < 2 * n ? (i < n ? 127 : -127)
                                      : (int)(random_bits() % 255) - 127);
        for (int i = 0; i < 3 * (ROWS + 1); i++) y[i] = 77;
        t->be->dots_i8(ROWS, n, x, 3, q, y, ROWS + 1);
        for (int64_t j = 0; j < 3; j++) {
            for (int64_t r = 0; r < ROWS; r++) {
                int64_t exact = 0;
                for (int64_t i = 0; i < n; i++) exact += x[r * n + i] * q[j * n + i];
                assert_int_equal(y[j * (ROWS + 1) + r], exact);
            }
            assert_int_equal(y[j * (ROWS + 1) + ROWS], 77);
        }
        free(x);
        free(q);
    }
}

static void test_float_dots(void **state)
{
    (void)state;
    each_isa(float_dots, 1);
}

static void test_byte_dots(void **state)
{
    (void)state;
    each_isa(byte_dots, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_dots),
        cmocka_unit_test(test_byte_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
