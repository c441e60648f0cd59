/* See chunks.h. Filters: HDF5 File Format Specification, version 2.0, IV.A.2.l. */
#include "io/chunks.h"

#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/quote.h"

bool oci_chunks_measure(oci_chunks *chunks, const oci_entry *array)
{
    size_t bytes = oci_dtype_size(array->dtype), count = 1;
    for (int i = 0; i < array->rank; i++) {
        if (chunks->side[i] <= 0) return false;
        chunks->grid[i] = oci_ceil_div(array->shape[i], chunks->side[i]);
        if (!oci_mul(bytes, (size_t)chunks->side[i], &bytes) || bytes > OCI_CHUNK_BYTES ||
            !oci_mul(count, (size_t)chunks->grid[i], &count)) return false;
    }
    chunks->bytes = bytes;
    chunks->count = count;
    return true;
}

size_t oci_chunks_place(const oci_chunks *chunks, int rank, const uint64_t *first)
{
    size_t place = 0;
    for (int i = 0; i < rank; i++) {
        const uint64_t side = (uint64_t)chunks->side[i], at = first[i] / side;
        if (first[i] % side || at >= (uint64_t)chunks->grid[i]) return SIZE_MAX;
        place = place * (size_t)chunks->grid[i] + (size_t)at;
    }
    return place;
}

/* ---- one chunk --------------------------------------------------------------------- */

typedef struct unpacking {
    oc_context *cx;
    const oci_chunks *chunks;
    const oci_entry *array;
    const char *path;
    unsigned char *stored;          /* [most that one is stored as] */
    unsigned char *plain, *spare;   /* [bytes] each */
} unpacking;

static bool broken(const unpacking *u, const char *what)
{
    oci_quoted name;
    oci_fail(u->cx, OC_E_MALFORMED, "%s: %s: a chunk: %s", u->path,
             oci_quote(&name, u->array->name), what);
    return false;
}

/* Exactly the bytes of a chunk: a stream that says more is refused without unpacking
 * it. */
static bool inflate_all(const unpacking *u, const unsigned char *from, size_t size,
                        unsigned char *to)
{
    uLongf got = (uLongf)u->chunks->bytes;
    const int result = uncompress(to, &got, from, (uLong)size);
    if (result == Z_MEM_ERROR) {
        oci_fail(u->cx, OC_E_MEMORY, "%s: no memory to inflate with", u->path);
        return false;
    }
    return (result == Z_OK && got == u->chunks->bytes) ||
           broken(u, "expected it to inflate to the bytes of its shape");
}

static void unshuffle(const unpacking *u, const unsigned char *from, unsigned char *to)
{
    const size_t size = oci_dtype_size(u->array->dtype), count = u->chunks->bytes / size;
    for (size_t b = 0; b < size; b++)
        for (size_t i = 0; i < count; i++) to[i * size + b] = from[b * count + i];
}

/* The filters, undone from the last to the first. NULL: error set. */
static const unsigned char *unpack(const unpacking *u, const oci_chunk *chunk)
{
    const oci_chunks *c = u->chunks;
    const unsigned char *data = u->stored;
    size_t size = chunk->bytes;
    if (c->deflate >= 0 && !(chunk->skipped >> c->deflate & 1)) {
        if (!inflate_all(u, data, size, u->plain)) return NULL;
        data = u->plain;
        size = c->bytes;
    }
    if (size != c->bytes) {
        broken(u, "expected as many bytes as its shape has");
        return NULL;
    }
    if (c->shuffle >= 0 && !(chunk->skipped >> c->shuffle & 1)) {
        unshuffle(u, data, u->spare);
        data = u->spare;
    }
    return data;
}

/* Copies what of a chunk lies in the array, row by row of its last dimension. */
static void scatter(const unpacking *u, const int64_t *at, const unsigned char *from,
                    unsigned char *to)
{
    const oci_entry *e = u->array;
    const oci_chunks *c = u->chunks;
    const size_t size = oci_dtype_size(e->dtype);
    const int last = e->rank - 1;
    int64_t first[OCI_MAX_RANK], part[OCI_MAX_RANK], index[OCI_MAX_RANK] = { 0 };
    int64_t rows = 1;
    for (int d = 0; d <= last; d++) {
        first[d] = at[d] * c->side[d];
        part[d] = oci_min(c->side[d], e->shape[d] - first[d]);
        if (d < last) rows *= part[d];
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t source = 0, target = 0;
        for (int d = 0; d <= last; d++) {
            source = source * c->side[d] + index[d];
            target = target * e->shape[d] + first[d] + index[d];
        }
        memcpy(to + (size_t)target * size, from + (size_t)source * size,
               (size_t)part[last] * size);
        for (int d = last - 1; d >= 0 && ++index[d] == part[d]; d--) index[d] = 0;
    }
}

/* ---- all of them ------------------------------------------------------------------- */

/* Room for the largest stored chunk, for an unpacked one and for its shuffled form. */
static bool take_room(unpacking *u)
{
    const oci_chunks *c = u->chunks;
    size_t most = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->list[i].bytes > most) most = c->list[i].bytes;
    u->stored = oci_alloc(u->cx, most);
    if (c->deflate >= 0) u->plain = oci_alloc(u->cx, c->bytes);
    if (c->shuffle >= 0) u->spare = oci_alloc(u->cx, c->bytes);
    return !oci_failed(u->cx);
}

bool oci_chunks_read(oc_context *cx, const oci_chunks *chunks, const oci_entry *array,
                     const char *path, oci_chunk_fetch *fetch, const void *user,
                     void *to)
{
    unpacking u = { .cx = cx, .chunks = chunks, .array = array, .path = path };
    int64_t at[OCI_MAX_RANK] = { 0 };
    bool ok = take_room(&u);
    for (size_t i = 0; ok && i < chunks->count; i++) {
        const oci_chunk *chunk = &chunks->list[i];
        ok = fetch(cx, user, chunk->address, u.stored, chunk->bytes);
        const unsigned char *data = ok ? unpack(&u, chunk) : NULL;
        if (data) scatter(&u, at, data, to);
        ok = data != NULL;
        for (int d = array->rank - 1; d >= 0 && ++at[d] == chunks->grid[d]; d--)
            at[d] = 0;
    }
    oci_free(u.stored);
    oci_free(u.plain);
    oci_free(u.spare);
    return ok;
}
