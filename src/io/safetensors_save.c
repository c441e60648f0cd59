/* The writer of safetensors: byte for byte what the reference writer makes of the same
 * tensors (safetensors/src/tensor.rs, `prepare` and `serialize`). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "base/utf8.h"
#include "io/blocks.h"
#include "io/file.h"
#include "io/quote.h"
#include "io/safetensors.h"

enum { ALIGN = 8, PREFIX = 8 /* the header's length */ };

typedef const oci_save_tensor *tensor_ref;

static int by_name(const void *a, const void *b)
{
    const tensor_ref *x = a, *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Largest elements first, which keeps every tensor aligned; names break ties. Before them
 * all weights in blocks, which are whole lines. */
static int by_dtype(const void *a, const void *b)
{
    const tensor_ref *x = a, *y = b;
    const bool blocks = oci_dtype_is_blocks((*x)->dtype);
    if (blocks != oci_dtype_is_blocks((*y)->dtype)) return blocks ? -1 : 1;
    if ((*x)->dtype != (*y)->dtype) return (*x)->dtype > (*y)->dtype ? -1 : 1;
    return by_name(a, b);
}

/* The reader's rules, asked before the first byte is written: a save that succeeds can be
 * opened again. */
static bool check_tensor(oc_context *cx, const char *path, const oci_save_tensor *t,
                         const oci_save_source *source)
{
    oci_quoted quoted;
    size_t bytes = 0;
    const char *name = oci_quote(&quoted, t->name);
    if (!t->name || strlen(t->name) >= OCI_MAX_NAME || !strcmp(t->name, "__metadata__") ||
        !oci_utf8_valid(t->name, strlen(t->name)))
        oci_fail(cx, OC_E_ARGUMENT, "%s: %s: not a name for a tensor", path, name);
    else if (oci_dtype_is_blocks(t->dtype) && source && t->bytes % OCI_BLOCKS_ALIGN == 0)
        return true;
    else if ((unsigned)t->dtype >= OC_DTYPE_COUNT || t->rank < 0 ||
             t->rank > OCI_MAX_RANK ||
             !oci_shape_bytes(t->dtype, t->rank, t->shape, &bytes))
        oci_fail(cx, OC_E_ARGUMENT, "%s: %s: not a dtype and shape of a tensor", path,
                 name);
    else if (bytes != t->bytes || (bytes > 0 && !t->data && !source))
        oci_fail(cx, OC_E_ARGUMENT, "%s: %s: expected %zu bytes, found %zu", path, name,
                 bytes, t->data ? t->bytes : 0);
    return !oci_failed(cx);
}

/* Pointers to the tensors in the order of the file (oci_free). */
static tensor_ref *sort_tensors(oc_context *cx, const char *path,
                                const tensor_ref *tensors, size_t count,
                                const oci_save_source *source)
{
    oci_quoted quoted;
    tensor_ref *refs = oci_calloc(cx, count, sizeof *refs);
    for (size_t i = 0; refs && i < count; i++) {
        refs[i] = tensors[i];
        if (!check_tensor(cx, path, refs[i], source)) break;
    }
    if (oci_failed(cx)) {
        oci_free(refs);
        return NULL;
    }
    qsort(refs, count, sizeof *refs, by_name);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(refs[i]->name, refs[i - 1]->name))
            oci_fail(cx, OC_E_ARGUMENT, "%s: %s: two tensors of this name", path,
                     oci_quote(&quoted, refs[i]->name));
    qsort(refs, count, sizeof *refs, by_dtype);
    return refs;
}

/* A JSON string with the escapes of serde_json: short ones where they exist, \u00xx for
 * other controls, everything else as it is. */
static void append_json_text(oc_context *cx, oci_bytes *out, const char *text)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    oci_bytes_append(cx, out, "\"", 1);
    while (*text) {
        const char *plain = text;
        while ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\') text++;
        if (text > plain) oci_bytes_append(cx, out, plain, (size_t)(text - plain));
        if (!*text) break;
        size_t i = 0;
        while (i < sizeof short_forms - 1 && short_forms[i] != *text) i += 2;
        if (i < sizeof short_forms - 1)
            oci_bytes_append(cx, out, (char[]){ '\\', short_forms[i + 1] }, 2);
        else
            oci_bytes_printf(cx, out, "\\u%04x", (unsigned)(unsigned char)*text);
        text++;
    }
    oci_bytes_append(cx, out, "\"", 1);
}

/* In the caller's order; the reference's own order of several
 * pairs is that of a hash map. */
static void append_metadata(oc_context *cx, oci_bytes *out, const char *path,
                            const char *const *metadata, size_t pairs)
{
    if (!metadata) return;
    oci_bytes_append_text(cx, out, "\"__metadata__\":{");
    for (size_t i = 0; i < 2 * pairs; i++) {
        if (!oci_utf8_valid(metadata[i], strlen(metadata[i])))
            oci_fail(cx, OC_E_ARGUMENT, "%s: metadata that is not UTF-8", path);
        if (i > 0) oci_bytes_append(cx, out, i % 2 ? ":" : ",", 1);
        append_json_text(cx, out, metadata[i]);
    }
    oci_bytes_append(cx, out, "}", 1);
}

/* One entry, in the field order of the reference's struct.
 * Weights in blocks are bytes. */
static void append_tensor(oc_context *cx, oci_bytes *out, const oci_save_tensor *t,
                          size_t at)
{
    const bool blocks = oci_dtype_is_blocks(t->dtype);
    append_json_text(cx, out, t->name);
    oci_bytes_printf(cx, out, ":{\"dtype\":\"%s\",\"shape\":[",
                     oci_dtype_name(blocks ? OC_U8 : t->dtype));
    if (blocks) oci_bytes_printf(cx, out, "%zu", t->bytes);
    for (int i = 0; i < t->rank && !blocks; i++)
        oci_bytes_printf(cx, out, i ? ",%lld" : "%lld", (long long)t->shape[i]);
    oci_bytes_printf(cx, out, "],\"data_offsets\":[%zu,%zu]}", at, at + t->bytes);
}

/* The JSON of the header, padded so that the data starts at a multiple of 8, and weights
 * in blocks, which are used where they lie, at one of a line. */
static void build_header(oc_context *cx, oci_bytes *out, const char *path,
                         const tensor_ref *refs, size_t count,
                         const char *const *metadata, size_t pairs)
{
    size_t at = 0;
    oci_bytes_append(cx, out, "{", 1);
    append_metadata(cx, out, path, metadata, pairs);
    for (size_t i = 0; i < count && !oci_failed(cx); i++) {
        if (i > 0 || metadata) oci_bytes_append(cx, out, ",", 1);
        append_tensor(cx, out, refs[i], at);
        if (!oci_add(at, refs[i]->bytes, &at))
            oci_fail(cx, OC_E_ARGUMENT, "%s: the number of bytes overflows", path);
    }
    oci_bytes_append(cx, out, "}", 1);
    const bool blocks = count && oci_dtype_is_blocks(refs[0]->dtype);
    const size_t align = blocks ? OCI_BLOCKS_ALIGN : ALIGN;
    while ((out->size + PREFIX) % align && !oci_failed(cx))
        oci_bytes_append(cx, out, " ", 1);
}

/* ---- elements ---------------------------------------------------------------------- */

enum { PIECE = 1 << 14 };       /* elements that are cast at a time: both sides fit
                                   the cache */

static void put_cast(oc_context *cx, const unsigned char *data, oc_dtype from,
                     oc_dtype to, size_t count, oci_save_sink *put, void *user)
{
    size_t size = oci_dtype_size(from);
    float *wide = oci_alloc(cx, PIECE * sizeof *wide);
    void *cast = oci_alloc(cx, PIECE * oci_dtype_size(to));
    for (size_t i = 0; i < count && !oci_failed(cx); i += PIECE) {
        size_t n = count - i < PIECE ? count - i : PIECE;
        oci_dtype_to_f32(from, data + i * size, wide, n);
        oci_dtype_from_f32(to, wide, cast, n);
        put(cx, user, cast, n * oci_dtype_size(to));
    }
    oci_free(wide);
    oci_free(cast);
}

void oci_save_elements(oc_context *cx, const oci_save_tensor *t,
                       const oci_save_source *source, oci_save_sink *put, void *user)
{
    oc_dtype from = t->dtype;
    if (oci_failed(cx) || t->bytes == 0) return;
    const void *data = t->data ? t->data : source->fetch(cx, source->user, t, &from);
    if (!data) return;
    if (from == t->dtype) put(cx, user, data, t->bytes);
    else
        put_cast(cx, data, from, t->dtype, t->bytes / oci_dtype_size(t->dtype), put,
                 user);
}

static void put_save(oc_context *cx, void *user, const void *data, size_t size)
{
    oci_save_write(cx, user, data, size);
}

/* ---- the file ---------------------------------------------------------------------- */

/* Nothing is gathered into one block, which would double the memory of a save. */
oc_status oci_safetensors_write(oc_context *cx, oci_save *save, const char *path,
                                const tensor_ref *tensors, size_t count,
                                const char *const *metadata, size_t pairs,
                                const oci_save_source *source)
{
    if (oci_failed(cx)) return cx->status;
    tensor_ref *refs = sort_tensors(cx, path, tensors, count, source);
    oci_bytes json;
    oci_bytes_init(&json, (size_t)cx->limits.header_bytes);
    if (refs) build_header(cx, &json, path, refs, count, metadata, pairs);
    const uint64_t length = json.size;
    oci_save_write(cx, save, &length, sizeof length);       /* little-endian, as we are */
    oci_save_write(cx, save, json.data, json.size);
    for (size_t i = 0; i < count && !oci_failed(cx); i++)
        oci_save_elements(cx, refs[i], source, put_save, save);
    oci_bytes_deinit(&json);
    oci_free(refs);
    return cx->status;
}

oc_status oci_safetensors_save(oc_context *cx, const char *path,
                               const oci_save_tensor *tensors, size_t count,
                               const char *const *metadata, size_t pairs)
{
    if (oci_failed(cx)) return cx->status;
    tensor_ref *refs = oci_calloc(cx, count, sizeof *refs);
    for (size_t i = 0; refs && i < count; i++) refs[i] = &tensors[i];
    oci_save *save = refs ? oci_save_begin(cx, path) : NULL;
    if (save) oci_safetensors_write(cx, save, path, refs, count, metadata, pairs, NULL);
    oci_free(refs);
    return oci_save_end(cx, save, true);
}
