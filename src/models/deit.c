/* DeiT — Touvron et al. 2020, "Training data-efficient image transformers & distillation
 * through attention", arXiv:2012.12877. Transformers: DeiTModel.
 *
 *   pixel_values [B,C,H,W] → patches [B,N,D] → [cls, distillation] + positions [B,T,D],
 *     T = N + 2 → L pre-norm blocks → layernorm (last_hidden_state) → pooler [B,D]
 */
#include "models/vit_layers.h"

typedef struct deit {
    oci_vit_layers body;
    oci_tensor *cls_token, *distillation_token;     /* [1, 1, D] */
    oci_tensor *mask_token;             /* [1, 1, D]; only of models for masked images */
    oci_tensor *position_embeddings;    /* [1, T, D] */
} deit;

static void deit_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_vit_layers_open(cx, from, &((deit *)model)->body);
}

static void deit_close(void *model) { oci_vit_layers_close(&((deit *)model)->body); }

static void deit_walk(oci_walk w, void *model)
{
    deit *m = model;
    int64_t D = m->body.cfg.hidden_size, h, v;
    oci_vit_grid(&m->body.cfg, &h, &v);
    w = oci_walk_init(w, OCI_INIT_TRUNCATED, m->body.cfg.initializer_range);
    oci_walk e = oci_walk_enter(w, "embeddings"), zeros = oci_walk_zeros(e);
    oci_walk mask = oci_walk_init(oci_walk_optional(e), OCI_INIT_ABSENT, 0);
    oci_walk_param(zeros, "cls_token", &m->cls_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    oci_walk_param(zeros, "distillation_token", &m->distillation_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    oci_walk_param(mask, "mask_token", &m->mask_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    oci_walk_param(zeros, "position_embeddings", &m->position_embeddings, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, h * v + 2, D));
    oci_walk_vit_patches(e, &m->body);
    oci_walk_vit_layers(w, &m->body);
    oci_walk_vit_end(w, &m->body);
}

static oci_tensor *embed(oc_context *cx, const deit *m, const oci_encode_call *call)
{
    oci_tensor *x = oci_vit_patches(cx, &m->body, call, false);        /* [B, N, D] */
    x = oci_vit_masked(cx, x, m->mask_token, call);
    x = oci_op_concat(cx, m->distillation_token, x);                   /* [B, N + 1, D] */
    x = oci_op_concat(cx, m->cls_token, x);                            /* [B, T, D] */
    return oci_op_add(cx, x, m->position_embeddings);
}

static oci_tensor *deit_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const deit *m = model;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_settle(cx, mark, embed(cx, m, &call));          /* [B, T, D] */
    x = oci_vit_blocks(cx, &m->body, mark, x, NULL, call.head_mask);
    return oci_vit_end(cx, &m->body, mark, x, &call);
}

static int64_t deit_width(const void *model)
{
    return ((const deit *)model)->body.cfg.hidden_size;
}

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "bool_masked_pos", OCI_INPUT_MASK, 2 }, OCI_INPUTS_END
};

static oci_tensor *deit_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, inputs);
    call.pooler = true;
    deit_encode(cx, model, call);
    return NULL;        /* DeiTModel has no loss */
}

static const oci_class classes[] = { { "DeiTModel", inputs, deit_forward }, { 0 } };

const oci_arch oci_deit = {
    .model_type = "deit", .base_prefix = "deit.", .size = sizeof(deit),
    .classes = classes, .open = deit_open, .close = deit_close, .walk = deit_walk,
    .attention = oci_vit_attention,
    .encode = deit_encode, .encoder_width = deit_width };
