/* oc_embed_regions: a picture's regions as what a VisualBERT reads, in the order of
 * docs/FORMAT-regions.md:
 *
 *   boxes → pixels → crops → processor, tower, projection, all as one batch → rows [V, E]
 *         → each divided by its norm, its box behind it → visual_embeds [1, V, D] */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "embed/embed.h"

enum { BOX = 4 };

/* ---- crops ---- */

/* Python's round: the nearest integer, a half to the even one. Not rint, which does what
 * the thread's rounding mode says. */
static int64_t round_half_even(double x)
{
    const double below = floor(x), rest = x - below;
    const int64_t n = (int64_t)below;
    return n + (rest > 0.5 || (rest == 0.5 && n % 2 != 0));
}

/* The crop of one box, 0 <= x0 < x1 <= 1 and so for y. */
static oc_image *crop(oc_context *cx, const oc_image *image, const double *box)
{
    const int64_t w = oc_image_width(image), h = oc_image_height(image);
    const int64_t left = round_half_even(box[0] * (double)w);
    const int64_t top = round_half_even(box[1] * (double)h);
    const int64_t width = round_half_even(box[2] * (double)w) - left;
    const int64_t height = round_half_even(box[3] * (double)h) - top;
    if (width > 0 && height > 0)
        return oci_image_crop(cx, image, left, top, width, height);
    oci_fail(cx, OC_E_IMAGE,
             "region [%g, %g, %g, %g]: holds no pixel of a picture of %lld x %lld",
             box[0], box[1], box[2], box[3], (long long)w, (long long)h);
    return NULL;
}

/* The rows [V, E] of all crops, "image_embeds". */
static oc_tensors *embed_crops(oc_context *cx, const oc_model *model,
                               const oc_image *image, const oci_regions *r)
{
    const oc_embed_options how = { .size = sizeof how, .normalize = r->normalize };
    oc_tensors *rows = NULL;
    oc_image **crops = oci_calloc(cx, r->count, sizeof *crops);
    for (size_t i = 0; crops && i < r->count && !oci_failed(cx); i++)
        crops[i] = crop(cx, image, r->boxes + BOX * i);
    if (!oci_failed(cx)) rows = oc_embed_images(cx, model, crops, r->count, &how);
    for (size_t i = 0; crops && i < r->count; i++) oc_image_free(crops[i]);
    oci_free(crops);
    return rows;
}

/* ---- the set ---- */

/* A tensor of zeros in `set`, to be filled; NULL with the error set. */
static void *add(oc_context *cx, oc_tensors *set, const char *name, oc_dtype dtype,
                 int rank, const int64_t *shape)
{
    oc_tensor_view view;
    oc_tensors_add(cx, set, name, dtype, rank, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return NULL;
    return (void *)(uintptr_t)view.data;        /* our own set */
}

static oc_tensors *make_set(oc_context *cx, const oci_regions *r, const oc_tensors *rows)
{
    oc_tensor_view e;
    oc_tensors *set = oc_tensors_create(cx);
    if (oci_failed(cx) || !oc_tensors_find(rows, "image_embeds", &e)) return set;
    const int64_t V = e.shape[0], E = e.shape[1], D = E + (r->append_box ? BOX : 0);
    float *embeds = add(cx, set, "visual_embeds", OC_F32, 3,
                        (const int64_t[]){ 1, V, D });
    int64_t *mask = add(cx, set, "visual_attention_mask", OC_I64, 2,
                        (const int64_t[]){ 1, V });
    int64_t *types = add(cx, set, "visual_token_type_ids", OC_I64, 2,
                         (const int64_t[]){ 1, V });
    float *boxes = add(cx, set, "boxes", OC_F32, 2, (const int64_t[]){ V, BOX });
    for (int64_t i = 0; i < V && !oci_failed(cx); i++) {
        memcpy(embeds + i * D, (const float *)e.data + i * E, (size_t)E * sizeof *embeds);
        for (int k = 0; k < BOX; k++) boxes[i * BOX + k] = (float)r->boxes[i * BOX + k];
        if (r->append_box)
            memcpy(embeds + i * D + E, boxes + i * BOX, BOX * sizeof *boxes);
        mask[i] = 1;
        types[i] = r->visual_token_type;
    }
    return set;
}

/* ---- whose boxes, whose tower ---- */

/* A caller's boxes, by the rules of the file. */
static bool boxes_are_good(oc_context *cx, const oc_region_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        const double *b = o->boxes + BOX * i;
        if (b[0] >= 0 && b[0] < b[2] && b[2] <= 1 && b[1] >= 0 && b[1] < b[3] &&
            b[3] <= 1)
            continue;
        oci_fail(cx, OC_E_ARGUMENT,
                 "region %zu: expected [x0, y0, x1, y1] with 0 <= x0 < x1 <= 1 and so "
                 "for y, found [%g, %g, %g, %g]",
                 i, b[0], b[1], b[2], b[3]);
        return false;
    }
    if (o->count > 0 && o->count <= cx->limits.regions) return true;
    oci_fail(cx, OC_E_ARGUMENT, "regions: expected 1 to %llu boxes, found %zu",
             (unsigned long long)cx->limits.regions, o->count);
    return false;
}

static oc_tensors *embed(oc_context *cx, const oc_model *model, const oc_image *image,
                         const oci_regions *r)
{
    oc_tensors *rows = oci_failed(cx) ? NULL : embed_crops(cx, model, image, r);
    oc_tensors *set = rows ? make_set(cx, r, rows) : NULL;
    oc_tensors_free(rows);
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}

oc_tensors *oc_embed_regions(oc_context *cx, const oc_model *model, const oc_image *image,
                             const oc_region_options *options)
{
    if (!oci_given(cx, model, __func__, "a model")) return NULL;
    oc_region_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    if (!image) {
        oci_fail(cx, OC_E_ARGUMENT, "regions: expected a picture, found NULL");
        return NULL;
    }
    if (o.file) {
        oci_regions r;
        if (!oci_regions_open(cx, &r, o.file, NULL)) return NULL;
        oc_tensors *set = embed(cx, model, image, &r);
        oci_regions_close(&r);
        return set;
    }
    if (o.boxes) {
        const oci_regions r = { .boxes = (double *)(uintptr_t)o.boxes, .count = o.count,
                                .normalize = o.normalize, .append_box = o.append_box,
                                .visual_token_type = 1 };
        return boxes_are_good(cx, &o) ? embed(cx, model, image, &r) : NULL;
    }
    const oci_regions *own = oci_model_regions(cx, model);
    return own ? embed(cx, own->features, image, own) : NULL;
}
