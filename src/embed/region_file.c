/* oc_regions_open: features that somebody else made, in whatever form they keep them. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/dtype.h"
#include "io/npy.h"
#include "io/quote.h"
#include "io/regions_tsv.h"
#include "io/safetensors.h"

/* What a file holds, and which part of it is wanted. */
typedef struct source {
    const char *path;
    const oc_tensors *set;
    int64_t pictures;           /* rows of a batch; 1 where the features have no such
                                   dimension */
    int64_t picture;            /* the wanted one; -1: all */
} source;

static bool is_float(oc_dtype dtype)
{
    return dtype == OC_F16 || dtype == OC_BF16 || dtype == OC_F32 || dtype == OC_F64;
}

/* ---- the file ---- */

static oc_tensors *open_npy(oc_context *cx, const char *path)
{
    return oci_npy_open(cx, path, "visual_embeds");
}

static const struct kind {
    const char *ending;
    oc_tensors *(*open)(oc_context *cx, const char *path);
} kinds[] = {
    { ".safetensors", oc_tensors_open }, { ".npy", open_npy }, { ".npz", oci_npz_open },
};

static bool ends_with(const char *path, const char *ending)
{
    const size_t a = strlen(path), b = strlen(ending);
    return a >= b && !strcmp(path + a - b, ending);
}

static oc_tensors *open_arrays(oc_context *cx, const char *path)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ends_with(path, kinds[i].ending)) return kinds[i].open(cx, path);
    oci_fail(cx, OC_E_ARGUMENT,
             "%s: expected a file of regions by its ending: .safetensors, .npy, .npz or "
             ".tsv",
             path);
    return NULL;
}

/* The features under the names that such files have for them, or
 * the only tensor there is. */
static bool find_features(oc_context *cx, const source *s, oc_tensor_view *view)
{
    static const char *const names[] = { "visual_embeds", "features", "x" };
    oci_quoted quoted;
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = oc_tensors_find(s->set, names[i], view);
    if (!found && oc_tensors_count(s->set) == 1) {
        *view = oc_tensors_get(s->set, 0);
        found = true;
    }
    if (!found)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected a tensor visual_embeds, features or x, found none",
                 s->path);
    else if (!is_float(view->dtype) || (view->rank != 2 && view->rank != 3))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: expected F16, BF16, F32 or F64 [regions, D] or [pictures, "
                 "regions, D], found %s of rank %d",
                 s->path, oci_quote(&quoted, view->name), oci_dtype_name(view->dtype),
                 view->rank);
    return !oci_failed(cx);
}

/* ---- the wanted part ---- */

static bool choose_picture(oc_context *cx, source *s, const oc_tensor_view *features,
                           const char *which)
{
    oci_quoted quoted;
    s->pictures = features->rank == 3 ? features->shape[0] : 1;
    s->picture = -1;
    if (!which) return true;
    char *end = NULL;
    const bool digits = which[0] >= '0' && which[0] <= '9';
    /* too large: the largest */
    const long long n = digits ? strtoll(which, &end, 10) : -1;
    if (n >= 0 && !*end && n < s->pictures) {
        s->picture = n;
        return true;
    }
    oci_fail(cx, OC_E_ARGUMENT,
             "%s: expected the number of a picture from 0 to %lld, found %s", s->path,
             (long long)s->pictures - 1, oci_quote(&quoted, which));
    return false;
}

/* Adds `from` as `name`, with a first dimension for pictures, and of those the wanted
 * one. `rank` is that of one picture's. Floats become F32. */
static void add_part(oc_context *cx, const source *s, oc_tensors *out, const char *name,
                     const oc_tensor_view *from, int rank)
{
    int64_t shape[OCI_MAX_RANK] = { 1 };
    const bool batched = from->rank == rank + 1;
    if (!batched && from->rank != rank) {
        oci_fail(cx, OC_E_MALFORMED, "%s: %s: expected rank %d or %d, found %d", s->path,
                 name, rank, rank + 1, from->rank);
        return;
    }
    if ((batched ? from->shape[0] : 1) != s->pictures) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: expected %lld pictures as visual_embeds has, found %lld",
                 s->path, name, (long long)s->pictures,
                 (long long)(batched ? from->shape[0] : 1));
        return;
    }
    memcpy(shape + 1, from->shape + batched, (size_t)rank * sizeof *shape);
    shape[0] = s->picture < 0 ? s->pictures : 1;
    const size_t each = s->pictures ? from->bytes / (size_t)s->pictures : 0;
    const unsigned char *data = from->data;
    if (s->picture > 0) data += each * (size_t)s->picture;
    oc_tensor_view made;
    oc_tensors_add(cx, out, name, is_float(from->dtype) ? OC_F32 : from->dtype, rank + 1,
                   shape, is_float(from->dtype) ? NULL : data);
    if (oci_failed(cx) || !is_float(from->dtype) || !oc_tensors_find(out, name, &made))
        return;
    oci_dtype_to_f32(from->dtype, data, (float *)(uintptr_t)made.data,
                     made.bytes / sizeof(float));
}

oc_tensors *oc_regions_open(oc_context *cx, const char *path, const char *which)
{
    static const char *const others[] = { "visual_attention_mask",
                                          "visual_token_type_ids" };
    if (!cx || oci_failed(cx)) return NULL;
    if (!path) {
        oci_fail(cx, OC_E_ARGUMENT, "regions: expected a file, found NULL");
        return NULL;
    }
    if (ends_with(path, ".tsv")) return oci_tsv_open(cx, path, which);
    oc_tensors *set = open_arrays(cx, path), *out = set ? oc_tensors_create(cx) : NULL;
    source s = { .path = path, .set = set };
    oc_tensor_view view;
    if (out && find_features(cx, &s, &view) && choose_picture(cx, &s, &view, which)) {
        add_part(cx, &s, out, "visual_embeds", &view, 2);
        for (size_t i = 0; i < sizeof others / sizeof *others && !oci_failed(cx); i++)
            if (oc_tensors_find(set, others[i], &view))
                add_part(cx, &s, out, others[i], &view, 1);
    }
    oc_tensors_free(set);
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}
