/* Which parameters a cast is for, by their names: Flax' trees of true and false as a
 * list of patterns. */
#ifndef OCI_BASE_MASK_H
#define OCI_BASE_MASK_H

#include <stdbool.h>

/* "*.weight,!*LayerNorm*": patterns with commas between them, * and ? as in a shell.
 * Of those that match the last one decides, and one behind '!' takes the name out; a
 * list that begins with such a one begins with all. NULL: all. */
bool oci_mask_selects(const char *mask, const char *name);

#endif
