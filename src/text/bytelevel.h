/* Byte-level pieces of GPT-2 (Radford et al. 2019): every byte has a printable character
 * that stands for it in the vocabulary, and a fixed pattern cuts the text into words. */
#ifndef OCI_TEXT_BYTELEVEL_H
#define OCI_TEXT_BYTELEVEL_H

#include "text/pipeline.h"

typedef struct oci_bytelevel {
    bool add_prefix_space, use_regex;
} oci_bytelevel;

/* The character of a byte: itself where it is printable Latin-1, else 256, 257, … in
 * order. */
uint32_t oci_bytelevel_char(uint8_t byte);

extern const oci_pre_kind oci_bytelevel_pre;
extern const oci_decoder_kind oci_bytelevel_decoder;

/* Bytes of the contraction ('s 't 're 've 'm 'll 'd) at p, or 0. */
size_t oci_bytelevel_contraction(const char *p, size_t n);

/* Bytes of the word at text[at], at < size, by the pattern
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * `prefixed`: a space that is not in the text stands before text[0], and at is 0. */
size_t oci_bytelevel_word(const char *text, size_t size, size_t at, bool prefixed);

#endif
