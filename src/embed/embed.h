/* What the files of src/embed share of embedding. */
#ifndef OCI_EMBED_EMBED_H
#define OCI_EMBED_EMBED_H

#include "checkpoint/folder.h"
#include "models/vision_text_dual_encoder.h"

/* Numbers in the vector of a picture, or of a text; 0 (error set)
 * for a model that has none. */
int64_t oci_embed_width(oc_context *cx, const oc_model *model, bool pictures);

#endif
