/* oci_bits_nan: every kind of number at every place of a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nn/param.h"

/* Bits of one number: infinities, the largest and smallest of
 * all, and NaN of both kinds. */
static const struct {
    oc_dtype dtype; size_t size; uint64_t bits; bool nan;
} samples[] = {
    { OC_F32, 4, 0x7f800000, false }, { OC_F32, 4, 0xff800000, false },
    { OC_F32, 4, 0x7f7fffff, false }, { OC_F32, 4, 0x80000001, false },
    { OC_F32, 4, 0x7f800001, true },  { OC_F32, 4, 0xffffffff, true },
    { OC_F32, 4, 0x7fc00000, true },
    { OC_BF16, 2, 0x7f80, false },    { OC_BF16, 2, 0xff80, false },
    { OC_BF16, 2, 0xff7f, false },    { OC_BF16, 2, 0x7f81, true },
    { OC_BF16, 2, 0xffff, true },
    { OC_F16, 2, 0x7c00, false },     { OC_F16, 2, 0xfc00, false },
    { OC_F16, 2, 0x7bff, false },     { OC_F16, 2, 0x7c01, true },
    { OC_F16, 2, 0xffff, true },
    { OC_F64, 8, UINT64_C(0xfff0000000000000), false },
    { OC_F64, 8, UINT64_C(0x7fefffffffffffff), false },
    { OC_F64, 8, UINT64_C(0x7ff0000000000001), true },
};

static void nan_is_found(void **state)
{
    (void)state;
    enum { MOST = 11 };
                /* among zeros, among -largest */
    for (size_t s = 0; s < sizeof samples / sizeof *samples; s++)
        for (size_t n = 1; n <= MOST; n++)
            for (size_t at = 0; at < n; at++)
                for (int other = 0; other < 2; other++) {
                    unsigned char data[8 * MOST];
                    size_t size = samples[s].size;
                    memset(data, other ? 0xfb : 0, sizeof data);
                    memcpy(data + at * size, &samples[s].bits, size);
                    assert_int_equal(oci_bits_nan(samples[s].dtype, data, n),
                                     samples[s].nan);
                }
    assert_false(oci_bits_nan(OC_F32, "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nan_is_found) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
