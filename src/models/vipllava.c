/* ViP-LLaVA — Cai et al. 2023, "Making large multimodal models understand arbitrary
 * visual prompts", arXiv:2312.00784. Transformers: VipLlavaForConditionalGeneration.
 *
 *   pixel_values [N,C,H,W] → CLIP: hidden states of K layers without the class [N,P,K Dv]
 *     → LayerNorm → linear → gelu → linear [N,P,D]
 *   input_ids [B,S] → embeddings, each image token replaced by P features [B,M,D]
 *     → Llama → logits [B,M,V]; loss: those at t against the label at t + 1
 *
 * The merge and the masks of cached steps are 4.37.2's to the letter, odd answers
 * included: docs/MODEL-vipllava.md names them.
 */
#include "models/vipllava.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"

/* ---- config ---- */

typedef struct vision_defaults {
    const char *key;
    int64_t value;
} vision_defaults;

/* What 4.37.2 builds where there is no vision_config;
 * one that lacks keys has CLIP's own. */
static const vision_defaults no_vision_config[] = {
    { "hidden_size", 1024 }, { "intermediate_size", 4096 }, { "num_hidden_layers", 24 },
    { "num_attention_heads", 16 }, { "image_size", 336 }, { "patch_size", 14 },
    { "projection_dim", 768 }
};

/* Opens the part under `key`, whose model_type, where it says one, is arch's. `instead`,
 * if not NULL, is read where there is none. */
static void open_part(oc_context *cx, const oci_config_source *from, const char *key,
                      oci_role role, const oci_arch *arch, const json_t *instead,
                      void *part)
{
    char path[OCI_MAX_NAME];
    snprintf(path, sizeof path, "%s%s", from->path, key);
    const json_t *object = oci_json_object(cx, from->doc, from->object, path);
    if (oci_failed(cx)) return;
    snprintf(path, sizeof path, "%s%s.", from->path, key);
    oci_config_source source = { .doc = from->doc, .object = object ? object : instead,
                                 .path = path, .role = role };
    oci_config_only(cx, &source, "model_type", arch->model_type);
    if (!oci_failed(cx)) arch->open(cx, &source, part);
}

static void open_vision(oc_context *cx, const oci_config_source *from, oci_vipllava *m)
{
    json_t *instead = json_object();
    for (size_t i = 0; i < sizeof no_vision_config / sizeof *no_vision_config; i++)
        if (json_object_set_new(instead, no_vision_config[i].key,
                                json_integer(no_vision_config[i].value)))
            oci_fail(cx, OC_E_MEMORY, "%s: no memory for a vision_config",
                     from->doc->name);
    open_part(cx, from, "vision_config", OCI_ROLE_ENCODER, &oci_clip_vision, instead,
              &m->vision);
    json_decref(instead);
}

/* All within the tower; `name` leads the message. */
static bool layers_fit(oc_context *cx, const oci_vipllava *m, const char *name,
                       const oci_feature_layers *layers)
{
    int64_t L = m->vision.cfg.num_hidden_layers;
    for (int64_t i = 0; i < layers->count && !oci_failed(cx); i++)
        if (layers->at[i] < -(L + 1) || layers->at[i] > L)
            oci_fail(cx, OC_E_MALFORMED,
                     "%svision_feature_layers: expected %lld to %lld, found %lld", name,
                     (long long)-(L + 1), (long long)L, (long long)layers->at[i]);
    return !oci_failed(cx);
}

static void vipllava_open(oc_context *cx, const oci_config_source *from, void *model)
{
    static const oci_feature_layers usual = { { -2, -5, -8, -11, 6 }, 5 };
    oci_vipllava *m = model;
    const oci_field fields[] = {
        OCI_INT(oci_vipllava, cfg.ignore_index, -100, -(1 << 30), 1 << 30),
        OCI_INT(oci_vipllava, cfg.image_token_index, 32000, 0, 1 << 30),
        OCI_ACT(oci_vipllava, cfg.projector_hidden_act, OCI_ACT_GELU),
        OCI_REAL(oci_vipllava, cfg.projector_layernorm_eps, 1e-5, 0, 1),
        OCI_INT(oci_vipllava, cfg.pad_token_id, -1, -1, 1 << 30),
        OCI_REAL(oci_vipllava, cfg.initializer_range, -1, 0, 1e3),    /* -1: the text's */
        OCI_FIELDS_END
    };
    if (!oci_config_read(cx, from, fields, m)) return;
    open_vision(cx, from, m);
    if (oci_failed(cx)) return;
    open_part(cx, from, "text_config", OCI_ROLE_DECODER, &oci_llama_arch, NULL,
              &m->language);
    if (m->cfg.initializer_range < 0)
        m->cfg.initializer_range = m->language.cfg.initializer_range;
    oci_feature_layers *layers = &m->cfg.vision_feature_layers;
    *layers = usual;
    layers->count = oci_config_list(cx, from, "vision_feature_layers",
                                    -OCI_MAX_LAYERS - 1, OCI_MAX_LAYERS, layers->at,
                                    usual.count, OCI_MAX_FEATURE_LAYERS);
    char name[OCI_MAX_MESSAGE / 4];
    snprintf(name, sizeof name, "%.200s: ", from->doc->name);
    layers_fit(cx, m, name, layers);
}

static void vipllava_close(void *model)
{
    oci_vipllava *m = model;
    oci_clip_vision.close(&m->vision);
    oci_llama_arch.close(&m->language);
}

static const oci_arch *vipllava_part(const void *model, const char *name,
                                     const void **root)
{
    const oci_vipllava *m = model;
    bool vision = !strcmp(name, "vision_config");
    if (!vision && strcmp(name, "text_config") != 0) return NULL;
    *root = vision ? (const void *)&m->vision : &m->language;
    return vision ? &oci_clip_vision : &oci_llama_arch;
}

static void vipllava_walk(oci_walk w, void *model)
{
    oci_vipllava *m = model;
    int64_t D = m->language.cfg.hidden_size;
    int64_t K = m->cfg.vision_feature_layers.count * m->vision.cfg.hidden_size;
    oci_clip_vision.walk(oci_walk_enter(w, "vision_tower"), &m->vision);
    oci_walk p = oci_walk_init(oci_walk_enter(w, "multi_modal_projector"),
                               OCI_INIT_NORMAL, m->cfg.initializer_range);
    oci_walk_norm(oci_walk_enter(p, "projector_layernorm"), &m->projector_layernorm, K,
                  m->cfg.projector_layernorm_eps);
    oci_walk_linear(oci_walk_enter(p, "linear_1"), &m->linear_1, D, K, true);
    oci_walk_linear(oci_walk_enter(p, "linear_2"), &m->linear_2, D, D, true);
    oci_llama_arch.walk(oci_walk_enter(w, "language_model"), &m->language);
}

/* The authors' files, and those of Transformers from 4.52 on. */
static const oci_other_name other_names[] = {
    { "vision_tower.", "model.vision_tower.vision_tower." },
    { "vision_tower.", "model.vision_tower." },
    { "multi_modal_projector.projector_layernorm.",
      "model.mm_projector.clip_layernorm." },
    { "multi_modal_projector.linear_1.", "model.mm_projector.final_linear.0." },
    { "multi_modal_projector.linear_2.", "model.mm_projector.final_linear.2." },
    { "multi_modal_projector.", "model.multi_modal_projector." },
    { "language_model.model.", "model." },
    { "language_model.model.", "model.language_model." },
    { "language_model.lm_head.", "lm_head." },
    { NULL, NULL }
};

/* ---- image features ---- */

/* The chosen states without the class's row, side by side: [N, P, K Dv]. */
static oci_tensor *side_by_side(oc_context *cx, const oci_feature_layers *layers,
                                int64_t L, oci_tensor *const *states)
{
    oci_tensor *all = NULL;
    int64_t N = 0, P = 0, Dv = 0;
    for (int64_t k = layers->count; k-- > 0 && !oci_failed(cx);) {
        int64_t i = layers->at[k] + (layers->at[k] < 0 ? L + 1 : 0);
        if (!states[i]) return NULL;
        N = states[i]->shape[0];
        P = states[i]->shape[1] - 1;
        Dv = states[i]->shape[2];
        oci_tensor *x = oci_op_reshape(cx, oci_op_slice(cx, states[i], 1, P),
                                       OCI_SHAPE(N * P, 1, Dv));
        all = all ? oci_op_concat(cx, x, all) : x;                      /* [N P, K, Dv] */
    }
    return oci_op_reshape(cx, all, OCI_SHAPE(N, P, layers->count * Dv));
}

oci_tensor *oci_vipllava_features(oc_context *cx, const oci_vipllava *m,
                                  oci_tensor *pixels, const oci_feature_layers *layers)
{
    const int64_t L = m->vision.cfg.num_hidden_layers;
    oci_arena_mark mark = oci_mark(cx);
    bool *keep = oci_arena_alloc(cx, &cx->arena, (size_t)(L + 1) * sizeof *keep);
    oci_tensor **states = oci_arena_alloc(cx, &cx->arena,
                                          (size_t)(L + 1) * sizeof *states);
    if (!keep || !states) return NULL;
    memset(keep, 0, (size_t)(L + 1) * sizeof *keep);
    memset(states, 0, (size_t)(L + 1) * sizeof *states);
    if (!layers) layers = &m->cfg.vision_feature_layers;
    else if (!layers_fit(cx, m, "input ", layers)) return NULL;
    for (int64_t k = 0; k < layers->count; k++)
        keep[layers->at[k] + (layers->at[k] < 0 ? L + 1 : 0)] = true;
    oci_clip_vision_states(cx, &m->vision, pixels, keep, states);
    oci_tensor *x = side_by_side(cx, layers, L, states);                /* [N, P, K Dv] */
    x = oci_layer_norm(cx, &m->projector_layernorm, x);
    x = oci_linear(cx, &m->linear_1, x, .act = m->cfg.projector_hidden_act);
    return oci_settle(cx, mark, oci_linear(cx, &m->linear_2, x));       /* [N, P, D] */
}

/* ---- merge ---- */

/* Where each id goes, and how many slots before it (or behind) its row has too many. */
typedef struct merge_plan {
    int64_t B, S, P, N, M;
    oci_tensor *at;                 /* I64 [B, S] last slot of each id */
    oci_tensor *spare;              /* I64 [B] */
    oci_tensor *rows;               /* I64 [B, M] what is in a slot: oci_op_gather's */
} merge_plan;

static int64_t images_in(const oci_vipllava *m, const int64_t *ids, int64_t S)
{
    int64_t n = 0;
    for (int64_t j = 0; j < S; j++) n += ids[j] == m->cfg.image_token_index;
    return n;
}

/* Padded at the left unless some row ends with a pad: one answer for all rows. */
static bool pads_left(const oci_vipllava *m, const int64_t *ids, int64_t B, int64_t S)
{
    for (int64_t b = 0; b < B; b++)
        if (ids[b * S + S - 1] == m->cfg.pad_token_id) return false;
    return true;
}

/* Steps 1 to 4: the places of the ids in rows of M slots. */
static bool place_ids(oc_context *cx, const oci_vipllava *m, const oci_merge *x,
                      merge_plan *p)
{
    const int64_t *ids = oci_i64(x->ids), I = m->cfg.image_token_index;
    int64_t most = 0;
    for (int64_t b = 0; b < p->B; b++)
        most = oci_max(most, images_in(m, ids + b * p->S, p->S));
    if (most > (int64_t)cx->limits.sequence / p->P) {
        oci_fail(cx, OC_E_LIMIT,
                 "input_ids: %lld images in a row: expected at most %lld slots in all",
                 (long long)most, (long long)cx->limits.sequence);
        return false;
    }
    p->M = most * (p->P - 1) + p->S;
    p->at = oci_tensor_create(cx, OC_I64, OCI_SHAPE(p->B, p->S));
    p->spare = oci_tensor_create(cx, OC_I64, OCI_SHAPE(p->B));
    p->rows = oci_tensor_create(cx, OC_I64, OCI_SHAPE(p->B, p->M));
    if (oci_failed(cx)) return false;
    bool left = pads_left(m, ids, p->B, p->S);
    for (int64_t b = 0; b < p->B; b++) {
        int64_t *at = oci_i64(p->at) + b * p->S, next = 0;
        for (int64_t j = 0; j < p->S; j++) {
            next += ids[b * p->S + j] == I ? p->P : 1;
            at[j] = next - 1;
        }
        oci_i64(p->spare)[b] = p->M - next;
        for (int64_t j = 0; left && j < p->S; j++) at[j] += p->M - next;
    }
    return true;
}

/* Steps 5 and 6: every id but the image's into its slot. */
static void write_text(oc_context *cx, const oci_vipllava *m, oci_merge *x, merge_plan *p)
{
    int64_t count = p->B * p->M, none = m->cfg.ignore_index;
    x->slot_mask = oci_tensor_create(cx, OC_F32, OCI_SHAPE(p->B, p->M));
    x->positions = oci_tensor_create(cx, OC_I64, OCI_SHAPE(p->B, p->M));
    if (x->labels) x->slot_labels = oci_tensor_create(cx, OC_I64, OCI_SHAPE(p->B, p->M));
    if (oci_failed(cx)) return;
    for (int64_t i = 0; i < count; i++) {
        oci_i64(p->rows)[i] = -1;
        oci_f32(x->slot_mask)[i] = 0;
        if (x->labels) oci_i64(x->slot_labels)[i] = none;
    }
    for (int64_t i = 0; i < p->B * p->S; i++) {
        if (oci_i64(x->ids)[i] == m->cfg.image_token_index) continue;
        int64_t to = i / p->S * p->M + oci_i64(p->at)[i];
        oci_i64(p->rows)[to] = i;
        oci_f32(x->slot_mask)[to] = oci_f32(x->mask)[i];
        if (x->labels) oci_i64(x->slot_labels)[to] = oci_i64(x->labels)[i];
    }
}

/* The reference knows a free slot by its zeros, and so a word whose embedding is zeros (a
 * pad's, as a rule) is one, too. */
static bool is_free(const merge_plan *p, const oci_tensor *words, int64_t slot)
{
    int64_t row = oci_i64(p->rows)[slot], D = oci_tensor_width(words);
    const float *x = oci_f32(words) + row * D;
    for (int64_t d = 0; row >= 0 && d < D; d++)
        if (x[d] != 0) return false;
    return true;
}

/* Steps 7 to 9: features into the free slots, all rows in reading order, but for the
 * first `spare` free ones of each row, be it padded left or right. */
static bool write_images(oc_context *cx, const oci_vipllava *m, oci_merge *x,
                         merge_plan *p, const oci_tensor *words)
{
    int64_t used = 0, tokens = images_in(m, oci_i64(x->ids), p->B * p->S);
    int64_t wanted = p->N * x->repeats * p->P;
    for (int64_t b = 0; b < p->B; b++) {
        int64_t passed = 0;
        for (int64_t slot = b * p->M; slot < (b + 1) * p->M; slot++) {
            if (!is_free(p, words, slot) || passed++ < oci_i64(p->spare)[b]) continue;
            int64_t image = used / p->P / x->repeats, patch = used % p->P;
            if (used++ >= wanted) continue;         /* counted for the error alone */
            oci_i64(p->rows)[slot] = p->B * p->S + image * p->P + patch;
            oci_f32(x->slot_mask)[slot] = (float)((int64_t)oci_f32(x->slot_mask)[slot] |
                                                  1);
        }
    }
    if (used == wanted) return true;
    oci_fail(cx, OC_E_MALFORMED,
             "input_ids: expected an image token (%lld) for each picture, found %lld "
             "tokens and %lld pictures%s",
             (long long)m->cfg.image_token_index, (long long)tokens,
             (long long)(p->N * x->repeats),
             tokens == p->N * x->repeats ? ", and words whose embeddings are zeros" : "");
    return false;
}

/* Step 10: positions count what is seen; what is not has position 1. */
static void count_positions(const oci_merge *x, const merge_plan *p)
{
    for (int64_t b = 0; b < p->B; b++) {
        int64_t n = 0;
        for (int64_t i = b * p->M; i < (b + 1) * p->M; i++) {
            int64_t seen = (int64_t)oci_f32(x->slot_mask)[i];
            n += seen;
            oci_i64(x->positions)[i] = seen ? n - 1 : 1;
        }
    }
}

bool oci_vipllava_merge(oc_context *cx, const oci_vipllava *m, oci_merge *x)
{
    if (oci_failed(cx) || !x->features) return false;
    merge_plan p = { .B = x->ids->shape[0], .S = x->ids->shape[1],
                     .N = x->features->shape[0], .P = x->features->shape[1] };
    oci_tensor *words = oci_llama_embed(cx, &m->language, x->ids);      /* [B, S, D] */
    if (!words || !place_ids(cx, m, x, &p)) return false;
    write_text(cx, m, x, &p);
    if (oci_failed(cx) || !write_images(cx, m, x, &p, words)) return false;
    count_positions(x, &p);
    x->embeds = oci_op_gather(cx, words, x->features, p.rows);          /* [B, M, D] */
    return x->embeds != NULL;
}

oci_tensor *oci_vipllava_step_mask(oc_context *cx, const oci_tensor *mask, int64_t cached,
                                   const bool *dead, oci_tensor **positions)
{
    int64_t B = mask->shape[0], L = mask->shape[1], n = cached + 1;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, n));
    *positions = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, 1));
    if (!y || !*positions) return NULL;
    for (int64_t b = 0; b < B; b++) {
        float *row = oci_f32(y) + b * n;
        memcpy(row, oci_f32(mask) + b * L, (size_t)L * sizeof *row);
        for (int64_t i = L; i < n; i++) row[i] = dead[b * (n - L) + i - L] ? 0.0f : 1.0f;
        oci_i64(*positions)[b] = -1;
        for (int64_t i = 0; i < n; i++) oci_i64(*positions)[b] += (int64_t)row[i];
    }
    return y;
}

/* ---- VipLlavaForConditionalGeneration ---- */

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "pixel_values", OCI_INPUT_FLOAT, 4 },
    { "attention_mask", OCI_INPUT_MASK, 2 }, { "position_ids", OCI_INPUT_IDS, 2 },
    { "past_key_values.", OCI_INPUT_FLOAT, 4 }, { "inputs_embeds", OCI_INPUT_FLOAT, 3 },
    { "vision_feature_layers", OCI_INPUT_IDS, 1 }, { "labels", OCI_INPUT_IDS, 2 },
    OCI_INPUTS_END
};

/* torch.full_like(mask, ignore_index): what the mask's type can hold of it. */
static int64_t label_in(oc_dtype mask, int64_t ignore_index)
{
    switch (mask) {
    case OC_BOOL: return ignore_index != 0;
    case OC_U8: return (uint8_t)ignore_index;
    case OC_I8: return (int8_t)ignore_index;
    case OC_I16: return (int16_t)ignore_index;
    default: return ignore_index;
    }
}

static oci_tensor *all_labels(oc_context *cx, const oci_tensor *like, int64_t label)
{
    oci_tensor *y = oci_tensor_create(cx, OC_I64, like->rank, like->shape);
    for (int64_t i = 0; y && i < oci_tensor_count(y); i++) oci_i64(y)[i] = label;
    return y;
}

/* Case A: words and pictures become embeddings, with mask,
 * positions and labels of their own. */
static void merge_inputs(oc_context *cx, const oci_vipllava *m, const oc_tensors *in,
                         oci_decode_call *call, oci_tensor **labels)
{
    oc_tensor_view mask = { .dtype = OC_I64 };
    if (!call->attention_mask) oci_input_required(cx, in, inputs, "attention_mask");
    oc_tensors_find(in, "attention_mask", &mask);
    if (mask.dtype == OC_F32 || mask.dtype == OC_F16 || mask.dtype == OC_BF16 ||
        mask.dtype == OC_F64)
        oci_fail(cx, OC_E_MALFORMED,
                 "input attention_mask: expected integers where there are pictures, "
                 "found %s",
                 oci_dtype_name(mask.dtype));
    oci_inputs_agree(cx, "input_ids", call->input_ids, "attention_mask",
                     call->attention_mask, 2);
    oci_inputs_agree(cx, "input_ids", call->input_ids, "labels", *labels, 2);
    const oci_tensor *given = oci_input(cx, in, inputs, "vision_feature_layers");
    oci_feature_layers layers = { .count = given ? given->shape[0] : 0 };
    if (layers.count > OCI_MAX_FEATURE_LAYERS)
        oci_fail(cx, OC_E_LIMIT,
                 "input vision_feature_layers: expected at most %d, found %lld",
                 OCI_MAX_FEATURE_LAYERS, (long long)layers.count);
    else if (given && layers.count != m->cfg.vision_feature_layers.count)
        oci_fail(cx, OC_E_MALFORMED,
                 "input vision_feature_layers: expected %lld layers, which the projector "
                 "takes, found %lld",
                 (long long)m->cfg.vision_feature_layers.count, (long long)layers.count);
    if (oci_failed(cx)) return;
    if (given) memcpy(layers.at, given->data, (size_t)layers.count * sizeof *layers.at);
    oci_merge merge = { .ids = call->input_ids, .mask = call->attention_mask,
                        .labels = *labels, .repeats = 1 };
    merge.features = oci_vipllava_features(cx, m,
                                           oci_input(cx, in, inputs, "pixel_values"),
                                           given ? &layers : NULL);
    if (!oci_vipllava_merge(cx, m, &merge)) return;
    call->input_ids = NULL;
    call->inputs_embeds = merge.embeds;
    call->attention_mask = merge.slot_mask;
    call->position_ids = merge.positions;
    *labels = merge.slot_labels ? merge.slot_labels
                                : all_labels(cx, merge.slot_mask,
                                             label_in(mask.dtype, m->cfg.ignore_index));
}

/* Case B: a step over one id behind cached slots, of which those without a picture or a
 * word are known by keys that are zeros. */
static void extend_mask(oc_context *cx, const oc_tensors *in, oci_decode_call *call)
{
    const oci_tensor *keys = oci_input_required(cx, in, inputs, "past_key_values.0.0");
    const oci_tensor *mask = call->attention_mask;
    if (!mask) mask = oci_input_required(cx, in, inputs, "attention_mask");
    oci_inputs_agree(cx, "input_ids", call->input_ids, "attention_mask", mask, 1);
    oci_inputs_agree(cx, "input_ids", call->input_ids, "past_key_values.0.0", keys, 1);
    if (oci_failed(cx)) return;
    int64_t B = mask->shape[0], C = keys->shape[2], d = keys->shape[3];
    int64_t more = C + 1 - mask->shape[1];
    if (more < 0) {
        oci_fail(cx, OC_E_MALFORMED,
                 "input attention_mask: expected at most %lld columns, found %lld",
                 (long long)C + 1, (long long)mask->shape[1]);
        return;
    }
    bool *dead = oci_arena_alloc(cx, &cx->arena,
                                 (size_t)oci_max(1, B * more) * sizeof *dead);
    for (int64_t i = 0; dead && i < B * more; i++) {
        int64_t b = i / more, at = i % more;
        const float *key = oci_f32(keys) + (b * keys->shape[1] * C + at) * d;
        float sum = 0;
        for (int64_t k = 0; at < C && k < d; k++) sum += key[k];
        dead[i] = at < C && sum == 0;
    }
    if (dead)
        call->attention_mask = oci_vipllava_step_mask(cx, mask, C, dead,
                                                      &call->position_ids);
}

/* Labels of the next id, -100 where the mask does not see it:
 * the reference leaves those out. */
static oci_tensor *loss_of(oc_context *cx, oci_tensor *logits, const oci_tensor *labels,
                           const oci_tensor *mask)
{
    oci_inputs_agree(cx, "logits", logits, "labels", labels, 2);
    oci_inputs_agree(cx, "logits", logits, "attention_mask", mask, 2);
    if (oci_failed(cx) || !logits) return NULL;
    int64_t B = labels->shape[0], T = labels->shape[1];
    oci_tensor *next = oci_tensor_create(cx, OC_I64, OCI_SHAPE(B, T - 1));
    for (int64_t i = 0; next && i < B * (T - 1); i++) {
        int64_t at = i / (T - 1) * T + i % (T - 1) + 1;
        bool counts = !mask || oci_f32(mask)[at] != 0;
        oci_i64(next)[i] = counts ? oci_i64(labels)[at] : -100;
    }
    oci_tensor *loss = oci_op_cross_entropy(cx, oci_op_slice(cx, logits, 0, T - 1), next);
    oci_output(cx, "loss", loss);
    return loss;
}

static oci_tensor *vipllava_forward(oc_context *cx, const void *model,
                                    const oc_tensors *in)
{
    const oci_vipllava *m = model;
    oc_tensor_view view;
    oci_decode_call call = { .input_ids = oci_input(cx, in, inputs, "input_ids"),
                             .inputs_embeds = oci_input(cx, in, inputs, "inputs_embeds"),
                             .position_ids = oci_input(cx, in, inputs, "position_ids"),
                             .attention_mask = oci_input(cx, in, inputs,
                                                         "attention_mask") };
    oci_tensor *labels = oci_input(cx, in, inputs, "labels");
    bool pictures = oc_tensors_find(in, "pixel_values", &view) && !call.inputs_embeds;
    bool past = oc_tensors_find(in, "past_key_values.0.0", &view);
    if (call.inputs_embeds) call.input_ids = NULL;      /* nobody looks at them */
    if (pictures && call.input_ids && call.input_ids->shape[1] != 1)
        merge_inputs(cx, m, in, &call, &labels);
    else if (pictures && past && call.input_ids)
        extend_mask(cx, in, &call);
    oci_tensor *logits = NULL;
    if (!oci_failed(cx))
        logits = oci_decode_with_past(cx, &oci_llama_arch, &m->language, in, inputs,
                                      call);
    oci_output(cx, "logits", logits);                                   /* [B, M, V] */
    return labels && logits ? loss_of(cx, logits, labels, call.attention_mask) : NULL;
}

static const oci_class classes[] = {
    { "VipLlavaForConditionalGeneration", inputs, vipllava_forward }, { 0 }
};

const oci_arch oci_vipllava_arch = {
    .model_type = "vipllava", .size = sizeof(oci_vipllava), .classes = classes,
    .other_names = other_names, .open = vipllava_open, .close = vipllava_close,
    .walk = vipllava_walk, .tokens_part = "text_config", .part = vipllava_part };
