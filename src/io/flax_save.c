/* The writer of flax's to_bytes (flax 0.7.5, serialization.py): maps in maps, and as
 * leaves extension 1, a packed [shape, dtype, bytes]; or, in a shard of
 * Transformers', one flat map. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "io/flax.h"
#include "io/quote.h"

enum { MAX_DEPTH = 64, HEAD = 9 };

typedef const oci_save_tensor *tensor_ref;

typedef struct writer {
    oc_context *cx;
    const char *path;
    oci_save *save;
    const oci_save_source *source;
    const tensor_ref *refs;     /* sorted by path */
    size_t chunk;               /* bytes of an array's pieces; more than that is cut */
    size_t left;                /* of the piece that is being written */
    size_t piece;               /* its number */
    tensor_ref tensor;          /* that is being written */
} writer;

/* ---- msgpack ----------------------------------------------------------------------- */

static void put(writer *w, const void *data, size_t size)
{
    oci_save_write(w->cx, w->save, data, size);
}

/* A byte, and a number big-endian behind it. */
static void put_head(writer *w, unsigned char byte, uint64_t n, int width)
{
    unsigned char head[HEAD] = { byte };
    for (int i = 0; i < width; i++)
        head[1 + i] = (unsigned char)(n >> 8 * (width - 1 - i));
    put(w, head, 1 + (size_t)width);
}

static void put_text(writer *w, const char *text, size_t n)
{
    if (n < 32) put_head(w, (unsigned char)(0xa0 | n), 0, 0);
    else if (n < 256) put_head(w, 0xd9, n, 1);
    else put_head(w, 0xda, n, 2);               /* names are shorter than OCI_MAX_NAME */
    put(w, text, n);
}

static void put_map(writer *w, size_t n)
{
    if (n < 16) put_head(w, (unsigned char)(0x80 | n), 0, 0);
    else if (n < 65536) put_head(w, 0xde, n, 2);
    else put_head(w, 0xdf, n, 4);
}

static int integer_width(uint64_t n)
{
    return n < 128 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : n <= UINT32_MAX ? 4 : 8;
}

static void put_integer(writer *w, uint64_t n)
{
    switch (integer_width(n)) {
    case 0: put_head(w, (unsigned char)n, 0, 0); break;
    case 1: put_head(w, 0xcc, n, 1); break;
    case 2: put_head(w, 0xcd, n, 2); break;
    case 4: put_head(w, 0xce, n, 4); break;
    default: put_head(w, 0xcf, n, 8); break;
    }
}

/* ---- arrays ------------------------------------------------------------------------ */

static const char *numpy_name(oc_dtype dtype)
{
    switch (dtype) {
    case OC_F32: return "float32";
    case OC_F64: return "float64";
    case OC_F16: return "float16";
    case OC_BF16: return "bfloat16";
    default: return NULL;
    }
}

/* The head of an array whose bytes follow. Sizes are written in four bytes throughout;
 * numbers of the shape are as short as they can be. */
static void put_array(writer *w, int rank, const int64_t *shape, oc_dtype dtype,
                      size_t bytes)
{
    const char *name = numpy_name(dtype);
    size_t size = 1 + 1 + 1 + strlen(name) + 5 + bytes;   /* two arrays, a text, a head */
    for (int i = 0; i < rank; i++) size += 1 + (size_t)integer_width((uint64_t)shape[i]);
    put_head(w, 0xc9, size, 4);
    put_head(w, 1, 0, 0);                                   /* flax's type for arrays */
    put_head(w, 0x93, 0, 0);
    put_head(w, (unsigned char)(0x90 | rank), 0, 0);
    for (int i = 0; i < rank; i++) put_integer(w, (uint64_t)shape[i]);
    put_text(w, name, strlen(name));
    put_head(w, 0xc6, bytes, 4);
}

static void put_number_key(writer *w, size_t n)
{
    char key[32];
    put_text(w, key, (size_t)snprintf(key, sizeof key, "%zu", n));
}

/* Elements as they come, with a head before each piece of an array that is cut. */
static void put_elements(oc_context *cx, void *user, const void *data, size_t size)
{
    writer *w = user;
    const unsigned char *p = data;
    while (size && !oci_failed(cx)) {
        if (w->left == 0) {
            size_t rest = w->tensor->bytes - w->piece * w->chunk;
            w->left = rest < w->chunk ? rest : w->chunk;
            const int64_t shape[] = { (int64_t)(w->left /
                                                oci_dtype_size(w->tensor->dtype)) };
            put_number_key(w, w->piece++);
            put_array(w, 1, shape, w->tensor->dtype, w->left);
        }
        size_t n = size < w->left ? size : w->left;
        put(w, p, n);
        p += n;
        size -= n;
        w->left -= n;
    }
}

/* What flax does to arrays beyond 1 GiB, which msgpack could not count. */
static void put_cut(writer *w, tensor_ref t)
{
    static const char mark[] = "__msgpack_chunked_array__";
    put_map(w, 3);
    put_text(w, mark, sizeof mark - 1);
    put_head(w, 0xc3, 0, 0);
    put_text(w, "shape", 5);
    put_map(w, (size_t)t->rank);
    for (int i = 0; i < t->rank; i++) {
        put_number_key(w, (size_t)i);
        put_integer(w, (uint64_t)t->shape[i]);
    }
    put_text(w, "chunks", 6);
    put_map(w, (t->bytes + w->chunk - 1) / w->chunk);
    w->left = w->piece = 0;
    oci_save_elements(w->cx, t, w->source, put_elements, w);
}

static void put_tensor(writer *w, tensor_ref t)
{
    oci_quoted quoted;
    w->tensor = t;
    if (!numpy_name(t->dtype))
        oci_fail(w->cx, OC_E_UNSUPPORTED, "%s: %s: %s is not written in this format",
                 w->path, oci_quote(&quoted, t->name), oci_dtype_name(t->dtype));
    if (oci_failed(w->cx)) return;
    if (t->bytes > w->chunk) {
        put_cut(w, t);
    } else {
        put_array(w, t->rank, t->shape, t->dtype, t->bytes);
        w->left = t->bytes;
        oci_save_elements(w->cx, t, w->source, put_elements, w);
    }
}

/* ---- the tree ---------------------------------------------------------------------- */

/* Texts with the same beginning stand together, in whatever order. */
static int by_path(const void *a, const void *b)
{
    const tensor_ref *x = a, *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static size_t part_size(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash ? (size_t)(slash - path) : strlen(path);
}

static size_t run_end(const writer *w, size_t first, size_t end, size_t offset)
{
    const char *part = w->refs[first]->name + offset;
    size_t size = part_size(part), i = first + 1;
    while (i < end && part_size(w->refs[i]->name + offset) == size &&
           !memcmp(w->refs[i]->name + offset, part, size)) i++;
    return i;
}

/* The map of the tensors whose paths are the same before `offset`. */
static void put_tree(writer *w, size_t first, size_t end, size_t offset, int depth)
{
    size_t count = 0;
    oci_quoted quoted;
    for (size_t i = first; i < end; i = run_end(w, i, end, offset)) count++;
    put_map(w, count);
    for (size_t i = first, next; i < end && !oci_failed(w->cx); i = next) {
        const char *part = w->refs[i]->name + offset;
        size_t size = part_size(part);
        next = run_end(w, i, end, offset);
        if (size == 0 || depth == MAX_DEPTH || (!part[size] && next - i > 1)) {
            oci_fail(w->cx, OC_E_ARGUMENT, "%s: %s: not a path for a tensor", w->path,
                     oci_quote(&quoted, w->refs[i]->name));
            return;
        }
        put_text(w, part, size);
        if (part[size]) put_tree(w, i, next, offset + size + 1, depth + 1);
        else put_tensor(w, w->refs[i]);
    }
}

static void put_flat(writer *w, size_t count)
{
    put_map(w, count);
    for (size_t i = 0; i < count && !oci_failed(w->cx); i++) {
        put_text(w, w->refs[i]->name, strlen(w->refs[i]->name));
        put_tensor(w, w->refs[i]);
    }
}

oc_status oci_flax_write(oc_context *cx, oci_save *save, const char *path,
                         const oci_save_tensor *const *tensors, size_t count, bool shard,
                         size_t chunk, const oci_save_source *source)
{
    writer w = { .cx = cx, .path = path, .save = save, .source = source, .chunk = chunk };
    tensor_ref *refs = oci_calloc(cx, count, sizeof *refs);
    if (refs) {
        memcpy(refs, tensors, count * sizeof *refs);
        qsort(refs, count, sizeof *refs, by_path);
        w.refs = refs;
        if (shard) put_flat(&w, count);
        else put_tree(&w, 0, count, 0, 0);
    }
    oci_free(refs);
    return cx->status;
}
