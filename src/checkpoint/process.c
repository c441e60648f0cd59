/* oc_process: texts and pictures as one set of arguments, what
 * VisionTextDualEncoderProcessor and its kin (CLIPProcessor) give. */
#include <string.h>

#include "base/size.h"
#include "checkpoint/folder.h"

typedef struct texts {
    oc_encoding **rows;             /* [count] */
    size_t count, longest;
} texts;

static void encode_texts(oc_context *cx, const oc_tokenizer *tokenizer,
                         const char *const *list, texts *t)
{
    const oc_encode_options o = { .size = sizeof o };
    t->rows = oci_calloc(cx, t->count, sizeof *t->rows);
    for (size_t i = 0; t->rows && i < t->count && !oci_failed(cx); i++) {
        if (!list[i]) {
            oci_fail(cx, OC_E_ARGUMENT, "text %zu: expected one, found NULL", i);
            return;
        }
        t->rows[i] = oc_encode(cx, tokenizer, list[i], strlen(list[i]), NULL, 0, &o);
        if (oc_encoding_count(t->rows[i]) > t->longest)
            t->longest = oc_encoding_count(t->rows[i]);
    }
}

/* The same again, padded to the longest: on the side, and with the token, that the
 * tokenizer says. Texts of one length need neither. */
static void pad_texts(oc_context *cx, const oc_tokenizer *tokenizer,
                      const char *const *list, texts *t)
{
    const oc_encode_options o = { .size = sizeof o, .pad_to = (int64_t)t->longest };
    for (size_t i = 0; i < t->count && !oci_failed(cx); i++) {
        if (oc_encoding_count(t->rows[i]) == t->longest) continue;
        oc_encoding_free(t->rows[i]);
        t->rows[i] = oc_encode(cx, tokenizer, list[i], strlen(list[i]), NULL, 0, &o);
    }
}

/* [count, longest]; nothing where the tokenizer's model takes none. */
static void add_rows(oc_context *cx, oc_tensors *set, const char *name, const texts *t,
                     const int64_t *(*of)(const oc_encoding *))
{
    const int64_t shape[] = { (int64_t)t->count, (int64_t)t->longest };
    oc_tensor_view view;
    if (oci_failed(cx) || !of(t->rows[0])) return;
    oc_tensors_add(cx, set, name, OC_I64, 2, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) return;
    int64_t *to = (int64_t *)(uintptr_t)view.data;      /* our own set, just made */
    for (size_t i = 0; i < t->count; i++, to += t->longest)
        memcpy(to, of(t->rows[i]), t->longest * sizeof *to);
}

static void add_texts(oc_context *cx, const oc_model *model, const char *const *list,
                      size_t count, oc_tensors *set)
{
    const oc_tokenizer *tokenizer = oc_model_tokenizer(cx, model);
    texts t = { .count = count };
    if (!tokenizer) return;
    encode_texts(cx, tokenizer, list, &t);
    if (!oci_failed(cx)) pad_texts(cx, tokenizer, list, &t);
    add_rows(cx, set, "input_ids", &t, oc_encoding_ids);
    add_rows(cx, set, "token_type_ids", &t, oc_encoding_token_type_ids);
    add_rows(cx, set, "attention_mask", &t, oc_encoding_attention_mask);
    for (size_t i = 0; t.rows && i < count; i++) oc_encoding_free(t.rows[i]);
    oci_free(t.rows);
}

static void add_pictures(oc_context *cx, const oc_model *model, oc_image *const *images,
                         size_t count, oc_tensors *set)
{
    oc_tensors *pixels = oc_preprocess(cx, model, images, count);
    oc_tensor_view v;
    if (oc_tensors_find(pixels, "pixel_values", &v))
        oc_tensors_add(cx, set, v.name, v.dtype, v.rank, v.shape, v.data);
    oc_tensors_free(pixels);
}

oc_tensors *oc_process(oc_context *cx, const oc_model *model, const char *const *list,
                       size_t text_count, oc_image *const *images, size_t image_count)
{
    if (!oci_given(cx, model, __func__, "a model")) return NULL;
    if (!list) text_count = 0;
    if (!images) image_count = 0;
    if (text_count == 0 && image_count == 0)
        oci_fail(cx, OC_E_ARGUMENT,
                 "process: expected texts, pictures or both, found none");
    oc_tensors *set = oci_failed(cx) ? NULL : oc_tensors_create(cx);
    if (set && text_count) add_texts(cx, model, list, text_count, set);
    if (set && image_count) add_pictures(cx, model, images, image_count, set);
    if (!oci_failed(cx)) return set;
    oc_tensors_free(set);
    return NULL;
}
