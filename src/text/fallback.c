#include "text/fallback.h"

#include <string.h>

#include "text/loader.h"
#include "text/pattern.h"

/* The reference runs every part over all tokens before the next one; we run all of them
 * over one token. What ByteFallback holds back, a run of bytes that goes on, is all that
 * one token has to know of the next. */

enum { MAX_CONTENT = 64, MAX_STRIP = 1024 };

typedef enum step { REPLACE, BYTES, FUSE, STRIP, STEPS } step;

typedef struct fallback {
    bool has[STEPS];
    oci_pattern pattern;            /* REPLACE */
    size_t content_size;
    char content[MAX_CONTENT];
    size_t strip_size;              /* STRIP: one character … */
    char strip[4];
    uint32_t strip_count;           /* … so often at most, at the start */
} fallback;

/* ---- loading ----------------------------------------------------------------------- */

static bool refuse(oci_loader *in, const char *field, const char *what)
{
    oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: %s: %s", in->json.name, field, what);
    return false;
}

/* A text of 1 to `most` bytes (0 too if `empty`) in `out`; its size, or SIZE_MAX. */
static size_t load_content(oci_loader *in, const json_t *object, const char *field,
                           bool empty, char *out, size_t most)
{
    const char *text = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "content"), NULL);
    if (oci_failed(in->cx)) return SIZE_MAX;
    size_t size = text ? strlen(text) : 0;
    if (!text || (size == 0 && !empty)) {
        oci_json_expected(in->cx, &in->json, in->field, "a text", NULL);
        return SIZE_MAX;
    }
    if (size > most) {
        refuse(in, in->field, "a longer text than published tokenizers have");
        return SIZE_MAX;
    }
    memcpy(out, text, size);
    return size;
}

static bool load_replace(oci_loader *in, const json_t *object, const char *field,
                         fallback *f)
{
    f->content_size = load_content(in, object, field, true, f->content, MAX_CONTENT);
    return f->content_size != SIZE_MAX &&
           oci_pattern_load(in, object, field, &f->pattern);
}

static bool load_strip(oci_loader *in, const json_t *object, const char *field,
                       fallback *f)
{
    oc_context *cx = in->cx;
    uint32_t code;
    f->strip_size = load_content(in, object, field, false, f->strip, sizeof f->strip);
    if (f->strip_size == SIZE_MAX) return false;
    if ((size_t)oci_utf8_decode(f->strip, f->strip_size, &code) != f->strip_size) {
        oci_json_expected(cx, &in->json, in->field, "one character", NULL);
        return false;
    }
    f->strip_count = (uint32_t)oci_json_int(cx, &in->json, object,
                                            oci_field(in, field, "start"), 0, 0,
                                            MAX_STRIP);
    int64_t stop = oci_json_int(cx, &in->json, object, oci_field(in, field, "stop"), 0, 0,
                                MAX_STRIP);
    if (!oci_failed(cx) && stop != 0) return refuse(in, in->field, "expected 0");
    return !oci_failed(cx);
}

/* One part behind those that `f` has. */
static bool load_step(oci_loader *in, const json_t *object, const char *field,
                      fallback *f)
{
    static const char *const names[STEPS] = { "Replace", "ByteFallback", "Fuse",
                                              "Strip" };
    const char *type =
        oci_json_text(in->cx, &in->json, object, oci_field(in, field, "type"), "");
    int last = -1, is = 0;
    if (oci_failed(in->cx)) return false;
    for (int s = 0; s < STEPS; s++)
        if (f->has[s]) last = s;
    while (is < STEPS && strcmp(names[is], type)) is++;
    if (is == STEPS) return refuse(in, field, *type ? type : "a part without type");
    if (is <= last)
        return refuse(in, field, "expected Replace, ByteFallback, Fuse, Strip, in order");
    f->has[is] = true;
    if (is == REPLACE) return load_replace(in, object, field, f);
    return is != STRIP || load_strip(in, object, field, f);
}

static void *load_one(oci_loader *in, const json_t *object, const char *field)
{
    fallback *f = oci_calloc(in->cx, 1, sizeof *f);
    if (!f || load_step(in, object, field, f)) return f;
    oci_free(f);
    return NULL;
}

static void *load_sequence(oci_loader *in, const json_t *object, const char *field)
{
    const json_t *list = oci_json_array(in->cx, &in->json, object,
                                        oci_field(in, field, "decoders"));
    if (!list && !oci_failed(in->cx))
        oci_json_expected(in->cx, &in->json, in->field, "an array of parts", list);
    if (oci_failed(in->cx)) return NULL;
    fallback *f = oci_calloc(in->cx, 1, sizeof *f);
    bool ok = f;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        char place[64];
        snprintf(place, sizeof place, "%s.decoders[%zu]", field, i);
        const json_t *part = json_array_get(list, i);
        if (!json_is_object(part)) {
            oci_json_expected(in->cx, &in->json, place, "an object", part);
            ok = false;
        } else {
            ok = load_step(in, part, place, f);
        }
    }
    if (ok) return f;
    oci_free(f);
    return NULL;
}

void *oci_fallback_create(oc_context *cx)
{
    static const char block[] = "\xe2\x96\x81";
    fallback *f = oci_calloc(cx, 1, sizeof *f);
    if (!f) return NULL;
    for (int s = 0; s < STEPS; s++) f->has[s] = true;
    f->pattern = (oci_pattern){ .kind = OCI_PATTERN_LITERAL, .size = sizeof block - 1 };
    memcpy(f->pattern.text, block, sizeof block - 1);
    f->content_size = f->strip_size = f->strip_count = 1;
    f->content[0] = f->strip[0] = ' ';
    return f;
}

/* ---- decoding ---------------------------------------------------------------------- */

/* Whole characters behind all parts but Strip. */
static oc_status put(oc_context *cx, const fallback *f, oci_decoding *d, const char *text,
                     size_t size, oci_bytes *out)
{
    if (!f->has[FUSE]) d->stripped = 0;     /* every piece is a text of its own */
    while (f->has[STRIP] && d->stripped < f->strip_count && size >= f->strip_size &&
           !memcmp(text, f->strip, f->strip_size)) {
        text += f->strip_size;
        size -= f->strip_size;
        d->stripped++;
    }
    if (size == 0) return cx->status;
    d->stripped = UINT32_MAX;               /* the start is over */
    return oci_bytes_append(cx, out, text, size);
}

/* "<0x0A>": its byte; -1 for any other token. The reference takes a sign, as
 * from_str_radix does. */
static int byte_of(const char *token, size_t size)
{
    if (size != 6 || memcmp(token, "<0x", 3) || token[5] != '>') return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        char c = token[i];
        int digit = c >= '0' && c <= '9' ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c == '+' && i == 3 ? 0 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The run of bytes is over: characters, or U+FFFD for every one of them if any part is
 * broken. */
static oc_status end_run(oc_context *cx, const void *self, oci_decoding *d,
                         oci_bytes *out)
{
    const fallback *f = self;
    size_t size = d->run.size;
    d->run.size = 0;
    if (size == 0) return cx->status;
    if (oci_utf8_valid(d->run.data, size)) return put(cx, f, d, d->run.data, size, out);
    for (size_t i = 0; i < size && !oci_failed(cx); i++)
        put(cx, f, d, "\xef\xbf\xbd", 3, out);
    return cx->status;
}

static oc_status replace(oc_context *cx, const fallback *f, const char *text, size_t size,
                         oci_bytes *out)
{
    size_t done = 0, begin, end;
    out->size = 0;
    while (oci_pattern_find(&f->pattern, text, size, done, &begin, &end)) {
        if (begin > done) oci_bytes_append(cx, out, text + done, begin - done);
        if (f->content_size) oci_bytes_append(cx, out, f->content, f->content_size);
        done = end;
    }
    if (size > done) oci_bytes_append(cx, out, text + done, size - done);
    return cx->status;
}

static oc_status decode_token(oc_context *cx, const void *self, const char *token,
                              size_t size, oci_decoding *d, oci_bytes *out)
{
    const fallback *f = self;
    if (f->has[REPLACE]) {
        if (replace(cx, f, token, size, &d->token)) return cx->status;
        token = d->token.size ? d->token.data : "";
        size = d->token.size;
    }
    int byte = f->has[BYTES] ? byte_of(token, size) : -1;
    if (byte >= 0) {
        char c = (char)byte;
        return oci_bytes_append(cx, &d->run, &c, 1);
    }
    end_run(cx, self, d, out);
    return put(cx, f, d, token, size, out);
}

const oci_decoder_kind oci_fallback_decoder = { "Sequence", load_sequence, decode_token,
                                                end_run };
const oci_decoder_kind oci_replace_decoder = { "Replace", load_one, decode_token,
                                               end_run };
const oci_decoder_kind oci_byte_fallback_decoder = { "ByteFallback", load_one,
                                                     decode_token, end_run };
const oci_decoder_kind oci_fuse_decoder = { "Fuse", load_one, decode_token, end_run };
const oci_decoder_kind oci_strip_decoder = { "Strip", load_one, decode_token, end_run };
