/* CLIP's towers — Radford et al. 2021, "Learning transferable visual models from natural
 * language supervision", arXiv:2103.00020. Transformers: CLIPVisionModel, CLIPTextModel,
 * and both …WithProjection.
 *
 *   pixel_values [B,C,S,S] → patches [B,N,D] → [class] + positions [B,T,D], T = N + 1
 *     → pre_layrnorm → L pre-norm layers [B,T,D] (last_hidden_state)
 *     → post_layernorm of the class's row [B,D] (pooler_output) → visual_projection [B,E]
 *
 *   input_ids [B,T] → tokens + positions → L causal pre-norm layers
 *     → final_layer_norm [B,T,D]
 *     → the row of the end token [B,D] (pooler_output) → text_projection [B,E]
 */
#include "models/clip.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const oci_field layer_fields[] = {
    OCI_INT(oci_clip_config, num_hidden_layers, 12, 0, OCI_MAX_LAYERS),
    OCI_ACT(oci_clip_config, hidden_act, OCI_ACT_QUICK_GELU),
    OCI_INT(oci_clip_config, projection_dim, 512, 1, OCI_MAX_WIDTH),
    OCI_REAL(oci_clip_config, layer_norm_eps, 1e-5, 0, 1),
    OCI_REAL(oci_clip_config, initializer_range, 0.02, 0, 1e3),
    OCI_REAL(oci_clip_config, initializer_factor, 1, 0, 1e3),
    OCI_FIELDS_END
};

static const oci_field vision_fields[] = {
    OCI_INT(oci_clip_config, hidden_size, 768, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, intermediate_size, 3072, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, num_attention_heads, 12, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, image_size, 224, 1, 1 << 16),
    OCI_INT(oci_clip_config, patch_size, 32, 1, 1 << 16),
    OCI_INT(oci_clip_config, num_channels, 3, 1, 1024),
    OCI_FIELDS_END
};

static const oci_field text_fields[] = {
    OCI_INT(oci_clip_config, hidden_size, 512, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, intermediate_size, 2048, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, num_attention_heads, 8, 1, OCI_MAX_WIDTH),
    OCI_INT(oci_clip_config, vocab_size, 49408, 1, 1 << 24),
    OCI_INT(oci_clip_config, max_position_embeddings, 77, 1, 1 << 20),
    OCI_INT(oci_clip_config, eos_token_id, 49407, -1, 1 << 24),
    OCI_FIELDS_END
};

static void tower_open(oc_context *cx, const oci_config_source *from, oci_clip_tower *m,
                       const oci_field *fields, const char *base_class)
{
    oci_clip_config *c = &m->cfg;
    if (!oci_config_read(cx, from, fields, c) ||
        !oci_config_read(cx, from, layer_fields, c))
        return;
    oci_config_divides(cx, from, "num_attention_heads", c->num_attention_heads,
                       "hidden_size", c->hidden_size);
    m->alone = from->role == OCI_ROLE_ALONE;
    m->projects = m->alone && oci_config_has_head(from, base_class);
    m->layers = oci_calloc(cx, (size_t)c->num_hidden_layers, sizeof *m->layers);
}

static void vision_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_clip_tower *m = model;
    tower_open(cx, from, m, vision_fields, "CLIPVisionModel");
    if (!oci_failed(cx) && m->cfg.patch_size > m->cfg.image_size)
        oci_config_fail(cx, from, "patch_size",
                        "expected at most image_size %lld, found %lld",
                        (long long)m->cfg.image_size, (long long)m->cfg.patch_size);
}

static void text_open(oc_context *cx, const oci_config_source *from, void *model)
{
    tower_open(cx, from, model, text_fields, "CLIPTextModel");
    if (json_is_null(json_object_get(from->object, "eos_token_id")))
        oci_config_fail(cx, from, "eos_token_id",
                        "expected the end token, whose state is pooled, found null");
}

static void tower_close(void *model) { oci_free(((oci_clip_tower *)model)->layers); }

oci_config_source oci_clip_part(oc_context *cx, const oci_config_source *from,
                                const char *part, char path[OCI_MAX_NAME])
{
    static const char *const endings[] = { "_dict", "" };
    oci_config_source sub = { .doc = from->doc, .path = path, .role = OCI_ROLE_ENCODER };
    /* Neither is there: sub.object stays NULL, and every field has its default. */
    for (int i = 0; i < 2 && !sub.object; i++) {
        snprintf(path, OCI_MAX_NAME - 1, "%s%s%s", from->path, part, endings[i]);
        sub.object = oci_json_object(cx, from->doc, from->object, path);
    }
    memcpy(path + strlen(path), ".", 2);
    return sub;
}

/* ---- names ---- */

static int64_t patches_of(const oci_clip_config *c)
{
    int64_t side = c->image_size / c->patch_size;
    return side * side;
}

/* CLIP scales what it draws by the width and (what goes into
 * the residual) by the depth. */
static void layer_walk(oci_walk w, oci_text_layer *l, const oci_clip_config *c)
{
    int64_t D = c->hidden_size, F = c->intermediate_size;
    double wide = pow((double)D, -0.5) * c->initializer_factor;
    double deep = wide * pow(2.0 * (double)c->num_hidden_layers, -0.5);
    oci_walk a = oci_walk_init(oci_walk_enter(w, "self_attn"), OCI_INIT_NORMAL, deep);
    oci_walk_linear(oci_walk_enter(a, "k_proj"), &l->self.k, D, D, true);
    oci_walk_linear(oci_walk_enter(a, "v_proj"), &l->self.v, D, D, true);
    oci_walk_linear(oci_walk_enter(a, "q_proj"), &l->self.q, D, D, true);
    oci_walk out = oci_walk_init(oci_walk_enter(a, "out_proj"), OCI_INIT_NORMAL, wide);
    oci_walk_linear(out, &l->self.out, D, D, true);
    oci_walk_norm(oci_walk_enter(w, "layer_norm1"), &l->self_norm, D, c->layer_norm_eps);
    oci_walk fc1 = oci_walk_init(oci_walk_enter(w, "mlp.fc1"), OCI_INIT_NORMAL,
                                 wide * sqrt(0.5));
    oci_walk_linear(fc1, &l->fc1, F, D, true);
    oci_walk fc2 = oci_walk_init(oci_walk_enter(w, "mlp.fc2"), OCI_INIT_NORMAL, deep);
    oci_walk_linear(fc2, &l->fc2, D, F, true);
    oci_walk_norm(oci_walk_enter(w, "layer_norm2"), &l->mlp_norm, D, c->layer_norm_eps);
    l->self.heads = c->num_attention_heads;
    l->self.scale = 1.0f / sqrtf((float)(D / c->num_attention_heads));
}

static void layers_walk(oci_walk w, oci_clip_tower *m)
{
    for (int64_t i = 0; i < m->cfg.num_hidden_layers; i++)
        layer_walk(oci_walk_enter(w, "encoder.layers.%lld", (long long)i), &m->layers[i],
                   &m->cfg);
}

/* A file of the base class may have one all the same. */
static void projection_walk(oci_walk w, const char *name, oci_clip_tower *m)
{
    const oci_clip_config *c = &m->cfg;
    w = oci_walk_init(oci_walk_enter(w, "%s", name), OCI_INIT_NORMAL,
                      pow((double)c->hidden_size, -0.5) * c->initializer_factor);
    if (!m->projects) w = oci_walk_init(oci_walk_optional(w), OCI_INIT_ABSENT, 0);
    if (m->alone)
        oci_walk_linear(w, &m->projection, c->projection_dim, c->hidden_size, false);
}

/* pre_layrnorm: the typing error is in every checkpoint. */
static void vision_walk(oci_walk root, void *model)
{
    oci_clip_tower *m = model;
    const oci_clip_config *c = &m->cfg;
    int64_t D = c->hidden_size, p = c->patch_size;
    double range = c->initializer_range * c->initializer_factor;
    oci_walk w = oci_walk_enter(root, "vision_model"),
             e = oci_walk_enter(w, "embeddings");
    oci_walk_param(oci_walk_init(e, OCI_INIT_NORMAL,
                                 pow((double)D, -0.5) * c->initializer_factor),
                   "class_embedding", &m->class_embedding, OCI_PARAM_VALUE, OCI_SHAPE(D));
    e = oci_walk_init(e, OCI_INIT_NORMAL, range);
    oci_walk_param(oci_walk_enter(e, "patch_embedding"), "weight",
                   &m->patch_embedding.weight, OCI_PARAM_PRODUCT,
                   OCI_SHAPE(D, c->num_channels, p, p));
    oci_walk_param(oci_walk_enter(e, "position_embedding"), "weight",
                   &m->position_embedding, OCI_PARAM_VALUE,
                   OCI_SHAPE(patches_of(c) + 1, D));
    oci_walk_norm(oci_walk_enter(w, "pre_layrnorm"), &m->pre_layrnorm, D,
                  c->layer_norm_eps);
    layers_walk(w, m);
    oci_walk_norm(oci_walk_enter(w, "post_layernorm"), &m->last_norm, D,
                  c->layer_norm_eps);
    projection_walk(root, "visual_projection", m);
}

/* 0.02 is written into the class: initializer_range counts for pictures only. */
static void text_walk(oci_walk root, void *model)
{
    oci_clip_tower *m = model;
    const oci_clip_config *c = &m->cfg;
    int64_t D = c->hidden_size;
    oci_walk w = oci_walk_enter(root, "text_model");
    oci_walk e = oci_walk_init(oci_walk_enter(w, "embeddings"), OCI_INIT_NORMAL,
                               0.02 * c->initializer_factor);
    oci_walk_param(oci_walk_enter(e, "token_embedding"), "weight", &m->token_embedding,
                   OCI_PARAM_TABLE, OCI_SHAPE(c->vocab_size, D));
    oci_walk_param(oci_walk_enter(e, "position_embedding"), "weight",
                   &m->position_embedding, OCI_PARAM_TABLE,
                   OCI_SHAPE(c->max_position_embeddings, D));
    layers_walk(w, m);
    oci_walk_norm(oci_walk_enter(w, "final_layer_norm"), &m->last_norm, D,
                  c->layer_norm_eps);
    projection_walk(root, "text_projection", m);
}

/* ---- vision ---- */

/* 4.37.2 asks for no size, only that there is a position for each patch. */
static bool picture_fits(oc_context *cx, const oci_clip_config *c,
                         const oci_encode_call *call)
{
    char text[128];
    const oci_tensor *x = call->pixel_values;
    if (!x || oci_failed(cx)) return false;
    if (call->head_mask || call->bool_masked_pos)
        oci_fail(cx, OC_E_MALFORMED,
                 "input %s: expected none, a clip_vision_model does not take it",
                 call->head_mask ? "head_mask" : "bool_masked_pos");
    else if (x->rank != 4 || x->shape[1] != c->num_channels)
        oci_fail(cx, OC_E_MALFORMED, "pixel_values: expected [B, %lld, H, W], found %s",
                 (long long)c->num_channels, oci_shape_text(x, text));
    else if ((x->shape[2] / c->patch_size) * (x->shape[3] / c->patch_size) !=
             patches_of(c))
        oci_fail(cx, OC_E_MALFORMED,
                 "pixel_values: expected %lld patches as of %lld x %lld (image_size), "
                 "found %lld x %lld",
                 (long long)patches_of(c), (long long)c->image_size,
                 (long long)c->image_size, (long long)x->shape[2],
                 (long long)x->shape[3]);
    return !oci_failed(cx);
}

static oci_tensor *vision_embed(oc_context *cx, const oci_clip_tower *m,
                                const oci_encode_call *call)
{
    const oci_clip_config *c = &m->cfg;
    if (!picture_fits(cx, c, call)) return NULL;
    oci_tensor *x = oci_op_patches(cx, call->pixel_values, c->patch_size, c->patch_size);
    x = oci_linear(cx, &m->patch_embedding, x);                         /* [B, N, D] */
    oci_tensor *cls = oci_op_reshape(cx, m->class_embedding,
                                     OCI_SHAPE(1, 1, c->hidden_size));
    x = oci_op_concat(cx, cls, x);                                      /* [B, T, D] */
    x = oci_op_add(cx, x, m->position_embedding);
    return oci_layer_norm(cx, &m->pre_layrnorm, x);
}

/* Causal, unless the caller says that it is not. */
static oci_text_stack stack_of(const oci_clip_tower *m)
{
    return (oci_text_stack){ .layers = m->layers, .count = m->cfg.num_hidden_layers,
                             .heads = m->cfg.num_attention_heads,
                             .act = m->cfg.hidden_act, .pre_norm = true };
}

/* The class's row. [B, D] */
static oci_tensor *vision_pool(oc_context *cx, const oci_clip_tower *m, oci_tensor *x)
{
    if (!x) return NULL;
    x = oci_op_reshape(cx, oci_op_slice(cx, x, 0, 1),
                       OCI_SHAPE(x->shape[0], m->cfg.hidden_size));
    return oci_layer_norm(cx, &m->last_norm, x);                        /* [B, D] */
}

static oci_tensor *vision_encode(oc_context *cx, const void *model, oci_encode_call call)
{
    const oci_clip_tower *m = model;
    oci_text_stack stack = stack_of(m);
    stack.bidirectional = true;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_text_stack_run(cx, &stack, mark, vision_embed(cx, m, &call),
                                       &(oci_decode_call){ 0 });        /* [B, T, D] */
    oci_output(cx, "last_hidden_state", x);
    if (call.pooler && x) oci_encode_pooled(cx, &call, vision_pool(cx, m, x));
    return x;
}

/* Layers after the last one wanted do not run, and nothing of the tower is handed out. */
void oci_clip_vision_states(oc_context *cx, const oci_clip_tower *m, oci_tensor *pixels,
                            const bool *keep, oci_tensor **states)
{
    oci_text_stack stack = stack_of(m);
    oci_taps *taps = cx->taps;
    const oci_encode_call call = { .pixel_values = pixels };
    stack.bidirectional = true;
    stack.keep = keep;
    stack.kept = states;
    while (stack.count > 0 && !keep[stack.count]) stack.count--;
    cx->taps = NULL;
    oci_arena_mark mark = oci_mark(cx);
    oci_text_stack_run(cx, &stack, mark, vision_embed(cx, m, &call),
                       &(oci_decode_call){ 0 });
    cx->taps = taps;
}

static int64_t tower_width(const void *model)
{
    return ((const oci_clip_tower *)model)->cfg.hidden_size;
}

/* ---- text ---- */

/* 4.37.2 adds the causal mask and that of the pads, each of them 0 or the lowest float:
 * what both hide is at -inf. It shows in rows that see nothing (pads on the left), whose
 * weight goes to what one alone hides. [B, 1, T, T], or NULL: causal says it all. */
static oci_tensor *text_mask(oc_context *cx, const oci_tensor *attention_mask, int64_t T)
{
    oci_tensor *y = oci_causal_mask(cx, attention_mask, T, T);
    for (int64_t i = 0; y && i < oci_tensor_count(y); i++) {
        int64_t b = i / (T * T), t = i / T % T, key = i % T;
        if (key > t && oci_f32(attention_mask)[b * T + key] != 1.0f)
            oci_f32(y)[i] = -INFINITY;
    }
    return y;
}

/* Where the end token is: the first one; none: 0. Configs from before July 2023 say eos
 * 2, which was wrong; there it is the first of the largest ids. */
static int64_t end_of(const oci_clip_config *c, const int64_t *ids, int64_t T)
{
    int64_t at = 0;
    for (int64_t t = 0; t < T; t++) {
        if (c->eos_token_id == 2 ? ids[t] > ids[at]
                                 : ids[t] == c->eos_token_id && ids[at] != ids[t])
            at = t;
    }
    return at;
}

/* One row of each text. [B, D] */
static oci_tensor *text_pool(oc_context *cx, const oci_clip_tower *m, oci_tensor *x,
                             const oci_decode_call *call)
{
    if (!x) return NULL;
    const oci_segments *packed = call->segments;
    const int64_t *ids = oci_i64(call->input_ids);
    int64_t B = packed ? packed->count : x->shape[0];
    oci_tensor *ends = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B));
    for (int64_t b = 0; ends && b < B; b++) {
        int64_t n = packed ? packed->lengths[b] : x->shape[1];
        oci_i64(ends)[b] = end_of(&m->cfg, ids, n);
        ids += n;
    }
    return ends ? oci_text_tokens(cx, call, x, oci_i64(ends)) : NULL;
}

static oci_tensor *text_encode(oc_context *cx, const void *model, oci_decode_call call,
                               oci_tensor **pooled)
{
    const oci_clip_tower *m = model;
    oci_text_stack stack = stack_of(m);
    oci_arena_mark mark = oci_mark(cx);
    if (!call.input_ids)
        oci_fail(cx, OC_E_MALFORMED, "input input_ids: required by a clip_text_model");
    oci_tensor *x = oci_failed(cx) ? NULL
                                   : oci_text_embed(cx, m->token_embedding, &call, -1);
    if (!x) return NULL;
    int64_t T = x->shape[1];
    x = oci_op_add(cx, x, oci_text_positions(cx, m->position_embedding, &call, T, 0));
    stack.mask = text_mask(cx, call.attention_mask, T);
    if (cx->taps) cx->taps->use_cache = false;       /* CLIP's text model has no caches */
    x = oci_text_stack_run(cx, &stack, mark, x, &call);
    x = oci_layer_norm(cx, &m->last_norm, x);                           /* [B, T, D] */
    if (pooled) *pooled = text_pool(cx, m, x, &call);
    return x;
}

static oci_decoder_shape text_shape(const void *model)
{
    const oci_clip_config *c = &((const oci_clip_tower *)model)->cfg;
    return (oci_decoder_shape){ .layers = c->num_hidden_layers,
                                .heads = c->num_attention_heads,
                                .head_dim = c->hidden_size / c->num_attention_heads,
                                .width = c->hidden_size, .vocab_size = c->vocab_size,
                                .pad_token_id = -1,
                                .max_positions = c->max_position_embeddings };
}

/* ---- classes ---- */

const oci_input_spec oci_clip_vision_inputs[] = { { "pixel_values", OCI_INPUT_FLOAT, 4 },
                                                  OCI_INPUTS_END };
const oci_input_spec oci_clip_text_inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },
    { "position_ids", OCI_INPUT_IDS, 2 }, OCI_INPUTS_END
};

static oci_tensor *project(oc_context *cx, const oci_linear_layer *projection,
                           const char *name, oci_tensor *pooled)
{
    if (!projection->weight && !oci_failed(cx))
        oci_fail(cx, OC_E_ARGUMENT, "%s: these weights have none", name);
    return oci_failed(cx) ? NULL : oci_linear(cx, projection, pooled);  /* [B, E] */
}

void oci_clip_vision_run(oc_context *cx, const oci_clip_tower *m, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, oci_clip_vision_inputs);
    call.pooler = true;
    vision_encode(cx, m, call);
}

void oci_clip_image_embeds(oc_context *cx, const oci_clip_tower *m,
                           const oci_linear_layer *projection, const oc_tensors *in)
{
    oci_encode_call call = oci_encode_call_of(cx, in, oci_clip_vision_inputs);
    oci_tensor *pooled = vision_pool(cx, m, vision_encode(cx, m, call));    /* [B, D] */
    oci_output(cx, "image_embeds", project(cx, projection, "visual_projection", pooled));
}

void oci_clip_text_run(oc_context *cx, const oci_clip_tower *m, const oc_tensors *in)
{
    oci_text_model_forward(cx, &oci_clip_text, m, in, oci_clip_text_inputs);
}

void oci_clip_text_embeds(oc_context *cx, const oci_clip_tower *m,
                          const oci_linear_layer *projection, const oc_tensors *in)
{
    const oci_input_spec *specs = oci_clip_text_inputs;
    oci_decode_call call = { .input_ids = oci_input_required(cx, in, specs, "input_ids"),
                             .attention_mask = oci_input(cx, in, specs, "attention_mask"),
                             .position_ids = oci_input(cx, in, specs, "position_ids") };
    oci_tensor *x = oci_encode_text(cx, &oci_clip_text, m, call, NULL); /* [B, T, D] */
    oci_tensor *pooled = text_pool(cx, m, x, &call);                    /* [B, D] */
    oci_output(cx, "text_embeds", project(cx, projection, "text_projection", pooled));
}

/* None of the four has a loss. */
static oci_tensor *vision_class(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_clip_vision_run(cx, model, in);
    return NULL;
}

static oci_tensor *image_embeds_class(oc_context *cx, const void *model,
                                      const oc_tensors *in)
{
    oci_clip_image_embeds(cx, model, &((const oci_clip_tower *)model)->projection, in);
    return NULL;
}

static oci_tensor *text_class(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_clip_text_run(cx, model, in);
    return NULL;
}

static oci_tensor *text_embeds_class(oc_context *cx, const void *model,
                                     const oc_tensors *in)
{
    oci_clip_text_embeds(cx, model, &((const oci_clip_tower *)model)->projection, in);
    return NULL;
}

static const oci_class vision_classes[] = {
    { "CLIPVisionModel", oci_clip_vision_inputs, vision_class },
    { "CLIPVisionModelWithProjection", oci_clip_vision_inputs, image_embeds_class }, { 0 }
};

static const oci_class text_classes[] = {
    { "CLIPTextModel", oci_clip_text_inputs, text_class },
    { "CLIPTextModelWithProjection", oci_clip_text_inputs, text_embeds_class }, { 0 }
};

const oci_arch oci_clip_vision = {
    .model_type = "clip_vision_model", .base_prefix = "clip.",
    .size = sizeof(oci_clip_tower), .classes = vision_classes, .open = vision_open,
    .close = tower_close, .walk = vision_walk, .encode = vision_encode,
    .encoder_width = tower_width };

const oci_arch oci_clip_text = {
    .model_type = "clip_text_model", .base_prefix = "clip.",
    .size = sizeof(oci_clip_tower), .classes = text_classes, .open = text_open,
    .close = tower_close, .walk = text_walk, .decoder_shape = text_shape,
    .encode_text = text_encode, .pools_text = true };
