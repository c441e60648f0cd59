/* ViT — Dosovitskiy et al. 2020, "An image is worth 16x16 words", arXiv:2010.11929.
 * Transformers: ViTModel.
 *
 *   pixel_values [B,C,H,W] → patches [B,N,D] → [cls] + positions [B,T,D], T = N + 1
 *     → L pre-norm blocks → layernorm [B,T,D] (last_hidden_state) → pooler [B,D]
 */
#include <math.h>

#include "models/vit_layers.h"

typedef struct vit {
    oci_vit_layers body;
    oci_tensor *cls_token;              /* [1, 1, D] */
    oci_tensor *mask_token;             /* [1, 1, D]; only of models for masked images */
    oci_tensor *position_embeddings;    /* [1, T, D] */
} vit;

static void vit_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_vit_layers_open(cx, from, &((vit *)model)->body);
}

static void vit_close(void *model) { oci_vit_layers_close(&((vit *)model)->body); }

static void vit_walk(oci_walk w, void *model)
{
    vit *m = model;
    int64_t D = m->body.cfg.hidden_size, h, v;
    oci_vit_grid(&m->body.cfg, &h, &v);
    w = oci_walk_init(w, OCI_INIT_TRUNCATED, m->body.cfg.initializer_range);
    oci_walk e = oci_walk_enter(w, "embeddings");
    oci_walk mask = oci_walk_init(oci_walk_optional(e), OCI_INIT_ABSENT, 0);
    oci_walk_param(e, "cls_token", &m->cls_token, OCI_PARAM_VALUE, OCI_SHAPE(1, 1, D));
    oci_walk_param(mask, "mask_token", &m->mask_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, D));
    oci_walk_param(e, "position_embeddings", &m->position_embeddings, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, h * v + 1, D));
    oci_walk_vit_patches(e, &m->body);
    oci_walk_vit_layers(w, &m->body);
    oci_walk_vit_end(w, &m->body);
}

/* Positions for a grid of H x W patches: as stored, or (ViTEmbeddings'
 * interpolate_pos_encoding) resized as a square grid by bicubic interpolation. */
static oci_tensor *positions(oc_context *cx, const vit *m, int64_t H, int64_t W,
                             bool same)
{
    int64_t N = m->position_embeddings->shape[1] - 1;
    if (same) return m->position_embeddings;                            /* [1, T, D] */
    int64_t side = (int64_t)(sqrt((double)N) + 0.5);
    if (side * side != N) {
        oci_fail(cx, OC_E_MALFORMED,
                 "interpolate_pos_encoding: expected positions of a square grid, found "
                 "%lld",
                 (long long)N);
        return NULL;
    }
    /* The 0.1 is Transformers' guard against rounding down; it shifts every sample. */
    double fh = ((double)H + 0.1) / (double)side, fw = ((double)W + 0.1) / (double)side;
    if (cx->framework == OC_TENSORFLOW) fh = fw = 0;    /* its class asks for a size */
    oci_tensor *cls = oci_op_slice(cx, m->position_embeddings, 0, 1);   /* [1, 1, D] */
    oci_tensor *grid = oci_op_slice(cx, m->position_embeddings, 1, N);  /* [1, N, D] */
    grid = oci_op_interpolate(cx, grid, side, side, H, W, fh, fw);      /* [1, H*W, D] */
    return oci_op_concat(cx, cls, grid);
}

static oci_tensor *embed(oc_context *cx, const vit *m, const oci_encode_call *call)
{
    const oci_vit_config *c = &m->body.cfg;
    oci_tensor *x = oci_vit_patches(cx, &m->body, call, call->interpolate_pos_encoding);
    if (!x) return NULL;
    int64_t height = call->pixel_values->shape[2], width = call->pixel_values->shape[3];
    int64_t H = height / c->patch_size[0], W = width / c->patch_size[1];
    x = oci_vit_masked(cx, x, m->mask_token, call);                     /* [B, N, D] */
    x = oci_op_concat(cx, m->cls_token, x);                             /* [B, T, D] */
    bool same = !call->interpolate_pos_encoding ||
                (H * W == m->position_embeddings->shape[1] - 1 && height == width);
    return oci_op_add(cx, x, positions(cx, m, H, W, same));             /* [B, T, D] */
}

static oci_tensor *vit_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const vit *m = model;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_settle(cx, mark, embed(cx, m, &call));          /* [B, T, D] */
    x = oci_vit_blocks(cx, &m->body, mark, x, NULL, call.head_mask);
    return oci_vit_end(cx, &m->body, mark, x, &call);
}

static int64_t vit_width(const void *model)
{
    return ((const vit *)model)->body.cfg.hidden_size;
}

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "bool_masked_pos", OCI_INPUT_MASK, 2 },
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

static oci_tensor *vit_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, inputs);
    call.pooler = true;
    vit_encode(cx, model, call);
    return NULL;        /* ViTModel has no loss */
}

static const oci_class classes[] = { { "ViTModel", inputs, vit_forward }, { 0 } };

const oci_arch oci_vit = {
    .model_type = "vit", .base_prefix = "vit.", .size = sizeof(vit), .classes = classes,
    .open = vit_open, .close = vit_close, .walk = vit_walk,
    .attention = oci_vit_attention, .encode = vit_encode,
    .encoder_width = vit_width, .interpolates = true };
