/* See keras.h. After the HDF5 File Format Specification, versions 2.0 and 3.0:
 * superblocks 0 to 3 (II.A), groups as symbol tables (III.A to III.D) or as links in
 * their headers (IV.A.2.g), object headers of both versions (IV.A.1), arrays in one
 * piece, or in chunks that a tree (III.A.1), a fixed array (VII.C) or the header itself
 * tells of, deflated or not. Soft and external links, other filters, external files, and
 * the heaps and trees that libver="latest" needs for more than eight links of a group are
 * refused by name. Checksums, which only the newer structures have, are not looked at:
 * what they guard is checked where it is used. */
#include "io/keras.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/chunks.h"
#include "io/quote.h"

enum {
    SUPERBLOCK = 96, ROOT_HEADER = 64,      /* bytes, and where the root's header is
                                               named */
    TREE_HEAD = 24, TREE_ENTRY = 16, NODE_HEAD = 8, NODE_ENTRY = 40, HEAP_HEAD = 32,
    OBJECT_HEAD = 16, PREFIX = 6, CHECKSUM = 4, ARRAY_HEAD = 28,
    SHARED = 2,                             /* flag of a message that lies elsewhere */
    MAX_DEPTH = 64, MAX_TREE = 8            /* groups in each other; levels of a
                                               group's tree */
};

/* Message types of IV.A.2. */
enum { DATASPACE = 1, LINK_INFO = 2, DATATYPE = 3, LINK = 6, EXTERNAL = 7, LAYOUT = 8,
       FILTERS = 11, CONTINUATION = 16, SYMBOLS = 17 };

#define UNDEFINED UINT64_MAX                /* an address of nothing */

typedef struct reader {
    oc_context *cx;
    oci_keras *file;
    uint64_t size;              /* of the file */
    uint64_t budget;            /* bytes of structures that may still be read: every byte
                                   of a sound file is read once, and hard links in circles
                                   are not */
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

static bool malformed(reader *r, const char *what)
{
    return fail(r, OC_E_MALFORMED, what);
}

static bool unsupported(reader *r, const char *what)
{
    return fail(r, OC_E_UNSUPPORTED, what);
}

/* ---- bytes ------------------------------------------------------------------------- */

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
        return malformed(r, "expected a structure inside the file, found one that "
                            "reaches out");
    if (size > r->budget)
        return malformed(r, "expected structures that are used once, found a circle of "
                            "them");
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
    return !memcmp(block, wanted, 4) || malformed(r, "expected the signature of a "
                                                     "structure");
}

/* ---- object headers ---------------------------------------------------------------- */

/* What the messages of one object say. */
typedef struct object {
    bool has_symbols, has_links, has_space, has_type, has_layout;
    uint64_t tree, heap;        /* of a group */
    oci_entry entry;            /* of a dataset: dtype, shape */
    uint64_t address, bytes;    /* … and where its bytes are */
    enum { ONE_PIECE, BY_TREE, ALONE, IN_ORDER, BY_ARRAY } index;   /* or its chunks: … */
    oci_chunks chunks;          /* … their sides and filters, … */
    oci_chunk alone;            /* … and the only one, if ALONE */
    int chunk_rank;             /* with the size of an element as the last dimension */
} object;

static bool read_space(reader *r, object *o, const unsigned char *p, size_t size)
{
    size_t head = size && p[0] == 1 ? 8 : 4;
    if (size < head || (p[0] != 1 && p[0] != 2) || (p[0] == 2 && p[3] == 2))
        return unsupported(r, "expected a simple dataspace");
    oci_entry *e = &o->entry;
    e->rank = p[1];
    if (e->rank > OCI_MAX_RANK)
        return fail(r, OC_E_LIMIT, "expected at most 8 dimensions");
    if (size - head < 8 * (size_t)e->rank) return malformed(r, "dataspace: cut short");
    for (int i = 0; i < e->rank; i++) {
        uint64_t n = number(p + head + 8 * i, 8);
        if (n > INT64_MAX)
            return malformed(r, "dataspace: expected a dimension below 2^63");
        e->shape[i] = (int64_t)n;
    }
    return o->has_space = true;
}

/* IEEE's formats only: sign bit, exponent and mantissa where C has them. */
static oc_dtype float_type(const unsigned char *p, size_t size)
{
    static const struct {
        size_t size; unsigned char sign, fields[4]; oc_dtype dtype;
    } types[] = {
        { 2, 15, { 10, 5, 0, 10 }, OC_F16 }, { 4, 31, { 23, 8, 0, 23 }, OC_F32 },
        { 8, 63, { 52, 11, 0, 52 }, OC_F64 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].size == size && p[2] == types[i].sign &&
            !memcmp(p + 12, types[i].fields, 4))
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

/* What both versions say of chunks: how many numbers, then each in `width` bytes, the
 * last of them the element's size. */
static bool read_sides(reader *r, object *o, const unsigned char *p, size_t size,
                       int rank, int width)
{
    if (rank < 2 || rank > OCI_MAX_RANK + 1)
        return malformed(r, "layout: chunks of no rank");
    if (width < 1 || width > 8 || size < (size_t)rank * (size_t)width)
        return malformed(r, "layout: cut short");
    o->chunk_rank = rank;
    for (int i = 0; i < rank - 1; i++) {
        uint64_t side = number(p + i * width, width);
        if (side == 0 || side > OCI_CHUNK_BYTES)
            return fail(r, OC_E_LIMIT, "layout: expected chunks of at most 64 MiB");
        o->chunks.side[i] = (int64_t)side;
    }
    return true;
}

/* Version 3: one tree of chunks, whatever the array. */
static bool read_tree_layout(reader *r, object *o, const unsigned char *p, size_t size)
{
    if (size < 11) return malformed(r, "layout: cut short");
    o->index = BY_TREE;
    o->address = number(p + 3, 8);
    return read_sides(r, o, p + 11, size - 11, p[2], 4);
}

/* Versions 4 and 5 (the same, but for the widths of some sizes, which they tell): an
 * index for each kind of array; a growing one's are refused. */
static bool read_index_layout(reader *r, object *o, const unsigned char *p, size_t size)
{
    enum { SINGLE = 1, IMPLICIT = 2, FIXED_ARRAY = 3, FILTERED = 2 };
    if (size < 5 || p[4] > 8) return malformed(r, "layout: cut short");
    const size_t sides = 5 + (size_t)p[3] * p[4];
    if (!read_sides(r, o, p + 5, size - 5, p[3], p[4])) return false;
    if (size < sides + 1) return malformed(r, "layout: cut short");
    const int kind = p[sides];
    const unsigned char *rest = p + sides + 1;
    size_t left = size - sides - 1, skip = 0;
    if (kind == SINGLE && p[2] & FILTERED) {
        if (left < 12) return malformed(r, "layout: cut short");
        if (number(rest, 8) > UINT32_MAX)
            return malformed(r, "layout: a chunk too large");
        o->alone.bytes = (uint32_t)number(rest, 8);
        o->alone.skipped = (uint32_t)number(rest + 8, 4);
        skip = 12;
    }
    if (kind == FIXED_ARRAY) skip = 1;
    if (kind < SINGLE || kind > FIXED_ARRAY)
        return unsupported(r, "layout: expected an array of one size, found one that can "
                              "grow");
    if (left < skip + 8) return malformed(r, "layout: cut short");
    o->index = kind == SINGLE ? ALONE : kind == IMPLICIT ? IN_ORDER : BY_ARRAY;
    o->address = number(rest + skip, 8);
    return true;
}

/* `at`: where the message lies in the file; compact data is in it. */
static bool read_layout(reader *r, object *o, const unsigned char *p, size_t size,
                        uint64_t at)
{
    enum { COMPACT = 0, CONTIGUOUS = 1, CHUNKED = 2 };
    if (size < 4 || p[0] < 3 || p[0] > 5)
        return unsupported(r, "layout: expected version 3 to 5");
    o->has_layout = true;
    if (p[1] == CHUNKED)
        return p[0] == 3 ? read_tree_layout(r, o, p, size)
                         : read_index_layout(r, o, p, size);
    if (p[1] == COMPACT) {
        o->address = at + 4;
        o->bytes = number(p + 2, 2);
        return o->bytes <= size - 4 || malformed(r, "layout: cut short");
    }
    if (p[1] != CONTIGUOUS || size < 18)
        return unsupported(r, "layout: expected the bytes here, found virtual storage");
    o->address = number(p + 2, 8);
    o->bytes = number(p + 10, 8);
    return true;
}

/* Shuffled, deflated, or first the one and then the other:
 * what h5py has without plugins. */
static bool read_filters(reader *r, object *o, const unsigned char *p, size_t size)
{
    enum { DEFLATE = 1, SHUFFLE = 2, NAMED = 256 };
    if (size < 2) return malformed(r, "filters: cut short");
    const bool old = p[0] == 1;         /* names for all, everything in eights */
    size_t at = old ? 8 : 2;
    for (int i = 0; i < p[1]; i++) {
        if (size < at || size - at < 8) return malformed(r, "filters: cut short");
        const int id = (int)number(p + at, 2);
        const bool named = old || id >= NAMED;
        const size_t name = named ? (size_t)number(p + at + 2, 2) : 0;
        const size_t values = (size_t)number(p + at + (named ? 6 : 4), 2);
        at += (named ? 8 : 6) + (old ? (name + 7) / 8 * 8 + (values + values % 2) * 4
                                     : name + values * 4);
        if (id == SHUFFLE && o->chunks.shuffle < 0 && o->chunks.deflate < 0)
            o->chunks.shuffle = i;
        else if (id == DEFLATE && o->chunks.deflate < 0)
            o->chunks.deflate = i;
        else
            return unsupported(r, "filters: expected shuffle, deflate or both in that "
                                  "order, found another");
    }
    return at <= size || malformed(r, "filters: cut short");
}

/* ---- links ------------------------------------------------------------------------- */

static bool read_object_at(reader *r, uint64_t address);

/* The link's name is appended while what it leads to is read. */
static bool follow(reader *r, const char *link, size_t n, bool hard, uint64_t address)
{
    const size_t before = r->name_size;
    if (!n || memchr(link, '/', n) || memchr(link, '\0', n))
        return malformed(r, "expected a link's name without '/'");
    if (n + 2 > sizeof r->name - before)
        return fail(r, OC_E_LIMIT, "its links have long names");
    if (before) r->name[r->name_size++] = '/';
    memcpy(r->name + r->name_size, link, n);
    r->name_size += n;
    r->name[r->name_size] = '\0';
    bool ok = hard ? read_object_at(r, address)
                   : unsupported(r, "expected hard links only, found a soft or an "
                                    "external one");
    r->name_size = before;
    r->name[before] = '\0';
    return ok;
}

/* Links in the group's own header, as libver="latest" has them. */
static bool read_link_message(reader *r, object *o, const unsigned char *p, size_t size)
{
    enum { NAME_WIDTH = 3, ORDER = 4, KIND = 8, CHARACTERS = 16, HARD = 0 };
    o->has_links = true;
    if (size < 2 || p[0] != 1) return malformed(r, "expected a link of version 1");
    const int flags = p[1], width = 1 << (flags & NAME_WIDTH);
    size_t at = 2, kind = HARD;
    if (flags & KIND && at < size) kind = p[at++];
    at += (flags & ORDER ? 8u : 0) + (flags & CHARACTERS ? 1u : 0);
    if (size < at + (size_t)width) return malformed(r, "a link that is cut short");
    const uint64_t n = number(p + at, width);
    at += (size_t)width;
    if (n > size - at || (kind == HARD && size - at - n < 8))
        return malformed(r, "a link that is cut short");
    if (r->depth == MAX_DEPTH)
        return fail(r, OC_E_LIMIT, "too many groups in each other");
    r->depth++;
    bool ok = follow(r, (const char *)p + at, (size_t)n, kind == HARD,
                     kind == HARD ? number(p + at + n, 8) : UNDEFINED);
    r->depth--;
    return ok;
}

/* More than eight links are moved out of the header,
 * to structures that we do not read. */
static bool read_link_info(reader *r, object *o, const unsigned char *p, size_t size)
{
    const size_t at = size >= 2 && p[1] & 1 ? 10 : 2;
    if (size < at + 8) return malformed(r, "links' places: cut short");
    o->has_links = true;
    return number(p + at, 8) == UNDEFINED ||
           unsupported(r, "expected a group as HDF5 1.8 and older have it, or of at most "
                          "eight links, found a heap of them (libver=\"latest\")");
}

/* ---- messages ---------------------------------------------------------------------- */

static bool read_message(reader *r, object *o, int type, const unsigned char *p,
                         size_t size, uint64_t at)
{
    switch (type) {
    case DATASPACE: return read_space(r, o, p, size);
    case DATATYPE: return read_type(r, o, p, size);
    case LAYOUT: return read_layout(r, o, p, size, at);
    case FILTERS: return read_filters(r, o, p, size);
    case EXTERNAL:
        return unsupported(r, "expected the bytes in this file, found external ones");
    case LINK: return read_link_message(r, o, p, size);
    case LINK_INFO: return read_link_info(r, o, p, size);
    case SYMBOLS:
        if (size < 16) return malformed(r, "symbol table: cut short");
        o->tree = number(p, 8);
        o->heap = number(p + 8, 8);
        return o->has_symbols = true;
    default: return true;       /* attributes, fill values, times: nothing that we need */
    }
}

/* How the messages of an object's header begin: type, size and flags in 8 bytes, or, in
 * version 2, in 4 or (with the order in which they came) 6. */
typedef struct message { int type, flags; size_t bytes; } message;

static message message_at(const unsigned char *p, size_t head)
{
    return head == 8 ? (message){ (int)number(p, 2), p[4], (size_t)number(p + 2, 2) }
                     : (message){ p[0], p[3], (size_t)number(p + 1, 2) };
}

/* The messages of one block; the last continuation among them is left in *next. Headers
 * may go on in a block elsewhere, which may go on again. */
static bool read_messages(reader *r, object *o, const unsigned char *block, uint64_t size,
                          uint64_t at, size_t head, uint64_t next[2])
{
    for (uint64_t i = 0; i + head <= size;) {
        const unsigned char *p = block + i + head;
        const message m = message_at(block + i, head);
        if (m.bytes > size - i - head) return malformed(r, "a message that is cut short");
        if (m.flags & SHARED &&
            (m.type == DATASPACE || m.type == DATATYPE || m.type == LAYOUT ||
             m.type == FILTERS || m.type == SYMBOLS))
            return unsupported(r, "expected messages that are not shared");
        if (m.type == CONTINUATION) {
            if (m.bytes < 16 || next[0]) return malformed(r, "expected one continuation");
            next[0] = number(p, 8);
            next[1] = number(p + 8, 8);
        } else if (!read_message(r, o, m.type, p, m.bytes, at + i + head)) {
            return false;
        }
        i += head + m.bytes;
    }
    return true;
}

/* Version 2, whose prefix has what its flags say; the first block's place and size. */
static bool read_prefix(reader *r, uint64_t address, int flags, uint64_t *at,
                        uint64_t *size)
{
    enum { SIZE_WIDTH = 3, ATTRIBUTE_BOUNDS = 16, TIMES = 32 };
    unsigned char rest[16 + 4 + 8];
    const int width = 1 << (flags & SIZE_WIDTH);
    const size_t skip = (flags & TIMES ? 16u : 0) + (flags & ATTRIBUTE_BOUNDS ? 4u : 0);
    if (!structure(r, address + PREFIX, skip + (size_t)width, rest)) return false;
    *at = address + PREFIX + skip + (size_t)width;
    *size = number(rest + skip, width);
    return true;
}

/* Version 2's blocks after the first have a signature before and a checksum behind. */
static bool enter_block(reader *r, const unsigned char *block, uint64_t *skip,
                        uint64_t *size)
{
    if (*size < 4 + CHECKSUM) return malformed(r, "expected a block of messages");
    *skip = 4;
    *size -= 4 + CHECKSUM;
    return has_signature(r, block, "OCHK");
}

static bool read_object(reader *r, uint64_t address, object *o)
{
    enum { ORDERED = 4 };               /* flag of version 2 */
    unsigned char head[OBJECT_HEAD];
    uint64_t at = address + OBJECT_HEAD, size;
    size_t message_head = 8;
    *o = (object){ .address = UNDEFINED, .chunks = { .shuffle = -1, .deflate = -1 } };
    if (!structure(r, address, PREFIX, head)) return false;
    const bool newer = !memcmp(head, "OHDR", 4);
    if (newer ? head[4] != 2 : head[0] != 1)
        return malformed(r, "expected an object's header");
    if (newer) {
        message_head = head[5] & ORDERED ? 6 : 4;
        if (!read_prefix(r, address, head[5], &at, &size)) return false;
    } else {
        if (!structure(r, address + PREFIX, OBJECT_HEAD - PREFIX, head + PREFIX))
            return false;
        size = number(head + 8, 4);
    }
    bool ok = true;
    for (int i = 0; ok && size; i++) {  /* each turn spends budget: a circle ends */
        uint64_t next[2] = { 0 }, skip = 0;
        unsigned char *block = structure_block(r, at, size);
        ok = block && (!newer || i == 0 || enter_block(r, block, &skip, &size)) &&
             read_messages(r, o, block + skip, size, at + skip, message_head, next);
        oci_free(block);
        at = next[0];
        size = next[1];
    }
    return ok;
}

/* ---- datasets ---------------------------------------------------------------------- */

/* One chunk of an array, which may come once; `first`: where it begins, in elements. */
static bool add_chunk(reader *r, oci_chunks *c, size_t place, oci_chunk chunk)
{
    /* Bytes that will not deflate are stored with some more;
     * nobody stores more than that. */
    const uint64_t most = c->bytes + (c->deflate >= 0 ? c->bytes / 8 + 1024 : 0);
    if (place >= c->count || c->list[place].bytes)
        return malformed(r, "expected each chunk of the array once");
    if (!chunk.bytes || chunk.bytes > most || chunk.address > r->size ||
        chunk.bytes > r->size - chunk.address)
        return malformed(r, "expected a chunk's bytes in the file");
    c->list[place] = chunk;
    return true;
}

static bool read_chunk_tree(reader *r, const object *o, oci_chunks *c, uint64_t address,
                            int level)
{
    unsigned char head[TREE_HEAD];
    if (!structure(r, address, TREE_HEAD, head) || !has_signature(r, head, "TREE"))
        return false;
    if (head[4] != 1 || (level >= 0 && head[5] != level) || head[5] >= MAX_TREE)
        return malformed(r, "expected a tree of chunks");
    const int rank = o->entry.rank;
    const size_t entry = 16 + 8 * (size_t)o->chunk_rank,
                 count = (size_t)number(head + 6, 2);
    unsigned char *entries = structure_block(r, address + TREE_HEAD, count * entry);
    bool ok = entries != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const unsigned char *p = entries + i * entry;
        const uint64_t child = number(p + entry - 8, 8);
        uint64_t first[OCI_MAX_RANK];
        for (int d = 0; d < rank; d++) first[d] = number(p + 8 + 8 * d, 8);
        const oci_chunk chunk = { child, (uint32_t)number(p, 4),
                                  (uint32_t)number(p + 4, 4) };
        ok = head[5] ? read_chunk_tree(r, o, c, child, head[5] - 1)
                     : add_chunk(r, c, oci_chunks_place(c, rank, first), chunk);
    }
    oci_free(entries);
    return ok;
}

/* A fixed array of chunks' addresses, in one piece:
 * more than 1024 of them come in pages. */
static bool read_chunk_array(reader *r, const object *o, oci_chunks *c)
{
    enum { BLOCK_HEAD = 14 };
    unsigned char head[ARRAY_HEAD];
    if (!structure(r, o->address, ARRAY_HEAD, head) || !has_signature(r, head, "FAHD"))
        return false;
    const bool filtered = head[5] == 1;
    const size_t entry = head[6], width = filtered ? entry - 12 : 0;
    const uint64_t count = number(head + 8, 8);
    if (head[7] > 32 || count > UINT64_C(1) << head[7])
        return unsupported(r, "layout: expected an array of at most 1024 chunks");
    if (count != c->count || (filtered ? entry < 13 || entry > 20 : entry != 8))
        return malformed(r, "expected an array of all chunks");
    unsigned char *block = structure_block(r, number(head + 16, 8),
                                           BLOCK_HEAD + count * entry);
    bool ok = block && has_signature(r, block, "FADB");
    for (size_t i = 0; ok && i < count; i++) {
        const unsigned char *p = block + BLOCK_HEAD + i * entry;
        const uint64_t bytes = filtered ? number(p + 8, (int)width) : c->bytes;
        const uint32_t skipped = filtered ? (uint32_t)number(p + 8 + width, 4) : 0;
        if (bytes > UINT32_MAX) ok = malformed(r, "layout: a chunk too large");
        else
            ok = add_chunk(r, c, i,
                           (oci_chunk){ number(p, 8), (uint32_t)bytes, skipped });
    }
    oci_free(block);
    return ok;
}

static bool read_index(reader *r, const object *o, oci_chunks *c)
{
    const uint32_t plain = (uint32_t)c->bytes;
    bool ok = true;
    switch (o->index) {
    case BY_TREE: return read_chunk_tree(r, o, c, o->address, -1);
    case BY_ARRAY: return read_chunk_array(r, o, c);
    case ALONE:
        return add_chunk(r, c, 0, (oci_chunk){ o->address, o->alone.bytes ? o->alone.bytes
                                               : plain, o->alone.skipped });
    default:
        for (size_t i = 0; ok && i < c->count; i++)
            ok = add_chunk(r, c, i, (oci_chunk){ o->address + i * c->bytes, plain, 0 });
        return ok;
    }
}

/* Room for one more, which doubles when it is full. */
static bool room_for_chunked(oc_context *cx, oci_keras *f)
{
    const size_t n = f->chunked_count;
    if (n & (n - 1)) return true;
    oci_chunks **more = oci_realloc(cx, f->chunked, (n ? 2 * n : 1) * sizeof *more);
    if (more) f->chunked = more;
    return more != NULL;
}

/* Where the chunks of an array are, all of them: what nobody wrote would be a fill value,
 * and nobody's weights. The entry's offset is then beyond the file's end. */
static bool add_chunks(reader *r, const object *o, oci_entry *e)
{
    oci_keras *f = r->file;
    oci_chunks *c = oci_arena_alloc(r->cx, &f->arena, sizeof *c);
    if (!c) return false;
    *c = o->chunks;
    if (o->chunk_rank != e->rank + 1 || !oci_chunks_measure(c, e))
        return malformed(r, "layout: expected chunks that fit the array");
    /* Each is told of by eight bytes at least. */
    if (c->count > r->size / 8) return malformed(r, "expected all chunks in the file");
    c->list = oci_arena_alloc(r->cx, &f->arena, c->count * sizeof *c->list + 1);
    if (!c->list || !room_for_chunked(r->cx, f)) return false;
    memset(c->list, 0, c->count * sizeof *c->list);
    if (c->count && o->address != UNDEFINED && !read_index(r, o, c)) return false;
    for (size_t i = 0; i < c->count; i++)
        if (!c->list[i].bytes) return malformed(r, "expected all chunks in the file");
    e->offset = (size_t)r->size + f->chunked_count;
    f->chunked[f->chunked_count++] = c;
    return true;
}

static bool find_bytes(reader *r, const object *o, oci_entry *e)
{
    if (o->index != ONE_PIECE) return add_chunks(r, o, e);
    if (o->chunks.shuffle >= 0 || o->chunks.deflate >= 0)
        return malformed(r, "filters: expected them with chunks");
    if (e->bytes && (o->bytes < e->bytes || o->address > r->size ||
                     e->bytes > r->size - o->address))
        return malformed(r, "expected the bytes of its shape in the file, found fewer");
    e->offset = e->bytes ? (size_t)o->address : 0;
    return true;
}

static bool add_entry(reader *r, const object *o)
{
    oci_keras *f = r->file;
    oci_entry e = o->entry;
    if (!o->has_space || !o->has_type || !o->has_layout)
        return malformed(r, "expected a dataspace, a datatype and a layout");
    if (!oci_shape_bytes(e.dtype, e.rank, e.shape, &e.bytes))
        return malformed(r, "dataspace: the number of bytes overflows");
    if (!find_bytes(r, o, &e)) return false;
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
    f->entries[f->count++] = e;
    return true;
}

/* ---- groups ------------------------------------------------------------------------ */

typedef struct names {          /* a group's heap of names */
    unsigned char *data;
    uint64_t size;
} names;

static bool read_names(reader *r, uint64_t address, names *heap)
{
    unsigned char head[HEAP_HEAD];
    if (!structure(r, address, HEAP_HEAD, head) || !has_signature(r, head, "HEAP"))
        return false;
    heap->size = number(head + 8, 8);
    heap->data = structure_block(r, number(head + 24, 8), heap->size);
    return heap->data != NULL;
}

/* One link of a group's table. */
static bool read_link(reader *r, const names *heap, const unsigned char *entry)
{
    enum { SOFT = 2 };
    uint64_t offset = number(entry, 8);
    if (offset >= heap->size)
        return malformed(r, "a link's name outside of the group's names");
    const char *link = (const char *)heap->data + offset;
    return follow(r, link, strlen(link), number(entry + 16, 4) != SOFT,
                  number(entry + 8, 8));
}

static bool read_node(reader *r, const names *heap, uint64_t address)
{
    unsigned char head[NODE_HEAD];
    if (!structure(r, address, NODE_HEAD, head) || !has_signature(r, head, "SNOD"))
        return false;
    size_t count = (size_t)number(head + 6, 2);
    unsigned char *entries = structure_block(r, address + NODE_HEAD, count * NODE_ENTRY);
    bool ok = entries != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = read_link(r, heap, entries + i * NODE_ENTRY);
    oci_free(entries);
    return ok;
}

static bool read_tree(reader *r, const names *heap, uint64_t address, int level)
{
    unsigned char head[TREE_HEAD];
    if (!structure(r, address, TREE_HEAD, head) || !has_signature(r, head, "TREE"))
        return false;
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
    if (r->depth == MAX_DEPTH)
        return fail(r, OC_E_LIMIT, "too many groups in each other");
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
    if (o.has_links) return true;
    /* A named type has no bytes, and nobody's weights are in it. */
    return (!o.has_layout && !o.has_space) || add_entry(r, &o);
}

/* ---- the file ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool read_file(reader *r)
{
    static const unsigned char signature[] = {
        0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'
    };
    enum { NEWER = 48 };                /* bytes of superblocks 2 and 3 */
    unsigned char block[SUPERBLOCK + 4];
    if (r->size < NEWER || !structure(r, 0, NEWER, block) ||
        memcmp(block, signature, sizeof signature))
        return oci_failed(r->cx) ? false : malformed(r, "expected an HDF5 file");
    const int version = block[8];
    const unsigned char *widths = block + (version < 2 ? 13 : 9);
    if (version > 3 || widths[0] != 8 || widths[1] != 8)
        return unsupported(r, "expected superblock 0 to 3, with addresses of 8 bytes");
    if (version >= 2) return read_object_at(r, number(block + 36, 8));
    if (!structure(r, NEWER, sizeof block - NEWER, block + NEWER)) return false;
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
    oci_free(file->chunked);
    oci_free(file->entries);
    oci_free(file->path);
    *file = (oci_keras){ 0 };
}

static uint64_t size_of(const oci_keras *file)
{
    return file->bytes ? file->bytes->size : file->source->size;
}

const void *oci_keras_peek(const oci_keras *file, const oci_entry *entry)
{
    if (!file->bytes || entry->bytes == 0 || entry->offset >= file->bytes->size)
        return NULL;
    const unsigned char *data = file->bytes->data + entry->offset;
    return (uintptr_t)data % oci_dtype_size(entry->dtype) == 0 ? data : NULL;
}

static bool fetch(oc_context *cx, const void *user, uint64_t address, void *to,
                  size_t size)
{
    const oci_keras *file = user;
    if (!file->bytes) return oci_file_read_at(cx, file->source, address, to, size);
    memcpy(to, file->bytes->data + address, size);
    return true;
}

bool oci_keras_read(oc_context *cx, const oci_keras *file, const oci_entry *entry,
                    void *to)
{
    if (oci_failed(cx)) return false;
    if (entry->bytes == 0) return true;
    if (entry->offset < size_of(file))
        return fetch(cx, file, entry->offset, to, entry->bytes);
    const oci_chunks *chunks = file->chunked[entry->offset - (size_t)size_of(file)];
    return oci_chunks_read(cx, chunks, entry, file->path, fetch, file, to);
}
