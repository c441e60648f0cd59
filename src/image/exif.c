/* The one EXIF tag that matters here, 0x0112 Orientation, found as Pillow's getexif
 * finds it. EXIF data is a small TIFF file: byte order, magic, offset of the first
 * directory, and there 12-byte entries of tag, type, count, value (TIFF 6.0, section
 * 2). All of it is hostile, so every read is checked against the end; nothing is
 * followed but the first directory. */
#include <string.h>

#include "base/alloc.h"
#include "image/decoder.h"

enum { TAG_ORIENTATION = 0x0112 };
enum { TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_SIGNED_SHORT = 8, TYPE_SIGNED_LONG = 9 };

/* Borrowed bytes; offsets in them count from the byte-order mark. */
typedef struct tiff {
    const unsigned char *data;
    size_t size;
    bool big_endian;
} tiff;

/* The unsigned number of n bytes at `at`, which the caller has checked to be inside. */
static uint32_t read_number(const tiff *t, size_t at, int n)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | t->data[at + (size_t)(t->big_endian ? i : n - 1 - i)];
    return value;
}

/* Bytes of a value of each TIFF type; 0: no such type. */
static const unsigned char type_sizes[17] = { 0, 1, 1, 2, 4, 8, 1, 1, 2,
                                              4, 8, 4, 8, 4, 0, 0, 8 };

/* False when the value of the 12-byte entry at `at` lies elsewhere and not inside the
 * data; there Pillow stops reading. */
static bool value_is_inside(const tiff *t, size_t at)
{
    uint32_t type = read_number(t, at + 2, 2);
    uint64_t unit = type < sizeof type_sizes ? type_sizes[type] : 0;
    uint64_t size = unit * read_number(t, at + 4, 4);
    return size <= 4 || read_number(t, at + 8, 4) + size <= t->size;
}

/* The orientation in the 12-byte entry at `at`. What Pillow finds no turn for is 1. */
static int entry_orientation(const tiff *t, size_t at)
{
    uint32_t type = read_number(t, at + 2, 2), count = read_number(t, at + 4, 4);
    bool is_short = type == TYPE_SHORT || type == TYPE_SIGNED_SHORT;
    bool is_long = type == TYPE_LONG || type == TYPE_SIGNED_LONG;
    if (count != 1 || (!is_short && !is_long)) return 1;
    uint32_t value = read_number(t, at + 8, is_short ? 2 : 4);
    return value >= 1 && value <= 8 ? (int)value : 1;
}

int oci_exif_orientation(const unsigned char *data, size_t size)
{
    if (size >= 6 && !memcmp(data, "Exif\0", 6)) {
        data += 6;
        size -= 6;
    }
    tiff t = { .data = data, .size = size };
    if (size < 8) return 0;
    t.big_endian = data[0] == 'M';
    if (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0) return 0;
    size_t at = read_number(&t, 4, 4);
    if (at > size || size - at < 2) return 0;
    uint32_t entries = read_number(&t, at, 2);
    int orientation = 0;
    /* The last entry of a tag wins; entries that are cut off end the search. */
    for (at += 2; entries > 0 && size - at >= 12; entries--, at += 12) {
        if (!value_is_inside(&t, at)) break;
        if (read_number(&t, at, 2) == TAG_ORIENTATION)
            orientation = entry_orientation(&t, at);
    }
    return orientation;
}

/* ASCII only, whatever the locale says; -1 for anything that is no digit. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int oci_exif_profile_orientation(oc_context *cx, const char *text, size_t size)
{
    const char *end = text + size;
    for (int line = 0; line < 3; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (!newline) return 0;
        text = newline + 1;
    }
    /* Two digits a byte, and one more for an odd one at the end. */
    unsigned char *bytes = oci_alloc(cx, (size_t)(end - text) / 2 + 1);
    if (!bytes) return 0;
    size_t digits = 0;
    for (; text < end; text++) {
        int digit = hex_digit(*text);
        if (digit < 0) continue;            /* line breaks, as written every 72 digits */
        unsigned char high = digits % 2 ? bytes[digits / 2] : 0;
        bytes[digits / 2] = (unsigned char)(high << 4 | digit);
        digits++;
    }
    int orientation = oci_exif_orientation(bytes, digits / 2);
    oci_free(bytes);
    return orientation;
}

int oci_xmp_orientation(const char *text, size_t size)
{
    static const char key[] = "tiff:Orientation";
    const size_t length = sizeof key - 1;
    const char *end = text + size;
    /* Pillow's pattern: tiff:Orientation(="|>)([0-9]) */
    /* A match needs the key, the mark and a digit, so no look runs past the end. */
    while ((size_t)(end - text) > length + 2) {
        text = memchr(text, 't', (size_t)(end - text) - length - 2);
        if (!text) return 0;
        const char *after = text + length;
        if (!memcmp(text, key, length)) {
            size_t mark = *after == '>' ? 1 : !memcmp(after, "=\"", 2) ? 2 : 0;
            if (mark && after[mark] >= '0' && after[mark] <= '9')
                return after[mark] >= '1' && after[mark] <= '8' ? after[mark] - '0' : 0;
        }
        text++;
    }
    return 0;
}
