/* What document models write, as data. */
#ifndef OCI_GENERATE_DOCUMENT_H
#define OCI_GENERATE_DOCUMENT_H

#include "io/json.h"

/* Donut's tokens as a tree: an object, or a list of them; the caller's (json_decref). The
 * tokenizer, which may be NULL, says which tokens are added ones. */
OC_NODISCARD json_t *oci_document_tree(oc_context *cx, const char *text, size_t size,
                                       const oc_tokenizer *tokenizer);

#endif
