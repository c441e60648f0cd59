/* Swin — Liu et al. 2021, "Swin Transformer: Hierarchical vision transformer using
 * shifted windows", arXiv:2103.14030. Transformers: SwinModel.
 *
 *   pixel_values [B,3,H,W], padded to whole patches → norm(patches) [B,N,C], a map h x w
 *     → stages: blocks, then 2 x 2 tokens become one of width 2C (all but the last stage)
 *     → layernorm [B,N',C'] (last_hidden_state) → mean [B,C'] (pooler_output)
 *   block: x += attention(norm(x)) within windows of w x w, which every second block
 *     moves by w/2;  x += output(act(intermediate(norm(x))))
 *
 * Pictures of any size: maps are padded with zeros, after the norm, to whole windows, and
 * the padding takes part in the attention as keys and values. */
#include "models/swin.h"

#include <math.h>

#include "base/size.h"

static const oci_field fields[] = {
    OCI_INT(oci_swin_config, embed_dim, 96, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_swin_config, window_size, 7, 1, 1024),
    OCI_INT(oci_swin_config, num_channels, 3, 1, 1024),
    OCI_PAIR(oci_swin_config, image_size, 224, 1, 1 << 16),
    OCI_PAIR(oci_swin_config, patch_size, 4, 1, 1 << 16),
    OCI_REAL(oci_swin_config, mlp_ratio, 4, 0, 1024),
    OCI_REAL(oci_swin_config, layer_norm_eps, 1e-5, 0, 1),
    OCI_REAL(oci_swin_config, initializer_range, 0.02, 0, 1e3),
    OCI_ACT(oci_swin_config, hidden_act, OCI_ACT_GELU),
    OCI_BOOL(oci_swin_config, qkv_bias, true),
    OCI_BOOL(oci_swin_config, use_absolute_embeddings, false),
    OCI_FIELDS_END
};

void oci_swin_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_swin *m = model;
    oci_swin_config *c = &m->cfg;
    *c = (oci_swin_config){ .depths = { 2, 2, 6, 2 }, .num_heads = { 3, 6, 12, 24 } };
    if (!oci_config_read(cx, from, fields, c)) return;
    c->stages = oci_config_list(cx, from, "depths", 1, OCI_MAX_LAYERS, c->depths, 4,
                                OCI_SWIN_STAGES);
    int64_t heads = oci_config_list(cx, from, "num_heads", 1, OCI_MAX_WIDTH, c->num_heads,
                                    4, OCI_SWIN_STAGES);
    if (heads != c->stages)
        oci_config_fail(cx, from, "num_heads", "expected one for each of %lld depths, "
                        "found %lld", (long long)c->stages, (long long)heads);
    if (oci_failed(cx)) return;
    int64_t last = c->embed_dim << (c->stages - 1);
    if (last > OCI_MAX_WIDTH || c->mlp_ratio * (double)last > OCI_MAX_WIDTH ||
        c->mlp_ratio * (double)c->embed_dim < 1)
        oci_config_fail(cx, from, "embed_dim", "expected widths from 1 to %d, found %lld "
                        "in the last stage", OCI_MAX_WIDTH, (long long)last);
    m->final_norm = true;
    for (int64_t i = 0; i < c->stages && !oci_failed(cx); i++) {
        oci_swin_stage *s = &m->stages[i];
        *s = (oci_swin_stage){ .width = c->embed_dim << i, .depth = c->depths[i],
                               .heads = c->num_heads[i] };
        oci_config_divides(cx, from, "num_heads", s->heads, "a stage's width", s->width);
        s->blocks = oci_calloc(cx, (size_t)s->depth, sizeof *s->blocks);
    }
}

void oci_swin_close(void *model)
{
    oci_swin *m = model;
    for (int i = 0; i < OCI_SWIN_STAGES; i++) oci_free(m->stages[i].blocks);
}

/* ---- parameters ---- */

static void block_walk(oci_walk w, const oci_swin_config *c, const oci_swin_stage *s,
                       oci_swin_block *b)
{
    int64_t C = s->width, F = (int64_t)(c->mlp_ratio * (double)C);
    int64_t side = 2 * c->window_size - 1;
    oci_walk_norm(oci_walk_enter(w, "layernorm_before"), &b->layernorm_before, C,
                  c->layer_norm_eps);
    oci_walk a = oci_walk_enter(w, "attention.self");
    oci_walk_param(oci_walk_zeros(a), "relative_position_bias_table", &b->bias_table,
                   OCI_PARAM_VALUE, OCI_SHAPE(side * side, s->heads));
    oci_walk_linear(oci_walk_enter(a, "query"), &b->attention.q, C, C, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(a, "key"), &b->attention.k, C, C, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(a, "value"), &b->attention.v, C, C, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(w, "attention.output.dense"), &b->attention.out, C, C,
                    true);
    oci_walk_norm(oci_walk_enter(w, "layernorm_after"), &b->layernorm_after, C,
                  c->layer_norm_eps);
    oci_walk_linear(oci_walk_enter(w, "intermediate.dense"), &b->intermediate, F, C,
                    true);
    oci_walk_linear(oci_walk_enter(w, "output.dense"), &b->output, C, F, true);
    b->attention.heads = s->heads;
    b->attention.scale = 1.0f / sqrtf((float)(C / s->heads));
}

void oci_swin_walk(oci_walk w, void *model)
{
    oci_swin *m = model;
    const oci_swin_config *c = &m->cfg;
    int64_t C = c->embed_dim, N = (c->image_size[0] / c->patch_size[0]) *
                                  (c->image_size[1] / c->patch_size[1]);
    w = oci_walk_init(w, OCI_INIT_NORMAL, c->initializer_range);
    oci_walk e = oci_walk_enter(w, "embeddings");
    oci_walk mask = oci_walk_init(oci_walk_optional(e), OCI_INIT_ABSENT, 0);
    oci_walk_param(mask, "mask_token", &m->mask_token, OCI_PARAM_VALUE,
                   OCI_SHAPE(1, 1, C));
    if (c->use_absolute_embeddings)
        oci_walk_param(oci_walk_zeros(e), "position_embeddings", &m->position_embeddings,
                       OCI_PARAM_VALUE, OCI_SHAPE(1, N + 1, C));
    oci_walk_conv(oci_walk_enter(e, "patch_embeddings.projection"), &m->patches, C,
                  c->num_channels, c->patch_size[0], c->patch_size[1]);
    oci_walk_norm(oci_walk_enter(e, "norm"), &m->embeddings_norm, C, 1e-5);
    for (int64_t i = 0; i < c->stages; i++) {
        oci_swin_stage *s = &m->stages[i];
        oci_walk at = oci_walk_enter(w, "encoder.layers.%lld", (long long)i);
        for (int64_t b = 0; b < s->depth; b++)
            block_walk(oci_walk_enter(at, "blocks.%lld", (long long)b), c, s,
                       &s->blocks[b]);
        if (i + 1 == c->stages) break;
        oci_walk_param(oci_walk_enter(at, "downsample.reduction"), "weight",
                       &s->reduction.weight, OCI_PARAM_PRODUCT,
                       OCI_SHAPE(2 * s->width, 4 * s->width));
        oci_walk_norm(oci_walk_enter(at, "downsample.norm"), &s->merge_norm, 4 * s->width,
                      1e-5);
    }
    if (m->final_norm)
        oci_walk_norm(oci_walk_enter(w, "layernorm"), &m->layernorm, oci_swin_width(m),
                      c->layer_norm_eps);
}

/* ---- forward ---- */

typedef struct map { int64_t H, W; } map;

static oci_tensor *embed(oc_context *cx, const oci_swin *m, const oci_encode_call *call,
                         map *at)                                       /* [B, N, C] */
{
    const oci_swin_config *c = &m->cfg;
    oci_tensor *x = call->pixel_values;
    char text[128];
    if (!x || oci_failed(cx)) return NULL;
    if (x->rank != 4 || x->shape[1] != c->num_channels)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected [B, %lld, H, W], found %s",
                 (long long)c->num_channels, oci_shape_text(x, text));
    const int64_t *patch = c->patch_size;
    at->H = oci_ceil_div(x->shape[2], patch[0]);
    at->W = oci_ceil_div(x->shape[3], patch[1]);
    if (x->shape[2] % patch[0] || x->shape[3] % patch[1])
        x = oci_op_pad(cx, x, at->H * patch[0], at->W * patch[1]);
    x = oci_op_patches(cx, x, patch[0], patch[1]);                     /* [B, N, 3*p*p] */
    x = oci_layer_norm(cx, &m->embeddings_norm, oci_linear(cx, &m->patches, x));
    if (call->bool_masked_pos && !m->mask_token)
        oci_fail(cx, OC_E_MALFORMED, "bool_masked_pos: this model has no mask_token");
    if (call->bool_masked_pos)
        x = oci_op_replace(cx, x, m->mask_token, call->bool_masked_pos);
    /* N + 1 positions for N patches: Transformers' slip, so they only fit a picture that
     * has a patch more. */
    if (!m->position_embeddings) return x;
    if (x && x->shape[1] != m->position_embeddings->shape[1])
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected %lld patches "
                 "(use_absolute_embeddings), found %lld",
                 (long long)m->position_embeddings->shape[1], (long long)x->shape[1]);
    return oci_op_add(cx, x, m->position_embeddings);
}

/* SwinStage hands a stage's mask to its blocks by index, of which it has but one. */
static oci_tensor *head_mask_of(oc_context *cx, const oci_swin *m, int64_t stage,
                                oci_tensor *head_mask)
{
    const oci_swin_stage *s = &m->stages[stage];
    if (head_mask && s->depth > 1)
        oci_fail(cx, OC_E_MALFORMED, "head_mask: expected stages of one block, as "
                 "Transformers does; stage %lld has %lld", (long long)stage,
                 (long long)s->depth);
    return oci_head_mask_of(cx, head_mask, stage, m->cfg.stages, s->heads);
}

/* In a map no larger than a window nothing moves, and Transformers shrinks the window to
 * it: then the biases fit only if it is as large. */
static int64_t shift_of(oc_context *cx, const oci_swin *m, int64_t block, map at)
{
    int64_t side = m->cfg.window_size, least = oci_min(at.H, at.W);
    if (least < side)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected maps of at least %lld x "
                 "%lld (window_size) in each stage, found %lld x %lld", (long long)side,
                 (long long)side, (long long)at.H, (long long)at.W);
    return block % 2 && least > side ? side / 2 : 0;
}

static oci_tensor *attend(oc_context *cx, const oci_swin *m, const oci_swin_block *b,
                          oci_tensor *x, map at, int64_t shift, oci_tensor *head_mask,
                          oci_tensor **weights)                         /* [B, N, C] */
{
    int64_t side = m->cfg.window_size;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *h = oci_layer_norm(cx, &b->layernorm_before, x), *rows = NULL;
    h = oci_settle(cx, mark, oci_op_windows(cx, h, at.H, at.W, side, shift));
    oci_tensor *mask = oci_op_relative_bias(cx, b->bias_table, side, side, shift, false);
    if (shift && h) rows = oci_window_patterns(cx, x->shape[0], at.H, at.W, side);
    h = oci_attention(cx, &b->attention, h, .mask = mask, .mask_rows = rows,
                      .head_mask = head_mask, .weights = weights);     /* [B*n, w*w, C] */
    return oci_op_unwindows(cx, h, x, at.H, at.W, side, shift);
}

static oci_tensor *mlp(oc_context *cx, const oci_swin *m, const oci_swin_block *b,
                       oci_tensor *x)
{
    oci_tensor *h = oci_layer_norm(cx, &b->layernorm_after, x);
    h = oci_linear(cx, &b->intermediate, h, .act = m->cfg.hidden_act);  /* [B, N, F] */
    return oci_linear(cx, &b->output, h, .residual = x);
}

/* All blocks, and the merging of tokens. Attentions are those of the last block. */
static oci_tensor *stage(oc_context *cx, const oci_swin *m, int64_t i,
                         oci_arena_mark mark, oci_tensor *x, map *at,
                         oci_tensor *head_mask)
{
    const oci_swin_stage *s = &m->stages[i];
    for (int64_t k = 0; k < s->depth && !oci_cancelled(cx); k++) {
        const oci_swin_block *b = &s->blocks[k];
        oci_tensor *weights = NULL;                                 /* [B*n, H, ww, ww] */
        bool wanted = oci_wants_attentions(cx) && k + 1 == s->depth;
        x = attend(cx, m, b, x, *at, shift_of(cx, m, k, *at), head_mask,
                   wanted ? &weights : NULL);
        oci_output_at(cx, "attentions", i, weights);
        x = oci_settle(cx, mark, x);
        x = oci_settle(cx, mark, mlp(cx, m, b, x));
    }
    if (i + 1 == m->cfg.stages) return x;
    x = oci_op_merge(cx, x, at->H, at->W);                              /* [B, N/4, 4C] */
    *at = (map){ oci_ceil_div(at->H, 2), oci_ceil_div(at->W, 2) };
    x = oci_layer_norm(cx, &s->merge_norm, x);
    return oci_settle(cx, mark, oci_linear(cx, &s->reduction, x));      /* [B, N/4, 2C] */
}

/* hidden_states.i [B, N, C]; of SwinModel itself also reshaped_hidden_states.i,
 * [B, C, H, W]. */
static void hand_out(oc_context *cx, int64_t i, const oci_tensor *x, map at,
                     bool reshaped)
{
    if (!oci_wants_hidden_states(cx) || !x) return;
    oci_output_at(cx, "hidden_states", i, x);
    if (!reshaped) return;
    int64_t N = x->shape[1], C = x->shape[2];
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(x->shape[0], C, at.H, at.W));
    for (int64_t k = 0; y && k < oci_tensor_count(x); k++)
        oci_f32(y)[(k / (N * C) * C + k % C) * N + k / C % N] = oci_f32(x)[k];
    oci_output_at(cx, "reshaped_hidden_states", i, y);
    oci_arena_reset(&cx->arena, mark);
}

oci_tensor *oci_swin_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const oci_swin *m = model;
    map at = { 0 };
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_settle(cx, mark, embed(cx, m, &call, &at));     /* [B, N, C] */
    hand_out(cx, 0, x, at, call.pooler);
    for (int64_t i = 0; i < m->cfg.stages && !oci_cancelled(cx); i++) {
        x = stage(cx, m, i, mark, x, &at, head_mask_of(cx, m, i, call.head_mask));
        hand_out(cx, i + 1, x, at, call.pooler);
    }
    if (m->final_norm) x = oci_settle(cx, mark, oci_layer_norm(cx, &m->layernorm, x));
    oci_output(cx, "last_hidden_state", x);
    if (call.pooler) oci_encode_pooled(cx, &call, oci_op_mean(cx, x));
    return x;
}

int64_t oci_swin_width(const void *model)
{
    const oci_swin_config *c = &((const oci_swin *)model)->cfg;
    return c->embed_dim << (c->stages - 1);
}

const oci_input_spec oci_swin_inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "head_mask", OCI_INPUT_FLOAT, 0 },
    { "bool_masked_pos", OCI_INPUT_MASK, 2 }, OCI_INPUTS_END
};

oci_tensor *oci_swin_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, oci_swin_inputs);
    call.pooler = true;
    oci_swin_encode(cx, model, call);
    return NULL;        /* SwinModel has no loss */
}

static const oci_class classes[] = {
    { "SwinModel", oci_swin_inputs, oci_swin_forward }, { 0 }
};

const oci_arch oci_swin_arch = {
    .model_type = "swin", .base_prefix = "swin.", .size = sizeof(oci_swin),
    .classes = classes, .open = oci_swin_open, .close = oci_swin_close,
    .walk = oci_swin_walk, .encode = oci_swin_encode, .encoder_width = oci_swin_width };
