#include "base/utf8.h"

/* What may follow lead byte b: how many bytes, and the range of the first of them
 * (Unicode 15, table 3-7). */
static int lead(unsigned char b, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (b < 0x80) return 0;
    if (b < 0xc2) return -1;
    if (b < 0xe0) return 1;
    if (b < 0xf0) {
        if (b == 0xe0) *low = 0xa0;
        if (b == 0xed) *high = 0x9f;
        return 2;
    }
    if (b == 0xf0) *low = 0x90;
    if (b == 0xf4) *high = 0x8f;
    return b < 0xf5 ? 3 : -1;
}

/* Well-formed bytes after the lead, at most `more` of them. */
static int followers(const unsigned char *p, size_t n, int more, unsigned char low,
                     unsigned char high)
{
    int i = 0;
    while (i < more && (size_t)i + 1 < n && p[i + 1] >= low && p[i + 1] <= high) {
        low = 0x80;
        high = 0xbf;
        i++;
    }
    return i;
}

int oci_utf8_decode(const char *text, size_t n, uint32_t *code)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low, high;
    int more = lead(p[0], &low, &high);
    if (more < 0 || followers(p, n, more, low, high) < more) return 0;
    static const unsigned char mask[] = { 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t c = p[0] & mask[more];
    for (int i = 1; i <= more; i++) c = c << 6 | (p[i] & 0x3f);
    *code = c;
    return more + 1;
}

int oci_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead_bits[] = { 0, 0xc0, 0xe0, 0xf0 };
    for (int i = more; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(lead_bits[more] | c);
    return more + 1;
}

size_t oci_utf8_bad_length(const char *text, size_t n, bool *cut)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low, high;
    int more = lead(p[0], &low, &high);
    *cut = false;
    if (more <= 0) return 1;
    size_t good = (size_t)followers(p, n, more, low, high);
    *cut = good < (size_t)more && good + 1 == n;
    return good + 1;
}

bool oci_utf8_valid(const char *p, size_t n)
{
    uint32_t code;
    while (n > 0) {
        int k = oci_utf8_decode(p, n, &code);
        if (k == 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}
