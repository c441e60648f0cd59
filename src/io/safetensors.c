/* The reader, after safetensors 0.4.1 (safetensors/src/tensor.rs, `read_metadata` and
 * `validate`), and stricter where that one is silent: names, rank and metadata are
 * bounded.
 *
 *     u64 length | JSON of `length` bytes | data
 *
 * Order of work: frame, JSON, each tensor by itself, then all of them together. Nothing
 * of *file is usable before the last step; a failure at any of them closes it whole. */
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/json.h"
#include "io/quote.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are used as they lie in the file, which is little-endian");

enum { PREFIX = 8, CACHE_LINE = 64 };   /* PREFIX: the header's length, in front of it */

static const char metadata_key[] = "__metadata__";

/* A header while it is read: names stay in the document until all are known. */
typedef struct header {
    const char *path;
    oci_json doc;
    const json_t *metadata;     /* __metadata__, or NULL */
    uint64_t data_bytes;        /* what the file has after the header */
} header;

bool oci_shape_bytes(oc_dtype dtype, int rank, const int64_t *shape, size_t *bytes)
{
    size_t product = oci_dtype_size(dtype);
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || (uint64_t)shape[i] > SIZE_MAX ||
            !oci_mul(product, (size_t)shape[i], &product))
            return false;
    *bytes = product;
    return true;
}

/* ---- one tensor of the header ------------------------------------------------------ */

/* "PATH: TENSOR.FIELD: expected …, found …" */
static bool bad_field(oc_context *cx, const header *h, const char *name,
                      const char *field, const char *expected, const json_t *found)
{
    char where[sizeof(oci_quoted) + 16];
    oci_quoted quoted;
    snprintf(where, sizeof where, "%s.%s", oci_quote(&quoted, name), field);
    oci_json_expected(cx, &h->doc, where, expected, found);
    return false;
}

/* Names that writers newer than 0.4.1 use: no broken files,
 * but nothing that we can hold. */
static bool is_later_dtype(const char *name)
{
    static const char *const later[] = {
        "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"
    };
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (!strcmp(name, later[i])) return true;
    return false;
}

/* The length is compared too, so that "F32\0" is not F32. */
static bool read_dtype(oc_context *cx, const header *h, oci_entry *e, const json_t *info)
{
    oci_quoted quoted;
    const json_t *value = json_object_get(info, "dtype");
    const char *name = json_string_value(value);
    e->dtype = name ? oci_dtype_find(name, json_string_length(value)) : OC_DTYPE_COUNT;
    if (e->dtype != OC_DTYPE_COUNT) return true;
    if (!name || !is_later_dtype(name))
        return bad_field(cx, h, e->name, "dtype", "one of BOOL, U8 … F32, F64, I64, U64",
                         value);
    oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s.dtype: %s is not supported", h->path,
             oci_quote(&quoted, e->name), name);
    return false;
}

/* Fills rank, shape, and the bytes that they ask for. Negative numbers are refused one by
 * one: two of them would make an innocent product. */
static bool read_shape(oc_context *cx, const header *h, oci_entry *e, const json_t *info)
{
    oci_quoted quoted;
    const json_t *value = json_object_get(info, "shape");
    if (!json_is_array(value))
        return bad_field(cx, h, e->name, "shape", "an array of integers", value);
    size_t rank = json_array_size(value);
    if (rank > OCI_MAX_RANK) {
        oci_fail(cx, OC_E_LIMIT,
                 "%s: %s.shape: expected at most %d dimensions, found %zu", h->path,
                 oci_quote(&quoted, e->name), OCI_MAX_RANK, rank);
        return false;
    }
    e->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *n = json_array_get(value, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return bad_field(cx, h, e->name, "shape", "integers of 0 or more", n);
        e->shape[i] = json_integer_value(n);
    }
    if (oci_shape_bytes(e->dtype, e->rank, e->shape, &e->bytes)) return true;
    oci_fail(cx, OC_E_MALFORMED, "%s: %s.shape: the number of bytes overflows", h->path,
             oci_quote(&quoted, e->name));
    return false;
}

/* Relative to the data's start; made absolute by parse_header. Each end is checked
 * against the data here, so that later sums cannot overflow. */
static bool read_offsets(oc_context *cx, const header *h, oci_entry *e,
                         const json_t *info)
{
    oci_quoted quoted;
    const char *const field = "data_offsets";
    const json_t *value = json_object_get(info, field);
    if (!json_is_array(value) || json_array_size(value) != 2)
        return bad_field(cx, h, e->name, field, "an array of two integers", value);
    int64_t range[2];
    for (size_t i = 0; i < 2; i++) {
        const json_t *n = json_array_get(value, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return bad_field(cx, h, e->name, field, "integers of 0 or more", n);
        range[i] = json_integer_value(n);
    }
    const char *name = oci_quote(&quoted, e->name);
    if (range[0] > range[1])
        oci_fail(cx, OC_E_MALFORMED, "%s: %s.%s: expected begin <= end, found %" PRId64
                 " and %" PRId64, h->path, name, field, range[0], range[1]);
    else if ((uint64_t)range[1] > h->data_bytes)
        oci_fail(cx, OC_E_MALFORMED, "%s: %s.%s: expected an end within the %" PRIu64
                 " bytes of data, found %" PRId64, h->path, name, field, h->data_bytes,
                 range[1]);
    else if ((uint64_t)(range[1] - range[0]) != e->bytes)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s.%s: expected %zu bytes for its shape and dtype, found %" PRId64,
                 h->path, name, field, e->bytes, range[1] - range[0]);
    e->offset = (size_t)range[0];
    return !oci_failed(cx);
}

/* Fields that we do not know are ignored, as the reference does. */
static bool read_entry(oc_context *cx, const header *h, oci_entry *e, const json_t *info)
{
    oci_quoted quoted;
    if (!json_is_object(info)) {
        oci_json_expected(cx, &h->doc, e->name, "an object", info);
        return false;
    }
    if (strlen(e->name) >= OCI_MAX_NAME) {
        oci_fail(cx, OC_E_LIMIT, "%s: %s: expected a name of at most %d bytes, found %zu",
                 h->path, oci_quote(&quoted, e->name), OCI_MAX_NAME - 1, strlen(e->name));
        return false;
    }
    return read_dtype(cx, h, e, info) && read_shape(cx, h, e, info) &&
           read_offsets(cx, h, e, info);
}

/* ---- all of them ------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);   /* empty ones first */
}

/* Byte order, which for UTF-8 is that of code points. */
static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors tile the data: none overlap, nothing lies between or after them, where
 * bytes could hide. Entries are sorted by offset. */
static bool check_tiling(oc_context *cx, const header *h, const oci_entry *entries,
                         size_t count)
{
    oci_quoted quoted;
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const oci_entry *e = &entries[i];
        if (e->offset != end) {
            oci_fail(cx, OC_E_MALFORMED,
                     "%s: %s.data_offsets: expected to begin at %zu, where the tensor "
                     "before it ends, found %zu (%s)",
                     h->path, oci_quote(&quoted, e->name), end, e->offset,
                     e->offset < end ? "an overlap" : "a gap");
            return false;
        }
        end += e->bytes;        /* within data_bytes: read_offsets has checked the end */
    }
    if (end == h->data_bytes) return true;
    oci_fail(cx, OC_E_MALFORMED,
             "%s: data: expected %zu bytes, where the last tensor ends, found %" PRIu64,
             h->path, end, h->data_bytes);
    return false;
}

/* Entries and, behind them in the same block, the names. */
static bool make_entries(oc_context *cx, oci_safetensors *file, const header *h,
                         size_t count)
{
    const char *key;
    json_t *info;
    size_t names = 0, whole;
    json_object_foreach(h->doc.root, key, info) names += strlen(key) + 1;
    if (!oci_mul(count, sizeof *file->entries, &whole) ||
        !oci_add(whole, names, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "%s: %zu tensors", h->path, count);
        return false;
    }
    file->entries = oci_alloc(cx, whole);
    if (!file->entries) return false;
    char *name = (char *)(file->entries + count);
    json_object_foreach(h->doc.root, key, info) {
        if (!strcmp(key, metadata_key)) continue;
        oci_entry *e = &file->entries[file->count++];
        *e = (oci_entry){ .name = memcpy(name, key, strlen(key) + 1) };
        name += strlen(key) + 1;
        if (!read_entry(cx, h, e, info)) return false;
    }
    return true;
}

/* Pairs and, behind them in the same block, their texts. */
static bool make_metadata(oc_context *cx, oci_safetensors *file, const header *h)
{
    const char *key;
    json_t *value;
    size_t pairs = json_object_size(h->metadata), texts = 0;
    if (pairs == 0) return true;
    json_object_foreach((json_t *)(uintptr_t)h->metadata, key, value) {
        const char *text = json_string_value(value);
        if (!text || strlen(text) != json_string_length(value))
            return bad_field(cx, h, metadata_key, key, "a text without U+0000", value);
        texts += strlen(key) + strlen(text) + 2;
    }
    /* No overflow: both are smaller than a few times the header, which is bounded. */
    file->metadata = oci_alloc(cx, pairs * 2 * sizeof *file->metadata + texts);
    if (!file->metadata) return false;
    char *to = (char *)(file->metadata + 2 * pairs);
    json_object_foreach((json_t *)(uintptr_t)h->metadata, key, value) {
        const char *const pair[2] = { key, json_string_value(value) };
        for (int i = 0; i < 2; i++) {
            size_t n = strlen(pair[i]) + 1;
            file->metadata[2 * file->metadata_count + (size_t)i] = memcpy(to, pair[i], n);
            to += n;
        }
        file->metadata_count++;
    }
    return true;
}

/* The whole header: metadata, entries sorted by offset, and their tiling. */
static bool read_header(oc_context *cx, oci_safetensors *file, header *h)
{
    if (!json_is_object(h->doc.root)) {
        oci_json_expected(cx, &h->doc, "header", "an object", h->doc.root);
        return false;
    }
    h->metadata = json_object_get(h->doc.root, metadata_key);
    /* The reference reader takes null for none. */
    if (h->metadata && !json_is_object(h->metadata) && !json_is_null(h->metadata)) {
        oci_json_expected(cx, &h->doc, metadata_key, "an object of texts", h->metadata);
        return false;
    }
    size_t count = json_object_size(h->doc.root) - (h->metadata != NULL);
    if (count > cx->limits.tensors) {
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %" PRIu64 " tensors, found %zu",
                 h->path, cx->limits.tensors, count);
        return false;
    }
    if (!make_metadata(cx, file, h) || !make_entries(cx, file, h, count)) return false;
    qsort(file->entries, count, sizeof *file->entries, by_offset);
    return check_tiling(cx, h, file->entries, count);
}

/* Length of the header in a file of `size` bytes whose first 8 are at `data`. */
static bool header_length(oc_context *cx, const char *path, const unsigned char *data,
                          uint64_t size, uint64_t *length)
{
    if (size < PREFIX) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: header length: expected %d bytes, found a file of %" PRIu64, path,
                 PREFIX, size);
        return false;
    }
    memcpy(length, data, sizeof *length);
    if (*length > size - PREFIX)
        oci_fail(cx, OC_E_MALFORMED, "%s: header length: expected at most %" PRIu64
                 ", the rest of the file, found %" PRIu64, path, size - PREFIX, *length);
    else if (*length > cx->limits.header_bytes)
        oci_fail(cx, OC_E_LIMIT, "%s: header length: expected at most %" PRIu64
                 ", found %" PRIu64, path, cx->limits.header_bytes, *length);
    return !oci_failed(cx);
}

/* Fills *file but for `bytes`; entries sorted by offset, which counts from the file's
 * start. The caller has checked that `length` bytes follow the prefix. */
static bool parse_header(oc_context *cx, oci_safetensors *file, const char *path,
                         const unsigned char *data, uint64_t size, uint64_t length)
{
    header h = { .path = path, .data_bytes = size - PREFIX - length };
    file->path = oci_strdup(cx, path);
    bool ok = oci_json_parse(cx, &h.doc, path, (const char *)data + PREFIX,
                             (size_t)length) &&
              read_header(cx, file, &h);
    oci_json_close(&h.doc);
    for (size_t i = 0; ok && i < file->count; i++)
        file->entries[i].offset += PREFIX + (size_t)length;
    return ok;
}

/* ---- opening ----------------------------------------------------------------------- */

/* Kernels read tensors as arrays of their type, so each must begin at a multiple of its
 * element. The reference writer sees to it (padded header, largest elements first); older
 * and hand-made files may not. The buffer itself is aligned to 64 bytes or to a page. */
static bool is_aligned(const oci_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        if (file->entries[i].offset % oci_dtype_size(file->entries[i].dtype))
            return false;
    return true;
}

/* Moves every tensor to a cache line of its own in a new buffer. */
static bool realign(oc_context *cx, oci_safetensors *file)
{
    size_t whole = 0;
    for (size_t i = 0; i < file->count; i++) {
        /* The sum of bytes is the data's; rounding adds less than 64 for each of them. */
        if (!oci_add(whole, file->entries[i].bytes, &whole) ||
            !oci_add(whole, CACHE_LINE - 1, &whole)) {
            oci_fail(cx, OC_E_MEMORY, "%s: %zu tensors", file->path, file->count);
            return false;
        }
        whole = whole / CACHE_LINE * CACHE_LINE;
    }
    oci_buffer *moved = oci_buffer_create(cx, whole);
    if (!moved) return false;
    size_t to = 0;
    for (size_t i = 0; i < file->count; i++) {
        oci_entry *e = &file->entries[i];
        memcpy(moved->data + to, file->bytes->data + e->offset, e->bytes);
        e->offset = to;
        to += (e->bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    }
    oci_buffer_unref(&file->bytes);
    file->bytes = moved;
    return true;
}

/* The last step of both ways to open: sorted for find, or empty. */
static bool finish(oci_safetensors *file, bool ok)
{
    if (ok)
        qsort(file->entries, file->count, sizeof *file->entries, by_name);
    else
        oci_safetensors_close(file);
    return ok;
}

bool oci_safetensors_parse(oc_context *cx, oci_safetensors *file, const char *path,
                           oci_buffer *bytes)
{
    uint64_t length = 0;
    *file = (oci_safetensors){ .bytes = bytes };
    bool ok = bytes && !oci_failed(cx) &&
              header_length(cx, path, bytes->data, bytes->size, &length) &&
              parse_header(cx, file, path, bytes->data, bytes->size, length) &&
              (is_aligned(file) || realign(cx, file));
    return finish(file, ok);
}

bool oci_safetensors_open(oc_context *cx, oci_safetensors *file, const char *path,
                          bool map)
{
    oci_buffer *bytes = map ? oci_file_map(cx, path)
                            : oci_file_read(cx, path, cx->limits.file_bytes);
    return oci_safetensors_parse(cx, file, path, bytes);
}

/* The frame of an open file: reads the header into *head (oci_free). */
static bool read_frame(oc_context *cx, const oci_file *source, uint64_t *length,
                       unsigned char **head)
{
    unsigned char prefix[PREFIX] = { 0 };
    size_t there = source->size < PREFIX ? (size_t)source->size : PREFIX;
    if (!oci_file_read_at(cx, source, 0, prefix, there) ||
        !header_length(cx, source->path, prefix, source->size, length))
        return false;
    *head = oci_alloc(cx, PREFIX + (size_t)*length);        /* bounded by header_length */
    return *head && oci_file_read_at(cx, source, 0, *head, PREFIX + (size_t)*length);
}

/* Reads a file of many gigabytes in a few pages. */
bool oci_safetensors_open_header(oc_context *cx, oci_safetensors *file, const char *path)
{
    uint64_t length = 0;
    unsigned char *head = NULL;
    *file = (oci_safetensors){ .source = oci_file_open(cx, path) };
    bool ok = file->source && read_frame(cx, file->source, &length, &head) &&
              parse_header(cx, file, path, head, file->source->size, length);
    oci_free(head);
    return finish(file, ok);
}

bool oci_safetensors_read(oc_context *cx, const oci_safetensors *file,
                          const oci_entry *entry, size_t at, size_t size, void *to)
{
    if (oci_failed(cx)) return false;
    if (!file->bytes)
        return oci_file_read_at(cx, file->source, entry->offset + at, to, size);
    memcpy(to, file->bytes->data + entry->offset + at, size);
    return true;
}

bool oci_safetensors_map(oc_context *cx, oci_safetensors *file)
{
    if (!file->bytes) file->bytes = oci_file_map_open(cx, file->source);
    return file->bytes != NULL;
}

void oci_safetensors_close(oci_safetensors *file)
{
    oci_free(file->path);
    oci_free(file->entries);
    oci_free(file->metadata);
    oci_buffer_unref(&file->bytes);
    oci_file_close(file->source);
    *file = (oci_safetensors){ 0 };
}

const oci_entry *oci_safetensors_find(const oci_safetensors *file, const char *name)
{
    const oci_entry key = { .name = name };
    if (file->count == 0) return NULL;
    return bsearch(&key, file->entries, file->count, sizeof key, by_name);
}

const char *oci_safetensors_metadata(const oci_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->metadata_count; i++)
        if (!strcmp(file->metadata[2 * i], key)) return file->metadata[2 * i + 1];
    return NULL;
}
