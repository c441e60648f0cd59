/* Logits warpers: what 4.37.2 does to the scores of a step before it draws from them, in
 * its order (spec: generation §3). One row at a time. */
#ifndef OCI_GENERATE_WARPERS_H
#define OCI_GENERATE_WARPERS_H

#include "generate/config.h"

/* How many ids a warper leaves at least: with beams one more than can end them. */
int64_t oci_warpers_keep(const oci_generation_config *g);
/* Changes scores [vocab] in place; what is taken away becomes -infinity. Scratch comes
 * from the context's arena and is given back. */
void oci_warp_logits(oc_context *cx, const oci_generation_config *g, int64_t keep,
                     float *scores, int64_t vocab);

#endif
