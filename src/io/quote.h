/* Names from files inside messages: cut to a readable length, and with bytes that could
 * steer a terminal or break a log line replaced by '?'. */
#ifndef OCI_IO_QUOTE_H
#define OCI_IO_QUOTE_H

#include <stddef.h>

typedef struct oci_quoted {
    char text[100];
} oci_quoted;

/* Fills *quoted and returns its text. Usual call: oci_quote(&(oci_quoted){ 0 }, name),
 * which lives as long as the enclosing block. `text` may be NULL ("nothing"). */
static inline const char *oci_quote(oci_quoted *quoted, const char *text)
{
    const size_t room = sizeof quoted->text - 4;        /* "..." and NUL */
    size_t n = 0;
    if (!text) text = "nothing";
    for (; text[n] && n < room; n++) {
        unsigned char c = (unsigned char)text[n];
        quoted->text[n] = c < 0x20 || c == 0x7f ? '?' : text[n];
    }
    if (text[n]) {
        /* Cut in front of a code point, never inside one. */
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        for (int i = 0; i < 3; i++) quoted->text[n++] = '.';
    }
    quoted->text[n] = '\0';
    return quoted->text;
}

#endif
