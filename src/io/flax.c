/* See flax.h. msgpack: https://github.com/msgpack/msgpack/blob/master/spec.md */
#include "io/flax.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/file.h"
#include "io/quote.h"

enum { MAX_DEPTH = 64, EXT_ARRAY = 1, EXT_SCALAR = 3 };
static const char chunked_key[] = "__msgpack_chunked_array__";

/* ---- msgpack ----------------------------------------------------------------------- */

typedef enum kind { NIL, BOOLEAN, INTEGER, REAL, TEXT, BYTES, ARRAY, MAP, EXT } kind;

typedef struct item {
    kind kind;
    uint64_t n;                 /* INTEGER: its value (negative: wrapped); ARRAY, MAP:
                                   items or pairs that follow; TEXT, BYTES, EXT: bytes */
    int ext;
    uint64_t at;                /* where those bytes are in the file */
} item;

/* The part of a file that is not mapped at which the scanner is:
 * arrays are passed over. */
struct window {
    uint64_t at;
    size_t size;
    unsigned char bytes[4096];
};

typedef struct scanner {
    oc_context *cx;
    const char *path;
    const oci_flax *file;
    uint64_t at, end;           /* in the file */
    struct window *window;
} scanner;

OC_PRINTF(2, 3)
static bool malformed(scanner *s, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    oci_fail(s->cx, OC_E_MALFORMED, "%s: byte %" PRIu64 ": %s", s->path, s->at, text);
    return false;
}

/* `n` bytes of the file, at most a window of them, which the caller has found to be in
 * it. Valid until the next call; NULL: error set. */
static const unsigned char *look(scanner *s, uint64_t at, size_t n)
{
    struct window *w = s->window;
    if (s->file->bytes) return s->file->bytes->data + at;
    if (n == 0) return w->bytes;
    if (at < w->at || at + n > w->at + w->size) {
        const uint64_t left = s->file->source->size - at;
        w->at = at;
        w->size = left < sizeof w->bytes ? (size_t)left : sizeof w->bytes;
        if (!oci_file_read_at(s->cx, s->file->source, at, w->bytes, w->size)) w->size = 0;
    }
    return w->size ? w->bytes + (at - w->at) : NULL;
}

/* `n` bytes, big-endian as all of msgpack. */
static bool number(scanner *s, unsigned n, uint64_t *result)
{
    *result = 0;
    if (s->end - s->at < n) return malformed(s, "expected more, found the file's end");
    const unsigned char *p = look(s, s->at, n);
    for (unsigned i = 0; p && i < n; i++) *result = *result << 8 | p[i];
    s->at += n;
    return p != NULL;
}

static bool body(scanner *s, item *it)
{
    if (it->n > s->end - s->at)
        return malformed(s, "expected %" PRIu64 " more bytes, found %" PRIu64, it->n,
                         s->end - s->at);
    it->at = s->at;
    s->at += it->n;
    return true;
}

/* The heads of 0xc0 … 0xdf: what follows the first byte. */
static const struct head {
    kind kind;
    unsigned char width;        /* bytes of a length, a count or a number */
    bool known;
} heads[32] = {
    [0x00] = { NIL, 0, true },
    [0x02] = { BOOLEAN, 0, true }, [0x03] = { BOOLEAN, 0, true },
    [0x04] = { BYTES, 1, true },   [0x05] = { BYTES, 2, true },
    [0x06] = { BYTES, 4, true }, [0x07] = { EXT, 1, true },     [0x08] = { EXT, 2, true },
    [0x09] = { EXT, 4, true }, [0x0a] = { REAL, 4, true },    [0x0b] = { REAL, 8, true },
    [0x0c] = { INTEGER, 1, true }, [0x0d] = { INTEGER, 2, true },
    [0x0e] = { INTEGER, 4, true }, [0x0f] = { INTEGER, 8, true },
    [0x10] = { INTEGER, 1, true }, [0x11] = { INTEGER, 2, true },
    [0x12] = { INTEGER, 4, true }, [0x13] = { INTEGER, 8, true },
    [0x14] = { EXT, 0, true },     [0x15] = { EXT, 0, true },
    [0x16] = { EXT, 0, true },
    [0x17] = { EXT, 0, true },     [0x18] = { EXT, 0, true },     /* of 1, 2, 4, 8,
                                                                     16 bytes */
    [0x19] = { TEXT, 1, true },    [0x1a] = { TEXT, 2, true },
    [0x1b] = { TEXT, 4, true }, [0x1c] = { ARRAY, 2, true },
    [0x1d] = { ARRAY, 4, true }, [0x1e] = { MAP, 2, true },     [0x1f] = { MAP, 4, true },
};

/* One item; of arrays and maps the head alone. */
static bool next(scanner *s, item *it)
{
    uint64_t op = 0, type = 0;
    *it = (item){ 0 };
    if (!number(s, 1, &op)) return false;
    if (op < 0x80 || op >= 0xe0) {
        *it = (item){ INTEGER, .n = op < 0x80 ? op : (uint64_t)((int64_t)op - 256) };
        return true;
    }
    if (op < 0x90) { *it = (item){ MAP, .n = op & 0x0f }; return true; }
    if (op < 0xa0) { *it = (item){ ARRAY, .n = op & 0x0f }; return true; }
    if (op < 0xc0) {
        *it = (item){ TEXT, .n = op & 0x1f };
        return body(s, it);
    }
    const struct head *h = &heads[op - 0xc0];
    if (!h->known) return malformed(s, "0x%02x begins no msgpack item", (unsigned)op);
    it->kind = h->kind;
    if (h->width && !number(s, h->width, &it->n)) return false;
    if (it->kind == EXT) {
        if (!h->width) it->n = UINT64_C(1) << (op - 0xd4);
        if (!number(s, 1, &type)) return false;
        it->ext = (int)type;
    }
    return it->kind == TEXT || it->kind == BYTES || it->kind == EXT ? body(s, it) : true;
}

static bool expect(scanner *s, item *it, kind wanted, const char *what)
{
    if (!next(s, it)) return false;
    return it->kind == wanted || malformed(s, "expected %s", what);
}

static bool is_text(scanner *s, const item *it, const char *text)
{
    if (it->kind != TEXT || it->n != strlen(text)) return false;
    const unsigned char *p = look(s, it->at, (size_t)it->n);
    return p && !memcmp(p, text, (size_t)it->n);
}

/* ---- leaves ------------------------------------------------------------------------ */

/* numpy's names; bfloat16 is ml_dtypes'. */
static const struct { const char *name; oc_dtype dtype; } dtypes[] = {
    { "float32", OC_F32 }, { "bfloat16", OC_BF16 }, { "float16", OC_F16 },
    { "float64", OC_F64 }, { "int64", OC_I64 }, { "int32", OC_I32 }, { "int16", OC_I16 },
    { "int8", OC_I8 }, { "uint64", OC_U64 }, { "uint32", OC_U32 }, { "uint16", OC_U16 },
    { "uint8", OC_U8 }, { "bool", OC_BOOL },
};

static bool read_dtype(scanner *s, oc_dtype *dtype)
{
    item it;
    if (!expect(s, &it, TEXT, "the name of a dtype")) return false;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (is_text(s, &it, dtypes[i].name)) {
            *dtype = dtypes[i].dtype;
            return true;
        }
    return malformed(s, "dtype: expected one of float32, bfloat16, float16, … bool");
}

static bool add_dimension(scanner *s, oci_entry *e, const item *it)
{
    if (it->kind != INTEGER || it->n > INT64_MAX)
        return malformed(s, "shape: expected an integer of 0 or more");
    if (e->rank == OCI_MAX_RANK)
        return malformed(s, "shape: expected at most %d dimensions", OCI_MAX_RANK);
    e->shape[e->rank++] = (int64_t)it->n;
    return true;
}

static bool add_piece(oc_context *cx, oci_flax *f, struct oci_flax_piece piece)
{
    if (f->piece_count == f->piece_room) {
        size_t room = f->piece_room ? 2 * f->piece_room : 256, size;
        void *more = oci_mul(room, sizeof piece, &size) ? oci_realloc(cx, f->pieces, size)
                                                        : NULL;
        if (!more) return false;
        f->pieces = more;
        f->piece_room = room;
    }
    f->pieces[f->piece_count++] = piece;
    return true;
}

/* The packed array of an extension: [shape, dtype, bytes]. */
static bool read_array(scanner *outer, const item *ext, oci_flax *f, oci_entry *e)
{
    scanner s = *outer;
    item it, size;
    s.at = ext->at;
    s.end = ext->at + ext->n;
    if (!expect(&s, &it, ARRAY, "an array of shape, dtype and bytes")) return false;
    if (it.n != 3) return malformed(&s, "expected an array of shape, dtype and bytes");
    if (!expect(&s, &it, ARRAY, "a shape")) return false;
    for (uint64_t i = 0; i < it.n; i++)
        if (!next(&s, &size) || !add_dimension(&s, e, &size)) return false;
    if (!read_dtype(&s, &e->dtype) || !next(&s, &it)) return false;
    if (it.kind != BYTES && it.kind != TEXT)
        return malformed(&s, "expected an array's bytes");
    if (!oci_shape_bytes(e->dtype, e->rank, e->shape, &e->bytes) || it.n != e->bytes)
        return malformed(&s, "expected the bytes of the shape and dtype, found %" PRIu64,
                         it.n);
    if (s.at != s.end) return malformed(&s, "expected the end of the array, found more");
    return add_piece(s.cx, f, (struct oci_flax_piece){ it.at, e->bytes });
}

/* {"__msgpack_chunked_array__": true, "shape": {"0": d0, …}, "chunks": {"0": array, …}}:
 * what flax makes of arrays over 1 GiB. The scanner is behind the first key. */
static bool read_chunked(scanner *s, oci_flax *f, oci_entry *e)
{
    item it, pairs;
    size_t total = 0;
    if (!next(s, &it)) return false;                                            /* true */
    if (!next(s, &it) || !is_text(s, &it, "shape"))
        return malformed(s, "expected \"shape\"");
    if (!expect(s, &pairs, MAP, "a map of dimensions")) return false;
    for (uint64_t i = 0; i < pairs.n; i++)
        if (!next(s, &it) || !next(s, &it) || !add_dimension(s, e, &it)) return false;
    if (!next(s, &it) || !is_text(s, &it, "chunks"))
        return malformed(s, "expected \"chunks\"");
    if (!expect(s, &pairs, MAP, "a map of chunks")) return false;
    for (uint64_t i = 0; i < pairs.n; i++) {
        oci_entry chunk = { .name = e->name };
        if (!next(s, &it) || !expect(s, &it, EXT, "a chunk") ||
            !read_array(s, &it, f, &chunk))
            return false;
        if (i && chunk.dtype != e->dtype)
            return malformed(s, "chunks of different dtypes");
        e->dtype = chunk.dtype;
        if (!oci_add(total, chunk.bytes, &total))
            return malformed(s, "chunks: too many bytes");
    }
    if (!oci_shape_bytes(e->dtype, e->rank, e->shape, &e->bytes) || e->bytes != total)
        return malformed(s, "chunks: expected the bytes of the shape, found %zu", total);
    return true;
}

/* ---- the tree ---------------------------------------------------------------------- */

typedef struct frame {
    uint64_t left;              /* pairs that are still to come */
    size_t name_size;           /* of the name that leads here */
} frame;

static bool add_entry(scanner *s, oci_flax *f, const oci_entry *e)
{
    if (f->count >= s->cx->limits.tensors) {
        oci_fail(s->cx, OC_E_LIMIT,
                 "%s: expected at most %" PRIu64 " tensors, found more", s->path,
                 s->cx->limits.tensors);
        return false;
    }
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 256;
        oci_entry *more = oci_realloc(s->cx, f->entries, room * sizeof *more);
        if (!more) return false;
        f->entries = more;
        f->room = room;
    }
    size_t size = strlen(e->name) + 1;
    char *name = oci_arena_alloc(s->cx, &f->arena, size);
    if (!name) return false;
    memcpy(name, e->name, size);
    f->entries[f->count] = *e;
    f->entries[f->count++].name = name;
    return true;
}

/* Appends a key to name[OCI_MAX_NAME] after `size` bytes;
 * '/' of flat maps becomes '.'. */
static bool enter(scanner *s, char *name, size_t *size, const item *key)
{
    if (key->kind != TEXT && key->kind != BYTES)
        return malformed(s, "expected a text as a key");
    if (key->n >= OCI_MAX_NAME - 1 - *size)
        return malformed(s, "expected a name of at most %d bytes", OCI_MAX_NAME - 1);
    const unsigned char *text = look(s, key->at, (size_t)key->n);
    if (!text) return false;
    if (memchr(text, 0, (size_t)key->n)) return malformed(s, "expected a text as a key");
    if (*size) name[(*size)++] = '.';
    for (uint64_t i = 0; i < key->n; i++)
        name[(*size)++] = text[i] == '/' ? '.' : (char)text[i];
    name[*size] = '\0';
    return true;
}

/* A map whose first key is the mark of a chunked array; the scanner then is behind that
 * key, else where it was. */
static bool is_chunked(scanner *s, const item *map)
{
    scanner ahead = *s;
    item key;
    if (map->n != 3 || !next(&ahead, &key) || !is_text(&ahead, &key, chunked_key))
        return false;
    *s = ahead;
    return true;
}

/* One value of the tree, under its name: a leaf, or a map to go into (*map). */
static bool read_value(scanner *s, oci_flax *f, const char *name, item *map)
{
    item it;
    oci_entry e = { .name = name, .offset = f->piece_count };
    *map = (item){ 0 };
    if (!next(s, &it)) return false;
    if (it.kind == MAP) {
        if (is_chunked(s, &it)) return read_chunked(s, f, &e) && add_entry(s, f, &e);
        if (oci_failed(s->cx)) return false;
        *map = it;
        return true;
    }
    if (it.kind == EXT && (it.ext == EXT_ARRAY || it.ext == EXT_SCALAR))
        return read_array(s, &it, f, &e) && add_entry(s, f, &e);
    if (it.kind == ARRAY || it.kind == EXT)
        return malformed(s, "expected an array of numbers or a map");
    return true;                /* a plain number or text: nothing that a model loads */
}

static bool read_tree(scanner *s, oci_flax *f)
{
    frame stack[MAX_DEPTH];
    char name[OCI_MAX_NAME];
    item it, map;
    int depth = 1;
    if (!expect(s, &it, MAP, "a map of parameters")) return false;
    stack[0] = (frame){ it.n, 0 };
    while (depth > 0) {
        frame *top = &stack[depth - 1];
        size_t size = top->name_size;
        if (top->left == 0) {
            depth--;
            continue;
        }
        top->left--;
        if (!next(s, &it) || !enter(s, name, &size, &it) || !read_value(s, f, name, &map))
            return false;
        if (map.kind != MAP) continue;
        if (depth == MAX_DEPTH)
            return malformed(s, "expected at most %d maps in each other", MAX_DEPTH);
        stack[depth++] = (frame){ map.n, size };
    }
    return s->at == s->end || malformed(s, "expected the end of the file, found more");
}

/* ---- the file ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

bool oci_flax_open(oc_context *cx, oci_flax *file, const char *path, bool map)
{
    *file = (oci_flax){ 0 };
    file->path = oci_strdup(cx, path);
    if (map) file->bytes = oci_file_map(cx, path);
    else file->source = oci_file_open(cx, path);
    if (!oci_failed(cx)) {
        struct window window = { 0 };
        scanner s = { .cx = cx, .path = path, .file = file, .window = &window,
                      .end = map ? file->bytes->size : file->source->size };
        if (read_tree(&s, file) && file->count)
            qsort(file->entries, file->count, sizeof *file->entries, by_name);
    }
    if (oci_failed(cx)) oci_flax_close(file);
    return !oci_failed(cx);
}

void oci_flax_close(oci_flax *file)
{
    oci_buffer_unref(&file->bytes);
    oci_file_close(file->source);
    oci_arena_deinit(&file->arena);
    oci_free(file->entries);
    oci_free(file->pieces);
    oci_free(file->path);
    *file = (oci_flax){ 0 };
}

const void *oci_flax_peek(const oci_flax *file, const oci_entry *entry)
{
    if (!file->bytes || entry->bytes == 0) return NULL;
    const struct oci_flax_piece *piece = &file->pieces[entry->offset];
    const unsigned char *data = file->bytes->data + piece->offset;
    return piece->bytes == entry->bytes &&
                   (uintptr_t)data % oci_dtype_size(entry->dtype) == 0
               ? data
               : NULL;
}

bool oci_flax_read(oc_context *cx, const oci_flax *file, const oci_entry *entry, void *to)
{
    unsigned char *at = to;
    size_t left = entry->bytes;
    const struct oci_flax_piece *p = &file->pieces[entry->offset];
    for (; left && !oci_failed(cx); p++) {
        if (file->bytes) memcpy(at, file->bytes->data + p->offset, p->bytes);
        else oci_file_read_at(cx, file->source, p->offset, at, p->bytes);
        at += p->bytes;
        left -= p->bytes;
    }
    return !oci_failed(cx);
}
