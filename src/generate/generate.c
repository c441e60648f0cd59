/* oc_generate and oc_read: the public ends of decoding. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "generate/decoding.h"
#include "generate/document.h"
#include "base/size.h"

/* Rows of `width` numbers out of rows of d->room. */
static void add_rows(oc_context *cx, const oci_decoding *d, const char *name,
                     oc_dtype dtype, const void *from, int64_t width, oc_tensors *out)
{
    oc_tensor_view made;
    const int64_t shape[] = { d->sequences, width };
    size_t size = dtype == OC_I64 ? sizeof(int64_t) : sizeof(float),
           each = (size_t)width * size;
    oc_tensors_add(cx, out, name, dtype, 2, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(out, name, &made)) return;
    for (int64_t s = 0; s < d->sequences; s++)
        memcpy((char *)(uintptr_t)made.data + (size_t)s * each,
               (const char *)from + (size_t)(s * d->room) * size, each);
}

static void add_result(oc_context *cx, const oci_decoding *d, oc_tensors *out)
{
    int64_t L = d->length;
    add_rows(cx, d, "sequences", OC_I64, d->ids, L, out);
    if (d->o.output_logprobs)
        add_rows(cx, d, "token_logprobs", OC_F32, d->logprobs, L - d->prompt, out);
    if (d->sums && d->o.output_scores)
        oc_tensors_add(cx, out, "sequences_scores", OC_F32, 1, &d->sequences, d->sums);
    if (d->trace) add_rows(cx, d, "beam_indices", OC_I64, d->trace, L, out);
}

oc_tensors *oc_generate(oc_context *cx, const oc_model *model, const oc_tensors *in,
                        const oc_generate_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, in, __func__, "named tensors") ||
        !oci_model_has_weights(cx, model))
        return NULL;
    oci_arena_mark mark = oci_mark(cx);
    oci_decoding d;
    oc_tensors *out = NULL;
    if (oci_decoding_begin(cx, &d, model, in, options) &&
        oci_decoding_run(cx, &d) == OC_OK) {
        out = d.out;
        d.out = NULL;
        add_result(cx, &d, out);
    }
    oci_decoding_end(&d);
    oci_arena_reset(&cx->arena, mark);
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}

/* ---- reading ---- */

struct oc_texts {
    size_t count;
    oc_text *at;                /* [count] */
    int64_t *ids;               /* what the texts' ids point into */
    float *logprobs;
};

static void fill_text(oc_context *cx, const oci_decoding *d, oc_texts *texts, int64_t s,
                      bool whole)
{
    oc_text *t = &texts->at[s];
    int64_t n = d->made[s], *ids = texts->ids + s * d->room;
    float *logprobs = texts->logprobs + s * d->room;
    memcpy(ids, d->ids + s * d->room + d->prompt, (size_t)n * sizeof *ids);
    memcpy(logprobs, d->logprobs + s * d->room, (size_t)n * sizeof *logprobs);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += logprobs[i];
    *t = (oc_text){ .tokens = n, .ids = ids, .logprobs = logprobs,
                    .confidence = n ? exp(sum / (double)n) : 0 };
    if (whole) {                /* the prompt is in front of them there */
        ids = d->ids + s * d->room;
        n += d->prompt;
    }
    t->text = oc_decode(cx, oc_model_tokenizer(cx, d->model), ids, (size_t)n, !whole,
                        OC_CLEAN_UP_DEFAULT, NULL);
}

static oc_texts *texts_of(oc_context *cx, const oci_decoding *d, bool whole)
{
    oc_texts *texts = oci_calloc(cx, 1, sizeof *texts);
    if (!texts) return NULL;
    size_t cells = (size_t)(d->sequences * d->room);
    texts->at = oci_calloc(cx, (size_t)d->sequences, sizeof *texts->at);
    texts->ids = oci_calloc(cx, cells, sizeof *texts->ids);
    texts->logprobs = oci_calloc(cx, cells, sizeof *texts->logprobs);
    if (texts->logprobs) texts->count = (size_t)d->sequences;
    for (int64_t s = 0; s < (int64_t)texts->count && !oci_failed(cx); s++)
        fill_text(cx, d, texts, s, whole);
    return texts;
}

oc_texts *oc_read(oc_context *cx, const oc_model *model, oc_image *const *images,
                  size_t count, const oc_read_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, count ? images : NULL, __func__, "pictures") ||
        !oci_model_has_weights(cx, model))
        return NULL;
    oc_read_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    oci_arena_mark mark = oci_mark(cx);
    double start = oci_now();
    oc_tensors *pixels = oc_preprocess(cx, model, images, count);
    if (pixels && o.prompt) oci_prompt_add(cx, model, o.prompt, count, pixels);
    double preprocess = oci_now() - start;
    oci_decoding d = { 0 };
    oc_texts *texts = NULL;
    oc_generate_options how = { .size = sizeof how, .config = o.config,
                                .callback = o.callback, .callback_user = o.callback_user,
                                .first_picture = o.first_picture,
                                .kv_dtype = o.kv_dtype };
    if (pixels && oci_decoding_begin(cx, &d, model, pixels, &how) &&
        oci_decoding_run(cx, &d) == OC_OK)
        texts = texts_of(cx, &d, o.whole);
    if (o.timings) {
        *o.timings = (oc_timings){ preprocess, d.encode_seconds, d.decode_seconds, 0 };
        for (int64_t s = 0; d.made && s < d.sequences; s++)
            o.timings->tokens += d.made[s];
    }
    oci_decoding_end(&d);
    oc_tensors_free(pixels);
    oci_arena_reset(&cx->arena, mark);
    if (!oci_failed(cx)) return texts;
    oc_texts_free(texts);
    return NULL;
}

size_t oc_texts_count(const oc_texts *texts) { return texts ? texts->count : 0; }

const oc_text *oc_texts_get(const oc_texts *texts, size_t index)
{
    return texts && index < texts->count ? &texts->at[index] : NULL;
}

void oc_texts_free(oc_texts *texts)
{
    if (!texts) return;
    for (size_t i = 0; i < texts->count; i++)
        oc_string_free((char *)(uintptr_t)texts->at[i].text);
    oci_free(texts->at);
    oci_free(texts->ids);
    oci_free(texts->logprobs);
    oci_free(texts);
}
