#include "text/bytelevel.h"

#include <string.h>

#include "base/utf8.h"
#include "text/loader.h"
#include "text/unicode.h"

/* ---- bytes and their characters ---------------------------------------------------- */

/* Bytes that have to be renamed: 0..32, 127..160, 173. */
static bool is_printable(uint32_t byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
}

uint32_t oci_bytelevel_char(uint8_t byte)
{
    if (is_printable(byte)) return byte;
    if (byte <= 32) return 256u + byte;
    return byte == 173 ? 256u + 67 : 256u + 33 + byte - 127u;
}

/* The inverse; -1 for a character that stands for no byte. */
static int byte_of(uint32_t c)
{
    if (c < 256) return is_printable(c) ? (int)c : -1;
    c -= 256;
    if (c <= 32) return (int)c;
    if (c <= 66) return (int)(c - 33 + 127);
    return c == 67 ? 173 : -1;
}

/* A token with any other character in it (an added one) stands for its own bytes. */
static oc_status decode_token(oc_context *cx, const void *self, const char *token,
                              size_t size, oci_decoding *decoding, oci_bytes *out)
{
    char bytes[256];
    size_t before = out->size, n = 0;
    (void)self;
    (void)decoding;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        int k = oci_utf8_decode(token + at, size - at, &code);
        int byte = k ? byte_of(code) : -1;
        if (byte < 0) {
            out->size = before;
            return oci_bytes_append(cx, out, token, size);
        }
        bytes[n++] = (char)byte;
        at += (size_t)k;
        if (n < sizeof bytes && at < size) continue;
        if (oci_bytes_append(cx, out, bytes, n) != OC_OK) return cx->status;
        n = 0;
    }
    return cx->status;
}

/* ---- words ------------------------------------------------------------------------- */

enum { CLASS_MASK = OCI_LETTER | OCI_NUMBER | OCI_SPACE };

/* Class of the code point at p (0: none of the three), and its length. */
static unsigned class_at(const char *p, size_t n, size_t *length)
{
    unsigned char c = (unsigned char)*p;
    *length = 1;
    if (c < 0x80) {
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return OCI_LETTER;
        if (c >= '0' && c <= '9') return OCI_NUMBER;
        return c == ' ' || (c >= 9 && c <= 13) ? OCI_SPACE : 0;
    }
    uint32_t code = 0;
    *length = (size_t)oci_utf8_decode(p, n, &code);
    return oci_unicode_classes(code) & CLASS_MASK;
}

/* The end of the run of `class` from `at` on; *last: where its last code point begins. */
static size_t run_end(const char *text, size_t size, size_t at, unsigned class,
                      size_t *last)
{
    size_t length;
    while (at < size && class_at(text + at, size - at, &length) == class) {
        *last = at;
        at += length;
    }
    return at;
}

size_t oci_bytelevel_contraction(const char *p, size_t n)
{
    if (n < 2 || p[0] != '\'') return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return 2;
    if (n < 3) return 0;
    bool two = (p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') ||
               (p[1] == 'l' && p[2] == 'l');
    return two ? 3 : 0;
}

size_t oci_bytelevel_word(const char *text, size_t size, size_t at, bool prefixed)
{
    size_t length, last = at, from = at;
    if (!prefixed) {
        size_t n = oci_bytelevel_contraction(text + at, size - at);
        if (n) return n;
        if (text[at] == ' ' && at + 1 < size) from = at + 1;
    }
    unsigned class = class_at(text + from, size - from, &length);
    /* One space joins the letters, numbers or signs that follow it. */
    if (class != OCI_SPACE) return run_end(text, size, from, class, &last) - at;
    /* After an invented space the text never begins with U+0020, but it may with another
     * white space: the run then is that space and the white space after it. */
    size_t end = run_end(text, size, at, OCI_SPACE, &last);
    if (end == size) return end - at;
    /* \s+(?!\S) gives the last one back, if anything is left then. */
    if (last > at || prefixed) return last - at;
    return end - at;
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    oci_bytelevel *b = oci_calloc(in->cx, 1, sizeof *b);
    if (!b) return NULL;
    b->add_prefix_space = oci_json_bool(in->cx, &in->json, object,
                                        oci_field(in, field, "add_prefix_space"), true);
    b->use_regex = oci_json_bool(in->cx, &in->json, object,
                                 oci_field(in, field, "use_regex"), true);
    /* trim_offsets is read, for its type; only a post-processor trims. */
    oci_json_bool(in->cx, &in->json, object, oci_field(in, field, "trim_offsets"), true);
    if (!oci_failed(in->cx)) return b;
    oci_free(b);
    return NULL;
}

static bool run(oci_work *work, const void *self, const oci_segment *segment, int next)
{
    const oci_bytelevel *b = self;
    const char *text = segment->text;
    bool prefixed = segment->prefixed || (b->add_prefix_space && text[0] != ' ');
    oci_segment word = *segment;
    word.prefixed = prefixed;
    if (!b->use_regex) return oci_pre_tokenize(work, next, &word);
    size_t at = 0;
    while (at < segment->size) {
        size_t n = oci_bytelevel_word(text, segment->size, at, prefixed);
        word = oci_part(segment, at, at + n);
        word.prefixed = prefixed;
        if (!oci_pre_tokenize(work, next, &word)) return false;
        at += n;
        prefixed = false;
    }
    return true;
}

const oci_pre_kind oci_bytelevel_pre = { "ByteLevel", load, run };
const oci_decoder_kind oci_bytelevel_decoder = { "ByteLevel", load, decode_token,
                                                 NULL };
