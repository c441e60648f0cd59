/* What Replace and Split look for. A literal text, or one of the regular expressions that
 * published tokenizers have, each a scanner of its own: none can take more than linear
 * time, and any other expression is OC_E_UNSUPPORTED by name. */
#ifndef OCI_TEXT_PATTERN_H
#define OCI_TEXT_PATTERN_H

#include "text/pipeline.h"

enum { OCI_MAX_LITERAL = 64 };

typedef enum oci_pattern_kind {
    OCI_PATTERN_LITERAL,
    OCI_PATTERN_CLASS,  /* one code point of `classes` */
    OCI_PATTERN_SPACES,         /* " {2,}" */
    OCI_PATTERN_BLANKS,         /* \s+ */
    OCI_PATTERN_WORDS,  /* \w+|[^\w\s]+ */
    OCI_PATTERN_CLIP,   /* 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ */
    OCI_PATTERN_MARKS   /* Galactica's and Nougat's: a bracket, or a row of one ASCII
                           punctuation character */
} oci_pattern_kind;

typedef struct oci_pattern {
    oci_pattern_kind kind;
    unsigned classes;
    uint32_t size;
    char text[OCI_MAX_LITERAL]; /* [size], if literal */
} oci_pattern;

/* From the member "pattern" of a part: {"String": …} or {"Regex": …}. */
bool oci_pattern_load(oci_loader *in, const json_t *object, const char *field,
                      oci_pattern *pattern);
/* The first match at or after `from`, which is where the last one ended; no match is
 * empty. */
bool oci_pattern_find(const oci_pattern *pattern, const char *text, size_t size,
                      size_t from, size_t *begin, size_t *end);

#endif
