/* ViT — Dosovitskiy et al. 2020, "An image is worth 16x16 words", arXiv:2010.11929.
 * Transformers: ViTModel.
 *
 *   pixel_values [B,C,H,W] → patches [B,N,D] → [cls] + positions [B,T,D], T = N + 1
 *     → L pre-norm blocks → layernorm [B,T,D] (last_hidden_state) → pooler [B,D]
 */
#include "models/arch.h"

#include <math.h>

typedef struct vit_config {
    int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    int64_t image_size[2], patch_size[2], num_channels;
    oci_act hidden_act;
    double layer_norm_eps;
    bool qkv_bias;
} vit_config;

static const oci_field fields[] = {
    OCI_INT(vit_config, hidden_size, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(vit_config, num_hidden_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(vit_config, num_attention_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(vit_config, intermediate_size, 3072, 1, OCI_MAX_WIDTH),
    OCI_PAIR(vit_config, image_size, 224, 1, 1 << 16),
    OCI_PAIR(vit_config, patch_size, 16, 1, 1 << 16),
    OCI_INT(vit_config, num_channels, 3, 1, 1024),
    OCI_ACT(vit_config, hidden_act, OCI_ACT_GELU),
    OCI_REAL(vit_config, layer_norm_eps, 1e-12, 0, 1),
    OCI_BOOL(vit_config, qkv_bias, true),
    OCI_FIELDS_END
};

typedef struct vit_layer {
    oci_norm_layer layernorm_before, layernorm_after;
    oci_attention_layer attention;
    oci_linear_layer intermediate, output;
} vit_layer;

typedef struct vit {
    vit_config cfg;
    oci_tensor *cls_token;              /* [1, 1, D] */
    oci_tensor *mask_token;             /* [1, 1, D]; only of models for masked images */
    oci_tensor *position_embeddings;    /* [1, T, D] */
    oci_linear_layer patches;           /* the convolution, [D, C * p * p] */
    vit_layer *layers;                  /* [L] */
    oci_norm_layer layernorm;
    oci_linear_layer pooler;
} vit;

static void vit_open(oc_context *cx, const oci_config_source *from, void *model)
{
    vit *m = model;
    vit_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return;
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads, "hidden_size",
                       c->hidden_size);
    for (int i = 0; i < 2; i++)
        if (c->patch_size[i] > c->image_size[i])
            oci_config_fail(cx, from, "patch_size", "expected at most image_size %lld, found "
                            "%lld", (long long)c->image_size[i], (long long)c->patch_size[i]);
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
}

static void vit_close(void *model)
{
    oci_free(((vit *)model)->layers);
}

static void grid_of(const vit_config *c, int64_t *h, int64_t *w)
{
    *h = c->image_size[0] / c->patch_size[0];
    *w = c->image_size[1] / c->patch_size[1];
}

static void layer_walk(oci_walk w, vit_layer *l, const vit_config *c)
{
    int64_t D = c->hidden_size, F = c->intermediate_size;
    oci_walk a = oci_walk_enter(w, "attention.attention");
    oci_walk_linear(oci_walk_enter(a, "query"), &l->attention.q, D, D, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(a, "key"), &l->attention.k, D, D, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(a, "value"), &l->attention.v, D, D, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(w, "attention.output.dense"), &l->attention.out, D, D, true);
    oci_walk_linear(oci_walk_enter(w, "intermediate.dense"), &l->intermediate, F, D, true);
    oci_walk_linear(oci_walk_enter(w, "output.dense"), &l->output, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "layernorm_before"), &l->layernorm_before, D,
                  c->layer_norm_eps);
    oci_walk_norm(oci_walk_enter(w, "layernorm_after"), &l->layernorm_after, D,
                  c->layer_norm_eps);
    l->attention.heads = c->num_attention_heads;
    l->attention.scale = 1.0f / sqrtf((float)(D / c->num_attention_heads));
}

static void vit_walk(oci_walk w, void *model)
{
    vit *m = model;
    const vit_config *c = &m->cfg;
    int64_t D = c->hidden_size, h, v;
    grid_of(c, &h, &v);
    oci_walk e = oci_walk_enter(w, "embeddings");
    oci_walk_param(e, "cls_token", &m->cls_token, OCI_PARAM_VALUE, OCI_SHAPE(1, 1, D));
    oci_walk_param(oci_walk_optional(e), "mask_token", &m->mask_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    oci_walk_param(e, "position_embeddings", &m->position_embeddings, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, h * v + 1, D));
    oci_walk_conv(oci_walk_enter(e, "patch_embeddings.projection"), &m->patches, D,
                  c->num_channels, c->patch_size[0], c->patch_size[1]);
    for (int64_t i = 0; i < c->num_hidden_layers; i++)
        layer_walk(oci_walk_enter(w, "encoder.layer.%lld", (long long)i), &m->layers[i], c);
    oci_walk_norm(oci_walk_enter(w, "layernorm"), &m->layernorm, D, c->layer_norm_eps);
    oci_walk_linear(oci_walk_optional(oci_walk_enter(w, "pooler.dense")), &m->pooler, D, D,
                    true);
}

/* Positions for a grid of H x W patches: as stored, or (ViTEmbeddings'
 * interpolate_pos_encoding) resized as a square grid by bicubic interpolation. */
static oci_tensor *positions(oc_context *cx, const vit *m, int64_t H, int64_t W, bool same)
{
    int64_t N = m->position_embeddings->shape[1] - 1;
    if (same) return m->position_embeddings;                            /* [1, T, D] */
    int64_t side = (int64_t)(sqrt((double)N) + 0.5);
    if (side * side != N) {
        oci_fail(cx, OC_E_ARGUMENT, "interpolate_pos_encoding: expected positions of a square "
                 "grid, found %lld", (long long)N);
        return NULL;
    }
    /* The 0.1 is Transformers' own guard against rounding down; it shifts every sample. */
    double fh = ((double)H + 0.1) / (double)side, fw = ((double)W + 0.1) / (double)side;
    oci_tensor *cls = oci_op_slice(cx, m->position_embeddings, 0, 1);   /* [1, 1, D] */
    oci_tensor *grid = oci_op_slice(cx, m->position_embeddings, 1, N);  /* [1, N, D] */
    grid = oci_op_interpolate(cx, grid, side, side, H, W, fh, fw);      /* [1, H*W, D] */
    return oci_op_concat(cx, cls, grid);
}

/* True if the picture has the config's size, or may have another. */
static bool size_fits(oc_context *cx, const vit_config *c, const oci_encode_call *call)
{
    const oci_tensor *x = call->pixel_values;
    if (!x || oci_failed(cx)) return false;
    if (x->rank != 4 || x->shape[1] != c->num_channels) {
        char text[128];
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected [B, %lld, H, W], found %s",
                 (long long)c->num_channels, oci_shape_text(x, text));
        return false;
    }
    bool same = x->shape[2] == c->image_size[0] && x->shape[3] == c->image_size[1];
    if (!same && !call->interpolate_pos_encoding)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected %lld x %lld (image_size), found "
                 "%lld x %lld", (long long)c->image_size[0], (long long)c->image_size[1],
                 (long long)x->shape[2], (long long)x->shape[3]);
    return same || call->interpolate_pos_encoding;
}

static oci_tensor *embed(oc_context *cx, const vit *m, const oci_encode_call *call)
{
    const vit_config *c = &m->cfg;
    if (!size_fits(cx, c, call)) return NULL;
    int64_t height = call->pixel_values->shape[2], width = call->pixel_values->shape[3];
    int64_t H = height / c->patch_size[0], W = width / c->patch_size[1];
    oci_tensor *x = oci_op_patches(cx, call->pixel_values, c->patch_size[0],
                                   c->patch_size[1]);                   /* [B, N, C*p*p] */
    x = oci_linear(cx, &m->patches, x);                                 /* [B, N, D] */
    if (call->bool_masked_pos) {
        if (!m->mask_token)
            oci_fail(cx, OC_E_ARGUMENT, "bool_masked_pos: this model has no mask_token");
        x = oci_op_replace(cx, x, m->mask_token, call->bool_masked_pos);
    }
    x = oci_op_concat(cx, m->cls_token, x);                             /* [B, T, D] */
    bool same = !call->interpolate_pos_encoding ||
                (H * W == m->position_embeddings->shape[1] - 1 && height == width);
    return oci_op_add(cx, x, positions(cx, m, H, W, same));             /* [B, T, D] */
}

static oci_tensor *block(oc_context *cx, const vit *m, int64_t i, oci_tensor *x,
                         oci_tensor *head_mask)                         /* [B, T, D] */
{
    const vit_layer *l = &m->layers[i];
    oci_tensor *weights = NULL;                                         /* [B, H, T, T] */
    oci_tensor *h = oci_layer_norm(cx, &l->layernorm_before, x);
    x = oci_attention(cx, &l->attention, h, .residual = x,
                      .head_mask = oci_head_mask_of(cx, head_mask, i, m->cfg.num_hidden_layers,
                                                    m->cfg.num_attention_heads),
                      .weights = oci_wants_attentions(cx) ? &weights : NULL);
    h = oci_layer_norm(cx, &l->layernorm_after, x);
    h = oci_linear(cx, &l->intermediate, h, .act = m->cfg.hidden_act);  /* [B, T, F] */
    oci_output_at(cx, "attentions", i, weights);
    return oci_linear(cx, &l->output, h, .residual = x);
}

static oci_tensor *vit_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const vit *m = model;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_settle(cx, mark, embed(cx, m, &call));          /* [B, T, D] */
    for (int64_t i = 0; i < m->cfg.num_hidden_layers && !oci_cancelled(cx); i++) {
        if (oci_wants_hidden_states(cx)) oci_output_at(cx, "hidden_states", i, x);
        x = oci_settle(cx, mark, block(cx, m, i, x, call.head_mask));
    }
    if (oci_wants_hidden_states(cx))
        oci_output_at(cx, "hidden_states", m->cfg.num_hidden_layers, x);
    x = oci_settle(cx, mark, oci_layer_norm(cx, &m->layernorm, x));
    oci_output(cx, "last_hidden_state", x);
    if (call.pooler && m->pooler.weight && x) {
        oci_tensor *first = oci_op_slice(cx, x, 0, 1);                  /* [B, 1, D] */
        oci_tensor *pooled = oci_linear(cx, &m->pooler, first, .act = OCI_ACT_TANH);
        oci_output(cx, "pooler_output",
                   oci_op_reshape(cx, pooled, OCI_SHAPE(x->shape[0], m->cfg.hidden_size)));
    }
    return x;
}

static int64_t vit_width(const void *model) { return ((const vit *)model)->cfg.hidden_size; }

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "bool_masked_pos", OCI_INPUT_MASK, 2 },
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

static oci_tensor *vit_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    vit_encode(cx, model, (oci_encode_call){
        .pixel_values = oci_input_required(cx, in, inputs, "pixel_values"),
        .head_mask = oci_input(cx, in, inputs, "head_mask"),
        .bool_masked_pos = oci_input(cx, in, inputs, "bool_masked_pos"),
        .interpolate_pos_encoding = oci_input_flag(in, "interpolate_pos_encoding"),
        .pooler = true });
    return NULL;        /* ViTModel has no loss */
}

static const oci_class classes[] = { { "ViTModel", inputs, vit_forward }, { 0 } };

const oci_arch oci_vit = { .model_type = "vit", .base_prefix = "vit.", .size = sizeof(vit),
                           .classes = classes, .open = vit_open, .close = vit_close,
                           .walk = vit_walk, .encode = vit_encode,
                           .encoder_width = vit_width };
