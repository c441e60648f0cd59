/* oc_embed_images, oc_embed_texts: pictures and texts as vectors.
 *
 *   pictures → processor → vision tower, pooled → visual_projection → rows [count, E]
 *   texts    → tokenizer → text tower, pooled   → text_projection   → rows [count, E]
 *
 * Of a model that is one tower alone, the pooled output itself. Every row comes out the
 * same in any company: texts are not padded, but packed one behind the other. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "embed/embed.h"

/* Pictures that go through the tower together: enough rows for the products, few enough
 * that a layer's values stay in the cache. */
enum { PICTURES_AT_ONCE = 8 };
/* Texts that are tokenized before any is run: their lengths are sorted, so that
 * neighbours are alike; and tokens that go through the tower together. */
enum { TEXTS_AT_ONCE = 256, TOKENS_AT_ONCE = 1024 };

static size_t at_most(size_t n, size_t most) { return n < most ? n : most; }

static const oci_dual *dual_of(const oci_model *model)
{
    return oci_dual_of(model->arch, model->root);
}

/* "expected a dual encoder or one of …": what the model would have to be. */
static void refuse(oc_context *cx, const oc_model *model, bool pictures)
{
    char list[512];
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: expected a model that embeds %s (a dual encoder, %s), found %s",
             model->folder, pictures ? "pictures" : "texts",
             oci_arch_list(pictures ? 'e' : 't', list, sizeof list),
             model->core.arch->model_type);
}

int64_t oci_embed_width(oc_context *cx, const oc_model *model, bool pictures)
{
    const oci_model *core = &model->core;
    const oci_dual *dual = dual_of(core);
    if (dual) return dual->cfg.projection_dim;
    if (pictures && core->arch->encode) return core->arch->encoder_width(core->root);
    if (!pictures && core->arch->pools_text)
        return core->arch->decoder_shape(core->root).width;
    refuse(cx, model, pictures);
    return 0;
}

/* A set with the one tensor `name` [count, E]; *rows are its numbers. */
static oc_tensors *make_rows(oc_context *cx, const char *name, size_t count, int64_t E,
                             float **rows)
{
    const int64_t shape[] = { (int64_t)count, E };
    oc_tensor_view view;
    oc_tensors *set = oci_failed(cx) ? NULL : oc_tensors_create(cx);
    oc_tensors_add(cx, set, name, OC_F32, 2, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(set, name, &view)) {
        oc_tensors_free(set);
        return NULL;
    }
    *rows = (float *)(uintptr_t)view.data;      /* our own set, just made */
    return set;
}

/* Row i of x to row order[i] (NULL: i) of `rows`, normalised if wanted. */
static void keep_rows(oc_context *cx, oci_tensor *x, bool normalize, const size_t *order,
                      float *rows)
{
    if (normalize) x = oci_op_normalize(cx, x);
    if (!x) return;
    size_t E = (size_t)oci_tensor_width(x);
    for (size_t i = 0; i < (size_t)x->shape[0]; i++)
        memcpy(rows + (order ? order[i] : i) * E, oci_f32(x) + i * E, E * sizeof *rows);
}

static oc_embed_options read_options(const oc_embed_options *options)
{
    oc_embed_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    return o;
}

/* ---- pictures ---- */

static oci_tensor *image_features(oc_context *cx, const oci_model *model,
                                  const oc_tensors *pixels)
{
    oc_tensor_view v;
    oci_tensor x = { .dtype = OC_F32, .rank = 4 };
    if (!oc_tensors_find(pixels, "pixel_values", &v)) return NULL;
    x.data = (void *)(uintptr_t)v.data;         /* read only */
    memcpy(x.shape, v.shape, 4 * sizeof *v.shape);
    const oci_encode_call call = { .pixel_values = &x };
    const oci_dual *dual = dual_of(model);
    return dual ? oci_dual_image_features(cx, dual, call)
                : oci_vision_pooled(cx, model->arch, model->root, call);    /* [B, E] */
}

oc_tensors *oc_embed_images(oc_context *cx, const oc_model *model,
                            oc_image *const *images, size_t count,
                            const oc_embed_options *options)
{
    oc_embed_options o = read_options(options);
    float *rows = NULL;
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return NULL;
    if (count == 0 || !images)
        oci_fail(cx, OC_E_ARGUMENT, "embed: expected images, found none");
    int64_t E = oci_embed_width(cx, model, true);
    oc_tensors *out = make_rows(cx, "image_embeds", count, E, &rows);
    for (size_t i = 0; out && i < count && !oci_cancelled(cx); i += PICTURES_AT_ONCE) {
        oci_arena_mark mark = oci_mark(cx);
        size_t some = at_most(count - i, PICTURES_AT_ONCE);
        oc_tensors *pixels = oc_preprocess(cx, model, images + i, some);
        keep_rows(cx, image_features(cx, &model->core, pixels), o.normalize, NULL,
                  rows + i * (size_t)E);
        oc_tensors_free(pixels);
        oci_arena_reset(&cx->arena, mark);
    }
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}

/* ---- texts ---- */

typedef struct reading {                /* of up to TEXTS_AT_ONCE texts */
    const oc_model *model;
    const oc_tokenizer *tokenizer;
    oc_encode_options encode;
    int64_t most;                       /* tokens that the model has positions for; 0:
                                           any */
    bool normalize;
    size_t count;
    oc_encoding *texts[TEXTS_AT_ONCE];  /* owned */
    size_t order[TEXTS_AT_ONCE];        /* shortest first */
} reading;

typedef struct length {
    size_t tokens, index;
} length;

static int by_length(const void *a, const void *b)
{
    const length *x = a, *y = b;
    if (x->tokens != y->tokens) return x->tokens < y->tokens ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void sort_texts(reading *r)
{
    length lengths[TEXTS_AT_ONCE];
    for (size_t i = 0; i < r->count; i++)
        lengths[i] = (length){ oc_encoding_count(r->texts[i]), i };
    qsort(lengths, r->count, sizeof *lengths, by_length);
    for (size_t i = 0; i < r->count; i++) r->order[i] = lengths[i].index;
}

/* `number` is the text's place in the whole call, for messages. */
static oc_encoding *tokenize(oc_context *cx, const reading *r, const char *text,
                             size_t number)
{
    const size_t size = text ? strlen(text) : 0;
    if (!text) oci_fail(cx, OC_E_ARGUMENT, "text %zu: expected one, found NULL", number);
    else if (!oci_utf8_valid(text, size))       /* as the tokenizer would, but with its
                                                   number */
        oci_fail(cx, OC_E_MALFORMED, "text %zu: expected UTF-8", number);
    if (oci_failed(cx)) return NULL;
    oc_encoding *e = oc_encode(cx, r->tokenizer, text, size, NULL, 0, &r->encode);
    size_t n = oc_encoding_count(e);
    if (e && n == 0)
        oci_fail(cx, OC_E_MALFORMED, "text %zu: expected at least one token, found none",
                 number);
    else if (e && r->most && n > (size_t)r->most)
        oci_fail(cx, OC_E_MALFORMED,
                 "text %zu: expected at most %lld tokens (the model's positions), found "
                 "%zu",
                 number, (long long)r->most, n);
    return e;
}

/* Texts order[first] … order[first + count - 1] in one row: [count, E]. */
static oci_tensor *text_features(oc_context *cx, const reading *r, size_t first,
                                 size_t count, int64_t tokens)
{
    const oci_model *core = &r->model->core;
    const oci_dual *dual = dual_of(core);
    int64_t lengths[TEXTS_AT_ONCE], at = 0;
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, tokens));
    oci_tensor *types = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, tokens));
    if (!types || !ids) return NULL;
    for (size_t i = 0; i < count; i++) {
        const oc_encoding *e = r->texts[r->order[first + i]];
        size_t bytes = oc_encoding_count(e) * sizeof(int64_t);
        lengths[i] = (int64_t)oc_encoding_count(e);
        memcpy(oci_i64(ids) + at, oc_encoding_ids(e), bytes);
        if (oc_encoding_token_type_ids(e))
            memcpy(oci_i64(types) + at, oc_encoding_token_type_ids(e), bytes);
        else types = NULL;
        at += lengths[i];
    }
    const oci_segments segments = { .count = (int64_t)count, .lengths = lengths };
    const oci_decode_call call = { .input_ids = ids, .token_type_ids = types,
                                   .segments = &segments };
    return dual ? oci_dual_text_features(cx, dual, call)
                : oci_text_pooled(cx, core->arch, core->root, call);    /* [count, E] */
}

/* All texts of a reading, as many at a time as TOKENS_AT_ONCE hold, one at least. */
static void embed_reading(oc_context *cx, const reading *r, float *rows)
{
    size_t end;
    for (size_t i = 0; i < r->count && !oci_cancelled(cx); i = end) {
        size_t tokens = 0, next = 0;
        for (end = i; end < r->count; end++, tokens += next) {
            next = oc_encoding_count(r->texts[r->order[end]]);
            if (end > i && tokens + next > TOKENS_AT_ONCE) break;
        }
        oci_arena_mark mark = oci_mark(cx);
        keep_rows(cx, text_features(cx, r, i, end - i, (int64_t)tokens), r->normalize,
                  r->order + i, rows);
        oci_arena_reset(&cx->arena, mark);
    }
}

static void begin_reading(oc_context *cx, const oc_model *model,
                          const oc_embed_options *o, reading *r)
{
    const oci_dual *dual = dual_of(&model->core);
    const oci_arch *arch = dual ? dual->text_arch : model->core.arch;
    *r = (reading){ .model = model, .normalize = o->normalize,
                    .tokenizer = oc_model_tokenizer(cx, model),
                    .encode = { .size = sizeof r->encode } };
    r->most = arch->decoder_shape(dual ? dual->text : model->core.root).max_positions;
    if (o->truncate && r->most) {
        r->encode.truncation = OC_TRUNCATE_LONGEST_FIRST;
        r->encode.max_length = r->most;
    }
}

oc_tensors *oc_embed_texts(oc_context *cx, const oc_model *model,
                           const char *const *texts, size_t count,
                           const oc_embed_options *options)
{
    oc_embed_options o = read_options(options);
    float *rows = NULL;
    reading r;
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return NULL;
    if (count == 0 || !texts)
        oci_fail(cx, OC_E_ARGUMENT, "embed: expected texts, found none");
    int64_t E = oci_embed_width(cx, model, false);
    oc_tensors *out = make_rows(cx, "text_embeds", count, E, &rows);
    if (out) begin_reading(cx, model, &o, &r);
    for (size_t i = 0; out && i < count && !oci_cancelled(cx); i += TEXTS_AT_ONCE) {
        size_t some = at_most(count - i, TEXTS_AT_ONCE);
        for (r.count = 0; r.count < some; r.count++)
            r.texts[r.count] = tokenize(cx, &r, texts[i + r.count], i + r.count);
        sort_texts(&r);
        embed_reading(cx, &r, rows + i * (size_t)E);
        for (size_t k = 0; k < some; k++) oc_encoding_free(r.texts[k]);
    }
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}
