#include "generate/sample.h"

#include <math.h>

oci_rng oci_draws_of(int64_t seed, int64_t picture, int64_t index, int64_t step)
{
    oci_rng rng;
    oci_rng_init(&rng, (uint64_t)seed, (uint64_t)picture << 32 | (uint32_t)index);
    rng.counter = (uint64_t)step << 32;
    return rng;
}

static double uniform(oci_rng *rng)
{
    uint64_t high = oci_rng_u32(rng), low = oci_rng_u32(rng);
    return (double)(high << 21 | low >> 11) * 0x1p-53;
}

/* The index at which the cumulative sum passes `target`; that of the last share, should
 * rounding let none pass. -1: there is no share. */
static int64_t find(const float *p, int64_t n, double target)
{
    double sum = 0;
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) {
        if (!(p[i] > 0)) continue;
        sum += (double)p[i];
        last = i;
        if (sum > target) break;
    }
    return last;
}

static double total(const float *p, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (p[i] > 0) sum += (double)p[i];
    return sum;
}

void oci_draw(oc_context *cx, oci_rng *rng, float *p, int64_t n, int64_t count,
              int64_t *drawn)
{
    int64_t rest = 0;           /* below it everything was drawn */
    for (int64_t k = 0; k < count; k++) {
        double sum = total(p, n);
        if (k == 0 && !(sum > 0 && isfinite(sum))) {
            oci_fail(cx, OC_E_FAILED,
                     "generate: no token has a probability to be drawn by");
            return;
        }
        int64_t at = find(p, n, uniform(rng) * sum);
        while (at < 0 && p[rest] < 0) rest++;
        if (at < 0) at = rest;
        p[at] = -1;             /* drawn */
        drawn[k] = at;
    }
}
