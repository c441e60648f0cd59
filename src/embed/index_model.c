/* Indexes and models: pictures and texts become vectors of one space. */
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "checkpoint/folder.h"
#include "embed/embed.h"
#include "embed/index.h"

static const oc_embed_options of_length_one = { .size = sizeof of_length_one,
                                                .normalize = true };

/* oci_index_embed over a model. */
static float *embed(oc_context *cx, void *user, oc_image *const *images, size_t count,
                    size_t *width)
{
    oc_tensor_view view;
    float *rows = NULL;
    oc_tensors *set = oc_embed_images(cx, user, images, count, &of_length_one);
    if (set && oc_tensors_find(set, "image_embeds", &view) &&
        (rows = oci_alloc(cx, view.bytes))) {
        memcpy(rows, view.data, view.bytes);
        *width = (size_t)view.shape[1];
    }
    oc_tensors_free(set);
    return rows;
}

oc_status oc_index_build(oc_context *cx, const oc_model *model, const char *path,
                         const oc_index_options *options)
{
    oc_index_options o = { .size = sizeof o };
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    oci_take_options(&o, sizeof o, options);
    if (!path || (!o.folder && !o.file_count))
        return oci_fail(cx, OC_E_ARGUMENT,
                        "index: expected a path, and pictures or a folder");
    /* What the model lacks is no fault of each picture, and leaves no journal. */
    if (!oci_embed_width(cx, model, true) || !oci_model_processor(cx, model))
        return cx->status;
    oci_index_maker maker = {
        .fingerprint = oci_model_fingerprint(cx, model), .embed = embed,
        .model_name = o.model_name ? o.model_name : model->folder ? model->folder : "",
        .user = (void *)(uintptr_t)model,       /* which `embed` only reads */
    };
    return oci_index_make(cx, &maker, path, &o, o.report);
}

/* Vectors of another model, or of this one before it was
 * trained on, mean nothing to it. */
static bool fits(oc_context *cx, const oc_index *index, const oc_model *model)
{
    if (!oci_given(cx, index, __func__, "an index") ||
        !oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return false;
    if (oci_model_fingerprint(cx, model) != index->header.fingerprint)
        oci_fail(cx, OC_E_ARGUMENT,
                 "the index was made with another model (%s) than %s, or that has "
                 "changed since: build it again",
                 oc_index_model_name(index), model->folder ? model->folder : "this one");
    return !oci_failed(cx);
}

/* Searches by the one row that `name` of the set is; frees the set. */
static size_t search(oc_context *cx, const oc_index *index, oc_tensors *set,
                     const char *name, size_t top, oc_hit *hits)
{
    oc_tensor_view view;
    size_t found = 0;
    if (set && oc_tensors_find(set, name, &view)) {
        if ((size_t)view.shape[1] == oc_index_width(index))
            found = oc_index_search(cx, index, view.data, 1, top, hits);
        else
            oci_fail(cx, OC_E_ARGUMENT,
                     "search: expected %zu numbers in a vector, found %lld",
                     oc_index_width(index), (long long)view.shape[1]);
    }
    oc_tensors_free(set);
    return found;
}

size_t oc_index_search_text(oc_context *cx, const oc_index *index, const oc_model *model,
                            const char *text, size_t top, oc_hit *hits)
{
    if (!fits(cx, index, model)) return 0;
    return search(cx, index, oc_embed_texts(cx, model, &text, 1, &of_length_one),
                  "text_embeds", top, hits);
}

size_t oc_index_search_image(oc_context *cx, const oc_index *index, const oc_model *model,
                             oc_image *image, size_t top, oc_hit *hits)
{
    if (!fits(cx, index, model)) return 0;
    return search(cx, index, oc_embed_images(cx, model, &image, 1, &of_length_one),
                  "image_embeds", top, hits);
}
