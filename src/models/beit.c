/* BEiT — Bao et al. 2021, "BEiT: BERT pre-training of image transformers",
 * arXiv:2106.08254. Transformers: BeitModel.
 *
 *   pixel_values [B,C,H,W] → patches [B,N,D] (+ positions) → [cls] first [B,T,D],
 *     T = N + 1 → L pre-norm blocks with relative position bias and layer scale
 *     → last_hidden_state → pooler [B,D]: norm of the patches' mean
 *
 * With use_mean_pooling (the default) last_hidden_state is not normed: the only norm is
 * the pooler's. Without it all is normed, and the pooler hands out cls. Keys have no
 * bias. */
#include "models/vit_layers.h"

typedef struct beit_config {
    bool use_mask_token, use_absolute_position_embeddings, use_relative_position_bias;
    bool use_shared_relative_position_bias, use_mean_pooling;
    double layer_scale_init_value;
} beit_config;

static const oci_field fields[] = {
    OCI_BOOL(beit_config, use_mask_token, false),
    OCI_BOOL(beit_config, use_absolute_position_embeddings, false),
    OCI_BOOL(beit_config, use_relative_position_bias, false),
    OCI_BOOL(beit_config, use_shared_relative_position_bias, false),
    OCI_BOOL(beit_config, use_mean_pooling, true),
    OCI_REAL(beit_config, layer_scale_init_value, 0.1, -1e9, 1e9),
    OCI_FIELDS_END
};

typedef struct beit {
    oci_vit_layers body;
    beit_config cfg;
    oci_tensor *cls_token, *mask_token;     /* [1, 1, D] */
    oci_tensor *position_embeddings;        /* [1, T, D] or NULL */
    oci_tensor *shared_bias_table;          /* [distances, heads] or NULL */
    oci_norm_layer pooler_norm;
} beit;

/* Rows of a table of relative positions: distances of patches, and three for the cls. */
static int64_t distances(const beit *m)
{
    int64_t h, w;
    oci_vit_grid(&m->body.cfg, &h, &w);
    return (2 * h - 1) * (2 * w - 1) + 3;
}

/* 4.37.2 leaves the biases of pruned heads where they are,
 * and then fails on the shape. */
static void refuse_pruned(oc_context *cx, const oci_config_source *from, const beit *m)
{
    if (!m->cfg.use_relative_position_bias && !m->cfg.use_shared_relative_position_bias)
        return;
    for (int64_t i = 0; i < m->body.cfg.num_hidden_layers; i++)
        if (m->body.layers[i].attention.heads && !oci_failed(cx))
            oci_fail(cx, OC_E_UNSUPPORTED, "%s: %spruned_heads: expected none beside "
                     "relative position biases", from->doc->name, from->path);
}

static void beit_open(oc_context *cx, const oci_config_source *from, void *model)
{
    beit *m = model;
    if (!oci_vit_layers_open(cx, from, &m->body) ||
        !oci_config_read(cx, from, fields, &m->cfg)) return;
    m->body.cfg.qkv_bias = true;        /* no key of BeitConfig … */
    m->body.key_bias = false;           /* … and keys never have one */
    m->body.layer_scale = m->cfg.layer_scale_init_value > 0;
    m->body.layer_scale_value = m->cfg.layer_scale_init_value;
    m->body.distances = m->cfg.use_relative_position_bias ? distances(m) : 0;
    refuse_pruned(cx, from, m);
}

static void beit_close(void *model) { oci_vit_layers_close(&((beit *)model)->body); }

static void beit_walk(oci_walk w, void *model)
{
    beit *m = model;
    const oci_vit_config *c = &m->body.cfg;
    int64_t D = c->hidden_size, h, v;
    oci_vit_grid(c, &h, &v);
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk e = oci_walk_enter(w, "embeddings"), zeros = oci_walk_zeros(e);
    oci_walk_param(zeros, "cls_token", &m->cls_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    if (m->cfg.use_mask_token)
        oci_walk_param(zeros, "mask_token", &m->mask_token, OCI_PARAM_VALUE,
                       OCI_SHAPE(1, 1, D));
    if (m->cfg.use_absolute_position_embeddings)
        oci_walk_param(zeros, "position_embeddings", &m->position_embeddings,
                       OCI_PARAM_VALUE, OCI_SHAPE(1, h * v + 1, D));
    oci_walk_vit_patches(e, &m->body);
    if (m->cfg.use_shared_relative_position_bias)
        oci_walk_param(oci_walk_zeros(
                           oci_walk_enter(w, "encoder.relative_position_bias")),
                       "relative_position_bias_table", &m->shared_bias_table,
                       OCI_PARAM_VALUE, OCI_SHAPE(distances(m), c->num_attention_heads));
    oci_walk_vit_layers(w, &m->body);
    if (m->cfg.use_mean_pooling)
        oci_walk_norm(oci_walk_optional(oci_walk_enter(w, "pooler.layernorm")),
                      &m->pooler_norm, D, c->layer_norm_eps);
    else
        oci_walk_norm(oci_walk_enter(w, "layernorm"), &m->body.layernorm, D,
                      c->layer_norm_eps);
}

/* Positions of the patches, resized to a grid of H x W as torch does given a size. */
static oci_tensor *patch_positions(oc_context *cx, const beit *m, int64_t H, int64_t W)
{
    int64_t h, w;
    oci_vit_grid(&m->body.cfg, &h, &w);
    oci_tensor *x = oci_op_slice(cx, m->position_embeddings, 1, h * w);   /* [1, hw, D] */
    if (H == h && W == w) return x;
    return oci_op_interpolate(cx, x, h, w, H, W, (double)H / (double)h,
                              (double)W / (double)w);                     /* [1, HW, D] */
}

/* A mask token has no position: it takes the place of the sum. */
static oci_tensor *embed(oc_context *cx, const beit *m, const oci_encode_call *call)
{
    oci_tensor *x = oci_vit_patches(cx, &m->body, call, true), *cls = m->cls_token;
    if (!x) return NULL;
    const int64_t *patch = m->body.cfg.patch_size, *size = call->pixel_values->shape + 2;
    if (m->position_embeddings) {
        int64_t H = size[0] / patch[0], W = size[1] / patch[1];
        x = oci_op_add(cx, x, patch_positions(cx, m, H, W));
        cls = oci_op_add(cx, cls, oci_op_slice(cx, m->position_embeddings, 0, 1));
    }
    x = oci_vit_masked(cx, x, m->mask_token, call);                     /* [B, N, D] */
    return oci_op_concat(cx, cls, x);                                   /* [B, T, D] */
}

/* Biases are for one number of patches. */
static void bias_fits(oc_context *cx, const beit *m, const oci_tensor *x)
{
    int64_t h, w;
    oci_vit_grid(&m->body.cfg, &h, &w);
    if (x && (m->body.distances || m->shared_bias_table) && x->shape[1] != h * w + 1)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected %lld patches, for which the "
                 "relative position bias is made, found %lld", (long long)(h * w),
                 (long long)(x->shape[1] - 1));
}

static oci_tensor *beit_pool(oc_context *cx, const beit *m, oci_tensor *x)  /* [B, D] */
{
    if (!m->cfg.use_mean_pooling)
        return oci_op_reshape(cx, oci_op_slice(cx, x, 0, 1),
                              OCI_SHAPE(x->shape[0], x->shape[2]));
    if (!m->pooler_norm.weight) return NULL;
    x = oci_op_mean(cx, oci_op_slice(cx, x, 1, x->shape[1] - 1));
    return oci_layer_norm(cx, &m->pooler_norm, x);
}

static oci_tensor *beit_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const beit *m = model;
    int64_t h, w;
    oci_vit_grid(&m->body.cfg, &h, &w);
    oci_tensor *shared = NULL;                                          /* [1, H, T, T] */
    if (m->shared_bias_table)
        shared = oci_op_relative_bias(cx, m->shared_bias_table, h, w, 0, true);
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_settle(cx, mark, embed(cx, m, &call));          /* [B, T, D] */
    bias_fits(cx, m, x);
    x = oci_vit_blocks(cx, &m->body, mark, x, shared, call.head_mask);
    if (!m->cfg.use_mean_pooling)
        x = oci_settle(cx, mark, oci_layer_norm(cx, &m->body.layernorm, x));
    oci_output(cx, "last_hidden_state", x);
    if (call.pooler && x) oci_encode_pooled(cx, &call, beit_pool(cx, m, x));
    return x;
}

static int64_t beit_width(const void *model)
{
    return ((const beit *)model)->body.cfg.hidden_size;
}

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "bool_masked_pos", OCI_INPUT_MASK, 2 }, OCI_INPUTS_END
};

static oci_tensor *beit_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, inputs);
    call.pooler = true;
    beit_encode(cx, model, call);
    return NULL;        /* BeitModel has no loss */
}

static const oci_class classes[] = { { "BeitModel", inputs, beit_forward }, { 0 } };

const oci_arch oci_beit = {
    .model_type = "beit", .base_prefix = "beit.", .size = sizeof(beit),
    .classes = classes, .open = beit_open, .close = beit_close, .walk = beit_walk,
    .attention = oci_vit_attention,
    .encode = beit_encode, .encoder_width = beit_width };
