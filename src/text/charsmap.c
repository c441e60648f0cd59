#include "text/charsmap.h"

#include <string.h>

#include "base/size.h"
#include "text/loader.h"
#include "text/transform.h"
#include "text/unicode.h"

/* One block: this, the units, the strings. */
typedef struct charsmap {
    const uint32_t *units;
    size_t unit_count;
    const char *strings;        /* each ends with a NUL; checked to be UTF-8 */
    size_t strings_size;
    bool changes[128];          /* ASCII characters that are replaced */
} charsmap;

/* A longer cluster is looked up code point by code point. */
enum { MAX_CLUSTER = 5 };

/* ---- the trie ---------------------------------------------------------------------- */

/* A unit holds a label in its low byte, a leaf bit, and the distance to its children. */
static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* The replacement of the shortest string of the trie that the text begins with; NULL:
 * none. The units may say anything: every place is checked before it is read. */
static const char *find(const charsmap *map, const char *text, size_t size,
                        size_t *length)
{
    if (map->unit_count == 0) return NULL;
    size_t node = offset_of(map->units[0]);
    for (size_t i = 0; i < size && text[i]; i++) {
        unsigned char byte = (unsigned char)text[i];
        node ^= byte;
        if (node >= map->unit_count) return NULL;
        uint32_t unit = map->units[node];
        if ((unit & (1u << 31 | 0xff)) != byte) return NULL;
        node ^= offset_of(unit);
        if (!(unit >> 8 & 1)) continue;
        if (node >= map->unit_count) return NULL;
        size_t at = map->units[node] & ~(1u << 31);
        /* Not in the middle of a code point, or what we write would not be UTF-8. */
        if (at >= map->strings_size || ((unsigned char)map->strings[at] & 0xc0) == 0x80)
            return NULL;
        *length = strlen(map->strings + at);
        return map->strings + at;
    }
    return NULL;
}

/* ---- loading ----------------------------------------------------------------------- */

static uint32_t read_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void *oci_charsmap_create(oc_context *cx, const void *blob, size_t size,
                          const char *where)
{
    const unsigned char *bytes = blob;
    size_t trie = size >= 4 ? read_u32(bytes) / 4 * 4 : 0, all;
    if (size < 4 || trie > size - 4) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: precompiled_charsmap: expected %zu bytes of a trie, "
                 "found %zu in all",
                 where, trie, size);
        return NULL;
    }
    size_t strings = size - 4 - trie;
    if (!oci_utf8_valid((const char *)bytes + 4 + trie, strings)) {
        oci_fail(cx, OC_E_MALFORMED, "%s: precompiled_charsmap: expected UTF-8", where);
        return NULL;
    }
    if (!oci_add(sizeof(charsmap) + 1, size, &all)) return NULL;
    charsmap *map = oci_calloc(cx, 1, all);
    if (!map) return NULL;
    uint32_t *units = (uint32_t *)(map + 1);
    for (size_t i = 0; i < trie / 4; i++) units[i] = read_u32(bytes + 4 + 4 * i);
    char *texts = (char *)(units + trie / 4);
    if (strings)
        memcpy(texts, bytes + 4 + trie, strings); /* calloc put a NUL behind them */
    map->units = units;
    map->unit_count = trie / 4;
    map->strings = texts;
    map->strings_size = strings;
    for (int c = 1; c < 128; c++) {
        char text = (char)c;
        size_t length;
        map->changes[c] = find(map, &text, 1, &length);
    }
    return map;
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 with its padding (RFC 4648, section 4); false if it is something else. */
static bool decode_base64(const char *text, size_t size, unsigned char *out,
                          size_t *count)
{
    size_t pad = 0;
    *count = 0;
    if (size % 4) return false;
    while (pad < 2 && pad < size && text[size - 1 - pad] == '=') pad++;
    for (size_t i = 0; i < size; i += 4) {
        uint32_t four = 0;
        for (size_t k = 0; k < 4; k++) {
            int digit = i + k < size - pad ? digit_of(text[i + k]) : 0;
            if (digit < 0) return false;
            four = four << 6 | (uint32_t)digit;
        }
        for (int k = 2; k >= 0; k--) out[(*count)++] = (unsigned char)(four >> 8 * k);
    }
    *count -= pad;
    return true;
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    const char *text = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "precompiled_charsmap"), NULL);
    if (!text) {
        oci_json_expected(in->cx, &in->json, in->field, "base64", NULL);
        return NULL;
    }
    size_t size = strlen(text), count;
    unsigned char *blob = oci_alloc(in->cx, size / 4 * 3 + 3);
    void *map = NULL;
    if (blob && decode_base64(text, size, blob, &count))
        map = oci_charsmap_create(in->cx, blob, count, in->json.name);
    else if (blob)
        oci_fail(in->cx, OC_E_MALFORMED, "%s: %s: expected base64", in->json.name,
                 in->field);
    oci_free(blob);
    return map;
}

/* ---- normalizing ------------------------------------------------------------------- */

/* A text on its way. The last code point waits: what vanishes after it changes it. */
typedef struct writer {
    oci_transform to;
    bool waiting, modified;
    uint32_t code;
    int64_t change;
} writer;

static bool release(writer *w)
{
    if (!w->waiting) return true;
    w->waiting = false;
    return oci_transform_put(&w->to, w->code, w->change);
}

static bool put(writer *w, uint32_t code, int64_t change)
{
    if (!release(w)) return false;
    w->waiting = true;
    w->code = code;
    w->change = change;
    return true;
}

static int64_t count_codes(const char *text, size_t size)
{
    int64_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* `old` code points become the string. As in the reference what vanishes at the very
 * start of a text is not made up for: the origins after it are one early. */
static bool replace(writer *w, int64_t old, const char *text, size_t size)
{
    int64_t count = count_codes(text, size), done = 0;
    w->modified = true;
    for (size_t at = 0; at < size; done++) {
        uint32_t code = 0;
        at += (size_t)oci_utf8_decode(text + at, size - at, &code);
        if (!put(w, code, done >= old)) return false;
    }
    if (count < old && w->waiting) w->change += count - old;
    return true;
}

/* One code point, alone. */
static bool write_one(writer *w, const charsmap *map, const char *text, size_t size)
{
    size_t length;
    const char *string = find(map, text, size, &length);
    if (string) return replace(w, 1, string, length);
    uint32_t code = 0;
    oci_utf8_decode(text, size, &code);
    return put(w, code, 0);
}

static bool write_cluster(writer *w, const charsmap *map, const char *text, size_t size)
{
    size_t length;
    const char *string = size <= MAX_CLUSTER ? find(map, text, size, &length) : NULL;
    if (string) return replace(w, count_codes(text, size), string, length);
    for (size_t at = 0; at < size; at += length) {
        unsigned classes;
        oci_unicode_next(text + at, size - at, &length, &classes);
        if (!write_one(w, map, text + at, length)) return false;
    }
    return true;
}

/* ASCII that stays as it is, from `at` on. One before something else may be part of a
 * cluster. */
static size_t plain_end(const charsmap *map, const char *text, size_t size, size_t at)
{
    while (at < size && (unsigned char)text[at] < 0x80 && !map->changes[(int)text[at]] &&
           text[at] != '\r' && (at + 1 == size || (unsigned char)text[at + 1] < 0x80))
        at++;
    return at;
}

/* All but the last character of plain text are copied in one go, unless origins have run
 * apart (see replace). */
static bool write_plain(writer *w, const char *text, size_t at, size_t end)
{
    if (!release(w)) return false;
    if (w->to.at == at && end - at > 1) {
        if (!oci_transform_copy(&w->to, end - 1)) return false;
        at = end - 1;
    }
    while (at < end)
        if (!put(w, (unsigned char)text[at++], 0)) return false;
    return true;
}

static oci_outcome run(oc_context *cx, const void *self, oci_segment *segment,
                       oci_text *out)
{
    const charsmap *map = self;
    writer w = { .to = { cx, segment, out, 0 } };
    const char *text = segment->text;
    for (size_t at = 0; at < segment->size;) {
        size_t end = plain_end(map, text, segment->size, at);
        if (end > at) {
            if (!write_plain(&w, text, at, end)) return OCI_FAILED;
        } else {
            end = at + oci_unicode_cluster(text + at, segment->size - at);
            if (!write_cluster(&w, map, text + at, end - at)) return OCI_FAILED;
        }
        at = end;
    }
    if (!release(&w)) return OCI_FAILED;
    return w.modified ? OCI_WRITTEN : OCI_KEPT;
}

const oci_normalizer_kind oci_precompiled = { "Precompiled", load, run };
