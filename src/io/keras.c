/* See keras.h. Layout: Keras 2, saving/legacy/hdf5_format.py. */
#include "io/keras.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hdf5.h>

#include "base/context.h"
#include "base/dtype.h"
#include "base/size.h"
#include "io/file.h"
#include "io/quote.h"

enum { MAX_DEPTH = 32 };

/* A walk over groups; hard links can make a group its own child, so depth and visits are
 * bounded. */
typedef struct visit {
    oc_context *cx;
    oci_keras *file;
    char name[OCI_MAX_NAME];
    size_t name_size;
    int depth;
    uint64_t visits;
} visit;

static bool failed(oc_context *cx, const oci_keras *f, oc_status status, const char *name,
                   const char *what)
{
    oci_quoted quoted;
    oci_fail(cx, status, "%s: %s: %s", f->path, oci_quote(&quoted, name), what);
    return false;
}

/* ---- one dataset ----------------------------------------------------------------------- */

/* Ours for libhdf5's type, and the other way round for reading into our memory's order. */
static oc_dtype dtype_of(hid_t type)
{
    size_t size = H5Tget_size(type);
    H5T_class_t class = H5Tget_class(type);
    bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (class == H5T_FLOAT)
        return size == 4 ? OC_F32 : size == 8 ? OC_F64 : size == 2 ? OC_F16 : OC_DTYPE_COUNT;
    if (class == H5T_INTEGER)
        switch (size) {
        case 1: return is_signed ? OC_I8 : OC_U8;
        case 2: return is_signed ? OC_I16 : OC_U16;
        case 4: return is_signed ? OC_I32 : OC_U32;
        case 8: return is_signed ? OC_I64 : OC_U64;
        default: break;
        }
    return OC_DTYPE_COUNT;
}

/* Little-endian, bits as IEEE has them: a file's own float formats are not for us. */
static bool is_plain(hid_t type)
{
    if (H5Tget_class(type) == H5T_INTEGER) return H5Tget_order(type) == H5T_ORDER_LE;
    size_t sign, exponent, exponent_size, mantissa, mantissa_size;
    if (H5Tget_order(type) != H5T_ORDER_LE ||
        H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) < 0)
        return false;
    size_t size = H5Tget_size(type);
    return exponent_size == (size == 2 ? 5u : size == 4 ? 8u : 11u) &&
           mantissa_size == (size == 2 ? 10u : size == 4 ? 23u : 52u) && mantissa == 0 &&
           sign == 8 * size - 1;
}

/* Storage that neither unpacks nor reaches into other files. */
static bool is_stored_here(hid_t dataset)
{
    hid_t how = H5Dget_create_plist(dataset);
    if (how < 0) return false;
    H5D_layout_t layout = H5Pget_layout(how);
    bool ok = H5Pget_nfilters(how) == 0 && H5Pget_external_count(how) == 0 &&
              (layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED || layout == H5D_COMPACT);
    H5Pclose(how);
    return ok;
}

static bool read_shape(hid_t dataset, oci_entry *e)
{
    hsize_t sizes[OCI_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    bool ok = rank >= 0 && rank <= OCI_MAX_RANK && H5Sis_simple(space) > 0 &&
              H5Sget_simple_extent_type(space) != H5S_NULL &&
              H5Sget_simple_extent_dims(space, sizes, NULL) == rank;
    if (space >= 0) H5Sclose(space);
    e->rank = ok ? rank : 0;
    for (int i = 0; ok && i < rank; i++) {
        ok = sizes[i] <= INT64_MAX;
        e->shape[i] = (int64_t)sizes[i];
    }
    return ok && oci_shape_bytes(e->dtype, e->rank, e->shape, &e->bytes);
}

/* A dataspace may claim anything, and reading what was never stored gives zeros: the bytes
 * must be in the file. */
static bool describe(oc_context *cx, const oci_keras *f, hid_t dataset, oci_entry *e)
{
    hid_t type = H5Dget_type(dataset);
    e->dtype = type < 0 ? OC_DTYPE_COUNT : dtype_of(type);
    bool plain = e->dtype != OC_DTYPE_COUNT && is_plain(type);
    if (type >= 0) H5Tclose(type);
    if (!plain)
        return failed(cx, f, OC_E_UNSUPPORTED, e->name, "expected little-endian numbers");
    if (!is_stored_here(dataset))
        return failed(cx, f, OC_E_UNSUPPORTED, e->name, "expected plain storage in this file, "
                      "found filters, external or virtual storage");
    if (!read_shape(dataset, e))
        return failed(cx, f, OC_E_MALFORMED, e->name, "expected a shape of at most 8 dimensions "
                      "whose bytes can be counted");
    if (H5Dget_storage_size(dataset) < e->bytes)
        return failed(cx, f, OC_E_MALFORMED, e->name, "expected the bytes of its shape, found "
                      "fewer");
    return true;
}

static bool add_entry(visit *v, hid_t dataset)
{
    oci_keras *f = v->file;
    oci_entry e = { .name = v->name };
    if (!describe(v->cx, f, dataset, &e)) return false;
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 256;
        oci_entry *more = oci_realloc(v->cx, f->entries, room * sizeof *more);
        if (!more) return false;
        f->entries = more;
        f->room = room;
    }
    char *name = oci_arena_alloc(v->cx, &f->arena, v->name_size + 1);
    if (!name) return false;
    e.name = memcpy(name, v->name, v->name_size + 1);
    f->entries[f->count++] = e;
    return true;
}

/* ---- the tree -------------------------------------------------------------------------- */

static herr_t visit_link(hid_t group, const char *link, const H5L_info_t *info, void *user);

static bool visit_group(visit *v, hid_t group)
{
    if (v->depth == MAX_DEPTH)
        return failed(v->cx, v->file, OC_E_LIMIT, v->name, "too many groups in each other");
    v->depth++;
    herr_t end = H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_link, v);
    v->depth--;
    if (end < 0 && !oci_failed(v->cx))
        failed(v->cx, v->file, OC_E_MALFORMED, v->name, "expected a group that can be listed");
    return !oci_failed(v->cx);
}

static bool enter(visit *v, const char *link)
{
    size_t n = strlen(link), before = v->name_size;
    if (n + 2 > sizeof v->name - before)
        return failed(v->cx, v->file, OC_E_LIMIT, link, "expected a path of at most 510 bytes");
    if (before) v->name[v->name_size++] = '/';
    memcpy(v->name + v->name_size, link, n + 1);
    v->name_size += n;
    return true;
}

/* What is behind one link: a group to go into, a tensor, or nothing of ours. */
static bool visit_object(visit *v, hid_t object)
{
    switch (H5Iget_type(object)) {
    case H5I_GROUP: return visit_group(v, object);
    case H5I_DATASET: return add_entry(v, object);
    default: return true;
    }
}

static herr_t visit_link(hid_t group, const char *link, const H5L_info_t *info, void *user)
{
    visit *v = user;
    size_t before = v->name_size;
    if (++v->visits > v->cx->limits.tensors) {
        failed(v->cx, v->file, OC_E_LIMIT, link, "too many objects");
        return -1;
    }
    if (info->type != H5L_TYPE_HARD) {
        failed(v->cx, v->file, OC_E_UNSUPPORTED, link, "expected hard links only, found a soft "
               "or external one");
        return -1;
    }
    if (!enter(v, link)) return -1;
    hid_t object = H5Oopen(group, link, H5P_DEFAULT);
    bool ok = object >= 0 ? visit_object(v, object)
                          : failed(v->cx, v->file, OC_E_MALFORMED, v->name, "expected an object "
                                   "that can be opened");
    if (object >= 0) H5Oclose(object);
    v->name_size = before;
    v->name[before] = '\0';
    return ok ? 0 : -1;
}

/* ---- the file -------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const oci_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* libhdf5 would open a pipe and wait; the gateway knows what is a file. */
static bool open_file(oc_context *cx, oci_keras *f)
{
    oci_file *regular = oci_file_open(cx, f->path);
    if (!regular) return false;
    oci_file_close(regular);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);      /* it would print */
    hid_t file = H5Fopen(f->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        oci_fail(cx, OC_E_MALFORMED, "%s: expected an HDF5 file", f->path);
        return false;
    }
    f->file = file + 1;
    return true;
}

bool oci_keras_open(oc_context *cx, oci_keras *file, const char *path)
{
    *file = (oci_keras){ 0 };
    file->path = oci_strdup(cx, path);
    if (file->path && open_file(cx, file)) {
        visit v = { .cx = cx, .file = file };
        hid_t root = H5Gopen2((hid_t)(file->file - 1), "/", H5P_DEFAULT);
        if (root < 0) failed(cx, file, OC_E_MALFORMED, "/", "expected a group");
        else visit_group(&v, root);
        if (root >= 0) H5Gclose(root);
        if (!oci_failed(cx) && file->count)
            qsort(file->entries, file->count, sizeof *file->entries, by_name);
    }
    if (oci_failed(cx)) oci_keras_close(file);
    return !oci_failed(cx);
}

void oci_keras_close(oci_keras *file)
{
    if (file->file) H5Fclose((hid_t)(file->file - 1));
    oci_arena_deinit(&file->arena);
    oci_free(file->entries);
    oci_free(file->path);
    *file = (oci_keras){ 0 };
}

static hid_t memory_type(oc_dtype dtype, hid_t file_type)
{
    switch (dtype) {
    case OC_F32: return H5T_NATIVE_FLOAT;
    case OC_F64: return H5T_NATIVE_DOUBLE;
    default: return file_type;      /* little-endian, as we are: bytes as they lie */
    }
}

bool oci_keras_read(oc_context *cx, oci_keras *file, const oci_entry *entry, void *to)
{
    if (oci_failed(cx)) return false;
    hid_t dataset = H5Dopen2((hid_t)(file->file - 1), entry->name, H5P_DEFAULT);
    hid_t type = dataset < 0 ? -1 : H5Dget_type(dataset);
    bool ok = type >= 0 && H5Dread(dataset, memory_type(entry->dtype, type), H5S_ALL, H5S_ALL,
                                   H5P_DEFAULT, to) >= 0;
    if (type >= 0) H5Tclose(type);
    if (dataset >= 0) H5Dclose(dataset);
    return ok || failed(cx, file, OC_E_MALFORMED, entry->name, "could not be read");
}
