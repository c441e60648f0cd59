#include "text/forms.h"

#include <string.h>
#include <utf8proc.h>

#include "text/loader.h"
#include "text/unicode.h"

/* A code point of the decomposed text. */
typedef struct piece {
    uint32_t code;
    uint8_t class;              /* Canonical_Combining_Class */
    int64_t change;
} piece;

typedef struct pieces {
    piece *items;
    size_t count, room;
} pieces;

typedef struct former {
    oc_context *cx;
    oci_form form;
    oci_form_sink sink;
    void *user;
    pieces pending;             /* marks that are not yet in order */
    pieces sorted;              /* room to put them in order */
    bool composing;             /* `starter` holds what marks may still join */
    piece starter;
    int last_class;             /* of `blocked`'s last mark; -1: there is none */
    pieces blocked;             /* marks after the starter that did not join it */
} former;

static bool push(former *f, pieces *list, piece p)
{
    piece *items =
        oci_grow(f->cx, list->items, &list->room, list->count + 1, sizeof *items);
    if (!items) return false;
    list->items = items;
    items[list->count++] = p;
    return true;
}

static bool give(former *f, const piece *p)
{
    return f->sink(f->user, p->code, p->change);
}

/* ---- composition ------------------------------------------------------------------- */

/* The code point that two make together, or 0. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    utf8proc_int32_t both[] = { (utf8proc_int32_t)a, (utf8proc_int32_t)b };
    if (b < 0x300) return 0; /* nothing joins what stands before it below that */
    if (utf8proc_normalize_utf32(both, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
        return 0;
    return oci_unicode_classes((uint32_t)both[0]) & OCI_INERT ? 0 : (uint32_t)both[0];
}

static bool give_blocked(former *f)
{
    for (size_t i = 0; i < f->blocked.count; i++)
        if (!give(f, &f->blocked.items[i])) return false;
    f->blocked.count = 0;
    f->last_class = -1;
    return true;
}

static bool new_starter(former *f, piece p)
{
    if (f->composing && !give(f, &f->starter)) return false;
    f->composing = true;
    f->starter = p;
    return give_blocked(f);
}

/* The next code point in canonical order. */
static bool compose(former *f, piece p)
{
    if (!f->composing) return p.class == 0 ? new_starter(f, p) : give(f, &p);
    /* A mark of the same or a higher class in between keeps the two apart. */
    uint32_t code = f->last_class >= p.class ? 0 : compose_pair(f->starter.code, p.code);
    if (code) {
        f->starter.code = code;
        f->starter.change += p.change - 1;
        return true;
    }
    if (p.class == 0) return new_starter(f, p);
    f->last_class = p.class;
    return push(f, &f->blocked, p);
}

static bool settled(former *f, piece p)
{
    return f->form == OCI_NFC || f->form == OCI_NFKC ? compose(f, p) : give(f, &p);
}

/* ---- canonical order --------------------------------------------------------------- */

/* By class, stably: counting, since a text may be one long row of marks. */
static bool sort_pending(former *f)
{
    size_t starts[257] = { 0 }, n = f->pending.count;
    piece *sorted = oci_grow(f->cx, f->sorted.items, &f->sorted.room, n, sizeof *sorted);
    if (!sorted) return false;
    f->sorted.items = sorted;
    for (size_t i = 0; i < n; i++) starts[f->pending.items[i].class + 1]++;
    for (int c = 0; c < 256; c++) starts[c + 1] += starts[c];
    for (size_t i = 0; i < n; i++)
        sorted[starts[f->pending.items[i].class]++] = f->pending.items[i];
    memcpy(f->pending.items, sorted, n * sizeof *sorted);
    return true;
}

static bool flush(former *f)
{
    if (f->pending.count > 1 && !sort_pending(f)) return false;
    for (size_t i = 0; i < f->pending.count; i++)
        if (!settled(f, f->pending.items[i])) return false;
    f->pending.count = 0;
    return true;
}

/* ---- decomposition ----------------------------------------------------------------- */

enum { MAX_PARTS = 18 };        /* U+FDFA has most */

static int decompose(oci_form form, uint32_t code, unsigned classes,
                     utf8proc_int32_t *parts)
{
    *parts = (utf8proc_int32_t)code;
    if (classes & OCI_INERT) return 1;
    int boundary = 0, options = UTF8PROC_DECOMPOSE;
    if (form == OCI_NFKD || form == OCI_NFKC) options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, parts, MAX_PARTS,
                                                 (utf8proc_option_t)options, &boundary);
    return n >= 1 && n <= MAX_PARTS ? (int)n : 1;
}

static bool take(former *f, uint32_t code, unsigned classes)
{
    utf8proc_int32_t parts[MAX_PARTS];
    int n = decompose(f->form, code, classes, parts);
    for (int i = 0; i < n; i++) {
        piece p = { (uint32_t)parts[i], 0, i > 0 };
        if (p.code != code) classes = oci_unicode_classes(p.code);
        if (!(classes & OCI_INERT))
            p.class = (uint8_t)utf8proc_get_property(parts[i])->combining_class;
        bool ok = p.class ? push(f, &f->pending, p) : flush(f) && settled(f, p);
        if (!ok) return false;
    }
    return true;
}

bool oci_form_run(oc_context *cx, oci_form form, const oci_segment *from,
                  oci_form_sink sink, void *user)
{
    former f = { .cx = cx, .form = form, .sink = sink, .user = user, .last_class = -1 };
    bool ok = true;
    for (size_t at = 0, length; ok && at < from->size; at += length) {
        unsigned classes;
        uint32_t code =
            oci_unicode_next(from->text + at, from->size - at, &length, &classes);
        /* ASCII decomposes to itself and stands at the start of its part of the text. */
        piece p = { code, 0, 0 };
        ok = code < 0x80 ? flush(&f) && settled(&f, p) : take(&f, code, classes);
    }
    ok = ok && flush(&f) && (!f.composing || give(&f, &f.starter)) && give_blocked(&f);
    oci_free(f.pending.items);
    oci_free(f.sorted.items);
    oci_free(f.blocked.items);
    return ok;
}

/* ---- normalizers ------------------------------------------------------------------- */

static bool put(void *user, uint32_t code, int64_t change)
{
    return oci_transform_put(user, code, change);
}

static oci_outcome run(oc_context *cx, const void *self, oci_segment *segment,
                       oci_text *out)
{
    size_t i = 0;
    while (i < segment->size && (unsigned char)segment->text[i] < 0x80) i++;
    if (i == segment->size) return OCI_KEPT;
    oci_transform t = { cx, segment, out, 0 };
    return oci_form_run(cx, *(const oci_form *)self, segment, put, &t) ? OCI_WRITTEN
                                                                       : OCI_FAILED;
}

static void *load_form(oci_loader *in, oci_form form)
{
    oci_form *self = oci_alloc(in->cx, sizeof *self);
    if (self) *self = form;
    return self;
}

#define FORM(name, type, form)                                                           \
    static void *load_##name(oci_loader *in, const json_t *object, const char *field)    \
    {                                                                                    \
        (void)object;                                                                    \
        (void)field;                                                                     \
        return load_form(in, form);                                                      \
    }                                                                                    \
    const oci_normalizer_kind oci_##name = { type, load_##name, run }

FORM(nfd, "NFD", OCI_NFD);
FORM(nfkd, "NFKD", OCI_NFKD);
FORM(nfc, "NFC", OCI_NFC);
FORM(nfkc, "NFKC", OCI_NFKC);
