/* VisionTextDualEncoder — Transformers: VisionTextDualEncoderModel. Any vision encoder
 * and any text encoder in one space, as in CLIP (Radford et al. 2021, arXiv:2103.00020)
 * and, with the vision tower frozen, LiT (Zhai et al. 2022, arXiv:2111.07991).
 *
 *   pixel_values → vision tower, pooled [Bi,Dv] → visual_projection → / length   i [Bi,E]
 *   input_ids    → text tower, pooled [Bt,Dt]   → text_projection   → / length   t [Bt,E]
 *   logits_per_text = (t iᵀ) exp(logit_scale) [Bt,Bi]; logits_per_image is its transpose
 *   loss: cross-entropy of either, row n's class being n, and the mean of the two
 */
#include "models/vision_text_dual_encoder.h"

#include <string.h>

static const oci_field fields[] = {
    OCI_INT(oci_dual_config, projection_dim, 512, 1, OCI_MAX_WIDTH),
    OCI_REAL(oci_dual_config, logit_scale_init_value, 2.6592, -1e4, 1e4),
    OCI_FIELDS_END
};

/* ---- the two towers ---- */

/* A whole CLIP's config stands for its vision part; of a text
 * model there is no such rule. */
static const oci_arch *tower_arch(oc_context *cx, bool vision, oci_sub_config *sub)
{
    char list[512];
    if (vision && !strcmp(sub->model_type, "clip")) {
        char path[OCI_MAX_NAME];
        sub->source = oci_clip_part(cx, &sub->source, "vision_config", path);
        memcpy(sub->path, path, sizeof path);
        sub->source.path = sub->path;
        return &oci_clip_vision;
    }
    const oci_arch *arch = oci_arch_find(sub->model_type);
    if (arch && (vision ? arch->encode != NULL : arch->pools_text)) return arch;
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: %smodel_type: as the %s tower expected one of %s, found \"%.40s\"",
             sub->source.doc->name, sub->path, vision ? "vision" : "text",
             oci_arch_list(vision ? 'e' : 't', list, sizeof list), sub->model_type);
    return NULL;
}

static const oci_arch *open_tower(oc_context *cx, const oci_config_source *from,
                                  bool vision, void **tower)
{
    oci_sub_config sub;
    const char *key = vision ? "vision_config" : "text_config";
    if (!oci_config_sub(cx, from, key, OCI_ROLE_ENCODER, &sub)) return NULL;
    const oci_arch *arch = tower_arch(cx, vision, &sub);
    if (oci_failed(cx)) return NULL;
    *tower = oci_calloc(cx, 1, arch->size);
    if (*tower) arch->open(cx, &sub.source, *tower);
    return arch;
}

static bool is_ours_alone(const oci_arch *text)
{
    return text == &oci_distilbert || text == &oci_clip_text;
}

static void dual_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_dual *m = model;
    if (!oci_config_read(cx, from, fields, &m->cfg)) return;
    m->vision_arch = open_tower(cx, from, true, &m->vision);
    if (!oci_failed(cx)) m->text_arch = open_tower(cx, from, false, &m->text);
    if (oci_failed(cx)) return;
    m->vision_width = m->vision_arch->encoder_width(m->vision);
    m->text_width = m->text_arch->decoder_shape(m->text).width;
    if (is_ours_alone(m->text_arch))
        oci_log(cx, OC_LOG_INFO,
                "%s: a %s text tower is an addition of ours: Transformers 4.37.2 does "
                "not run it",
                from->doc->name, m->text_arch->model_type);
}

void oci_dual_close(void *model)
{
    oci_dual *m = model;
    if (m->vision) m->vision_arch->close(m->vision);
    if (m->text) m->text_arch->close(m->text);
    oci_free(m->vision);
    oci_free(m->text);
}

const oci_dual *oci_dual_of(const oci_arch *arch, const void *root)
{
    bool whole = arch == &oci_vision_text_dual_encoder || arch == &oci_clip;
    const oci_dual *m = whole ? root : NULL;
    return m && m->vision && m->text ? m : NULL;
}

void oci_dual_scale_walk(oci_walk w, oci_dual *m)
{
    w = oci_walk_init(w, OCI_INIT_FILL, m->cfg.logit_scale_init_value);
    oci_walk_param(w, "logit_scale", &m->logit_scale, OCI_PARAM_VALUE, 0,
                   (const int64_t[]){ 0 });
}

static void dual_walk(oci_walk w, void *model)
{
    oci_dual *m = model;
    const oci_dual_config *c = &m->cfg;
    oci_walk fresh = oci_walk_init(w, OCI_INIT_UNIFORM, 0);
    oci_dual_scale_walk(w, m);
    m->vision_arch->walk(oci_walk_enter(w, "vision_model"), m->vision);
    m->text_arch->walk(oci_walk_enter(w, "text_model"), m->text);
    oci_walk_linear(oci_walk_enter(fresh, "visual_projection"), &m->visual_projection,
                    c->projection_dim, m->vision_width, false);
    oci_walk_linear(oci_walk_enter(fresh, "text_projection"), &m->text_projection,
                    c->projection_dim, m->text_width, false);
}

/* ---- forward ---- */

static void lacks_pooler(oc_context *cx, const oci_arch *arch)
{
    if (!oci_failed(cx))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected weights with a pooler, whose output stands for the whole, "
                 "found none",
                 arch->model_type);
}

oci_tensor *oci_vision_pooled(oc_context *cx, const oci_arch *arch, const void *model,
                              oci_encode_call call)
{
    oci_tensor *pooled = NULL;
    call.pooler = true;
    call.pooled = &pooled;
    arch->encode(cx, model, call);
    if (!pooled) lacks_pooler(cx, arch);
    return pooled;                                                      /* [B, Dv] */
}

oci_tensor *oci_text_pooled(oc_context *cx, const oci_arch *arch, const void *model,
                            oci_decode_call call)
{
    oci_tensor *pooled = NULL;
    oci_tensor *x = oci_encode_text(cx, arch, model, call, &pooled);    /* [B, T, Dt] */
    if (arch == &oci_distilbert) pooled = oci_text_tokens(cx, &call, x, NULL);
    if (!pooled) lacks_pooler(cx, arch);
    return pooled;                                                      /* [B, Dt] */
}

oci_tensor *oci_dual_image_features(oc_context *cx, const oci_dual *m,
                                    oci_encode_call call)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_taps before = oci_outputs_enter(cx, "vision_model_output.",
                                        "vision_model_output.");
    oci_tensor *x = oci_vision_pooled(cx, m->vision_arch, m->vision, call); /* [B, Dv] */
    oci_outputs_leave(cx, before);
    return oci_settle(cx, mark, oci_linear(cx, &m->visual_projection, x));  /* [B, E] */
}

oci_tensor *oci_dual_text_features(oc_context *cx, const oci_dual *m,
                                   oci_decode_call call)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_taps before = oci_outputs_enter(cx, "text_model_output.", "text_model_output.");
    oci_tensor *x = oci_text_pooled(cx, m->text_arch, m->text, call);   /* [B, Dt] */
    oci_outputs_leave(cx, before);
    return oci_settle(cx, mark, oci_linear(cx, &m->text_projection, x));    /* [B, E] */
}

oci_tensor *oci_dual_similarity(oc_context *cx, const oci_dual *m, oci_tensor *text,
                                oci_tensor *image)
{
    oci_tensor *y = oci_op_linear(cx, text, image, NULL, OCI_ACT_NONE, NULL);
    return oci_op_scale_exp(cx, y, m->logit_scale);                     /* [Bt, Bi] */
}

/* -log softmax at the diagonal, the mean over the rows. */
static oci_tensor *match_loss(oc_context *cx, oci_tensor *logits)
{
    if (!logits) return NULL;
    oci_tensor *own = oci_tensor_create(cx, OC_I64, OCI_SHAPE(logits->shape[0]));
    for (int64_t i = 0; own && i < logits->shape[0]; i++) oci_i64(own)[i] = i;
    return oci_op_cross_entropy(cx, logits, own);
}

static oci_tensor *clip_loss(oc_context *cx, oci_tensor *per_text, oci_tensor *per_image)
{
    if (per_text && per_text->shape[0] != per_text->shape[1])
        oci_fail(cx, OC_E_MALFORMED,
                 "input return_loss: expected as many texts as pictures, found %lld and "
                 "%lld",
                 (long long)per_text->shape[0], (long long)per_text->shape[1]);
    oci_tensor *sum = oci_op_add(cx, match_loss(cx, per_text), match_loss(cx, per_image));
    return oci_op_scale(cx, sum, 0.5f);
}

/* ---- classes ---- */

#define TEXT_INPUTS                                                                      \
    { "input_ids", OCI_INPUT_IDS, 2 }, { "attention_mask", OCI_INPUT_MASK, 2 },          \
    { "position_ids", OCI_INPUT_IDS, 2 }, { "token_type_ids", OCI_INPUT_IDS, 2 }

const oci_input_spec oci_dual_inputs[] = {
    TEXT_INPUTS, { "pixel_values", OCI_INPUT_FLOAT, 4 },
    { "return_loss", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};
const oci_input_spec oci_dual_text_inputs[] = { TEXT_INPUTS, OCI_INPUTS_END };
const oci_input_spec oci_dual_image_inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, OCI_INPUTS_END
};

/* What the text tower's own class does not take is no argument here. */
static void check_text_inputs(oc_context *cx, const oci_dual *m, const oc_tensors *in)
{
    const oci_input_spec *own = m->text_arch->classes[0].inputs, *s;
    oc_tensor_view view;
    for (const oci_input_spec *t = oci_dual_text_inputs; t->name && !oci_failed(cx);
         t++) {
        for (s = own; s->name && strcmp(s->name, t->name) != 0;) s++;
        if (!s->name && oc_tensors_find(in, t->name, &view))
            oci_fail(cx, OC_E_MALFORMED,
                     "input %s: expected none, a %s text tower does not take it", t->name,
                     m->text_arch->model_type);
    }
}

static oci_decode_call text_call(oc_context *cx, const oci_dual *m, const oc_tensors *in,
                                 const oci_input_spec *specs)
{
    check_text_inputs(cx, m, in);
    return (oci_decode_call){
        .input_ids = oci_input_required(cx, in, specs, "input_ids"),
        .attention_mask = oci_input(cx, in, specs, "attention_mask"),
        .position_ids = oci_input(cx, in, specs, "position_ids"),
        .token_type_ids = oci_input(cx, in, specs, "token_type_ids") };
}

static oci_encode_call image_call(oc_context *cx, const oc_tensors *in,
                                  const oci_input_spec *specs)
{
    return (oci_encode_call){
        .pixel_values = oci_input_required(cx, in, specs, "pixel_values") };
}

oci_tensor *oci_dual_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_dual *m = model;
    oci_decode_call text_in = text_call(cx, m, in, oci_dual_inputs);
    oci_encode_call image_in = image_call(cx, in, oci_dual_inputs);
    oci_tensor *image = oci_op_normalize(cx, oci_dual_image_features(cx, m, image_in));
    oci_tensor *text = oci_op_normalize(cx, oci_dual_text_features(cx, m, text_in));
    oci_tensor *per_text = oci_dual_similarity(cx, m, text, image);     /* [Bt, Bi] */
    oci_tensor *per_image = oci_op_transpose(cx, per_text);             /* [Bi, Bt] */
    oci_output(cx, "logits_per_image", per_image);
    oci_output(cx, "logits_per_text", per_text);
    oci_output(cx, "text_embeds", text);                                /* [Bt, E] */
    oci_output(cx, "image_embeds", image);                              /* [Bi, E] */
    if (!oci_input_flag(in, "return_loss") || !oci_has_loss(cx, "return_loss"))
        return NULL;
    oci_tensor *loss = clip_loss(cx, per_text, per_image);
    oci_output_loss(cx, loss);
    return loss;
}

/* get_…_features return a bare tensor: what the towers hand out
 * on the way is not theirs. */
oci_tensor *oci_dual_image_forward(oc_context *cx, const void *model,
                                   const oc_tensors *in)
{
    oci_taps *taps = cx->taps;
    cx->taps = NULL;
    oci_tensor *x = oci_dual_image_features(cx, model,
                                            image_call(cx, in, oci_dual_image_inputs));
    cx->taps = taps;
    oci_output(cx, "image_features", x);
    return NULL;
}

oci_tensor *oci_dual_text_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    oci_taps *taps = cx->taps;
    cx->taps = NULL;
    oci_decode_call call = text_call(cx, model, in, oci_dual_text_inputs);
    oci_tensor *x = oci_dual_text_features(cx, model, call);
    cx->taps = taps;
    oci_output(cx, "text_features", x);
    return NULL;
}

static const oci_class classes[] = {
    { "VisionTextDualEncoderModel", oci_dual_inputs, oci_dual_forward },
    { "VisionTextDualEncoderModel.get_image_features", oci_dual_image_inputs,
      oci_dual_image_forward },
    { "VisionTextDualEncoderModel.get_text_features", oci_dual_text_inputs,
      oci_dual_text_forward },
    { 0 }
};

const oci_arch oci_vision_text_dual_encoder = {
    .model_type = "vision-text-dual-encoder", .size = sizeof(oci_dual),
    .classes = classes, .open = dual_open, .close = oci_dual_close, .walk = dual_walk };
