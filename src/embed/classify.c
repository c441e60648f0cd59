/* oc_classify: zero-shot classes (Radford et al. 2021, section 3.1). Each
 * label becomes a text by the pattern; a picture's classes are the softmax of
 * its similarities to them. */
#include <string.h>

#include "base/bytes.h"
#include "base/size.h"
#include "embed/embed.h"

/* The pattern with the label at every {}; a new string (oci_free). */
static char *label_text(oc_context *cx, const char *pattern, const char *label)
{
    oci_bytes text;
    oci_bytes_init(&text, cx->limits.text_bytes);
    for (const char *gap; (gap = strstr(pattern, "{}")); pattern = gap + 2) {
        oci_bytes_append(cx, &text, pattern, (size_t)(gap - pattern));
        oci_bytes_append(cx, &text, label, strlen(label));
    }
    oci_bytes_append(cx, &text, pattern, strlen(pattern));
    return oci_bytes_take(cx, &text);
}

/* get_text_features of the labels, [labels, E]. */
static oc_tensors *embed_labels(oc_context *cx, const oc_model *model,
                                const char *pattern, const char *const *labels,
                                size_t count)
{
    oc_tensors *out = NULL;
    char **texts = oci_calloc(cx, count, sizeof *texts);
    for (size_t i = 0; texts && i < count && !oci_failed(cx); i++) {
        if (!labels[i])
            oci_fail(cx, OC_E_ARGUMENT, "label %zu: expected one, found NULL", i);
        else texts[i] = label_text(cx, pattern, labels[i]);
    }
    if (texts && !oci_failed(cx))
        out = oc_embed_texts(cx, model, (const char *const *)texts, count, NULL);
    for (size_t i = 0; texts && i < count; i++) oci_free(texts[i]);
    oci_free(texts);
    return out;
}

/* A tensor of a set, in the arena, as rows of length 1. */
static oci_tensor *unit_rows(oc_context *cx, const oc_tensors *set, const char *name)
{
    oc_tensor_view v;
    if (oci_failed(cx) || !oc_tensors_find(set, name, &v)) return NULL;
    oci_tensor *x = oci_tensor_create(cx, OC_F32, v.rank, v.shape);
    if (x) memcpy(x->data, v.data, v.bytes);
    return oci_op_normalize(cx, x);
}

static void add(oc_context *cx, oc_tensors *out, const char *name, const oci_tensor *x)
{
    if (x) oc_tensors_add(cx, out, name, OC_F32, x->rank, x->shape, x->data);
}

/* logits_per_image and probabilities of both sides' features, into `out`. */
static void compare(oc_context *cx, const oci_dual *m, const oc_tensors *images,
                    const oc_tensors *texts, oc_tensors *out)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *image = unit_rows(cx, images, "image_embeds");         /* [pictures, E] */
    oci_tensor *text = unit_rows(cx, texts, "text_embeds");             /* [labels, E] */
    oci_tensor *logits = oci_op_transpose(cx, oci_dual_similarity(cx, m, text, image));
    add(cx, out, "logits_per_image", logits);
    if (logits) {
        /* In place: the logits have been copied out. */
        oci_backend_get(cx)->softmax(cx, logits->shape[0], logits->shape[1],
                                     oci_f32(logits), oci_f32(logits));
        add(cx, out, "probabilities", logits);
    }
    oci_arena_reset(&cx->arena, mark);
}

static void check(oc_context *cx, const oc_model *model, const oc_classify_options *o,
                  const char *const *labels, size_t count)
{
    oc_tensor_view v;
    if (!oci_model_has_weights(cx, model)) return;
    if (!oci_dual_of(model->core.arch, model->core.root))
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: expected a vision-text-dual-encoder or a clip to classify with, "
                 "found %s",
                 model->folder, model->core.arch->model_type);
    else if (count == 0 || !labels)
        oci_fail(cx, OC_E_ARGUMENT, "classify: expected labels, found none");
    else if (!strstr(o->pattern, "{}"))
        oci_fail(cx, OC_E_ARGUMENT,
                 "pattern: expected {}, where the label goes, found '%.80s'", o->pattern);
    else if (o->earlier &&
             (!oc_tensors_find(o->earlier, "text_embeds", &v) || v.rank != 2 ||
              v.dtype != OC_F32 || v.shape[0] != (int64_t)count ||
              v.shape[1] != oci_embed_width(cx, model, false)))
        oci_fail(cx, OC_E_ARGUMENT,
                 "classify: expected the result of an earlier call with the same model "
                 "and labels");
}

oc_tensors *oc_classify(oc_context *cx, const oc_model *model, oc_image *const *images,
                        size_t count, const char *const *labels, size_t label_count,
                        const oc_classify_options *options)
{
    oc_classify_options o = { .size = sizeof o };
    if (!oci_given(cx, model, __func__, "a model")) return NULL;
    oci_take_options(&o, sizeof o, options);
    if (!o.pattern) o.pattern = "{}";
    check(cx, model, &o, labels, label_count);
    oc_tensors *texts = NULL, *pictures = NULL, *out = NULL;
    oc_tensor_view view;
    if (!oci_failed(cx) && !o.earlier)
        texts = embed_labels(cx, model, o.pattern, labels, label_count);
    if (!oci_failed(cx) && count)
        pictures = oc_embed_images(cx, model, images, count, NULL);
    if (!oci_failed(cx)) out = oc_tensors_create(cx);
    if (out) {
        const oc_tensors *from = o.earlier ? o.earlier : texts;
        if (pictures) compare(cx, model->core.root, pictures, from, out);
        if (oc_tensors_find(from, "text_embeds", &view))
            oc_tensors_add(cx, out, view.name, view.dtype, view.rank, view.shape,
                           view.data);
    }
    oc_tensors_free(texts);
    oc_tensors_free(pictures);
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}
