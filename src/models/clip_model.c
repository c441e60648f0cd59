/* CLIP as a whole — Radford et al. 2021, arXiv:2103.00020. Transformers: CLIPModel, and
 * the classes of its parts over the same folder.
 *
 *   a dual encoder (vision_text_dual_encoder.c) of the towers in clip.c, whose names in
 *   the state dict have no level of their own, and whose projections are drawn by the
 *   width
 *
 * A folder of a whole CLIP opened as CLIPVisionModel or CLIPTextModel loads that part
 * alone.
 */
#include <math.h>
#include <string.h>

#include "models/vision_text_dual_encoder.h"

static const oci_field fields[] = {
    OCI_INT(oci_dual_config, projection_dim, 512, 1, OCI_MAX_WIDTH),
    OCI_REAL(oci_dual_config, logit_scale_init_value, 2.6592, -1e4, 1e4),
    OCI_FIELDS_END
};

typedef struct clip {
    oci_dual dual;                      /* first: oci_dual_of hands it out */
    bool projects;                      /* the class has projections */
} clip;

static oci_clip_tower *open_part(oc_context *cx, const oci_config_source *from,
                                 const char *part, const oci_arch *arch)
{
    char path[OCI_MAX_NAME];
    oci_config_source sub = oci_clip_part(cx, from, part, path);
    oci_clip_tower *tower = oci_failed(cx) ? NULL : oci_calloc(cx, 1, arch->size);
    if (!tower) return NULL;
    arch->open(cx, &sub, tower);
    tower->cfg.initializer_factor = 1;  /* CLIPConfig's, whatever the part's says */
    return tower;
}

static void clip_open(oc_context *cx, const oci_config_source *from, void *model)
{
    clip *m = model;
    oci_dual *d = &m->dual;
    const char *name = oci_config_class(from);
    bool vision = name && !strncmp(name, "CLIPVision", 10);
    bool text = name && !strncmp(name, "CLIPText", 8);
    m->projects = !(vision || text) || strstr(name, "WithProjection");
    d->vision_arch = &oci_clip_vision;
    d->text_arch = &oci_clip_text;
    if (!oci_config_read(cx, from, fields, &d->cfg)) return;
    if (!text) d->vision = open_part(cx, from, "vision_config", &oci_clip_vision);
    if (!vision && !oci_failed(cx))
        d->text = open_part(cx, from, "text_config", &oci_clip_text);
    if (oci_failed(cx)) return;
    if (d->vision) d->vision_width = oci_clip_vision.encoder_width(d->vision);
    if (d->text) d->text_width = oci_clip_text.decoder_shape(d->text).width;
    /* A part of its own projects to the width that its own config says. */
    if (vision) d->cfg.projection_dim = ((oci_clip_tower *)d->vision)->cfg.projection_dim;
    if (text) d->cfg.projection_dim = ((oci_clip_tower *)d->text)->cfg.projection_dim;
}

static void projection_walk(oci_walk w, const char *name, oci_linear_layer *layer,
                            int64_t E, int64_t D)
{
    w = oci_walk_init(oci_walk_enter(w, "%s", name), OCI_INIT_NORMAL,
                      pow((double)D, -0.5));
    oci_walk_linear(w, layer, E, D, false);
}

static void clip_walk(oci_walk w, void *model)
{
    clip *m = model;
    oci_dual *d = &m->dual;
    int64_t E = d->cfg.projection_dim;
    if (d->vision && d->text) oci_dual_scale_walk(w, d);
    if (d->text) oci_clip_text.walk(w, d->text);
    if (d->vision) oci_clip_vision.walk(w, d->vision);
    if (d->vision && m->projects)
        projection_walk(w, "visual_projection", &d->visual_projection, E,
                        d->vision_width);
    if (d->text && m->projects)
        projection_walk(w, "text_projection", &d->text_projection, E, d->text_width);
}

/* ---- classes ---- */

/* A tower that was opened; NULL: error set. */
static const oci_clip_tower *tower_of(oc_context *cx, const oci_clip_tower *tower,
                                      const char *name)
{
    if (!tower)
        oci_fail(cx, OC_E_ARGUMENT, "%s: this clip was opened without it", name);
    return tower;
}

static const oci_clip_tower *vision_of(oc_context *cx, const oci_dual *m)
{
    return tower_of(cx, m->vision, "vision_model");
}

static const oci_clip_tower *text_of(oc_context *cx, const oci_dual *m)
{
    return tower_of(cx, m->text, "text_model");
}

static oci_tensor *clip_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return vision_of(cx, model) && text_of(cx, model) ? oci_dual_forward(cx, model, in)
                                                      : NULL;
}

static oci_tensor *image_features(oc_context *cx, const void *model, const oc_tensors *in)
{
    return vision_of(cx, model) ? oci_dual_image_forward(cx, model, in) : NULL;
}

static oci_tensor *text_features(oc_context *cx, const void *model, const oc_tensors *in)
{
    return text_of(cx, model) ? oci_dual_text_forward(cx, model, in) : NULL;
}

static oci_tensor *vision_class(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_clip_tower *tower = vision_of(cx, model);
    if (tower) oci_clip_vision_run(cx, tower, in);
    return NULL;
}

static oci_tensor *text_class(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_clip_tower *tower = text_of(cx, model);
    if (tower) oci_clip_text_run(cx, tower, in);
    return NULL;
}

static oci_tensor *image_embeds_class(oc_context *cx, const void *model,
                                      const oc_tensors *in)
{
    const oci_dual *m = model;
    const oci_clip_tower *tower = vision_of(cx, m);
    if (tower) oci_clip_image_embeds(cx, tower, &m->visual_projection, in);
    return NULL;
}

static oci_tensor *text_embeds_class(oc_context *cx, const void *model,
                                     const oc_tensors *in)
{
    const oci_dual *m = model;
    const oci_clip_tower *tower = text_of(cx, m);
    if (tower) oci_clip_text_embeds(cx, tower, &m->text_projection, in);
    return NULL;
}

static const oci_class classes[] = {
    { "CLIPModel", oci_dual_inputs, clip_forward },
    { "CLIPModel.get_image_features", oci_dual_image_inputs, image_features },
    { "CLIPModel.get_text_features", oci_dual_text_inputs, text_features },
    { "CLIPVisionModel", oci_clip_vision_inputs, vision_class },
    { "CLIPTextModel", oci_clip_text_inputs, text_class },
    { "CLIPVisionModelWithProjection", oci_clip_vision_inputs, image_embeds_class },
    { "CLIPTextModelWithProjection", oci_clip_text_inputs, text_embeds_class }, { 0 }
};

const oci_arch oci_clip = {
    .model_type = "clip", .base_prefix = "clip.", .size = sizeof(clip),
    .classes = classes, .open = clip_open, .close = oci_dual_close, .walk = clip_walk };
