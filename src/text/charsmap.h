/* SentencePiece's precompiled_charsmap: a double-array trie of byte strings (Yata et
 * al.'s Darts-clone) and the strings that replace them. */
#ifndef OCI_TEXT_CHARSMAP_H
#define OCI_TEXT_CHARSMAP_H

#include "text/pipeline.h"

extern const oci_normalizer_kind oci_precompiled;

/* From the blob as a SentencePiece model holds it; `where` is for messages. What it
 * returns is one block, for oci_free. */
OC_NODISCARD void *oci_charsmap_create(oc_context *cx, const void *blob, size_t size,
                                       const char *where);

#endif
