/* Pre-tokenizers that cut a text where a pattern matches. */
#ifndef OCI_TEXT_SPLIT_H
#define OCI_TEXT_SPLIT_H

#include "text/pipeline.h"

extern const oci_pre_kind oci_split, oci_digits, oci_punctuation, oci_whitespace,
    oci_whitespace_split, oci_bert_pre;

#endif
