/* oc_answer_regions, oc_answer_image: a question to a VisualBertForQuestionAnswering.
 *
 *   question → tokenizer → ids [1, T] ┐
 *   regions  → visual_embeds [1, V, D] ┴→ forward → logits [1, K] → softmax → id2label
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "embed/embed.h"
#include "models/visual_bert.h"

struct oc_answers {
    oc_answer *items;           /* [count]; their texts are owned */
    size_t count;
};

/* ---- what the regions must be ------------------------------------------------------ */

/* Those of one picture: [1, V, …] or [V, …] with `rank`
 * dimensions after the pictures'. */
static bool is_one_picture(const oc_tensor_view *v, int rank)
{
    return v->rank == rank || (v->rank == rank + 1 && v->shape[0] == 1);
}

/* [1, V, D] or [V, D] of floats. */
static bool embeds_fit(oc_context *cx, const oc_model *model, const oc_tensor_view *v,
                       int64_t D)
{
    if ((v->dtype != OC_F32 && v->dtype != OC_F16 && v->dtype != OC_BF16 &&
         v->dtype != OC_F64) ||
        (v->rank != 2 && v->rank != 3))
        oci_fail(cx, OC_E_MALFORMED,
                 "regions: visual_embeds: expected floats [1, V, %lld], found %s of rank "
                 "%d",
                 (long long)D, oci_dtype_name(v->dtype), v->rank);
    else if (!is_one_picture(v, 2))
        oci_fail(cx, OC_E_MALFORMED,
                 "regions: visual_embeds: expected the regions of one picture, found "
                 "those of %lld",
                 (long long)v->shape[0]);
    else if (v->shape[v->rank - 2] == 0)
        oci_fail(cx, OC_E_MALFORMED,
                 "regions: visual_embeds: expected at least one region, found none");
    else if (v->shape[v->rank - 1] != D)
        oci_fail(cx, OC_E_MALFORMED,
                 "regions: visual_embeds: expected %lld numbers a region, the "
                 "visual_embedding_dim of %s, found %lld",
                 (long long)D, model->folder, (long long)v->shape[v->rank - 1]);
    return !oci_failed(cx);
}

/* Adds visual_embeds as F32 [1, V, D], every number looked at; *V is set. */
static void add_embeds(oc_context *cx, const oc_model *model, const oc_tensors *regions,
                       oc_tensors *in, int64_t *V)
{
    const oci_visual_bert *m = model->core.root;
    const int64_t D = m->visual.visual_embedding_dim;
    oc_tensor_view given, made;
    if (!oc_tensors_find(regions, "visual_embeds", &given)) {
        oci_fail(cx, OC_E_MALFORMED, "regions: visual_embeds: expected, found none");
        return;
    }
    if (!embeds_fit(cx, model, &given, D)) return;
    *V = given.shape[given.rank - 2];
    oc_tensors_add(cx, in, "visual_embeds", OC_F32, 3, (const int64_t[]){ 1, *V, D },
                   NULL);
    if (oci_failed(cx) || !oc_tensors_find(in, "visual_embeds", &made)) return;
    float *x = (float *)(uintptr_t)made.data;       /* our own set */
    oci_dtype_to_f32(given.dtype, given.data, x, (size_t)(*V * D));
    for (int64_t i = 0; i < *V * D; i++) {
        if (isfinite(x[i])) continue;
        oci_fail(cx, OC_E_MALFORMED,
                 "regions: visual_embeds: expected finite numbers, found %f in region "
                 "%lld at %lld",
                 (double)x[i], (long long)(i / D), (long long)(i % D));
        return;
    }
}

/* A mask or type for each region; absent, what Transformers' examples give: ones. */
static void add_each(oc_context *cx, const oc_tensors *regions, oc_tensors *in,
                     const char *name, int64_t V)
{
    const int64_t shape[] = { 1, V };
    oc_tensor_view v;
    if (oci_failed(cx)) return;
    if (oc_tensors_find(regions, name, &v)) {
        if (is_one_picture(&v, 1) && v.shape[v.rank - 1] == V)
            oc_tensors_add(cx, in, name, v.dtype, 2, shape, v.data);
        else
            oci_fail(cx, OC_E_MALFORMED,
                     "regions: %s: expected [1, %lld], one for each region of "
                     "visual_embeds, found rank %d with %lld",
                     name, (long long)V, v.rank,
                     v.rank ? (long long)v.shape[v.rank - 1] : 1LL);
        return;
    }
    oc_tensors_add(cx, in, name, OC_I64, 2, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(in, name, &v)) return;
    for (int64_t i = 0; i < V; i++) ((int64_t *)(uintptr_t)v.data)[i] = 1;
}

static void add_question(oc_context *cx, const oc_model *model, const char *question,
                         oc_tensors *in)
{
    oc_encoding *e = oc_encode(cx, oc_model_tokenizer(cx, model), question,
                               strlen(question), NULL, 0, NULL);
    const int64_t shape[] = { 1, (int64_t)oc_encoding_count(e) };
    const int64_t most =
        ((const oci_visual_bert *)model->core.root)->cfg.max_position_embeddings;
    if (shape[1] > most)
        oci_fail(cx, OC_E_MALFORMED,
                 "question: expected at most %lld tokens (the model's positions), found "
                 "%lld",
                 (long long)most, (long long)shape[1]);
    if (e && !oci_failed(cx)) {
        oc_tensors_add(cx, in, "input_ids", OC_I64, 2, shape, oc_encoding_ids(e));
        oc_tensors_add(cx, in, "attention_mask", OC_I64, 2, shape,
                       oc_encoding_attention_mask(e));
        if (oc_encoding_token_type_ids(e))
            oc_tensors_add(cx, in, "token_type_ids", OC_I64, 2, shape,
                           oc_encoding_token_type_ids(e));
    }
    oc_encoding_free(e);
}

/* ---- what comes out ---------------------------------------------------------------- */

/* In place; in double precision, so that what is printed adds up. */
static bool softmax(oc_context *cx, const oc_tensor_view *logits, oc_answer *all,
                    size_t K)
{
    const float *x = logits->data;
    double most = x[0], sum = 0;
    for (size_t i = 0; i < K; i++) {
        if (!isfinite(x[i])) {
            oci_fail(cx, OC_E_FAILED,
                     "logits: expected finite numbers, found %f for label %zu",
                     (double)x[i], i);
            return false;
        }
        if (x[i] > most) most = x[i];
    }
    for (size_t i = 0; i < K; i++) sum += exp(x[i] - most);
    for (size_t i = 0; i < K; i++)
        all[i] = (oc_answer){ .label = (int64_t)i,
                              .probability = exp(x[i] - most) / sum };
    return true;
}

/* Of equal ones the first, as torch.argmax. */
static int by_probability(const void *a, const void *b)
{
    const oc_answer *x = a, *y = b;
    if (x->probability != y->probability) return x->probability > y->probability ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* The label's name in a new string. */
static char *name_of(oc_context *cx, const oc_model *model, int64_t label)
{
    char key[32];
    snprintf(key, sizeof key, "%lld", (long long)label);
    const json_t *names = json_object_get(model->core.config.root, "id2label");
    const char *name = json_string_value(json_object_get(names, key));
    if (name) return oci_strdup(cx, name);
    snprintf(key, sizeof key, "LABEL_%lld", (long long)label);
    return oci_strdup(cx, key);
}

static oc_answers *make_answers(oc_context *cx, const oc_model *model,
                                const oc_tensors *out, size_t top)
{
    oc_tensor_view logits;
    if (!oc_tensors_find(out, "logits", &logits)) return NULL;
    const size_t K = logits.bytes / sizeof(float);
    oc_answer *all = oci_calloc(cx, K, sizeof *all);
    oc_answers *answers = oci_calloc(cx, 1, sizeof *answers);
    if (answers && softmax(cx, &logits, all, K)) {
        qsort(all, K, sizeof *all, by_probability);
        if (top > K) top = K;
        answers->items = all;
        for (; answers->count < top && !oci_failed(cx); answers->count++) {
            oc_answer *a = &all[answers->count];
            a->text = name_of(cx, model, a->label);
        }
    } else {
        oci_free(all);
    }
    if (!oci_failed(cx)) return answers;
    oc_answers_free(answers);
    return NULL;
}

/* ---- the calls --------------------------------------------------------------------- */

static bool may_be_asked(oc_context *cx, const oc_model *model, const char *question)
{
    static const char wanted[] = "VisualBertForQuestionAnswering";
    if (!oci_model_has_weights(cx, model)) return false;
    const oci_class *class = oci_model_class(cx, &model->core, NULL);
    if (!question)
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected a question, found NULL", model->folder);
    else if (class && strcmp(class->name, wanted) != 0)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: class: expected %s to answer questions about regions, found %s",
                 model->folder, wanted, class->name);
    return !oci_failed(cx);
}

oc_answers *oc_answer_regions(oc_context *cx, const oc_model *model, const char *question,
                              const oc_tensors *regions, const oc_answer_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, regions, __func__, "regions") ||
        !may_be_asked(cx, model, question))
        return NULL;
    oc_answer_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    int64_t V = 0;
    oc_tensors *in = oc_tensors_create(cx), *out = NULL;
    oc_answers *answers = NULL;
    if (in) add_embeds(cx, model, regions, in, &V);
    add_each(cx, regions, in, "visual_attention_mask", V);
    add_each(cx, regions, in, "visual_token_type_ids", V);
    if (!oci_failed(cx)) add_question(cx, model, question, in);
    if (!oci_failed(cx)) out = oc_forward(cx, model, in, NULL);
    if (out) answers = make_answers(cx, model, out, o.top ? o.top : 1);
    oc_tensors_free(in);
    oc_tensors_free(out);
    return answers;
}

oc_answers *oc_answer_image(oc_context *cx, const oc_model *model, const char *question,
                            const oc_image *image, const oc_answer_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") || !may_be_asked(cx, model, question))
        return NULL;
    oc_tensors *regions = oc_embed_regions(cx, model, image, NULL);
    oc_answers *answers = oc_answer_regions(cx, model, question, regions, options);
    oc_tensors_free(regions);
    return answers;
}

size_t oc_answers_count(const oc_answers *answers)
{
    return answers ? answers->count : 0;
}

const oc_answer *oc_answers_get(const oc_answers *answers, size_t index)
{
    return answers && index < answers->count ? &answers->items[index] : NULL;
}

void oc_answers_free(oc_answers *answers)
{
    if (!answers) return;
        /* the string that we made */
    for (size_t i = 0; i < answers->count; i++)
        oci_free((char *)(uintptr_t)answers->items[i].text);
    oci_free(answers->items);
    oci_free(answers);
}
