/* Conversions between float types, against arithmetic in doubles, where all of them are
 * exact: every value of the 16-bit types, and f32 values around every place of
 * rounding. */
#include <math.h>

#include "base/dtype.h"
#include "base_test.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A format of `exponent` and `mantissa` bits, by the definition of IEEE 754. */
static double value16(uint16_t x, int exponent, int mantissa)
{
    int bias = (1 << (exponent - 1)) - 1, top = (1 << exponent) - 1;
    int e = x >> mantissa & top, m = x & ((1 << mantissa) - 1);
    double sign = x >> 15 ? -1 : 1;
    if (e == top) return m ? NAN : sign * INFINITY;
    if (e == 0) return sign * ldexp(m, 1 - bias - mantissa);
    return sign * ldexp(m + (1 << mantissa), e - bias - mantissa);
}

/* The nearest value of such a format, ties to even; NaN excluded. */
static uint16_t nearest16(double x, int exponent, int mantissa)
{
    int bias = (1 << (exponent - 1)) - 1, top = (1 << exponent) - 1, e;
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    x = fabs(x);
    if (isinf(x)) return (uint16_t)(sign | top << mantissa);
    frexp(x, &e);                                       /* x in [2^(e-1), 2^e) */
    int step = e - 1 - mantissa;                        /* exponent of the last place */
    if (x == 0 || step < 1 - bias - mantissa) step = 1 - bias - mantissa;
    double units = nearbyint(ldexp(x, -step));          /* ties to even is the default */
    /* Counting up from zero in last places walks through the encodings in order. */
    double code = units + ((double)step - (1 - bias - mantissa)) * (1 << mantissa);
    if (code > (double)(top << mantissa)) code = top << mantissa;
    return (uint16_t)(sign | (uint16_t)code);
}

static void widening_is_exact(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t x = (uint16_t)i;
        double half = value16(x, 5, 10), brain = value16(x, 8, 7);
        float h = oci_f16_to_f32(x), b = oci_bf16_to_f32(x);
        if (isnan(half)) assert_true(isnan(h));
        else if (bits_of(h) != bits_of((float)half))
            fail_msg("f16 %04x is %a", i, (double)h);
        if (isnan(brain)) assert_true(isnan(b));
        else if (bits_of(b) != bits_of((float)brain))
            fail_msg("bf16 %04x is %a", i, (double)b);
    }
}

static void round_trips(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t x = (uint16_t)i;
        float h = oci_f16_to_f32(x), b = oci_bf16_to_f32(x);
        if (!isnan(h)) assert_int_equal(oci_f32_to_f16(h), x);
        if (!isnan(b)) assert_int_equal(oci_f32_to_bf16(b), x);
    }
}

static void check_narrowing(uint32_t bits)
{
    float x = from_bits(bits);
    uint16_t h = oci_f32_to_f16(x), b = oci_f32_to_bf16(x);
    if (isnan(x)) {
        if (!isnan(oci_f16_to_f32(h)) || !isnan(oci_bf16_to_f32(b)))
            fail_msg("NaN %08x is lost", bits);
        if ((h >> 15) != (bits >> 31) || (b >> 15) != (bits >> 31))
            fail_msg("the sign of NaN %08x is lost", bits);
        return;
    }
    if (h != nearest16((double)x, 5, 10))
        fail_msg("%a to f16: expected %04x, found %04x", (double)x,
                 nearest16((double)x, 5, 10), h);
    if (b != nearest16((double)x, 8, 7))
        fail_msg("%a to bf16: expected %04x, found %04x", (double)x,
                 nearest16((double)x, 8, 7), b);
}

/* Around every representable value and around every tie between two of them. */
static void narrowing_at_the_edges(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        for (int d = -2; d <= 2; d++) {
            check_narrowing((i << 16) + (uint32_t)d);
            check_narrowing((i << 16) + 0x8000 + (uint32_t)d);
        }
        float h = oci_f16_to_f32((uint16_t)i), next = oci_f16_to_f32((uint16_t)(i + 1));
        if (isnan(h) || isnan(next)) continue;
        uint32_t tie = bits_of((h + next) / 2);
        if (isinf(next)) tie = bits_of(i >> 15 ? -65520.0f : 65520.0f);
        for (int d = -2; d <= 2; d++) {
            check_narrowing(bits_of(h) + (uint32_t)d);
            check_narrowing(tie + (uint32_t)d);
        }
    }
}

static void narrowing_anywhere(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 4093)     /* a prime */
        check_narrowing((uint32_t)bits);
}

static void names_and_sizes(void **state)
{
    (void)state;
    static const struct { const char *name; size_t size; } rows[] = {
        { "BOOL", 1 }, { "U8", 1 }, { "I8", 1 }, { "F8_E5M2", 1 }, { "F8_E4M3", 1 },
        { "I16", 2 }, { "U16", 2 }, { "F16", 2 }, { "BF16", 2 }, { "I32", 4 },
        { "U32", 4 }, { "F32", 4 }, { "F64", 8 }, { "I64", 8 }, { "U64", 8 },
    };
    assert_int_equal(sizeof rows / sizeof *rows, OC_DTYPE_COUNT);
    for (int i = 0; i < OC_DTYPE_COUNT; i++) {
        assert_string_equal(oci_dtype_name((oc_dtype)i), rows[i].name);
        assert_int_equal(oci_dtype_size((oc_dtype)i), rows[i].size);
        assert_int_equal(oci_dtype_find(rows[i].name, strlen(rows[i].name)), i);
    }
    assert_int_equal(oci_dtype_find("F3", 2), OC_DTYPE_COUNT);
    assert_int_equal(oci_dtype_find("F322", 4), OC_DTYPE_COUNT);
    assert_int_equal(oci_dtype_find("F32xx", 3), OC_F32);
    assert_int_equal(oci_dtype_find("", 0), OC_DTYPE_COUNT);
}

static void arrays_widen(void **state)
{
    (void)state;
    const double f64[] = { 1.5, -0.0, 1e300, 0.1 };
    const float f32[] = { 1.5f, -0.0f, 3e38f, 0.1f };
    const uint16_t f16[] = { 0x3e00, 0x8000, 0x7bff, 0x0001 };
    const uint16_t bf16[] = { 0x3fc0, 0x8000, 0x7f7f, 0x0001 };
    float to[4];
    oci_dtype_to_f32(OC_F64, f64, to, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(bits_of(to[i]), bits_of((float)f64[i]));
    oci_dtype_to_f32(OC_F32, f32, to, 4);
    assert_memory_equal(to, f32, sizeof to);
    oci_dtype_to_f32(OC_F16, f16, to, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(bits_of(to[i]), bits_of(oci_f16_to_f32(f16[i])));
    oci_dtype_to_f32(OC_BF16, bf16, to, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(bits_of(to[i]), (uint32_t)bf16[i] << 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widening_is_exact),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(narrowing_at_the_edges),
        cmocka_unit_test(narrowing_anywhere),
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(arrays_widen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
