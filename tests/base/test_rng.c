#include <math.h>

#include "base/rng.h"
#include "base_test.h"

/* Known answers of Random123 (kat_vectors, "philox4x32 10"): counter, key, result. */
static const struct { uint32_t counter[4], key[2], result[4]; } known[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        oci_rng rng;
        oci_rng_init(&rng, (uint64_t)known[i].key[1] << 32 | known[i].key[0],
                     (uint64_t)known[i].counter[3] << 32 | known[i].counter[2]);
        rng.counter = (uint64_t)known[i].counter[1] << 32 | known[i].counter[0];
        for (int k = 0; k < 4; k++)
            assert_int_equal(oci_rng_u32(&rng), known[i].result[k]);
    }
}

static void streams_differ_and_repeat(void **state)
{
    (void)state;
    oci_rng a, b, c, d;
    oci_rng_init(&a, 7, 0);
    oci_rng_init(&b, 7, 1);
    oci_rng_init(&c, 8, 0);
    oci_rng_init(&d, 7, 0);
    int same_stream = 0, same_seed = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t x = oci_rng_u32(&a);
        same_stream += x == oci_rng_u32(&b);
        same_seed += x == oci_rng_u32(&c);
        assert_int_equal(x, oci_rng_u32(&d));
    }
    assert_true(same_stream < 3 && same_seed < 3);
}

static void uniform(void **state)
{
    (void)state;
    enum { N = 1 << 20, BINS = 64 };
    oci_rng rng;
    oci_rng_init(&rng, 1, 0);
    int bins[BINS] = { 0 };
    for (int i = 0; i < N; i++) {
        float x = oci_rng_uniform(&rng);
        assert_true(x >= 0 && x < 1);
        bins[(int)(x * BINS)]++;
    }
    double chi = 0, expected = (double)N / BINS;
    for (int i = 0; i < BINS; i++)
        chi += (bins[i] - expected) * (bins[i] - expected) / expected;
    assert_true(chi > 30 && chi < 110);     /* 63 degrees of freedom: 99.9 % lie inside */
}

static void normal(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    oci_rng rng;
    oci_rng_init(&rng, 1, 0);
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < N; i++) {
        double x = oci_rng_normal(&rng);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / N) < 0.004);             /* four standard errors */
    assert_true(fabs(squares / N - 1) < 0.006);
    assert_true(fabs(fourth / N - 3) < 0.04);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(streams_differ_and_repeat),
        cmocka_unit_test(uniform),
        cmocka_unit_test(normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
