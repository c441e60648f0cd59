/* A counter-based generator (Philox4x32-10; Salmon et al. 2011, "Parallel random numbers:
 * as easy as 1, 2, 3"): the n-th number of a stream is a function of seed, stream and n,
 * so results do not depend on threads, batches or machines. */
#ifndef OCI_BASE_RNG_H
#define OCI_BASE_RNG_H

#include <stdint.h>

typedef struct oci_rng {
    uint64_t seed, stream, counter;     /* counter: blocks of four taken so far */
    uint32_t block[4];
    int left;                           /* numbers of `block` not yet given out */
} oci_rng;

void oci_rng_init(oci_rng *rng, uint64_t seed, uint64_t stream);
uint32_t oci_rng_u32(oci_rng *rng);
float oci_rng_uniform(oci_rng *rng);    /* [0, 1), 24 bits */
float oci_rng_normal(oci_rng *rng);     /* mean 0, deviation 1; Box-Muller */

#endif
