/* SentencePiece's U+2581: spaces become it, words begin with it, and back. */
#ifndef OCI_TEXT_METASPACE_H
#define OCI_TEXT_METASPACE_H

#include "text/pipeline.h"

typedef enum oci_prepend_scheme {
    OCI_PREPEND_ALWAYS,
    OCI_PREPEND_FIRST,
    OCI_PREPEND_NEVER
} oci_prepend_scheme;

typedef struct oci_metaspace {
    char block[4];              /* the replacement, U+2581 */
    size_t size;
    bool add_prefix_space;
    oci_prepend_scheme scheme;
} oci_metaspace;

extern const oci_pre_kind oci_metaspace_pre;
extern const oci_decoder_kind oci_metaspace_decoder;

/* As Transformers' converters make it. */
OC_NODISCARD void *oci_metaspace_create(oc_context *cx);

#endif
