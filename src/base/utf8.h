/* UTF-8 by the letter of Unicode 3.9 (table 3-7): no overlong forms, no surrogates. */
#ifndef OCI_BASE_UTF8_H
#define OCI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1..4) of the code point at p and its value in *code, or 0 if none
 * starts there. With n bytes left, n > 0. */
int oci_utf8_decode(const char *p, size_t n, uint32_t *code);
/* Writes 1..4 bytes; code must be a scalar value. */
int oci_utf8_encode(uint32_t code, char out[4]);
/* Length of the maximal ill-formed subpart at p (>= 1), which one U+FFFD replaces; *cut
 * is true when it could still become a code point if more bytes followed. */
size_t oci_utf8_bad_length(const char *p, size_t n, bool *cut);
bool oci_utf8_valid(const char *p, size_t n);

#endif
