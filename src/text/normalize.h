/* Normalizers other than the Unicode forms and the charsmap. */
#ifndef OCI_TEXT_NORMALIZE_H
#define OCI_TEXT_NORMALIZE_H

#include "text/pipeline.h"

typedef struct oci_bert_normalizer {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
} oci_bert_normalizer;

typedef struct oci_strip {
    bool left, right;
} oci_strip;

extern const oci_normalizer_kind oci_bert_normalizer_kind, oci_strip_kind,
    oci_strip_accents, oci_lowercase, oci_prepend, oci_replace, oci_nmt;

/* " {2,}" → "▁", as Transformers' converters of SentencePiece models have it. */
OC_NODISCARD void *oci_replace_spaces(oc_context *cx);
/* " " → `text`, and `text` before all, as Llama's have them. */
OC_NODISCARD void *oci_replace_space(oc_context *cx, const char *text);
OC_NODISCARD void *oci_prepend_create(oc_context *cx, const char *text);
/* \s+ → " ", as CLIP's has it. */
OC_NODISCARD void *oci_replace_blanks(oc_context *cx);

#endif
