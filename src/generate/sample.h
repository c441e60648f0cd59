/* Draws. Where torch has one stream of numbers for a whole batch, here each draw has
 * numbers of its own: Philox4x32-10 (base/rng.h) with
 *
 *     key      = seed
 *     stream   = picture << 32 | return       (words 2, 3 of the counter)
 *     counter  = step << 32, and up           (words 0, 1)
 *
 * so that a text depends on the seed, on its picture's number, on which of the picture's
 * returns it is (0 in beam search) and on nothing else: not on threads, not on the batch,
 * not on how long other texts are. */
#ifndef OCI_GENERATE_SAMPLE_H
#define OCI_GENERATE_SAMPLE_H

#include "base/context.h"
#include "base/rng.h"

oci_rng oci_draws_of(int64_t seed, int64_t picture, int64_t index, int64_t step);

/* `count` indices of p [n] without replacement, each drawn in proportion to what is
 * left; p is overwritten. One number of 53 bits a draw: the first index at which
 * the cumulative sum (in double, from index 0) passes that share of the total. Once
 * all that is left is 0, the lowest indices not yet drawn follow. OC_E_FAILED if p
 * has no sum to begin with. */
void oci_draw(oc_context *cx, oci_rng *rng, float *p, int64_t n, int64_t count,
              int64_t *drawn);

#endif
