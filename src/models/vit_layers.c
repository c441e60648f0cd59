#include "models/vit_layers.h"

#include <math.h>

#include "models/prune.h"

static const oci_field fields[] = {
    OCI_INT(oci_vit_config, hidden_size, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_vit_config, num_hidden_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_INT(oci_vit_config, num_attention_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_vit_config, intermediate_size, 3072, 1, OCI_MAX_WIDTH),
    OCI_PAIR(oci_vit_config, image_size, 224, 1, 1 << 16),
    OCI_PAIR(oci_vit_config, patch_size, 16, 1, 1 << 16),
    OCI_INT(oci_vit_config, num_channels, 3, 1, 1024),
    OCI_ACT(oci_vit_config, hidden_act, OCI_ACT_GELU),
    OCI_REAL(oci_vit_config, layer_norm_eps, 1e-12, 0, 1),
    OCI_REAL(oci_vit_config, initializer_range, 0.02, 0, 1e3),
    OCI_BOOL(oci_vit_config, qkv_bias, true),
    OCI_FIELDS_END
};

bool oci_vit_layers_open(oc_context *cx, const oci_config_source *from, oci_vit_layers *m)
{
    oci_vit_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c)) return false;
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads,
                       "hidden_size", c->hidden_size);
    for (int i = 0; i < 2; i++)
        if (c->patch_size[i] > c->image_size[i])
            oci_config_fail(cx, from, "patch_size", "expected at most image_size %lld, "
                            "found %lld", (long long)c->image_size[i],
                            (long long)c->patch_size[i]);
    m->key_bias = c->qkv_bias;
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
    if (m->layers)
        oci_heads_read(cx, from, c->num_attention_heads, c->num_hidden_layers,
                       &m->layers->attention, sizeof *m->layers);
    return !oci_failed(cx);
}

void oci_vit_layers_close(oci_vit_layers *m) { oci_free(m->layers); }

const oci_attention_layer *oci_vit_attention(const void *model, int64_t layer)
{
    const oci_vit_layers *m = model;
    return layer < m->cfg.num_hidden_layers ? &m->layers[layer].attention : NULL;
}

void oci_vit_grid(const oci_vit_config *c, int64_t *h, int64_t *w)
{
    *h = c->image_size[0] / c->patch_size[0];
    *w = c->image_size[1] / c->patch_size[1];
}

/* ---- parameters ---- */

void oci_walk_vit_patches(oci_walk embeddings, oci_vit_layers *m)
{
    const oci_vit_config *c = &m->cfg;
    oci_walk_conv(oci_walk_enter(embeddings, "patch_embeddings.projection"), &m->patches,
                  c->hidden_size, c->num_channels, c->patch_size[0], c->patch_size[1]);
}

static void layer_walk(oci_walk w, oci_vit_layers *m, oci_vit_layer *l)
{
    const oci_vit_config *c = &m->cfg;
    int64_t D = c->hidden_size, F = c->intermediate_size, H = c->num_attention_heads;
    if (!l->attention.heads) l->attention.heads = H;  /* unless pruned_heads left fewer */
    /* Fewer heads make q, k and v narrower and `out` too on its input side; D stays. */
    int64_t A = l->attention.heads * (D / H);
    if (m->layer_scale) {
        oci_walk scale = oci_walk_init(w, OCI_INIT_FILL, m->layer_scale_value);
        oci_walk_param(scale, "lambda_1", &l->lambda_1, OCI_PARAM_VALUE, OCI_SHAPE(D));
        oci_walk_param(scale, "lambda_2", &l->lambda_2, OCI_PARAM_VALUE, OCI_SHAPE(D));
    }
    oci_walk a = oci_walk_enter(w, "attention.attention");
    oci_walk_linear(oci_walk_enter(a, "query"), &l->attention.q, A, D, c->qkv_bias);
    oci_walk_linear(oci_walk_enter(a, "key"), &l->attention.k, A, D, m->key_bias);
    oci_walk_linear(oci_walk_enter(a, "value"), &l->attention.v, A, D, c->qkv_bias);
    if (m->distances)
        oci_walk_param(oci_walk_zeros(oci_walk_enter(a, "relative_position_bias")),
                       "relative_position_bias_table", &l->bias_table, OCI_PARAM_VALUE,
                       OCI_SHAPE(m->distances, H));
    oci_walk_linear(oci_walk_enter(w, "attention.output.dense"), &l->attention.out, D, A,
                    true);
    oci_walk_linear(oci_walk_enter(w, "intermediate.dense"), &l->intermediate, F, D,
                    true);
    oci_walk_linear(oci_walk_enter(w, "output.dense"), &l->output, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "layernorm_before"), &l->layernorm_before, D,
                  c->layer_norm_eps);
    oci_walk_norm(oci_walk_enter(w, "layernorm_after"), &l->layernorm_after, D,
                  c->layer_norm_eps);
    l->attention.scale = 1.0f / sqrtf((float)(D / H));
}

void oci_walk_vit_layers(oci_walk w, oci_vit_layers *m)
{
    for (int64_t i = 0; i < m->cfg.num_hidden_layers; i++)
        layer_walk(oci_walk_enter(w, "encoder.layer.%lld", (long long)i), m,
                   &m->layers[i]);
}

/* Files of ViTForImageClassification have no pooler: it may be missing. */
void oci_walk_vit_end(oci_walk w, oci_vit_layers *m)
{
    int64_t D = m->cfg.hidden_size;
    oci_walk_norm(oci_walk_enter(w, "layernorm"), &m->layernorm, D,
                  m->cfg.layer_norm_eps);
    oci_walk_linear(oci_walk_optional(oci_walk_enter(w, "pooler.dense")), &m->pooler, D,
                    D, true);
}

/* ---- forward ---- */

/* True if the picture has the config's size, or may have another. */
static bool size_fits(oc_context *cx, const oci_vit_config *c, const oci_tensor *x,
                      bool any_size)
{
    char text[128];
    if (!x || oci_failed(cx)) return false;
    if (x->rank != 4 || x->shape[1] != c->num_channels)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected [B, %lld, H, W], found %s",
                 (long long)c->num_channels, oci_shape_text(x, text));
    else if (!any_size &&
             (x->shape[2] != c->image_size[0] || x->shape[3] != c->image_size[1]))
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected %lld x %lld (image_size), "
                 "found %lld x %lld", (long long)c->image_size[0],
                 (long long)c->image_size[1], (long long)x->shape[2],
                 (long long)x->shape[3]);
    else if (x->shape[2] < c->patch_size[0] || x->shape[3] < c->patch_size[1])
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected at least %lld x %lld "
                 "(patch_size), found %lld x %lld", (long long)c->patch_size[0],
                 (long long)c->patch_size[1], (long long)x->shape[2],
                 (long long)x->shape[3]);
    return !oci_failed(cx);
}

oci_tensor *oci_vit_patches(oc_context *cx, const oci_vit_layers *m,
                            const oci_encode_call *call, bool any_size)
{
    if (!size_fits(cx, &m->cfg, call->pixel_values, any_size)) return NULL;
    oci_tensor *x = oci_op_patches(cx, call->pixel_values, m->cfg.patch_size[0],
                                   m->cfg.patch_size[1]);              /* [B, N, C*p*p] */
    return oci_linear(cx, &m->patches, x);                             /* [B, N, D] */
}

oci_tensor *oci_vit_masked(oc_context *cx, oci_tensor *x, oci_tensor *mask_token,
                           const oci_encode_call *call)
{
    if (!call->bool_masked_pos) return x;
    if (!mask_token)
        oci_fail(cx, OC_E_MALFORMED, "bool_masked_pos: this model has no mask_token");
    return oci_op_replace(cx, x, mask_token, call->bool_masked_pos);
}

/* λ y + x, or y where there is no λ: x is in it already. */
static oci_tensor *scale_onto(oc_context *cx, oci_tensor *y, oci_tensor *lambda,
                              oci_tensor *x)
{
    return lambda ? oci_op_add(cx, oci_op_multiply(cx, y, lambda), x) : y;
}

static oci_tensor *block(oc_context *cx, const oci_vit_layers *m, const oci_vit_layer *l,
                         oci_tensor *x, oci_tensor *bias, oci_tensor *head_mask,
                         oci_tensor **weights)                          /* [B, T, D] */
{
    oci_tensor *h = oci_layer_norm(cx, &l->layernorm_before, x);
    h = oci_attention(cx, &l->attention, h, .residual = l->lambda_1 ? NULL : x,
                      .mask = bias, .head_mask = head_mask, .weights = weights);
    x = scale_onto(cx, h, l->lambda_1, x);
    h = oci_layer_norm(cx, &l->layernorm_after, x);
    h = oci_linear(cx, &l->intermediate, h, .act = m->cfg.hidden_act);  /* [B, T, F] */
    h = oci_linear(cx, &l->output, h, .residual = l->lambda_2 ? NULL : x);
    return scale_onto(cx, h, l->lambda_2, x);
}

/* The layer's own biases and those that all share: [1, H, T, T], or NULL. */
static oci_tensor *bias_of(oc_context *cx, const oci_vit_layers *m,
                           const oci_vit_layer *l, oci_tensor *shared)
{
    int64_t h, w;
    if (!l->bias_table) return shared;
    oci_vit_grid(&m->cfg, &h, &w);
    oci_tensor *own = oci_op_relative_bias(cx, l->bias_table, h, w, 0, true);
    return shared ? oci_op_add(cx, own, shared) : own;
}

/* hidden_states.i is what layer i reads; the last one has not seen the final norm, which
 * is ViTModel's, not ViTEncoder's. */
oci_tensor *oci_vit_blocks(oc_context *cx, const oci_vit_layers *m, oci_arena_mark mark,
                           oci_tensor *x, oci_tensor *shared_bias, oci_tensor *head_mask)
{
    const oci_vit_config *c = &m->cfg;
    for (int64_t i = 0; i < c->num_hidden_layers && !oci_cancelled(cx); i++) {
        const oci_vit_layer *l = &m->layers[i];
        oci_tensor *weights = NULL;                                     /* [B, H, T, T] */
        if (oci_wants_hidden_states(cx)) oci_output_at(cx, "hidden_states", i, x);
        x = block(cx, m, l, x, bias_of(cx, m, l, shared_bias),
                  oci_head_mask_of(cx, head_mask, i, c->num_hidden_layers,
                                   l->attention.heads),
                  oci_wants_attentions(cx) ? &weights : NULL);
        oci_output_at(cx, "attentions", i, weights);
        x = oci_settle(cx, mark, x);
    }
    if (oci_wants_hidden_states(cx))
        oci_output_at(cx, "hidden_states", c->num_hidden_layers, x);
    return x;
}

oci_tensor *oci_vit_end(oc_context *cx, const oci_vit_layers *m, oci_arena_mark mark,
                        oci_tensor *x, const oci_encode_call *call)
{
    x = oci_settle(cx, mark, oci_layer_norm(cx, &m->layernorm, x));
    oci_output(cx, "last_hidden_state", x);
    if (call->pooler && m->pooler.weight && x) {
        oci_tensor *first = oci_op_slice(cx, x, 0, 1);                  /* [B, 1, D] */
        oci_tensor *pooled = oci_linear(cx, &m->pooler, first, .act = OCI_ACT_TANH);
        pooled = oci_op_reshape(cx, pooled, OCI_SHAPE(x->shape[0], m->cfg.hidden_size));
        oci_encode_pooled(cx, call, pooled);                            /* [B, D] */
    }
    return x;
}
