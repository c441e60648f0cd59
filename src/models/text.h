/* What all text models share: the layer of Vaswani et al. 2017 in both orders of its
 * norms, the stack of them with its caches and taps, masks' place, positions, and the
 * classes around (causal language model, base model). A model file is then its config,
 * its names, its embeddings and its head. */
#ifndef OCI_MODELS_TEXT_H
#define OCI_MODELS_TEXT_H

#include "models/arch.h"

typedef struct oci_text_layer {
    oci_attention_layer self, cross;            /* cross: decoders alone */
    oci_norm_layer self_norm, cross_norm, mlp_norm;
    oci_linear_layer fc1, fc2;
} oci_text_layer;

typedef struct oci_text_stack {
    const oci_text_layer *layers;               /* [count] */
    int64_t count, heads;
    oci_act act;
    bool pre_norm; /* x + f(LN(x)) as in GPT-2 and mBART; else LN(x + f(x)) */
    bool bidirectional;         /* every position sees every other; no caches */
    bool cross_past; /* keys and values of the encoder's output are handed out */
    const oci_norm_layer *last_norm;            /* after the last layer, or NULL */
    oci_tensor *mask; /* added to self-attention's scores; NULL: causal says it all */
    oci_tensor *cross_mask;     /* added to cross-attention's, or NULL */
    const bool *keep;           /* [count + 1] hidden states that outlast the pass, … */
    oci_tensor **kept;          /* … which are put here; or NULL both */
} oci_text_stack;

/* x [B, T, D] through all layers; hands out hidden_states, attentions, cross_attentions
 * and past_key_values, and moves the cache on. `mark` is where x may settle: everything
 * above it but the masks is given back. */
oci_tensor *oci_text_stack_run(oc_context *cx, const oci_text_stack *stack,
                               oci_arena_mark mark, oci_tensor *x,
                               const oci_decode_call *call);

/* Positions that came before this call's. */
static inline int64_t oci_text_past(const oci_decode_call *call)
{
    return call->cache ? call->cache->length : 0;
}
/* Embedded ids, or inputs_embeds as they are. [B, T, D] */
oci_tensor *oci_text_embed(oc_context *cx, oci_tensor *table, const oci_decode_call *call,
                           int64_t padding_idx);
/* Rows of a table of learned positions: position_ids, or past, past + 1, …, each moved
 * down by `offset`. More than the table has is OC_E_MALFORMED. [1|B, T, D] */
oci_tensor *oci_text_positions(oc_context *cx, oci_tensor *table,
                               const oci_decode_call *call, int64_t T, int64_t offset);
/* States of one token of each text: number `at[i]` of text i
 * (NULL: the first), [texts, D]. */
oci_tensor *oci_text_tokens(oc_context *cx, const oci_decode_call *call, oci_tensor *x,
                            const int64_t *at);
/* Rows that leave pads out (RoBERTa's create_position_ids_from_input_ids):
 * the n-th id that is no pad has row n + pad, a pad row pad; inputs_embeds
 * count them all. I64 [1|B, T] */
oci_tensor *oci_text_padded_rows(oc_context *cx, const oci_decode_call *call, int64_t T,
                                 int64_t pad);

/* "weight" [V, D] of the token embeddings, and of the head that they may be tied to: a
 * file may then have either. */
void oci_text_tokens_walk(oci_walk w, oci_tensor **table, bool tied, int64_t V,
                          int64_t D);
void oci_text_head_walk(oci_walk w, oci_linear_layer *head, oci_tensor **table, bool tied,
                        int64_t V, int64_t D);
/* BART's family (TrOCR, BART, mBART): k_proj …
 * final_layer_norm. Dc: width of the source. */
void oci_bart_layer_walk(oci_walk w, oci_text_layer *l, int64_t D, int64_t Dc, int64_t F,
                         int64_t heads);

/* Hands out layer `layer`'s keys and values in Transformers' form, when the
 * cache is asked for: kv are self and cross keys and values [B, N, D] of a call
 * without a cache, or NULL. */
void oci_output_layer_past(oc_context *cx, const oci_decode_call *call, int64_t layer,
                           const oci_text_layer *of, bool cross, oci_tensor *const kv[4]);

/* The same of a layer with self-attention alone; kv are its keys and values. */
void oci_output_self_past(oc_context *cx, const oci_decode_call *call, int64_t layer,
                          const oci_attention_layer *of, oci_tensor *const kv[2]);

/* ---- classes ---- */

/* One forward pass of a decoder: checks that the arguments of `call` fit each other,
 * brings in past_key_values.LAYER.INDEX from `in`, if there, through a cache of this
 * call, and runs arch->decode. Shared by the classes below and composites. */
oci_tensor *oci_decode_with_past(oc_context *cx, const oci_arch *arch, const void *model,
                                 const oc_tensors *in, const oci_input_spec *specs,
                                 oci_decode_call call);

typedef enum oci_lm_loss {
    OCI_LM_PLAIN,               /* logits at t against labels at t */
    OCI_LM_SHIFTED              /* logits at t against labels at t + 1 */
} oci_lm_loss;

/* …ForCausalLM, …LMHeadModel: logits, loss. The arguments are those of
 * arch->decoder_inputs. */
oci_tensor *oci_causal_lm_forward(oc_context *cx, const oci_arch *arch, const void *model,
                                  const oc_tensors *in, oci_lm_loss loss);
/* One forward pass of a text encoder: checks that the arguments fit each other, hands out
 * last_hidden_state, which it returns, and, if `pooled` is not NULL, pooler_output, which
 * it receives (NULL: the model has none). */
oci_tensor *oci_encode_text(oc_context *cx, const oci_arch *arch, const void *model,
                            oci_decode_call call, oci_tensor **pooled);
/* LlamaModel: a decoder without its head, with the same arguments; last_hidden_state. */
oci_tensor *oci_decoder_model_forward(oc_context *cx, const oci_arch *arch,
                                      const void *model, const oc_tensors *in);
/* BertModel and the like: last_hidden_state, pooler_output. */
oci_tensor *oci_text_model_forward(oc_context *cx, const oci_arch *arch,
                                   const void *model, const oc_tensors *in,
                                   const oci_input_spec *specs);

#endif
