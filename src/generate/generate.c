/* oc_generate and oc_read: the public ends of decoding. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "generate/decoding.h"

static void add_result(oc_context *cx, oci_decoding *d, bool logprobs, oc_tensors *out)
{
    oci_arena_mark mark = oci_mark(cx);
    int64_t B = d->rows, L = d->length, steps = L - d->prompt;
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, L));
    oci_tensor *p = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, steps));
    for (int64_t b = 0; ids && p && b < B; b++) {
        memcpy(oci_i64(ids) + b * L, d->ids + b * d->room, (size_t)L * sizeof *d->ids);
        memcpy(oci_f32(p) + b * steps, d->logprobs + b * d->room,
               (size_t)steps * sizeof *d->logprobs);
    }
    if (ids && p) oc_tensors_add(cx, out, "sequences", OC_I64, 2, ids->shape, ids->data);
    if (ids && p && logprobs)
        oc_tensors_add(cx, out, "token_logprobs", OC_F32, 2, p->shape, p->data);
    oci_arena_reset(&cx->arena, mark);
}

oc_tensors *oc_generate(oc_context *cx, const oc_model *model, const oc_tensors *in,
                        const oc_generate_options *options)
{
    if (!cx || oci_failed(cx) || !model || !in || !oci_model_has_weights(cx, model)) return NULL;
    oc_generate_options o = { .size = sizeof o };
    if (options) memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    oci_arena_mark mark = oci_mark(cx);
    oci_decoding d;
    oc_tensors *out = NULL;
    if (oci_decoding_begin(cx, &d, model, in, o.config, o.output_scores, o.callback,
                           o.callback_user) && oci_greedy(cx, &d) == OC_OK) {
        out = d.scores ? d.scores : oc_tensors_create(cx);
        d.scores = NULL;
        if (out) add_result(cx, &d, o.output_logprobs, out);
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

static void fill_text(oc_context *cx, const oci_decoding *d, oc_texts *texts, int64_t b)
{
    oc_text *t = &texts->at[b];
    int64_t n = d->made[b], *ids = texts->ids + b * d->room;
    float *logprobs = texts->logprobs + b * d->room;
    memcpy(ids, d->ids + b * d->room + d->prompt, (size_t)n * sizeof *ids);
    memcpy(logprobs, d->logprobs + b * d->room, (size_t)n * sizeof *logprobs);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += logprobs[i];
    *t = (oc_text){ .tokens = n, .ids = ids, .logprobs = logprobs,
                    .confidence = n ? exp(sum / (double)n) : 0 };
    t->text = oc_decode(cx, oc_model_tokenizer(cx, d->model), ids, (size_t)n, true,
                        OC_CLEAN_UP_DEFAULT, NULL);
}

static oc_texts *texts_of(oc_context *cx, const oci_decoding *d)
{
    oc_texts *texts = oci_calloc(cx, 1, sizeof *texts);
    if (!texts) return NULL;
    size_t cells = (size_t)(d->rows * d->room);
    texts->at = oci_calloc(cx, (size_t)d->rows, sizeof *texts->at);
    texts->ids = oci_calloc(cx, cells, sizeof *texts->ids);
    texts->logprobs = oci_calloc(cx, cells, sizeof *texts->logprobs);
    if (texts->logprobs) texts->count = (size_t)d->rows;
    for (int64_t b = 0; b < (int64_t)texts->count && !oci_failed(cx); b++)
        fill_text(cx, d, texts, b);
    return texts;
}

oc_texts *oc_read(oc_context *cx, const oc_model *model, oc_image *const *images, size_t count,
                  const oc_read_options *options)
{
    if (!cx || oci_failed(cx) || !model || count == 0 || !oci_model_has_weights(cx, model))
        return NULL;
    oc_read_options o = { .size = sizeof o };
    if (options) memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    oci_arena_mark mark = oci_mark(cx);
    double start = oci_now();
    oc_tensors *pixels = oc_preprocess(cx, model, images, count);
    double preprocess = oci_now() - start;
    oci_decoding d = { 0 };
    oc_texts *texts = NULL;
    if (pixels && oci_decoding_begin(cx, &d, model, pixels, o.config, false, o.callback,
                                     o.callback_user) && oci_greedy(cx, &d) == OC_OK)
        texts = texts_of(cx, &d);
    if (o.timings) {
        *o.timings = (oc_timings){ preprocess, d.encode_seconds, d.decode_seconds, 0 };
        for (int64_t b = 0; d.made && b < d.rows; b++) o.timings->tokens += d.made[b];
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
    for (size_t i = 0; i < texts->count; i++) oc_string_free((char *)(uintptr_t)texts->at[i].text);
    oci_free(texts->at);
    oci_free(texts->ids);
    oci_free(texts->logprobs);
    oci_free(texts);
}
