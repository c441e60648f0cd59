/* Pre-tokenizers that cut a text where a pattern matches. */
#ifndef OCI_TEXT_SPLIT_H
#define OCI_TEXT_SPLIT_H

#include "text/pipeline.h"

extern const oci_pre_kind oci_split, oci_digits, oci_punctuation, oci_whitespace,
    oci_whitespace_split, oci_bert_pre;

/* The Split of CLIP's converter: only what its pattern matches is left. */
OC_NODISCARD void *oci_split_clip(oci_loader *in);

#endif
