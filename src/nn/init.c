#include "nn/init.h"

#include <math.h>

#include "base/rng.h"

/* FNV-1a: a stream of numbers for each name. */
static uint64_t stream_of(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

static float draw(const oci_init *init, oci_rng *rng)
{
    double deviation = init->value > 0 ? init->value : 0.02, x;
    switch (init->kind) {
    case OCI_INIT_UNIFORM:
        return (float)(init->value * (2.0 * oci_rng_uniform(rng) - 1.0));
    case OCI_INIT_FILL: return (float)init->value;
    case OCI_INIT_TRUNCATED:
        do x = deviation * oci_rng_normal(rng); while (fabs(x) > 2.0);
        return (float)x;
    default: return (float)(deviation * oci_rng_normal(rng));
    }
}

void oci_init_fill(const oci_init *init, uint64_t seed, const char *name, int64_t first,
                   int64_t rows, int64_t width, float *out)
{
    oci_rng rng;
    oci_rng_init(&rng, seed, stream_of(name));
    for (int64_t r = 0; r < rows; r++) {
        bool zero = init->zero_row && first + r == init->row;
        for (int64_t i = 0; i < width; i++) {
            float x = draw(init, &rng);
            *out++ = zero ? 0.0f : x;
        }
    }
}
