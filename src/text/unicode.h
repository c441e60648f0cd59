/* What the reference (tokenizers 0.15.2) takes each code point for. Its parts use Unicode
 * tables of different ages, so these are measured classes, not those of one Unicode version;
 * made by tools/unicode/make_tables.py. */
#ifndef OCI_TEXT_UNICODE_H
#define OCI_TEXT_UNICODE_H

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
    OCI_BERT_PUNCTUATION = 1 << 8,
    OCI_BERT_MARK = 1 << 9,
    OCI_UNORDERED_MARK = 1 << 10
};

/* The classes of a scalar value, or'ed. */
unsigned oci_unicode_classes(uint32_t code);

#endif
