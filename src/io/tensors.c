/* The public set of named tensors (ocelli.h): a safetensors file in memory, or what a
 * program puts together to save as one. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/size.h"
#include "base/utf8.h"
#include "io/quote.h"
#include "io/safetensors.h"

enum { CACHE_LINE = 64, FIRST_ROOM = 16 };

struct oc_tensors {
    oc_tensor_view *views;      /* in the order of adding; of a file: by name */
    size_t *sorted;             /* indices into views, by name */
    size_t count, room;         /* room: of both */
    size_t from_file;           /* the first ones point into `file`, the rest own a
                                   block */
    oci_safetensors file;       /* empty unless opened */
};

/* Where `name` is or belongs in set->sorted. */
static size_t place_of(const oc_tensors *set, const char *name, bool *found)
{
    size_t low = 0, high = set->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(set->views[set->sorted[middle]].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Room for `count` tensors in both arrays. `room` changes last: when only the first array
 * could grow, the set is as it was. */
static bool reserve(oc_context *cx, oc_tensors *set, size_t count)
{
    if (count <= set->room) return true;
    size_t room = set->room ? set->room * 2 : FIRST_ROOM, bytes;
    if (room < count) room = count;
    if (!oci_mul(room, sizeof *set->views, &bytes)) {
        oci_fail(cx, OC_E_MEMORY, "%zu tensors", room);
        return false;
    }
    oc_tensor_view *views = oci_realloc(cx, set->views, bytes);
    if (!views) return false;
    set->views = views;
    size_t *sorted = oci_realloc(cx, set->sorted, room * sizeof *sorted);
    if (!sorted) return false;
    set->sorted = sorted;
    set->room = room;
    return true;
}

oc_tensors *oc_tensors_create(oc_context *cx)
{
    return cx ? oci_calloc(cx, 1, sizeof(oc_tensors)) : NULL;
}

/* Views point into the file's bytes: opening copies no data. */
oc_tensors *oc_tensors_open(oc_context *cx, const char *path)
{
    oc_tensors *set = oc_tensors_create(cx);
    if (!set) return NULL;
    if (!path) oci_fail(cx, OC_E_ARGUMENT, "no path of a file to open");
    if (oci_failed(cx) || !oci_safetensors_open(cx, &set->file, path, false) ||
        !reserve(cx, set, set->file.count)) {
        oc_tensors_free(set);
        return NULL;
    }
    for (size_t i = 0; i < set->file.count; i++) {
        const oci_entry *e = &set->file.entries[i];
        set->views[i] = (oc_tensor_view){ .name = e->name, .dtype = e->dtype,
                                          .rank = e->rank, .shape = e->shape,
                                          .bytes = e->bytes,
                                          .data = set->file.bytes->data + e->offset };
        set->sorted[i] = i;
    }
    set->count = set->from_file = set->file.count;
    return set;
}

/* A set that was opened keeps its metadata; any other is marked as PyTorch's, which is
 * what Transformers asks for. */
oc_status oc_tensors_save(oc_context *cx, const oc_tensors *set, const char *path)
{
    if (!cx) return OC_E_MEMORY;
    if (oci_failed(cx)) return cx->status;
    if (!set || !path)
        return oci_fail(cx, OC_E_ARGUMENT, "no tensors, or no path, to save");
    static const char *const plain[] = { "format", "pt" };
    oci_save_tensor *tensors = oci_calloc(cx, set->count, sizeof *tensors);
    if (!tensors) return cx->status;
    for (size_t i = 0; i < set->count; i++) {
        const oc_tensor_view *v = &set->views[i];
        tensors[i] = (oci_save_tensor){ .name = v->name, .dtype = v->dtype,
                                        .rank = v->rank, .shape = v->shape,
                                        .data = v->data, .bytes = v->bytes };
    }
    if (set->file.metadata_count > 0)
        oci_safetensors_save(cx, path, tensors, set->count, set->file.metadata,
                             set->file.metadata_count);
    else
        oci_safetensors_save(cx, path, tensors, set->count, plain, 1);
    oci_free(tensors);
    return cx->status;
}

void oc_tensors_free(oc_tensors *set)
{
    if (!set) return;
    for (size_t i = set->from_file; i < set->count; i++)
        oci_free((void *)(uintptr_t)set->views[i].data);    /* the block that we made */
    oci_safetensors_close(&set->file);
    oci_free(set->views);
    oci_free(set->sorted);
    oci_free(set);
}

/* The rules of the format, so that what was added can be saved. */
static oc_status check_new(oc_context *cx, const char *name, oc_dtype dtype, int rank,
                           const int64_t *shape, size_t *bytes)
{
    oci_quoted quoted;
    if (!name || strlen(name) >= OCI_MAX_NAME || !strcmp(name, "__metadata__") ||
        !oci_utf8_valid(name, strlen(name)))
        return oci_fail(cx, OC_E_ARGUMENT, "%s: not a name for a tensor",
                        oci_quote(&quoted, name));
    if ((unsigned)dtype >= OC_DTYPE_COUNT)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "%s: dtype: expected one of oc_dtype, found %d",
                        oci_quote(&quoted, name), (int)dtype);
    if (rank < 0 || rank > OCI_MAX_RANK || (rank > 0 && !shape))
        return oci_fail(cx, OC_E_ARGUMENT,
                        "%s: rank: expected 0..%d and a shape, found %d",
                        oci_quote(&quoted, name), OCI_MAX_RANK, rank);
    if (!oci_shape_bytes(dtype, rank, shape, bytes))
        return oci_fail(cx, OC_E_ARGUMENT, "%s: shape: negative, or too many bytes",
                        oci_quote(&quoted, name));
    return cx->status;
}

/* One block for a tensor: the data first, for its alignment, then shape and name. */
static bool make_view(oc_context *cx, oc_tensor_view *view, const char *name, int rank,
                      const int64_t *shape, const void *data)
{
    size_t name_size = strlen(name) + 1, shape_size = (size_t)rank * sizeof *shape, body,
           whole;
    if (!oci_add(view->bytes, CACHE_LINE - 1, &body) ||
        !oci_add(body / CACHE_LINE * CACHE_LINE, shape_size + name_size, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "a tensor of %zu bytes", view->bytes);
        return false;
    }
    body = body / CACHE_LINE * CACHE_LINE;
    unsigned char *block = oci_alloc(cx, whole);
    if (!block) return false;
    if (data && view->bytes) memcpy(block, data, view->bytes);
    else memset(block, 0, view->bytes);
    if (rank > 0) memcpy(block + body, shape, shape_size);
    view->data = block;
    view->shape = (const int64_t *)(const void *)(block + body);
    view->name = memcpy(block + body + shape_size, name, name_size);
    return true;
}

oc_status oc_tensors_add(oc_context *cx, oc_tensors *set, const char *name,
                         oc_dtype dtype, int rank, const int64_t *shape, const void *data)
{
    if (!cx) return OC_E_MEMORY;
    if (oci_failed(cx)) return cx->status;
    if (!set) return oci_fail(cx, OC_E_ARGUMENT, "no set to add a tensor to");
    oc_tensor_view view = { .dtype = dtype, .rank = rank };
    bool found;
    oci_quoted quoted;
    if (check_new(cx, name, dtype, rank, shape, &view.bytes) != OC_OK) return cx->status;
    size_t place = place_of(set, name, &found);
    if (found)
        return oci_fail(cx, OC_E_ARGUMENT, "%s: there is a tensor of this name already",
                        oci_quote(&quoted, name));
    if (!reserve(cx, set, set->count + 1) ||
        !make_view(cx, &view, name, rank, shape, data))
        return cx->status;
    /* Linear, but one move of 8 bytes a tensor, and none when names come in order. */
    memmove(set->sorted + place + 1, set->sorted + place,
            (set->count - place) * sizeof *set->sorted);
    set->sorted[place] = set->count;
    set->views[set->count++] = view;
    return OC_OK;
}

size_t oc_tensors_count(const oc_tensors *set) { return set ? set->count : 0; }

oc_tensor_view oc_tensors_get(const oc_tensors *set, size_t index)
{
    if (!set || index >= set->count) return (oc_tensor_view){ 0 };
    return set->views[index];
}

bool oc_tensors_find(const oc_tensors *set, const char *name, oc_tensor_view *view)
{
    bool found = false;
    size_t place = set && name ? place_of(set, name, &found) : 0;
    if (view) *view = found ? set->views[set->sorted[place]] : (oc_tensor_view){ 0 };
    return found;
}

const char *oc_tensors_metadata(const oc_tensors *set, const char *key)
{
    return set && key ? oci_safetensors_metadata(&set->file, key) : NULL;
}
