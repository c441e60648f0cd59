/* What SentencePiece's tokenizers decode with: a Sequence of Replace, ByteFallback, Fuse
 * and Strip, in this order, each of which may be missing. */
#ifndef OCI_TEXT_FALLBACK_H
#define OCI_TEXT_FALLBACK_H

#include "text/pipeline.h"

extern const oci_decoder_kind oci_fallback_decoder, oci_replace_decoder,
    oci_byte_fallback_decoder, oci_fuse_decoder, oci_strip_decoder;

/* Llama's: U+2581 is a space, bytes, and without the text's first space. */
OC_NODISCARD void *oci_fallback_create(oc_context *cx);

#endif
