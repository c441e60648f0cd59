/* What the reference (tokenizers 0.15.2) takes each code point for. Its parts use Unicode
 * tables of different ages, so these are measured classes, not those of one Unicode
 * version; made by tools/unicode/make_tables.py. */
#ifndef OCI_TEXT_UNICODE_H
#define OCI_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OCI_LETTER = 1 << 0,            /* \p{L}, \p{N}, \s of the pre-tokenizers' patterns */
    OCI_NUMBER = 1 << 1,
    OCI_SPACE = 1 << 2,
    OCI_WHITE = 1 << 3,             /* White_Space: what lstrip and trim_offsets eat */
    OCI_WORD = 1 << 4,              /* \w: what single_word may not touch */
    OCI_BERT_REMOVED = 1 << 5,
    OCI_BERT_SPACE = 1 << 6,
    OCI_BERT_CJK = 1 << 7,
    OCI_PUNCTUATION = 1 << 8,
    OCI_BERT_MARK = 1 << 9,         /* what BERT drops as an accent */
    OCI_INERT = 1 << 10,            /* no decomposition and no combining class, whatever a
                                       newer Unicode says */
    OCI_MARK = 1 << 11,             /* what StripAccents drops */
    OCI_NUMERIC = 1 << 12           /* what Digits splits at */
};

/* Grapheme_Cluster_Break (Unicode annex 29), in bits 24 to 27 of the classes. */
typedef enum oci_break {
    OCI_BREAK_OTHER, OCI_BREAK_CONTROL, OCI_BREAK_CR, OCI_BREAK_LF, OCI_BREAK_EXTEND,
    OCI_BREAK_ZWJ, OCI_BREAK_SPACING, OCI_BREAK_PREPEND, OCI_BREAK_PICTOGRAPH,
    OCI_BREAK_REGIONAL, OCI_BREAK_L, OCI_BREAK_V, OCI_BREAK_T, OCI_BREAK_LV, OCI_BREAK_LVT
} oci_break;

/* The classes of a scalar value, or'ed. */
unsigned oci_unicode_classes(uint32_t code);
/* The code point at p, and its classes; UTF-8, checked before. */
uint32_t oci_unicode_next(const char *p, size_t n, size_t *length, unsigned *classes);
/* char::to_lowercase: one or two code points, as many as it returns. */
int oci_unicode_lower(uint32_t code, uint32_t lower[2]);
/* Bytes of the extended grapheme cluster at text[0]; size > 0. */
size_t oci_unicode_cluster(const char *text, size_t size);

#endif
