#include "text/transform.h"

/* The start of the code point after the one at `at`; the end of the text is its own. */
static size_t after(const oci_segment *s, size_t at)
{
    if (at < s->size) at++;
    while (at < s->size && ((unsigned char)s->text[at] & 0xc0) == 0x80) at++;
    return at;
}

void oci_transform_skip(oci_transform *t, int64_t count)
{
    while (count-- > 0 && t->at < t->from->size) t->at = after(t->from, t->at);
}

bool oci_transform_put(oci_transform *t, uint32_t code, int64_t change)
{
    /* A charsmap that loses the first code point of a text makes the reference count past
     * the end, or before the beginning; it does not go on from there, and we stay
     * inside. */
    size_t place = t->at;
    if (change > 0 && place > 0) place--;
    if (place >= t->from->size) place = t->from->size - 1;
    if (!oci_text_reserve(t->cx, t->to, 4)) return false;
    oci_text_put(t->to, code, oci_origin(t->from, place));
    if (change <= 0) oci_transform_skip(t, 1 - change);
    return true;
}

bool oci_transform_copy(oci_transform *t, size_t end)
{
    size_t begin = t->at;
    t->at = end;
    return oci_text_copy(t->cx, t->to, t->from, begin, end);
}
