/* Checkpoints whose weights need no file: tools/goldens/seeded.py says which values they
 * have, and computes the same ones for the reference. */
#ifndef OCELLI_TESTS_SEEDED_H
#define OCELLI_TESTS_SEEDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"

enum { SKETCH_VECTORS = 8 };

/* The values of parameter `name`. */
void seeded_values(uint64_t seed, double gain, const char *name, int rank,
                   const int64_t *shape, float *out);
/* True if the folder of a case says {"seed": …, "gain": …} in weights.json, and has no
 * weights of its own. */
bool seeded_find(const char *folder, uint64_t *seed, double *gain);
/* Makes the checkpoint of such a case in the folder `to`: a model of its
 * config.json, filled and saved, and the case's other files. False: error set, if
 * the case's files are to blame. */
bool seeded_save(oc_context *cx, const char *folder, const char *to);
/* Into how many pieces a gradient of `n` numbers is cut, each of ceil(n / pieces). */
size_t seeded_pieces(size_t n);
/* Products of `n` numbers of the gradient of parameter `name`, of which x[0] is number
 * `first`, with its vectors of signs. */
void seeded_sketch(const char *name, const float *x, size_t first, size_t n,
                   double out[SKETCH_VECTORS]);

#endif
