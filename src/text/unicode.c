#include "text/unicode.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/unicode_table.inc"

enum { PLACE_BITS = 11, BREAK_SHIFT = 24 };

unsigned oci_unicode_classes(uint32_t code)
{
    if (code < sizeof ascii_sets / sizeof *ascii_sets) return ascii_sets[code];
    uint32_t wanted = code << PLACE_BITS | ((1u << PLACE_BITS) - 1);
    size_t low = 0, count = sizeof breakpoints / sizeof *breakpoints;
    while (count > 1) { /* breakpoints[low] <= wanted: the first is code 0 */
        size_t half = count / 2;
        if (breakpoints[low + half] <= wanted) low += half;
        count -= half;
    }
    return sets[breakpoints[low] & ((1u << PLACE_BITS) - 1)];
}

uint32_t oci_unicode_next(const char *p, size_t n, size_t *length, unsigned *classes)
{
    uint32_t code = (unsigned char)*p;
    *length = 1;
    if (code >= 0x80) *length = (size_t)oci_utf8_decode(p, n, &code);
    *classes = oci_unicode_classes(code);
    return code;
}

int oci_unicode_lower(uint32_t code, uint32_t lower[2])
{
    lower[0] = code;
    if (code < 0x80) {
        if (code >= 'A' && code <= 'Z') lower[0] = code + ('a' - 'A');
        return 1;
    }
    if (code == 0x130) { /* the only one that becomes two, in any Unicode */
        lower[0] = 'i';
        lower[1] = 0x307;
        return 2;
    }
    if (!(oci_unicode_classes(code) & OCI_INERT))
        lower[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    return 1;
}

/* ---- grapheme clusters ------------------------------------------------------------- */

static oci_break break_at(const char *p, size_t n, size_t *length)
{
    unsigned classes;
    uint32_t code = oci_unicode_next(p, n, length, &classes);
    oci_break b = (oci_break)(classes >> BREAK_SHIFT);
    /* Every 28th syllable has no final consonant. */
    if (b == OCI_BREAK_LVT && (code - 0xac00) % 28 == 0) return OCI_BREAK_LV;
    return b;
}

/* Rules GB3 to GB9b, between neighbours; those that look further back are the
 * caller's. */
static bool joins(oci_break left, oci_break right)
{
    if (left == OCI_BREAK_CR) return right == OCI_BREAK_LF;
    if (left == OCI_BREAK_CONTROL || left == OCI_BREAK_LF) return false;
    switch (right) {
    case OCI_BREAK_CONTROL: case OCI_BREAK_CR: case OCI_BREAK_LF: return false;
    case OCI_BREAK_EXTEND: case OCI_BREAK_ZWJ: case OCI_BREAK_SPACING: return true;
    case OCI_BREAK_L: case OCI_BREAK_LV: case OCI_BREAK_LVT:
        if (left == OCI_BREAK_L) return true;
        break;
    case OCI_BREAK_V:
        if (left == OCI_BREAK_L || left == OCI_BREAK_V || left == OCI_BREAK_LV)
            return true;
        break;
    case OCI_BREAK_T:
        if (left == OCI_BREAK_V || left == OCI_BREAK_T || left == OCI_BREAK_LV ||
            left == OCI_BREAK_LVT)
            return true;
        break;
    default: break;
    }
    return left == OCI_BREAK_PREPEND;
}

size_t oci_unicode_cluster(const char *text, size_t size)
{
    size_t length, at;
    oci_break left = break_at(text, size, &at);
    /* GB11: a pictograph, extenders and a ZWJ have been seen; GB12: an odd number of
     * flags' letters has. */
    bool pictograph = left == OCI_BREAK_PICTOGRAPH, linked = false;
    bool odd = left == OCI_BREAK_REGIONAL;
    while (at < size) {
        oci_break right = break_at(text + at, size - at, &length);
        bool flag = odd && right == OCI_BREAK_REGIONAL;
        if (!joins(left, right) && !flag && !(linked && right == OCI_BREAK_PICTOGRAPH))
            break;
        linked = pictograph && right == OCI_BREAK_ZWJ;
        pictograph = right == OCI_BREAK_PICTOGRAPH ||
                     (pictograph && right == OCI_BREAK_EXTEND);
        odd = right == OCI_BREAK_REGIONAL && !flag;
        left = right;
        at += length;
    }
    return at;
}
