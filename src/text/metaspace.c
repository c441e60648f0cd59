#include "text/metaspace.h"

#include <string.h>

#include "text/loader.h"

/* As in files that say nothing: U+2581 for a space, and one in front of every text. */
void *oci_metaspace_create(oc_context *cx)
{
    oci_metaspace *m = oci_calloc(cx, 1, sizeof *m);
    if (!m) return NULL;
    memcpy(m->block, "\xe2\x96\x81", 3);
    m->size = 3;
    m->add_prefix_space = true;
    return m;
}

static bool load_replacement(oci_loader *in, const json_t *object, const char *field,
                             oci_metaspace *m)
{
    const char *text = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "replacement"), "");
    uint32_t code;
    size_t size = strlen(text);
    int n = size ? oci_utf8_decode(text, size, &code) : 0;
    if (oci_failed(in->cx)) return false;
    if (n == 0 || (size_t)n != size) {
        oci_fail(in->cx, OC_E_MALFORMED,
                 "%s: %s: expected one character, found \"%.50s\"", in->json.name,
                 in->field, text);
        return false;
    }
    memcpy(m->block, text, size);
    m->size = size;
    return true;
}

static bool load_scheme(oci_loader *in, const json_t *object, const char *field,
                        oci_metaspace *m)
{
    static const char *const names[] = { "always", "first", "never" };
    const char *name = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "prepend_scheme"), "always");
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], name)) continue;
        m->scheme = (oci_prepend_scheme)i;
        return !oci_failed(in->cx);
    }
    oci_fail(in->cx, OC_E_MALFORMED,
             "%s: %s: expected always, first or never, found \"%.50s\"", in->json.name,
             in->field, name);
    return false;
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    oci_metaspace *m = oci_metaspace_create(in->cx);
    if (!m) return NULL;
    m->add_prefix_space = oci_json_bool(in->cx, &in->json, object,
                                        oci_field(in, field, "add_prefix_space"), true);
    if (load_replacement(in, object, field, m) && load_scheme(in, object, field, m))
        return m;
    oci_free(m);
    return NULL;
}

/* ---- words ------------------------------------------------------------------------- */

static bool begins(const oci_metaspace *m, const oci_segment *s, size_t at)
{
    return s->size - at >= m->size && !memcmp(s->text + at, m->block, m->size);
}

/* A space, or what one becomes, at or after `at`. */
static size_t find_block(const oci_metaspace *m, const oci_segment *s, size_t at)
{
    for (; at < s->size; at++) {
        if (s->text[at] == ' ') return at;
        if (s->text[at] == m->block[0] && begins(m, s, at)) return at;
    }
    return at;
}

/* Whether the segment gets a block that the text does not have. */
static bool prepends(oci_work *work, const oci_metaspace *m, const oci_segment *s,
                     int stage)
{
    /* A flag a stage: "first" is the text's first segment, not each one's beginning. */
    bool first = !(work->begun >> stage & 1);
    bool begun = s->text[0] == ' ' || begins(m, s, 0);
    if (m->add_prefix_space && !begun && m->scheme == OCI_PREPEND_ALWAYS) return true;
    if (m->add_prefix_space && !begun && m->scheme == OCI_PREPEND_NEVER) return false;
    work->begun |= 1u << stage;
    return m->add_prefix_space && !begun && first;
}

static bool put_block(oc_context *cx, const oci_metaspace *m, oci_text *word,
                      size_t origin)
{
    if (!oci_text_reserve(cx, word, m->size)) return false;
    for (size_t i = 0; i < m->size; i++) {
        word->bytes[word->size] = m->block[i];
        word->origin[word->size++] = (uint32_t)origin;
    }
    return true;
}

/* Every block begins a word, which is written out one at a time. */
static bool run(oci_work *work, const void *self, const oci_segment *segment, int next)
{
    const oci_metaspace *m = self;
    oci_text *word = &work->pieces[next - 1];
    size_t at = 0;
    bool block = prepends(work, m, segment, next - 1);
    while (at < segment->size) {
        size_t origin = oci_origin(segment, at);
        if (!block && (block = segment->text[at] == ' ' || begins(m, segment, at)))
            at += segment->text[at] == ' ' ? 1 : m->size;
        size_t end = find_block(m, segment, at);
        word->size = 0;
        if ((block && !put_block(work->cx, m, word, origin)) ||
            !oci_text_copy(work->cx, word, segment, at, end))
            return false;
        oci_segment piece = oci_text_segment(word);
        if (!oci_pre_tokenize(work, next, &piece)) return false;
        at = end;
        block = false;
    }
    return true;
}

const oci_pre_kind oci_metaspace_pre = { "Metaspace", load, run };

/* ---- decoding ---------------------------------------------------------------------- */

/* Blocks are spaces; the first token's vanish, all of them. */
static oc_status decode_token(oc_context *cx, const void *self, const char *token,
                              size_t size, oci_decoding *d, oci_bytes *out)
{
    const oci_metaspace *m = self;
    oci_segment s = { .text = token, .size = size };
    size_t done = 0;
    for (size_t at = 0; at < size;) {
        if (token[at] != m->block[0] || !begins(m, &s, at)) {
            at++;
            continue;
        }
        if (at > done) oci_bytes_append(cx, out, token + done, at - done);
        if (d->begun || !m->add_prefix_space) oci_bytes_append(cx, out, " ", 1);
        done = at += m->size;
    }
    return size > done ? oci_bytes_append(cx, out, token + done, size - done)
                       : cx->status;
}

const oci_decoder_kind oci_metaspace_decoder = { "Metaspace", load, decode_token,
                                                 NULL };
