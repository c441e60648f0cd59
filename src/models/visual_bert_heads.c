/* VisualBERT's classes: the base model and its five heads (Transformers: VisualBertModel,
 * VisualBertForPreTraining, …ForMultipleChoice, …ForQuestionAnswering,
 * …ForVisualReasoning, …ForRegionToPhraseAlignment). x is last_hidden_state [B, S, D],
 * S = T + V.
 *
 *   PreTraining       x → dense, act, LayerNorm
 *                       → · word embeddings + bias [B,S,vocabulary];
 *                     pooled → [B,2]
 *   MultipleChoice    pooled [B C,D] → [B C,1] → [B,C]
 *   QuestionAnswering x of the text's last token but one [B,D] → [B,K]
 *   VisualReasoning   pooled [B,D] → [B,K]
 *   RegionToPhrase    query of x at the phrases · key of x at the regions [B,P,V]
 */
#include "models/visual_bert.h"

#include <math.h>

/* ---- names ---- */

/* cls of PreTraining and RegionToPhraseAlignment. The bias has two names; the
 * weight has, too, where it is the word embeddings: RegionToPhraseAlignment has
 * it for itself, and unused. */
static void predictions_walk(oci_walk w, oci_visual_bert *m)
{
    const oci_bert_config *c = &m->cfg;
    int64_t D = c->hidden_size, V = c->vocab_size;
    oci_walk p = oci_walk_enter(w, "predictions"), d = oci_walk_enter(p, "decoder");
    bool tied = m->head == OCI_VISUAL_PRETRAINING && c->tie_word_embeddings;
    oci_walk_bias(oci_walk_optional(p), &m->decoder.bias, V);
    oci_walk_linear(oci_walk_enter(p, "transform.dense"), &m->transform, D, D, true);
    oci_walk_norm(oci_walk_enter(p, "transform.LayerNorm"), &m->head_norm, D,
                  c->layer_norm_eps);
    oci_text_head_walk(d, &m->decoder, &m->word_embeddings, tied, V, D);
    oci_walk_tied(d, "bias", &m->decoder.bias, &m->decoder.bias, OCI_PARAM_VALUE,
                  OCI_SHAPE(V));
    oci_walk_linear(oci_walk_enter(w, "seq_relationship"), &m->seq_relationship, 2, D,
                    true);
}

void oci_visual_heads_walk(oci_walk w, oci_visual_bert *m)
{
    int64_t D = m->cfg.hidden_size, own = D / m->cfg.num_attention_heads;
    oci_walk cls = oci_walk_enter(w, "cls"), a = oci_walk_enter(w, "attention");
    switch (m->head) {
    case OCI_VISUAL_BASE: break;
    case OCI_VISUAL_PRETRAINING: predictions_walk(cls, m); break;
    case OCI_VISUAL_MULTIPLE_CHOICE: oci_walk_linear(cls, &m->cls, 1, D, true); break;
    case OCI_VISUAL_QUESTION_ANSWERING:
    case OCI_VISUAL_REASONING:
        oci_walk_linear(cls, &m->cls, m->visual.num_labels, D, true);
        break;
    case OCI_VISUAL_REGION_TO_PHRASE:
        predictions_walk(cls, m);
        oci_walk_linear(oci_walk_enter(a, "query"), &m->query, own, D, true);
        oci_walk_linear(oci_walk_enter(a, "key"), &m->key, own, D, true);
        oci_walk_linear(oci_walk_enter(a, "value"), &m->value, own, D, true);
        break;
    }
}

/* ---- arguments ---- */

/* A head's weights are there only if the model was opened for its class. */
static bool opened_as(oc_context *cx, const oci_visual_bert *m, oci_visual_head head)
{
    if (m->head != head && !oci_failed(cx))
        oci_fail(cx, OC_E_ARGUMENT, "class %s: the model was opened as %s",
                 oci_visual_bert_classes[head].name,
                 oci_visual_bert_classes[m->head].name);
    return !oci_failed(cx);
}

/* True if x is exactly of this shape; else an error that says so. */
static bool is_shape(oc_context *cx, const char *name, const oci_tensor *x, int rank,
                     const int64_t *shape)
{
    char wanted[128], found[128];
    oci_tensor like = { .rank = rank };
    for (int i = 0; i < rank; i++) like.shape[i] = shape[i];
    if (!x || oci_failed(cx)) return false;
    if (oci_same_shape(x, &like)) return true;
    oci_fail(cx, OC_E_MALFORMED, "input %s: expected %s, found %s", name,
             oci_shape_text(&like, wanted), oci_shape_text(x, found));
    return false;
}

/* x's positions [B, P] of each row: [B, P, D]. */
static oci_tensor *gather(oc_context *cx, oci_tensor *x, const oci_tensor *positions)
{
    if (!x || !positions || oci_failed(cx)) return NULL;
    int64_t B = x->shape[0], S = x->shape[1], P = positions->shape[1];
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, P));
    for (int64_t i = 0; ids && i < B * P; i++)
        oci_i64(ids)[i] = i / P * S + oci_i64(positions)[i];
    return oci_op_embedding(cx, oci_op_reshape(cx, x, OCI_SHAPE(B * S, x->shape[2])), ids,
                            -1);
}

/* ---- VisualBertModel ---- */

/* `ids`: rank of input_ids; a choice has one dimension more before the text's. */
#define INPUTS(ids) \
    { "input_ids", OCI_INPUT_IDS, ids }, \
    { "attention_mask", OCI_INPUT_MASK, 0 }, \
    { "token_type_ids", OCI_INPUT_IDS, 0 }, \
    { "position_ids", OCI_INPUT_IDS, 0 }, \
    { "head_mask", OCI_INPUT_FLOAT, 0 }, \
    { "inputs_embeds", OCI_INPUT_FLOAT, (ids) + 1 }, \
    { "visual_embeds", OCI_INPUT_FLOAT, 0 }, \
    { "visual_attention_mask", OCI_INPUT_MASK, 0 }, \
    { "visual_token_type_ids", OCI_INPUT_IDS, 0 }, \
    { "image_text_alignment", OCI_INPUT_IDS, 3 }

static const oci_input_spec base_inputs[] = { INPUTS(2), OCI_INPUTS_END };

static oci_tensor *base_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_visual_call call = oci_visual_call_of(cx, in, base_inputs);
    oci_tensor *x = oci_visual_bert_hidden(cx, model, &call);
    oci_output(cx, "last_hidden_state", x);                             /* [B, S, D] */
    oci_output(cx, "pooler_output", oci_visual_bert_pool(cx, model, x));
    return NULL;        /* base models have no loss */
}

/* ---- VisualBertForPreTraining ---- */

static const oci_input_spec pretraining_inputs[] = {
    INPUTS(2), { "labels", OCI_INPUT_IDS, 2 },
    { "sentence_image_labels", OCI_INPUT_IDS, 0 }, OCI_INPUTS_END
};

/* Labels of words, and of pairs if there are words' too: 4.37.2 has no loss of the latter
 * alone. Both masks must be given, for it reads their lengths. */
static oci_tensor *pretraining_loss(oc_context *cx, const oc_tensors *in,
                                    oci_tensor *words, oci_tensor *pairs)
{
    oci_tensor *labels = oci_input(cx, in, pretraining_inputs, "labels");
    oci_tensor *of_pairs = oci_input(cx, in, pretraining_inputs, "sentence_image_labels");
    if (!labels || !words || !pairs) return NULL;
    oci_input_required(cx, in, pretraining_inputs, "attention_mask");
    oci_input_required(cx, in, pretraining_inputs, "visual_embeds");
    oci_input_required(cx, in, pretraining_inputs, "visual_attention_mask");
    if (!is_shape(cx, "labels", labels, 2, words->shape)) return NULL;
    oci_tensor *loss = oci_op_cross_entropy(cx, words, labels);
    if (!of_pairs || !loss) return loss;
    oci_tensor *flat = oci_tensor_view(cx, of_pairs,
                                       OCI_SHAPE(oci_tensor_count(of_pairs)), 0);
    if (!is_shape(cx, "sentence_image_labels", flat, 1, pairs->shape)) return NULL;
    return oci_op_add(cx, loss, oci_op_cross_entropy(cx, pairs, flat));
}

static oci_tensor *pretraining_forward(oc_context *cx, const void *model,
                                       const oc_tensors *in)
{
    const oci_visual_bert *m = model;
    if (!opened_as(cx, m, OCI_VISUAL_PRETRAINING)) return NULL;
    oci_visual_call call = oci_visual_call_of(cx, in, pretraining_inputs);
    oci_tensor *x = oci_visual_bert_hidden(cx, m, &call);               /* [B, S, D] */
    oci_tensor *pairs = oci_linear(cx, &m->seq_relationship,
                                   oci_visual_bert_pool(cx, m, x));     /* [B, 2] */
    x = oci_layer_norm(cx, &m->head_norm,
                       oci_linear(cx, &m->transform, x, .act = m->cfg.hidden_act));
    oci_tensor *words = oci_linear(cx, &m->decoder, x);                /* [B, S, words] */
    oci_output(cx, "prediction_logits", words);
    oci_output(cx, "seq_relationship_logits", pairs);
    oci_tensor *loss = pretraining_loss(cx, in, words, pairs);
    oci_output(cx, "loss", loss);
    return loss;
}

/* ---- VisualBertForMultipleChoice ---- */

static const oci_input_spec choice_inputs[] = {
    INPUTS(3), { "labels", OCI_INPUT_IDS, 1 }, OCI_INPUTS_END
};

/* view(-1, …) with the last `keep` dimensions as they are; NULL stays NULL. */
static void flatten(oc_context *cx, const char *name, oci_tensor **x, int keep)
{
    if (!*x || oci_failed(cx)) return;
    if ((*x)->rank < keep) {
        oci_fail(cx, OC_E_MALFORMED, "input %s: expected [batch, choices, ..], found %d "
                 "dimensions", name, (*x)->rank);
        return;
    }
    const int64_t *last = (*x)->shape + (*x)->rank - keep;
    int64_t n = oci_tensor_count(*x);
    if (keep == 1)
        *x = oci_tensor_view(cx, *x, OCI_SHAPE(n / last[0], last[0]), 0);
    else
        *x = oci_tensor_view(cx, *x, OCI_SHAPE(n / last[0] / last[1], last[0], last[1]),
                             0);
}

/* Every argument but head_mask and image_text_alignment, which 4.37.2 leaves alone: the
 * latter comes as [B C, V, A]. */
static void flatten_choices(oc_context *cx, oci_visual_call *call)
{
    flatten(cx, "input_ids", &call->text.input_ids, 1);
    flatten(cx, "attention_mask", &call->text.attention_mask, 1);
    flatten(cx, "token_type_ids", &call->text.token_type_ids, 1);
    flatten(cx, "position_ids", &call->text.position_ids, 1);
    flatten(cx, "inputs_embeds", &call->text.inputs_embeds, 2);
    flatten(cx, "visual_embeds", &call->visual_embeds, 2);
    flatten(cx, "visual_attention_mask", &call->visual_attention_mask, 1);
    flatten(cx, "visual_token_type_ids", &call->visual_token_type_ids, 1);
}

static oci_tensor *choice_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_visual_bert *m = model;
    if (!opened_as(cx, m, OCI_VISUAL_MULTIPLE_CHOICE)) return NULL;
    oci_visual_call call = oci_visual_call_of(cx, in, choice_inputs);
    const oci_tensor *first = call.text.input_ids ? call.text.input_ids
                                                  : call.text.inputs_embeds;
    int64_t B = first ? first->shape[0] : 0, C = first ? first->shape[1] : 0;
    flatten_choices(cx, &call);
    oci_tensor *x = oci_visual_bert_hidden(cx, m, &call);               /* [B C, S, D] */
    x = oci_linear(cx, &m->cls, oci_visual_bert_pool(cx, m, x));        /* [B C, 1] */
    oci_tensor *logits = oci_op_reshape(cx, x, OCI_SHAPE(B, C)), *loss = NULL;
    oci_tensor *labels = oci_input(cx, in, choice_inputs, "labels");
    oci_output(cx, "logits", logits);
    if (labels && is_shape(cx, "labels", labels, OCI_SHAPE(B)))
        loss = oci_op_cross_entropy(cx, logits, labels);
    oci_output(cx, "loss", loss);
    return loss;
}

/* ---- VisualBertForQuestionAnswering ---- */

static const oci_input_spec answer_inputs[] = {
    INPUTS(2), { "labels", OCI_INPUT_FLOAT, 0 }, OCI_INPUTS_END
};

/* [B, 1]: the last token but one by the number of the text's that are seen, as
 * the authors have it: what stands before the closing [SEP] where pads are on the
 * right. A float mask cannot count in 4.37.2, and a row with fewer than two
 * tokens has no such place. */
static oci_tensor *answer_positions(oc_context *cx, const oc_tensors *in, int64_t S)
{
    oc_tensor_view view;
    const oci_tensor *mask = oci_input_required(cx, in, answer_inputs, "attention_mask");
    if (!mask || !oc_tensors_find(in, "attention_mask", &view)) return NULL;
    if (view.dtype == OC_F32 || view.dtype == OC_F64 || view.dtype == OC_F16 ||
        view.dtype == OC_BF16 || mask->rank != 2) {
        oci_fail(cx, OC_E_MALFORMED,
                 "input attention_mask: expected integers [batch, tokens], found %s of "
                 "%d dimensions",
                 oci_dtype_name(view.dtype), mask->rank);
        return NULL;
    }
    int64_t B = mask->shape[0], T = mask->shape[1];
    oci_tensor *at = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, 1));
    for (int64_t b = 0; at && b < B; b++) {
        double seen = 0;
        for (int64_t t = 0; t < T; t++) seen += (double)oci_f32(mask)[b * T + t];
        if (seen < 2 || seen >= (double)S + 2) {
            oci_fail(cx, OC_E_MALFORMED,
                     "input attention_mask: row %lld: expected a sum of 2 to %lld, found "
                     "%.0f",
                     (long long)b, (long long)S + 1, seen);
            return NULL;
        }
        oci_i64(at)[b] = (int64_t)seen - 2;
    }
    return at;
}

static oci_tensor *answer_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_visual_bert *m = model;
    if (!opened_as(cx, m, OCI_VISUAL_QUESTION_ANSWERING)) return NULL;
    oci_visual_call call = oci_visual_call_of(cx, in, answer_inputs);
    oci_tensor *x = oci_visual_bert_hidden(cx, m, &call);               /* [B, S, D] */
    if (!x) return NULL;
    int64_t B = x->shape[0], K = m->visual.num_labels;
    x = gather(cx, x, answer_positions(cx, in, x->shape[1]));           /* [B, 1, D] */
    oci_tensor *logits = oci_op_reshape(cx, oci_linear(cx, &m->cls, x), OCI_SHAPE(B, K));
    oci_tensor *labels = oci_input(cx, in, answer_inputs, "labels"), *loss = NULL;
    if (labels && B == 1 && oci_tensor_count(labels) == K)  /* the reference broadcasts */
        labels = oci_tensor_view(cx, labels, OCI_SHAPE(1, K), 0);
    if (labels && is_shape(cx, "labels", labels, OCI_SHAPE(B, K))) {
        logits = oci_op_log_softmax(cx, logits);        /* which 4.37.2 then hands out */
        loss = oci_op_kl_div(cx, logits, labels);
    }
    oci_output(cx, "logits", logits);
    oci_output(cx, "loss", loss);
    return loss;
}

/* ---- VisualBertForVisualReasoning ---- */

static const oci_input_spec reasoning_inputs[] = {
    INPUTS(2), { "labels", OCI_INPUT_IDS, 0 }, OCI_INPUTS_END
};

static oci_tensor *reasoning_forward(oc_context *cx, const void *model,
                                     const oc_tensors *in)
{
    const oci_visual_bert *m = model;
    if (!opened_as(cx, m, OCI_VISUAL_REASONING)) return NULL;
    oci_visual_call call = oci_visual_call_of(cx, in, reasoning_inputs);
    oci_tensor *x = oci_visual_bert_hidden(cx, m, &call);
    oci_tensor *logits = oci_linear(cx, &m->cls, oci_visual_bert_pool(cx, m, x)),
               *loss = NULL;
    oci_tensor *labels = oci_input(cx, in, reasoning_inputs, "labels");
    oci_output(cx, "logits", logits);                                   /* [B, K] */
    if (!labels || !logits) return NULL;
    labels = oci_tensor_view(cx, labels, OCI_SHAPE(oci_tensor_count(labels)), 0);
    if (is_shape(cx, "labels", labels, 1, logits->shape))
        loss = oci_op_cross_entropy(cx, logits, labels);
    oci_output(cx, "loss", loss);
    return loss;
}

/* ---- VisualBertForRegionToPhraseAlignment ---- */

static const oci_input_spec phrase_inputs[] = {
    INPUTS(2), { "region_to_phrase_position", OCI_INPUT_IDS, 2 },
    { "labels", OCI_INPUT_FLOAT, 0 }, OCI_INPUTS_END
};

/* [B, P], with -1 (no phrase) read as position 0, whose scores are
 * handed out like any other. */
static oci_tensor *phrase_positions(oc_context *cx, const oc_tensors *in, int64_t B,
                                    int64_t S)
{
    oci_tensor *at = oci_input_required(cx, in, phrase_inputs,
                                        "region_to_phrase_position");
    if (!at || !is_shape(cx, "region_to_phrase_position", at, OCI_SHAPE(B, at->shape[1])))
        return NULL;
    oci_inputs_within(cx, "region_to_phrase_position", at, -1, S - 1);
    for (int64_t i = 0; i < oci_tensor_count(at); i++)
        if (oci_i64(at)[i] == -1) oci_i64(at)[i] = 0;
    return at;
}

/* One head of the width of one of the encoder's. */
static oci_tensor *phrase_scores(oc_context *cx, const oci_visual_bert *m,
                                 oci_tensor *phrases, oci_tensor *regions,
                                 const oci_tensor *seen)
{
    oci_tensor *mask = oci_extended_mask(cx, seen, 0);                  /* [B, 1, 1, V] */
    if (mask)
        mask = oci_tensor_view(cx, mask, OCI_SHAPE(seen->shape[0], seen->shape[1]), 0);
    float width = (float)(m->cfg.hidden_size / m->cfg.num_attention_heads);
    return oci_op_scores(cx, oci_linear(cx, &m->query, phrases),
                         oci_linear(cx, &m->key, regions), mask, 1 / sqrtf(width));
}

static oci_tensor *phrase_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_visual_bert *m = model;
    if (!opened_as(cx, m, OCI_VISUAL_REGION_TO_PHRASE)) return NULL;
    oci_visual_call call = oci_visual_call_of(cx, in, phrase_inputs);
    const oci_tensor *mask = oci_input_required(cx, in, phrase_inputs, "attention_mask");
    oci_input_required(cx, in, phrase_inputs, "visual_embeds");
    const oci_tensor *seen = oci_input_required(cx, in, phrase_inputs,
                                                "visual_attention_mask");
    oci_tensor *x = oci_visual_bert_hidden(cx, m, &call), *loss = NULL; /* [B, S, D] */
    if (!x) return NULL;
    int64_t B = x->shape[0], S = x->shape[1], V = call.visual_embeds->shape[1];
    if (!is_shape(cx, "attention_mask", mask, OCI_SHAPE(B, S - V))) return NULL;
    oci_tensor *phrases = gather(cx, x, phrase_positions(cx, in, B, S));
    oci_tensor *regions = oci_op_slice(cx, x, S - V, V);                /* [B, V, D] */
    oci_tensor *logits = phrase_scores(cx, m, phrases, regions, seen);  /* [B, P, V] */
    oci_tensor *labels = oci_input(cx, in, phrase_inputs, "labels");
    oci_output(cx, "logits", logits);
    if (labels && logits && is_shape(cx, "labels", labels, 3, logits->shape))
        loss = oci_op_kl_div(cx, oci_op_log_softmax(cx, logits), labels);
    oci_output(cx, "loss", loss);
    return loss;
}

const oci_class oci_visual_bert_classes[] = {
    [OCI_VISUAL_BASE] = { "VisualBertModel", base_inputs, base_forward },
    [OCI_VISUAL_PRETRAINING] = { "VisualBertForPreTraining", pretraining_inputs,
                                 pretraining_forward },
    [OCI_VISUAL_MULTIPLE_CHOICE] = { "VisualBertForMultipleChoice", choice_inputs,
                                     choice_forward },
    [OCI_VISUAL_QUESTION_ANSWERING] = { "VisualBertForQuestionAnswering", answer_inputs,
                                        answer_forward },
    [OCI_VISUAL_REASONING] = { "VisualBertForVisualReasoning", reasoning_inputs,
                               reasoning_forward },
    [OCI_VISUAL_REGION_TO_PHRASE] = { "VisualBertForRegionToPhraseAlignment",
                                      phrase_inputs, phrase_forward },
    { 0 }
};
