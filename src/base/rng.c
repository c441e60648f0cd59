#include "base/rng.h"

#include <math.h>

/* Ten rounds of Philox4x32 with the constants of the paper. */
static void philox(const uint32_t counter[4], uint64_t seed, uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void oci_rng_init(oci_rng *rng, uint64_t seed, uint64_t stream)
{
    *rng = (oci_rng){ .seed = seed, .stream = stream };
}

/* Four numbers a block, in order; the block is a pure function of (seed,
 * stream, counter). */
uint32_t oci_rng_u32(oci_rng *rng)
{
    if (rng->left == 0) {
        const uint32_t counter[4] = { (uint32_t)rng->counter,
                                      (uint32_t)(rng->counter >> 32),
                                      (uint32_t)rng->stream,
                                      (uint32_t)(rng->stream >> 32) };
        philox(counter, rng->seed, rng->block);
        rng->counter++;
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

float oci_rng_uniform(oci_rng *rng)
{
    return (float)(oci_rng_u32(rng) >> 8) * 0x1p-24f;
}

float oci_rng_normal(oci_rng *rng)
{
    double u = 1.0 - oci_rng_uniform(rng), v = oci_rng_uniform(rng);   /* u in (0, 1] */
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}
