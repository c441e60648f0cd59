#include "text/unicode.h"

#include <stddef.h>

enum { CLASS_BITS = 11 };

/* Sorted; an entry holds from its code point up to that of the next one. */
static const uint32_t breakpoints[] = {
#include "text/unicode_table.inc"
};

unsigned oci_unicode_classes(uint32_t code)
{
    uint32_t wanted = code << CLASS_BITS | ((1u << CLASS_BITS) - 1);
    size_t low = 0, count = sizeof breakpoints / sizeof *breakpoints;
    while (count > 1) {                 /* breakpoints[low] <= wanted: the first is code 0 */
        size_t half = count / 2;
        if (breakpoints[low + half] <= wanted) low += half;
        count -= half;
    }
    return breakpoints[low] & ((1u << CLASS_BITS) - 1);
}
