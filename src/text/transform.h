/* Writes a text that replaces another, code point by code point, and keeps track of where
 * each came from the way tokenizers' NormalizedString::transform does: every code point
 * comes with a change, and the origins follow from the changes alone. */
#ifndef OCI_TEXT_TRANSFORM_H
#define OCI_TEXT_TRANSFORM_H

#include "text/pipeline.h"

typedef struct oci_transform {
    oc_context *cx;
    const oci_segment *from;
    oci_text *to;
    size_t at;                  /* bytes of `from` that are accounted for */
} oci_transform;

/* The next code point: it replaces one code point of the old text (change 0), replaces
 * one and makes -change after it vanish, or is new (1) and belongs where the last one
 * did. */
bool oci_transform_put(oci_transform *t, uint32_t code, int64_t change);
/* Leaves out `count` code points, or copies bytes up to `end` as they are. */
void oci_transform_skip(oci_transform *t, int64_t count);
bool oci_transform_copy(oci_transform *t, size_t end);

#endif
