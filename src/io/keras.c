/* See keras.h. After the HDF5 File Format Specification, version 2.0: superblock 0 or 1 (II.A),
 * groups as symbol tables (III.A to III.D), object headers of version 1 (IV.A), datasets whose
 * bytes lie in one piece. Soft and external links, filters, chunks, external files and the
 * structures of HDF5 1.10's own making are refused by name. */
#include "io/keras.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/quote.h"

enum {
    SUPERBLOCK = 96, ROOT_HEADER = 64,      /* bytes, and where the root's header is named */
    TREE_HEAD = 24, TREE_ENTRY = 16, NODE_HEAD = 8, NODE_ENTRY = 40, HEAP_HEAD = 32,
    OBJECT_HEAD = 16, MESSAGE_HEAD = 8,
    SHARED = 2,                             /* flag of a message that lies elsewhere */
    MAX_DEPTH = 64, MAX_TREE = 8            /* groups in each other; levels of a group's tree */
};

/* Message types of IV.A.2. */
enum { DATASPACE = 1, LINK_INFO = 2, DATATYPE = 3, LINK = 6, EXTERNAL = 7, LAYOUT = 8,
       FILTERS = 11, CONTINUATION = 16, SYMBOLS = 17 };

#define UNDEFINED UINT64_MAX                /* an address of nothing */

typedef struct reader {
    oc_context *cx;
    oci_keras *file;
    uint64_t size;              /* of the file */
    uint64_t budget;            /* bytes of structures that may still be read: every byte of a
                                   sound file is read once, and hard links in circles are not */
    char name[OCI_MAX_NAME];    /* path of what is being read */
    size_t name_size;
    int depth;
} reader;

static bool fail(reader *r, oc_status status, const char *what)
{
    oci_quoted quoted;
    oci_fail(r->cx, status, "%s: %s: %s", r->file->path,
             oci_quote(&quoted, r->name_size ? r->name : "/"), what);
    return false;
}

static bool malformed(reader *r, const char *what) { return fail(r, OC_E_MALFORMED, what); }

static bool unsupported(reader *r, const char *what) { return fail(r, OC_E_UNSUPPORTED, what); }

/* ---- bytes ----------------------------------------------------------------------------- */

/* All numbers of the format are little-endian, as we are. */
static uint64_t number(const unsigned char *p, int width)
{
    uint64_t n = 0;
    memcpy(&n, p, (size_t)width);
    return n;
}

/* `size` bytes of structure at an address, into `to`. */
static bool structure(reader *r, uint64_t address, uint64_t size, void *to)
{
    if (address > r->size || size > r->size - address)
        return malformed(r, "expected a structure inside the file, found one that reaches out");
    if (size > r->budget)
        return malformed(r, "expected structures that are used once, found a circle of them");
    r->budget -= size;
    if (r->file->bytes) {
        memcpy(to, r->file->bytes->data + address, (size_t)size);
        return true;
    }
    return oci_file_read_at(r->cx, r->file->source, address, to, (size_t)size);
}

/* The same into a new block (oci_free). */
static unsigned char *structure_block(reader *r, uint64_t address, uint64_t size)
{
    if (size > r->size) {
        malformed(r, "expected a structure inside the file, found one that reaches out");
        return NULL;
    }
    unsigned char *block = oci_alloc(r->cx, (size_t)size + 1);
    if (block && structure(r, address, size, block)) {
        block[size] = '\0';             /* so that names end */
        return block;
    }
    oci_free(block);
    return NULL;
}

static bool has_signature(reader *r, const unsigned char *block, const char *wanted)
{
    return !memcmp(block, wanted, 4) || malformed(r, "expected the signature of a structure");
}

/* ---- object headers -------------------------------------------------------------------- */

/* What the messages of one object say. */
typedef struct object {
    bool has_symbols, has_space, has_type, has_layout;
    uint64_t tree, heap;        /* of a group */
    oci_entry entry;            /* of a dataset: dtype, shape */
    uint64_t address, bytes;    /* … and where its bytes are */
} object;

static bool read_space(reader *r, object *o, const unsigned char *p, size_t size)
{
    size_t head = size && p[0] == 1 ? 8 : 4;
    if (size < head || (p[0] != 1 && p[0] != 2) || (p[0] == 2 && p[3] == 2))
        return unsupported(r, "expected a simple dataspace");
    oci_entry *e = &o->entry;
    e->rank = p[1];
    if (e->rank > OCI_MAX_RANK) return fail(r, OC_E_LIMIT, "expected at most 8 dimensions");
    if (size - head < 8 * (size_t)e->rank) return malformed(r, "dataspace: cut short");
    for (int i = 0; i < e->rank; i++) {
        uint64_t n = number(p + head + 8 * i, 8);
        if (n > INT64_MAX) return malformed(r, "dataspace: expected a dimension below 2^63");
        e->shape[i] = (int64_t)n;
    }
    return o->has_space = true;
}

/* IEEE's formats only: sign bit, exponent and mantissa where C has them. */
static oc_dtype float_type(const unsigned char *p, size_t size)
{
    static const struct { size_t size; unsigned char sign, fields[4]; oc_dtype dtype; } types[] = {
        { 2, 15, { 10, 5, 0, 10 }, OC_F16 }, { 4, 31, { 23, 8, 0, 23 }, OC_F32 },
        { 8, 63, { 52, 11, 0, 52 }, OC_F64 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].size == size && p[2] == types[i].sign && !memcmp(p + 12, types[i].fields, 4))
            return types[i].dtype;
    return OC_DTYPE_COUNT;
}

static oc_dtype integer_type(bool is_signed, size_t size)
{
    switch (size) {
    case 1: return is_signed ? OC_I8 : OC_U8;
    case 2: return is_signed ? OC_I16 : OC_U16;
    case 4: return is_signed ? OC_I32 : OC_U32;
    case 8: return is_signed ? OC_I64 : OC_U64;
    default: return OC_DTYPE_COUNT;
    }
}

static bool read_type(reader *r, object *o, const unsigned char *p, size_t size)
{
    enum { FIXED = 0, FLOAT = 1, BIG_ENDIAN_BITS = 0x41, SIGNED_BIT = 8 };
    const int class = size >= 8 ? p[0] & 0x0f : -1;
    o->entry.dtype = OC_DTYPE_COUNT;
    if (class == FIXED && size >= 12 && !(p[1] & BIG_ENDIAN_BITS))
        o->entry.dtype = integer_type((p[1] & SIGNED_BIT) != 0, (size_t)number(p + 4, 4));
    else if (class == FLOAT && size >= 20 && !(p[1] & BIG_ENDIAN_BITS))
        o->entry.dtype = float_type(p, (size_t)number(p + 4, 4));
    o->has_type = true;
    return o->entry.dtype != OC_DTYPE_COUNT ||
           unsupported(r, "datatype: expected little-endian numbers");
}

/* `at`: where the message lies in the file; compact data is in it. */
static bool read_layout(reader *r, object *o, const unsigned char *p, size_t size, uint64_t at)
{
    enum { COMPACT = 0, CONTIGUOUS = 1 };
    if (size < 4 || p[0] != 3) return unsupported(r, "layout: expected version 3");
    if (p[1] == COMPACT) {
        o->address = at + 4;
        o->bytes = number(p + 2, 2);
        if (o->bytes > size - 4) return malformed(r, "layout: cut short");
    } else if (p[1] == CONTIGUOUS && size >= 18) {
        o->address = number(p + 2, 8);
        o->bytes = number(p + 10, 8);
    } else {
        return unsupported(r, "layout: expected the bytes in one piece, found chunks or virtual "
                           "storage");
    }
    return o->has_layout = true;
}

static bool read_message(reader *r, object *o, int type, const unsigned char *p, size_t size,
                         uint64_t at)
{
    switch (type) {
    case DATASPACE: return read_space(r, o, p, size);
    case DATATYPE: return read_type(r, o, p, size);
    case LAYOUT: return read_layout(r, o, p, size, at);
    case FILTERS:
        return size < 2 || p[1] == 0 || unsupported(r, "expected plain storage, found filters");
    case EXTERNAL: return unsupported(r, "expected the bytes in this file, found external ones");
    case LINK: case LINK_INFO:
        return unsupported(r, "expected a group as HDF5 1.8 and older have it, found links that "
                           "later ones write");
    case SYMBOLS:
        if (size < 16) return malformed(r, "symbol table: cut short");
        o->tree = number(p, 8);
        o->heap = number(p + 8, 8);
        return o->has_symbols = true;
    default: return true;       /* attributes, fill values, times: nothing that we need */
    }
}

/* The messages of one block; the last continuation among them is left in *next. Headers may go
 * on in a block elsewhere, which may go on again. */
static bool read_messages(reader *r, object *o, const unsigned char *block, uint64_t size,
                          uint64_t at, uint64_t next[2])
{
    for (uint64_t i = 0; i + MESSAGE_HEAD <= size;) {
        const unsigned char *p = block + i;
        const int type = (int)number(p, 2), flags = p[4];
        const size_t bytes = (size_t)number(p + 2, 2);
        if (bytes > size - i - MESSAGE_HEAD) return malformed(r, "a message that is cut short");
        if (flags & SHARED && (type == DATASPACE || type == DATATYPE || type == LAYOUT ||
                               type == SYMBOLS))
            return unsupported(r, "expected messages that are not shared");
        if (type == CONTINUATION) {
            if (bytes < 16 || next[0]) return malformed(r, "expected one continuation");
            next[0] = number(p + MESSAGE_HEAD, 8);
            next[1] = number(p + MESSAGE_HEAD + 8, 8);
        } else if (!read_message(r, o, type, p + MESSAGE_HEAD, bytes, at + i + MESSAGE_HEAD)) {
            return false;
        }
        i += MESSAGE_HEAD + bytes;
    }
    return true;
}

static bool read_object(reader *r, uint64_t address, object *o)
{
    unsigned char head[OBJECT_HEAD];
    uint64_t next[2] = { 0 };
    *o = (object){ .address = UNDEFINED };
    if (!structure(r, address, OBJECT_HEAD, head)) return false;
    if (!memcmp(head, "OHDR", 4))
        return unsupported(r, "expected an object as HDF5 1.8 and older have it");
    if (head[0] != 1) return malformed(r, "expected an object's header");
    uint64_t at = address + OBJECT_HEAD, size = number(head + 8, 4);
    bool ok = true;
    while (ok && size) {        /* each turn spends budget: a circle ends */
        unsigned char *block = structure_block(r, at, size);
        next[0] = next[1] = 0;
        ok = block && read_messages(r, o, block, size, at, next);
        oci_free(block);
        at = next[0];
        size = next[1];
    }
    return ok;
}

/* ---- datasets -------------------------------------------------------------------------- */

static bool add_entry(reader *r, const object *o)
{
    oci_keras *f = r->file;
    oci_entry e = o->entry;
    if (!o->has_space || !o->has_type || !o->has_layout)
        return malformed(r, "expected a dataspace, a datatype and a layout");
    if (!oci_shape_bytes(e.dtype, e.rank, e.shape, &e.bytes))
        return malformed(r, "dataspace: the number of bytes overflows");
    if (e.bytes && (o->bytes < e.bytes || o->address > r->size ||
                    e.bytes > r->size - o->address))
        return malformed(r, "expected the bytes of its shape in the file, found fewer");
    if (f->count >= r->cx->limits.tensors) return fail(r, OC_E_LIMIT, "too many tensors");
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 256;
        oci_entry *more = oci_realloc(r->cx, f->entries, room * sizeof *more);
        if (!more) return false;
        f->entries = more;
        f->room = room;
    }
    char *name = oci_arena_alloc(r->cx, &f->arena, r->name_size + 1);
    if (!name) return false;
    e.name = memcpy(name, r->name, r->name_size + 1);
    e.offset = e.bytes ? (size_t)o->address : 0;
    f->entries[f->count++] = e;
    return true;
}

/* ---- groups ---------------------------------------------------------------------------- */

typedef struct names {          /* a group's heap of names */
    unsigned char *data;
    uint64_t size;
} names;

static bool read_object_at(reader *r, uint64_t address);

static bool read_names(reader *r, uint64_t address, names *heap)
{
    unsigned char head[HEAP_HEAD];
    if (!structure(r, address, HEAP_HEAD, head) || !has_signature(r, head, "HEAP")) return false;
    heap->size = number(head + 8, 8);
    heap->data = structure_block(r, number(head + 24, 8), heap->size);
    return heap->data != NULL;
}

/* One link: its name is appended while what it leads to is read. */
static bool read_link(reader *r, const names *heap, const unsigned char *entry)
{
    enum { SOFT = 2 };
    const size_t before = r->name_size;
    uint64_t offset = number(entry, 8);
    if (offset >= heap->size) return malformed(r, "a link's name outside of the group's names");
    const char *link = (const char *)heap->data + offset;
    size_t n = strlen(link);
    if (!n || strchr(link, '/')) return malformed(r, "expected a link's name without '/'");
    if (n + 2 > sizeof r->name - before) return fail(r, OC_E_LIMIT, "its links have long names");
    if (before) r->name[r->name_size++] = '/';
    memcpy(r->name + r->name_size, link, n + 1);
    r->name_size += n;
    bool ok = number(entry + 16, 4) == SOFT
              ? unsupported(r, "expected hard links only, found a soft one")
              : read_object_at(r, number(entry + 8, 8));
    r->name_size = before;
    r->name[before] = '\0';
    return ok;
}

static bool read_node(reader *r, const names *heap, uint64_t address)
{
    unsigned char head[NODE_HEAD];
    if (!structure(r, address, NODE_HEAD, head) || !has_signature(r, head, "SNOD")) return false;
    size_t count = (size_t)number(head + 6, 2);
    unsigned char *entries = structure_block(r, address + NODE_HEAD, count * NODE_ENTRY);
    bool ok = entries != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = read_link(r, heap, entries + i * NODE_ENTRY);
    oci_free(entries);
    return ok;
}

static bool read_tree(reader *r, const names *heap, uint64_t address, int level)
{
    unsigned char head[TREE_HEAD];
    if (!structure(r, address, TREE_HEAD, head) || !has_signature(r, head, "TREE")) return false;
    if (head[4] != 0 || (level >= 0 && head[5] != level) || head[5] >= MAX_TREE)
        return malformed(r, "expected a tree of a group's names");
    size_t count = (size_t)number(head + 6, 2);
    /* Keys and children by turns, from a key on. */
    unsigned char *children = structure_block(r, address + TREE_HEAD, count * TREE_ENTRY);
    bool ok = children != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        uint64_t child = number(children + i * TREE_ENTRY + 8, 8);
        ok = head[5] ? read_tree(r, heap, child, head[5] - 1) : read_node(r, heap, child);
    }
    oci_free(children);
    return ok;
}

static bool read_group(reader *r, const object *o)
{
    names heap = { 0 };
    if (r->depth == MAX_DEPTH) return fail(r, OC_E_LIMIT, "too many groups in each other");
    r->depth++;
    bool ok = read_names(r, o->heap, &heap) && read_tree(r, &heap, o->tree, -1);
    r->depth--;
    oci_free(heap.data);
    return ok;
}

static bool read_object_at(reader *r, uint64_t address)
{
    object o;
    if (!read_object(r, address, &o)) return false;
    if (o.has_symbols) return read_group(r, &o);
    /* A named type has no bytes, and nobody's weights are in it. */
    return (!o.has_layout && !o.has_space) || add_entry(r, &o);
}

/* ---- the file -------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool read_file(reader *r)
{
    static const unsigned char signature[] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    unsigned char block[SUPERBLOCK + 4];
    if (r->size < sizeof block || !structure(r, 0, sizeof block, block) ||
        memcmp(block, signature, sizeof signature))
        return oci_failed(r->cx) ? false : malformed(r, "expected an HDF5 file");
    int version = block[8];
    if (version > 1 || block[13] != 8 || block[14] != 8)
        return unsupported(r, "expected a file as HDF5 1.8 and older have it, with addresses of "
                           "8 bytes");
    /* Version 1 has four bytes more before the addresses. */
    const unsigned char *root = block + ROOT_HEADER + (version ? 4 : 0);
    return read_object_at(r, number(root, 8));
}

bool oci_keras_open(oc_context *cx, oci_keras *file, const char *path, bool map)
{
    *file = (oci_keras){ 0 };
    file->path = oci_strdup(cx, path);
    if (map) file->bytes = oci_file_map(cx, path);
    else file->source = oci_file_open(cx, path);
    if (!oci_failed(cx)) {
        reader r = { .cx = cx, .file = file,
                     .size = map ? file->bytes->size : file->source->size };
        r.budget = r.size;
        if (read_file(&r) && file->count)
            qsort(file->entries, file->count, sizeof *file->entries, by_name);
    }
    if (oci_failed(cx)) oci_keras_close(file);
    return !oci_failed(cx);
}

void oci_keras_close(oci_keras *file)
{
    oci_buffer_unref(&file->bytes);
    oci_file_close(file->source);
    oci_arena_deinit(&file->arena);
    oci_free(file->entries);
    oci_free(file->path);
    *file = (oci_keras){ 0 };
}

const void *oci_keras_peek(const oci_keras *file, const oci_entry *entry)
{
    if (!file->bytes || entry->bytes == 0) return NULL;
    const unsigned char *data = file->bytes->data + entry->offset;
    return (uintptr_t)data % oci_dtype_size(entry->dtype) == 0 ? data : NULL;
}

bool oci_keras_read(oc_context *cx, const oci_keras *file, const oci_entry *entry, void *to)
{
    if (oci_failed(cx)) return false;
    if (!file->bytes) return oci_file_read_at(cx, file->source, entry->offset, to, entry->bytes);
    memcpy(to, file->bytes->data + entry->offset, entry->bytes);
    return true;
}
