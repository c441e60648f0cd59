#include "text/normalize.h"

#include <string.h>

#include "text/forms.h"
#include "text/loader.h"
#include "text/pattern.h"
#include "text/unicode.h"

/* A part without settings. */
static void *load_nothing(oci_loader *in, const json_t *object, const char *field)
{
    (void)object;
    (void)field;
    return oci_calloc(in->cx, 1, 1);
}

/* What is left of a text; an empty one needs no bytes. */
static oci_outcome narrow(oci_segment *segment, size_t begin, size_t end)
{
    *segment = oci_part(segment, begin, end < begin ? begin : end);
    return OCI_KEPT;
}

/* ---- one code point at a time ------------------------------------------------------ */

/* Code points of these classes vanish. */
static oci_outcome drop_classes(oc_context *cx, const oci_segment *segment, unsigned drop,
                                oci_text *out)
{
    for (size_t at = 0, length; at < segment->size; at += length) {
        unsigned classes;
        oci_unicode_next(segment->text + at, segment->size - at, &length, &classes);
        if (!(classes & drop) && !oci_text_copy(cx, out, segment, at, at + length))
            return OCI_FAILED;
    }
    return OCI_WRITTEN;
}

static oci_outcome run_strip_accents(oc_context *cx, const void *self,
                                     oci_segment *segment, oci_text *out)
{
    (void)self;
    return drop_classes(cx, segment, OCI_MARK, out);
}

/* U+0130 becomes two code points; no code point takes more than four bytes. */
static bool put_lower(oc_context *cx, oci_text *out, uint32_t code, size_t origin)
{
    uint32_t lower[2];
    int n = oci_unicode_lower(code, lower);
    if (!oci_text_reserve(cx, out, 8)) return false;
    for (int i = 0; i < n; i++) oci_text_put(out, lower[i], origin);
    return true;
}

static oci_outcome run_lowercase(oc_context *cx, const void *self, oci_segment *segment,
                                 oci_text *out)
{
    (void)self;
    for (size_t at = 0, length; at < segment->size; at += length) {
        unsigned classes;
        uint32_t code = oci_unicode_next(segment->text + at, segment->size - at, &length,
                                         &classes);
        if (!put_lower(cx, out, code, oci_origin(segment, at))) return OCI_FAILED;
    }
    return OCI_WRITTEN;
}

/* SentencePiece's "nmt" rules, which are fixed: what vanishes, … */
static bool nmt_drops(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f ||
           c == 0x8f || c == 0x9f;
}

/* … and what becomes a space. */
static bool nmt_blanks(uint32_t c)
{
    return c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
           (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xfeff || c == 0xfffd;
}

static oci_outcome run_nmt(oc_context *cx, const void *self, oci_segment *segment,
                           oci_text *out)
{
    (void)self;
    for (size_t at = 0, length; at < segment->size; at += length) {
        unsigned classes;
        uint32_t code = oci_unicode_next(segment->text + at, segment->size - at, &length,
                                         &classes);
        if (nmt_drops(code)) continue;
        if (!oci_text_reserve(cx, out, 4)) return OCI_FAILED;
        oci_text_put(out, nmt_blanks(code) ? ' ' : code, oci_origin(segment, at));
    }
    return OCI_WRITTEN;
}

/* ---- BERT -------------------------------------------------------------------------- */

/* Removes controls, makes all white space U+0020, and puts spaces around CJK
 * characters. */
static bool bert_clean(oc_context *cx, const oci_bert_normalizer *b,
                       const oci_segment *from, oci_text *out)
{
    for (size_t at = 0, length; at < from->size; at += length) {
        unsigned classes;
        uint32_t code =
            oci_unicode_next(from->text + at, from->size - at, &length, &classes);
        if (b->clean_text && classes & OCI_BERT_REMOVED) continue;
        if (b->clean_text && classes & OCI_BERT_SPACE) code = ' ';
        bool spaced = b->handle_chinese_chars && classes & OCI_BERT_CJK;
        size_t origin = oci_origin(from, at);
        if (!oci_text_reserve(cx, out, 6)) return false;
        if (spaced) oci_text_put(out, ' ', origin);
        oci_text_put(out, code, origin);
        if (spaced) oci_text_put(out, ' ', origin);
    }
    return true;
}

/* Where decomposed code points go: accents vanish, the rest is made lower. */
typedef struct bert_sink {
    oci_transform transform;
    oci_text one;               /* the code point that the transform has placed */
    oci_text *out;
    bool lowercase;
} bert_sink;

static bool bert_put(void *user, uint32_t code, int64_t change)
{
    bert_sink *s = user;
    s->one.size = 0;
    if (!oci_transform_put(&s->transform, code, change)) return false;
    if (oci_unicode_classes(code) & OCI_BERT_MARK) return true;
    size_t origin = s->one.origin[0];
    if (s->lowercase) return put_lower(s->transform.cx, s->out, code, origin);
    if (!oci_text_reserve(s->transform.cx, s->out, 4)) return false;
    oci_text_put(s->out, code, origin);
    return true;
}

static bool bert_strip_accents(oc_context *cx, const oci_bert_normalizer *b,
                               const oci_segment *from, oci_text *out)
{
    bert_sink s = { .transform = { cx, from, NULL, 0 }, .out = out,
                    .lowercase = b->lowercase };
    s.transform.to = &s.one;
    bool ok = oci_form_run(cx, OCI_NFD, from, bert_put, &s);
    oci_text_deinit(&s.one);
    return ok;
}

static bool is_ascii(const oci_segment *s)
{
    unsigned char all = 0;
    for (size_t i = 0; i < s->size; i++) all |= (unsigned char)s->text[i];
    return all < 0x80;
}

static oci_outcome run_bert(oc_context *cx, const void *self, oci_segment *segment,
                            oci_text *out)
{
    const oci_bert_normalizer *b = self;
    oci_text clean = { 0 };
    bool ok = bert_clean(cx, b, segment, &clean);
    oci_segment cleaned = oci_text_segment(&clean);
    /* ASCII has nothing to decompose: making it lower is all there is to do. */
    if (ok && b->strip_accents && !is_ascii(&cleaned)) {
        ok = bert_strip_accents(cx, b, &cleaned, out);
    } else if (ok && b->lowercase) {
        ok = run_lowercase(cx, NULL, &cleaned, out) != OCI_FAILED;
    } else if (ok) {
        ok = oci_text_copy(cx, out, &cleaned, 0, cleaned.size);
    }
    oci_text_deinit(&clean);
    return ok ? OCI_WRITTEN : OCI_FAILED;
}

static void *load_bert(oci_loader *in, const json_t *object, const char *field)
{
    oc_context *cx = in->cx;
    const oci_json *doc = &in->json;
    oci_bert_normalizer *b = oci_calloc(cx, 1, sizeof *b);
    if (!b) return NULL;
    b->clean_text =
        oci_json_bool(cx, doc, object, oci_field(in, field, "clean_text"), true);
    b->handle_chinese_chars =
        oci_json_bool(cx, doc, object, oci_field(in, field, "handle_chinese_chars"),
                      true);
    b->lowercase =
        oci_json_bool(cx, doc, object, oci_field(in, field, "lowercase"), true);
    b->strip_accents = oci_json_bool(cx, doc, object,
                                     oci_field(in, field, "strip_accents"), b->lowercase);
    if (!oci_failed(cx)) return b;
    oci_free(b);
    return NULL;
}

/* ---- Strip, Prepend, Replace ------------------------------------------------------- */

static oci_outcome run_strip(oc_context *cx, const void *self, oci_segment *segment,
                             oci_text *out)
{
    const oci_strip *strip = self;
    size_t begin = 0, end = segment->size, length;
    unsigned classes;
    (void)cx;
    (void)out;
    while (strip->left && begin < end) {
        oci_unicode_next(segment->text + begin, end - begin, &length, &classes);
        if (!(classes & OCI_WHITE)) break;
        begin += length;
    }
    while (strip->right && end > begin) {
        size_t at = end - 1;
        while (((unsigned char)segment->text[at] & 0xc0) == 0x80) at--;
        oci_unicode_next(segment->text + at, end - at, &length, &classes);
        if (!(classes & OCI_WHITE)) break;
        end = at;
    }
    return narrow(segment, begin, end);
}

static void *load_strip(oci_loader *in, const json_t *object, const char *field)
{
    oci_strip *strip = oci_calloc(in->cx, 1, sizeof *strip);
    if (!strip) return NULL;
    strip->left = oci_json_bool(in->cx, &in->json, object,
                                oci_field(in, field, "strip_left"), false);
    strip->right = oci_json_bool(in->cx, &in->json, object,
                                 oci_field(in, field, "strip_right"), false);
    if (!oci_failed(in->cx)) return strip;
    oci_free(strip);
    return NULL;
}

/* The text of Prepend and Replace, copied so that it outlives the document. */
typedef struct content {
    size_t size;
    char text[];
} content;

static content *load_content(oci_loader *in, const json_t *object, const char *field,
                             const char *key)
{
    const char *text = oci_json_text(in->cx, &in->json, object, oci_field(in, field, key),
                                     NULL);
    if (!text) {
        oci_json_expected(in->cx, &in->json, in->field, "a text", NULL);
        return NULL;
    }
    size_t size = strlen(text);
    if (size > in->cx->limits.token_bytes) {
        oci_fail(in->cx, OC_E_LIMIT, "%s: %s: expected at most %llu bytes, found %zu",
                 in->json.name, in->field, (unsigned long long)in->cx->limits.token_bytes,
                 size);
        return NULL;
    }
    content *c = oci_alloc(in->cx, sizeof *c + size + 1);
    if (!c) return NULL;
    c->size = size;
    memcpy(c->text, text, size + 1);
    return c;
}

/* All of them stand for what is at `origin`. */
static bool put_content(oc_context *cx, oci_text *out, const char *text, size_t size,
                        size_t origin)
{
    if (size == 0) return true;
    if (!oci_text_reserve(cx, out, size)) return false;
    memcpy(out->bytes + out->size, text, size);
    for (size_t i = 0; i < size; i++) out->origin[out->size++] = (uint32_t)origin;
    return true;
}

static void *load_prepend(oci_loader *in, const json_t *object, const char *field)
{
    return load_content(in, object, field, "prepend");
}

/* Never of an empty text: the reference leaves it empty, and oci_normalize does not come
 * here with one. */
static oci_outcome run_prepend(oc_context *cx, const void *self, oci_segment *segment,
                               oci_text *out)
{
    const content *c = self;
    if (c->size == 0) return OCI_KEPT;
    return put_content(cx, out, c->text, c->size, oci_origin(segment, 0)) &&
                   oci_text_copy(cx, out, segment, 0, segment->size)
               ? OCI_WRITTEN : OCI_FAILED;
}

typedef struct replacing {
    oci_pattern pattern;
    size_t size;
    char text[];
} replacing;

static void *load_replace(oci_loader *in, const json_t *object, const char *field)
{
    oci_pattern pattern;
    content *c = load_content(in, object, field, "content");
    if (!c || !oci_pattern_load(in, object, field, &pattern)) {
        oci_free(c);
        return NULL;
    }
    replacing *r = oci_alloc(in->cx, sizeof *r + c->size + 1);
    if (r) {
        r->pattern = pattern;
        r->size = c->size;
        memcpy(r->text, c->text, c->size + 1);
    }
    oci_free(c);
    return r;
}

static void *make_replacing(oc_context *cx, oci_pattern_kind kind, const char *text)
{
    size_t size = strlen(text);
    replacing *r = oci_alloc(cx, sizeof *r + size + 1);
    if (!r) return NULL;
    r->pattern = (oci_pattern){ .kind = kind };
    r->size = size;
    memcpy(r->text, text, size + 1);
    return r;
}

void *oci_replace_spaces(oc_context *cx)
{
    return make_replacing(cx, OCI_PATTERN_SPACES, "\xe2\x96\x81");
}

void *oci_replace_space(oc_context *cx, const char *text)
{
    replacing *r = make_replacing(cx, OCI_PATTERN_LITERAL, text);
    if (!r) return NULL;
    r->pattern.size = 1;
    r->pattern.text[0] = ' ';
    return r;
}

void *oci_prepend_create(oc_context *cx, const char *text)
{
    size_t size = strlen(text);
    content *c = oci_alloc(cx, sizeof *c + size + 1);
    if (!c) return NULL;
    c->size = size;
    memcpy(c->text, text, size + 1);
    return c;
}

void *oci_replace_blanks(oc_context *cx)
{
    return make_replacing(cx, OCI_PATTERN_BLANKS, " ");
}

static oci_outcome run_replace(oc_context *cx, const void *self, oci_segment *segment,
                               oci_text *out)
{
    const replacing *r = self;
    size_t done = 0, begin, end;
    while (
        oci_pattern_find(&r->pattern, segment->text, segment->size, done, &begin, &end)) {
        /* What is put in stands for the last thing that was taken out. */
        if (!oci_text_copy(cx, out, segment, done, begin) ||
            !put_content(cx, out, r->text, r->size, oci_origin(segment, end - 1)))
            return OCI_FAILED;
        done = end;
    }
    if (done == 0) return OCI_KEPT;
    return oci_text_copy(cx, out, segment, done, segment->size) ? OCI_WRITTEN
                                                                : OCI_FAILED;
}

/* ---- kinds ------------------------------------------------------------------------- */

const oci_normalizer_kind oci_bert_normalizer_kind = { "BertNormalizer", load_bert,
                                                       run_bert };
const oci_normalizer_kind oci_strip_kind = { "Strip", load_strip, run_strip };
const oci_normalizer_kind oci_strip_accents = { "StripAccents", load_nothing,
                                                run_strip_accents };
const oci_normalizer_kind oci_lowercase = { "Lowercase", load_nothing, run_lowercase };
const oci_normalizer_kind oci_prepend = { "Prepend", load_prepend, run_prepend };
const oci_normalizer_kind oci_replace = { "Replace", load_replace, run_replace };
const oci_normalizer_kind oci_nmt = { "Nmt", load_nothing, run_nmt };
