/* A .npy file:
 *
 *     "\x93NUMPY" | major | minor | length: u16, from version 2 on u32 | header | data
 *
 * The header is a Python dict, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3),
 * }, which numpy gives to ast.literal_eval; here a parser of just that dict. */
#include "io/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/file.h"
#include "io/quote.h"
#include "io/safetensors.h"
#include "io/zip.h"

enum {
    MAGIC = 6, VERSION_1_PREFIX = 10, VERSION_2_PREFIX = 12,
    MAX_HEADER = 10000,         /* numpy's max_header_size: what it reads from
                                   strangers */
    ALIGNMENT = 64,             /* where the writer lets data begin */
    GROWTH_DIGITS = 21          /* numpy leaves room for the first dimension to grow
                                   in place */
};

static const char magic[MAGIC + 1] = "\x93NUMPY";

/* Kind and size as descr spells them after the byte order. */
static const struct { char text[3]; oc_dtype dtype; } types[] = {
    { "b1", OC_BOOL }, { "u1", OC_U8 }, { "i1", OC_I8 }, { "i2", OC_I16 },
    { "u2", OC_U16 }, { "f2", OC_F16 }, { "i4", OC_I32 }, { "u4", OC_U32 },
    { "f4", OC_F32 }, { "f8", OC_F64 }, { "i8", OC_I64 }, { "u8", OC_U64 },
};
enum { TYPES = sizeof types / sizeof *types };

typedef struct npy {
    const char *path;
    const char *at, *end;       /* of the header, while it is read */
    oc_dtype dtype;
    bool swapped, fortran;
    int rank;
    int64_t shape[OCI_MAX_RANK];
} npy;

/* ---- the header -------------------------------------------------------------------- */

/* "PATH: header: expected WHAT, found <what stands there>" */
static bool expected(oc_context *cx, const npy *f, const char *what)
{
    char found[24];
    oci_quoted quoted;
    snprintf(found, sizeof found, "%.*s", (int)(f->end - f->at), f->at);
    oci_fail(cx, OC_E_MALFORMED, "%s: header: expected %s, found '%s'", f->path, what,
             oci_quote(&quoted, found));
    return false;
}

static void skip_space(npy *f)
{
    while (f->at < f->end && (*f->at == ' ' || *f->at == '\n' || *f->at == '\t')) f->at++;
}

/* Takes `text` if it stands next. */
static bool take(npy *f, const char *text)
{
    const size_t n = strlen(text);
    skip_space(f);
    if ((size_t)(f->end - f->at) < n || memcmp(f->at, text, n) != 0) return false;
    f->at += n;
    return true;
}

/* A Python text without escapes: no key and no type that we know has any. */
static bool read_text(oc_context *cx, npy *f, char *text, size_t room, const char *what)
{
    skip_space(f);
    const char quote = f->at < f->end ? *f->at : 0;
    const char *from = f->at + 1;
    if (quote != '\'' && quote != '"') return expected(cx, f, what);
    const char *to = memchr(from, quote, (size_t)(f->end - from));
    if (!to || (size_t)(to - from) >= room) return expected(cx, f, what);
    memcpy(text, from, (size_t)(to - from));
    text[to - from] = '\0';
    f->at = to + 1;
    return true;
}

static bool read_descr(oc_context *cx, npy *f)
{
    char text[16];
    oci_quoted quoted;
    skip_space(f);
    if (f->at < f->end && *f->at == '[') {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: descr: records are not supported", f->path);
        return false;
    }
    if (!read_text(cx, f, text, sizeof text, "a type such as '<f4'")) return false;
    const char *kind = strchr("<>|=", text[0]) && text[0] ? text + 1 : text;
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(types[i].text, kind) != 0) continue;
        f->dtype = types[i].dtype;
        f->swapped = text[0] == '>';
        return true;
    }
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: descr: expected numbers or truth values (b1, i1 … i8, u1 … u8, f2, f4, "
             "f8), found %s",
             f->path, oci_quote(&quoted, text));
    return false;
}

static bool read_order(oc_context *cx, npy *f)
{
    f->fortran = take(f, "True");
    return f->fortran || take(f, "False") || expected(cx, f, "True or False");
}

static bool read_dimension(oc_context *cx, npy *f)
{
    int64_t n = 0;
    skip_space(f);
    if (f->at == f->end || *f->at < '0' || *f->at > '9')
        return expected(cx, f, "a dimension of 0 or more");
    for (; f->at < f->end && *f->at >= '0' && *f->at <= '9'; f->at++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *f->at - '0', &n))
            return expected(cx, f, "a dimension below 2^63");
    if (f->at < f->end && *f->at == 'L') f->at++;       /* Python 2 wrote 3L */
    if (f->rank == OCI_MAX_RANK) {
        oci_fail(cx, OC_E_LIMIT, "%s: shape: expected at most %d dimensions, found more",
                 f->path, OCI_MAX_RANK);
        return false;
    }
    f->shape[f->rank++] = n;
    return true;
}

/* (), (3,), (2, 3), (2, 3,): in Python (3) is a number. */
static bool read_shape(oc_context *cx, npy *f)
{
    bool comma = true;
    f->rank = 0;
    if (!take(f, "(")) return expected(cx, f, "a tuple of dimensions");
    while (!take(f, ")")) {
        if (!comma) return expected(cx, f, "',' or ')'");
        if (!read_dimension(cx, f)) return false;
        comma = take(f, ",");
    }
    return comma || f->rank != 1 || expected(cx, f, "a tuple, '(n,)', before this");
}

static bool read_header(oc_context *cx, npy *f)
{
    static const struct {
        const char *key; bool (*read)(oc_context *, npy *);
    } fields[] = {
        { "descr", read_descr }, { "fortran_order", read_order }, { "shape", read_shape },
    };
    enum { FIELDS = sizeof fields / sizeof *fields };
    bool seen[FIELDS] = { false }, comma = true;
    if (!take(f, "{")) return expected(cx, f, "a dict");
    while (!take(f, "}")) {
        char key[16];
        size_t k = 0;
        if (!comma) return expected(cx, f, "',' or '}'");
        if (!read_text(cx, f, key, sizeof key, "a key in quotes")) return false;
        while (k < FIELDS && strcmp(fields[k].key, key) != 0) k++;
        if (k == FIELDS || seen[k]) {
            oci_quoted quoted;
            oci_fail(cx, OC_E_MALFORMED,
                     "%s: header: expected descr, fortran_order and shape, once each, "
                     "found %s",
                     f->path, oci_quote(&quoted, key));
            return false;
        }
        seen[k] = true;
        if (!take(f, ":")) return expected(cx, f, "':'");
        if (!fields[k].read(cx, f)) return false;
        comma = take(f, ",");
    }
    for (size_t k = 0; k < FIELDS; k++)
        if (!seen[k])
            oci_fail(cx, OC_E_MALFORMED, "%s: header: %s is missing", f->path,
                     fields[k].key);
    skip_space(f);
    return !oci_failed(cx) &&
           (f->at == f->end || expected(cx, f, "nothing after the dict"));
}

/* Magic, version and length; f->at … f->end become the header. */
static bool read_frame(oc_context *cx, npy *f, const unsigned char *data, size_t size)
{
    if (size < VERSION_2_PREFIX || memcmp(data, magic, MAGIC) != 0) {
        oci_fail(cx, OC_E_MALFORMED, "%s: expected a .npy file, found %s", f->path,
                 size < VERSION_2_PREFIX ? "too few bytes" : "other bytes at its start");
        return false;
    }
    const unsigned major = data[MAGIC], minor = data[MAGIC + 1];
    if (major < 1 || major > 3 || minor != 0) {
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: version: expected 1.0, 2.0 or 3.0, found %u.%u", f->path, major,
                 minor);
        return false;
    }
    const size_t prefix = major == 1 ? VERSION_1_PREFIX : VERSION_2_PREFIX;
    uint32_t length = (uint32_t)data[8] | (uint32_t)data[9] << 8;
    if (major > 1) length |= (uint32_t)data[10] << 16 | (uint32_t)data[11] << 24;
    if (length > size - prefix)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: header length: expected at most %zu, the rest of the file, found "
                 "%" PRIu32,
                 f->path, size - prefix, length);
    else if (length > MAX_HEADER)
        oci_fail(cx, OC_E_LIMIT, "%s: header length: expected at most %d, found %" PRIu32,
                 f->path, MAX_HEADER, length);
    f->at = (const char *)data + prefix;
    f->end = f->at + length;
    return !oci_failed(cx);
}

/* ---- the data ---------------------------------------------------------------------- */

/* The first dimension runs fastest in the file, the last one here: an odometer over the
 * shape, last wheel fastest, and the place in the file that belongs to it. */
static void transpose(const npy *f, const unsigned char *from, unsigned char *to,
                      size_t count)
{
    const size_t size = oci_dtype_size(f->dtype);
    size_t wheel[OCI_MAX_RANK] = { 0 }, stride[OCI_MAX_RANK], place = 0;
    for (int k = 0; k < f->rank; k++)
        stride[k] = k == 0 ? size : stride[k - 1] * (size_t)f->shape[k - 1];
    for (size_t i = 0; i < count; i++, to += size) {
        memcpy(to, from + place, size);
        for (int k = f->rank - 1; k >= 0; k--) {
            place += stride[k];
            if (++wheel[k] < (size_t)f->shape[k]) break;
            place -= stride[k] * wheel[k];
            wheel[k] = 0;
        }
    }
}

static void reverse_elements(unsigned char *data, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++, data += size)
        for (size_t a = 0, b = size - 1; a < b; a++, b--) {
            const unsigned char kept = data[a];
            data[a] = data[b];
            data[b] = kept;
        }
}

oc_status oci_npy_parse(oc_context *cx, oc_tensors *set, const char *name,
                        const char *path, const void *data, size_t size)
{
    npy f = { .path = path };
    size_t bytes = 0;
    oc_tensor_view view;
    if (oci_failed(cx) || !read_frame(cx, &f, data, size) || !read_header(cx, &f))
        return cx->status;
    /* read_header has left f.at at the header's end, where the data begins. */
    const unsigned char *from = (const unsigned char *)f.at;
    const size_t rest = size - (size_t)(from - (const unsigned char *)data);
    if (!oci_shape_bytes(f.dtype, f.rank, f.shape, &bytes))
        return oci_fail(cx, OC_E_MALFORMED, "%s: shape: the number of bytes overflows",
                        path);
    if (bytes != rest)
        return oci_fail(cx, OC_E_MALFORMED,
                        "%s: data: expected %zu bytes for its shape and type, found %zu",
                        path, bytes, rest);
    if (oc_tensors_add(cx, set, name, f.dtype, f.rank, f.shape, NULL) != OC_OK)
        return cx->status;
    oc_tensors_find(set, name, &view);
    unsigned char *to = (unsigned char *)(uintptr_t)view.data;      /* ours, just made */
    const size_t element = oci_dtype_size(f.dtype), count = bytes / element;
    if (f.fortran && f.rank > 1)
        transpose(&f, from, to, count);
    else if (bytes)
        memcpy(to, from, bytes);
    if (f.swapped) reverse_elements(to, count, element);
    /* numpy takes any byte that is not 0 for true; a mask of ours is 0 or 1. */
    for (size_t i = 0; f.dtype == OC_BOOL && i < count; i++) to[i] = to[i] != 0;
    return OC_OK;
}

oc_tensors *oci_npy_open(oc_context *cx, const char *path, const char *name)
{
    oci_buffer *bytes = oci_file_read(cx, path, cx->limits.file_bytes);
    oc_tensors *set = bytes ? oc_tensors_create(cx) : NULL;
    if (set) oci_npy_parse(cx, set, name, path, bytes->data, bytes->size);
    oci_buffer_unref(&bytes);
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}

/* ---- .npz -------------------------------------------------------------------------- */

/* One entry as a tensor; numpy hides the ".npy" of its names. */
static void add_entry(oc_context *cx, oc_tensors *set, const oci_zip *zip,
                      const oci_zip_entry *entry)
{
    char where[OCI_MAX_PATH], name[OCI_MAX_NAME];
    oci_quoted quoted;
    const size_t length = strlen(entry->name);
    if (length < 5 || length - 4 >= sizeof name ||
        strcmp(entry->name + length - 4, ".npy")) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: expected the name of a .npy file of at most %d bytes",
                 zip->path, oci_quote(&quoted, entry->name), OCI_MAX_NAME);
        return;
    }
    memcpy(name, entry->name, length - 4);
    name[length - 4] = '\0';
    snprintf(where, sizeof where, "%s: %s", zip->path, oci_quote(&quoted, entry->name));
    oci_buffer *bytes = oci_zip_read(cx, zip, entry);
    if (bytes) oci_npy_parse(cx, set, name, where, bytes->data, bytes->size);
    oci_buffer_unref(&bytes);
}

oc_tensors *oci_npz_parse(oc_context *cx, const char *path, oci_buffer *bytes)
{
    oci_zip zip;
    if (!oci_zip_parse(cx, &zip, path, bytes)) return NULL;
    oc_tensors *set = oc_tensors_create(cx);
    for (size_t i = 0; set && i < zip.count && !oci_failed(cx); i++)
        add_entry(cx, set, &zip, &zip.entries[i]);
    oci_zip_close(&zip);
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}

oc_tensors *oci_npz_open(oc_context *cx, const char *path)
{
    return oci_npz_parse(cx, path, oci_file_read(cx, path, cx->limits.file_bytes));
}

/* ---- writing ----------------------------------------------------------------------- */

/* The first dimension's digits, as numpy counts them for the room that it leaves. */
static int digits(int64_t n)
{
    int count = 1;
    while (n /= 10) count++;
    return count;
}

/* Prefix and header, byte for byte as numpy.save of numpy 2 writes them. */
static char *make_header(oc_context *cx, const oc_tensor_view *v, const char *type,
                         size_t *size)
{
    oci_bytes text;
    oci_bytes_init(&text, MAX_HEADER);
    oci_bytes_append(cx, &text, magic, MAGIC);
    oci_bytes_append(cx, &text, "\x01\x00\x00\x00", 4);        /* the length comes last */
    oci_bytes_printf(cx, &text, "{'descr': '%s%s', 'fortran_order': False, 'shape': (",
                     type[1] == '1' ? "|" : "<", type);
    for (int k = 0; k < v->rank; k++)
        oci_bytes_printf(cx, &text, k ? ", %" PRId64 : "%" PRId64, v->shape[k]);
    oci_bytes_printf(cx, &text, "%s), }", v->rank == 1 ? "," : "");
    if (v->rank > 0)
        oci_bytes_printf(cx, &text, "%*s", GROWTH_DIGITS - digits(v->shape[0]), "");
    const size_t used = text.size + 1;
    oci_bytes_printf(cx, &text, "%*s\n", (int)(ALIGNMENT - used % ALIGNMENT), "");
    *size = text.size;
    char *header = oci_bytes_take(cx, &text);
    if (header) {
        header[MAGIC + 2] = (char)((*size - VERSION_1_PREFIX) & 0xff);
        header[MAGIC + 3] = (char)((*size - VERSION_1_PREFIX) >> 8);
    }
    return header;
}

oc_status oc_npy_save(oc_context *cx, const oc_tensors *set, const char *name,
                      const char *path)
{
    oc_tensor_view v;
    oci_quoted quoted;
    if (!cx) return OC_E_MEMORY;
    if (oci_failed(cx)) return cx->status;
    if (!path || !oc_tensors_find(set, name, &v))
        return oci_fail(cx, OC_E_ARGUMENT, "%s: no tensor, or no path, to save",
                        oci_quote(&quoted, name));
    size_t k = 0, size = 0;
    while (k < TYPES && types[k].dtype != v.dtype) k++;
    if (k == TYPES)
        return oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: numpy has no %s", path,
                        oci_quote(&quoted, name), oci_dtype_name(v.dtype));
    char *header = make_header(cx, &v, types[k].text, &size);
    oci_save *save = header ? oci_save_begin(cx, path) : NULL;
    if (save) oci_save_write(cx, save, header, size);
    if (save) oci_save_write(cx, save, v.data, v.bytes);
    oci_save_end(cx, save, true);
    oci_free(header);
    return cx->status;
}
