#include "models/make.h"

#include <string.h>

#include "base/size.h"
#include "nn/param.h"

/* What visitors know while a model is made of nothing, or of two. */
typedef struct maker {
    oci_model *model;
    uint64_t seed;
    bool trainable;
    const oci_joint *joint;     /* where two models are joined … */
    oci_weights weights[2];     /* … and these are theirs */
    const oci_arch *arch[2];
    oci_weight_room weight_room;
    size_t room;                /* of model->fresh */
} maker;

/* ---- drawing ---- */

/* Of a scalar: 1. */
static int64_t rows_of(const oci_param *p) { return p->rank ? p->shape[0] : 1; }

/* Values of rows `first` … of a parameter, in the file's order; a new block. */
static float *drawn(oc_context *cx, const oci_param *p, uint64_t seed, int64_t first,
                    int64_t rows)
{
    int64_t width = oci_param_count(p) / rows_of(p);
    size_t n;
    if (!oci_mul((size_t)rows, (size_t)width, &n)) n = SIZE_MAX;
    float *values = oci_calloc(cx, n, sizeof *values);
    if (values) oci_init_fill(&p->init, seed, p->name, first, rows, width, values);
    return values;
}

static void make(oc_context *cx, const maker *m, const oci_param *p)
{
    float *values = drawn(cx, p, m->seed, 0, rows_of(p));
    if (values) oci_param_set(cx, p, OC_F32, values, m->trainable);
    oci_free(values);
}

static void visit_make(oci_walker *walker, const oci_param *p)
{
    const maker *m = walker->user;
    if (oci_failed(walker->cx) || p->tied || p->init.kind == OCI_INIT_ABSENT) return;
    make(walker->cx, m, p);
}

bool oci_model_make(oc_context *cx, oci_model *model, uint64_t seed, bool trainable)
{
    maker m = { .model = model, .seed = seed, .trainable = trainable };
    if (!oci_model_open_config(cx, model)) return false;
    model->trainable = trainable;
    oci_model_walk(cx, model, visit_make, &m);
    if (oci_failed(cx)) oci_model_unload(model);
    return !oci_failed(cx);
}

/* ---- joining ---- */

static void note_fresh(oc_context *cx, maker *m, const char *name)
{
    oci_model *model = m->model;
    if (model->fresh_count == m->room) {
        size_t room = m->room ? m->room * 2 : 64;
        char **names = oci_realloc(cx, model->fresh, room * sizeof *names);
        if (!names) return;
        model->fresh = names;
        m->room = room;
    }
    char *copy = oci_strdup(cx, name);
    if (copy) model->fresh[model->fresh_count++] = copy;
}

/* Keys of the config, prefixes of names, and prefixes of
 * from_encoder_decoder_pretrained's arguments for a part. */
const oci_joint *oci_joint_find(const char *model_type)
{
    static const oci_joint joints[] = {
        { "vision-encoder-decoder", "VisionEncoderDecoderModel", { "encoder", "decoder" },
          { "encoder.", "decoder." }, { "encoder_", "decoder_" } },
        { "vision-text-dual-encoder", "VisionTextDualEncoderModel",
          { "vision_config", "text_config" }, { "vision_model.", "text_model." },
          { "vision_", "text_" } },
    };
    for (size_t i = 0; i < sizeof joints / sizeof *joints; i++)
        if (!strcmp(joints[i].model_type, model_type)) return &joints[i];
    return NULL;
}

static void visit_join(oci_walker *walker, const oci_param *p)
{
    oc_context *cx = walker->cx;
    maker *m = walker->user;
    const oci_weight_ref *ref = NULL;
    if (oci_failed(cx)) return;
    for (int i = 0; i < 2; i++)
        if (!strncmp(p->name, m->joint->names[i], strlen(m->joint->names[i])))
            ref = oci_model_weight(m->arch[i], &m->weights[i],
                                   p->name + strlen(m->joint->names[i]));
    if (!ref || !oci_weight_fits(cx, p, ref)) return;
    const oci_load_how how = { .trainable = m->trainable };
    oci_weight_load(cx, p, ref, &how, &m->weight_room);
}

/* After all that is in a file has its place, also under its second name. */
static void visit_complete(oci_walker *walker, const oci_param *p)
{
    maker *m = walker->user;
    if (oci_failed(walker->cx) || p->tied || *p->slot || p->init.kind == OCI_INIT_ABSENT)
        return;
    make(walker->cx, m, p);
    note_fresh(walker->cx, m, p->name);
}

void oci_model_complete(oc_context *cx, oci_model *model, uint64_t seed)
{
    maker m = { .model = model, .seed = seed, .trainable = model->trainable };
    oci_model_walk(cx, model, visit_complete, &m);
}

/* The architecture of a part, by the config. */
static const oci_arch *arch_of(const oci_model *model, const char *part)
{
    const json_t *config = json_object_get(model->config.root, part);
    const char *type = json_string_value(json_object_get(config, "model_type"));
    return type ? oci_arch_find(type) : NULL;
}

bool oci_model_join(oc_context *cx, oci_model *model, const char *const folders[2],
                    uint64_t seed, bool trainable)
{
    maker m = { .model = model, .seed = seed, .trainable = trainable };
    if (!oci_model_open_config(cx, model)) return false;
    model->trainable = trainable;
    m.joint = oci_joint_find(model->arch->model_type);
    for (int i = 0; i < 2 && m.joint; i++)
        m.arch[i] = arch_of(model, m.joint->configs[i]);
    if (m.arch[0] && m.arch[1] &&
        oci_weights_open(cx, &m.weights[0], folders[0], NULL, false)) {
        if (oci_weights_open(cx, &m.weights[1], folders[1], NULL, false)) {
            oci_model_walk(cx, model, visit_join, &m);
            oci_model_walk(cx, model, visit_complete, &m);
            oci_weights_close(&m.weights[1]);
        }
        oci_weights_close(&m.weights[0]);
    }
    oci_weight_room_free(&m.weight_room);
    if (model->fresh_count && !oci_failed(cx))
        oci_log(cx, OC_LOG_WARNING,
                "%zu parameters are in neither folder and were made afresh, "
                "the first of them %s",
                model->fresh_count, model->fresh[0]);
    if (oci_failed(cx)) oci_model_unload(model);
    return !oci_failed(cx);
}

/* ---- other shapes ---- */

/* 0: it has no token embeddings. */
int64_t oci_model_tokens(const oci_model *model)
{
    const oci_arch *arch = model->arch;
    const void *root = model->root;
    if (arch->tokens_part) arch = arch->part(model->root, arch->tokens_part, &root);
    return arch && arch->decoder_shape ? arch->decoder_shape(root).vocab_size : 0;
}

/* vocab_size of the part that has the tokens, and at the top where that says it, too. */
static bool set_tokens(json_t *config, const char *part, int64_t tokens)
{
    json_t *of = part ? json_object_get(config, part) : config;
    if (!json_is_object(of) && json_object_set_new(config, part, of = json_object()))
        return false;
    if (part && json_object_get(config, "vocab_size") &&
        json_object_set_new(config, "vocab_size", json_integer(tokens))) return false;
    return json_object_set_new(of, "vocab_size", json_integer(tokens)) == 0;
}

typedef struct rebuilder {
    oci_param *old; /* [count] parameters of the model as it is, in walk order */
    size_t count, room, at;
    const oci_model *next;
    oci_rebuild_change change;
    void *user;
} rebuilder;

/* First how many, so that the copies of the descriptors lie in one block. */
static void visit_number(oci_walker *walker, const oci_param *p)
{
    (void)p;
    ((rebuilder *)walker->user)->room++;
}

static void visit_collect(oci_walker *walker, const oci_param *p)
{
    rebuilder *r = walker->user;
    if (r->count < r->room) r->old[r->count++] = *p;
}

/* Both walks name the same parameters in the same order: shapes alone depend on what is
 * changed in the config. */
static void visit_change(oci_walker *walker, const oci_param *p)
{
    rebuilder *r = walker->user;
    const oci_param *old = &r->old[r->at];
    if (oci_failed(walker->cx) || r->at++ >= r->count || p->tied || !*old->slot) return;
    if (memcmp(old->shape, p->shape, sizeof p->shape))
        r->change(walker->cx, r->next, old, p, r->user);
}

/* Cannot fail: what was not made anew changes hands. */
static void visit_take(oci_walker *walker, const oci_param *p)
{
    rebuilder *r = walker->user;
    const oci_param *old = &r->old[r->at++];
    if (p->tied || *p->slot) return;
    *p->slot = *old->slot;
    *old->slot = NULL;
}

/* A config as a document of its own. */
static bool parse_config(oc_context *cx, const char *name, const json_t *config,
                         oci_json *doc)
{
    char *text = oci_json_text_of(cx, config);
    bool good = text && oci_json_parse(cx, doc, name, text, strlen(text));
    oci_free(text);
    return good;
}

/* Which parameters no file had stays known, whatever became of their shapes. */
static void replace(oci_model *model, oci_model *next)
{
    next->trainable = model->trainable;
    next->fresh = model->fresh;
    next->fresh_count = model->fresh_count;
    model->fresh = NULL;
    model->fresh_count = 0;
    oci_model_unload(model);
    *model = *next;
}

bool oci_model_rebuild(oc_context *cx, oci_model *model, const json_t *config,
                       oci_rebuild_change change, void *user)
{
    oci_model next = { .trainable = model->trainable };
    rebuilder r = { .next = &next, .change = change, .user = user };
    oci_model_walk(cx, model, visit_number, &r);
    r.old = oci_calloc(cx, r.room, sizeof *r.old);
    if (r.old && parse_config(cx, model->config.name, config, &next.config) &&
        oci_model_open_config(cx, &next)) {
        oci_model_walk(cx, model, visit_collect, &r);
        oci_model_walk(cx, &next, visit_change, &r);
        r.at = 0;
        if (oci_failed(cx)) {
            oci_model_unload(&next);
        } else {
            oci_model_walk(cx, &next, visit_take, &r);
            replace(model, &next);
        }
    }
    oci_free(r.old);
    return !oci_failed(cx);
}

/* A table whose number of rows changed: its old rows, and drawn ones behind. */
static void resize(oc_context *cx, const oci_model *next, const oci_param *old,
                   const oci_param *p, void *user)
{
    (void)next;
    const oci_tensor *t = *old->slot;
    int64_t N = p->shape[0], kept = oci_min(N, old->shape[0]);
    int64_t width = oci_param_count(p) / N;
    oci_param added = *p;
    added.init.zero_row = false;        /* the new rows' table has no padding_idx there */
    float *values = drawn(cx, &added, *(const uint64_t *)user, 0, N);
    float *before = oci_param_values(cx, old);
    void *data = oci_calloc(cx, (size_t)(N * width), oci_dtype_size(t->stored));
    if (values && before && data) {
        memcpy(values, before, (size_t)(kept * width) * sizeof *values);
        oci_dtype_from_f32(t->stored, values, data, (size_t)(N * width));
        oci_param_set(cx, p, t->stored, data, t->requires_grad);
    }
    oci_free(values);
    oci_free(before);
    oci_free(data);
}

bool oci_model_resize_tokens(oc_context *cx, oci_model *model, int64_t tokens,
                             uint64_t seed)
{
    json_t *config = json_deep_copy(model->config.root);
    if (!config || !set_tokens(config, model->arch->tokens_part, tokens))
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for a copy", model->config.name);
    else
        oci_model_rebuild(cx, model, config, resize, &seed);
    json_decref(config);
    return !oci_failed(cx);
}

/* ---- counting ---- */

static void visit_count(oci_walker *walker, const oci_param *p)
{
    if (!p->tied && *p->slot) *(int64_t *)walker->user += oci_param_count(p);
}

int64_t oci_model_count(oc_context *cx, const oci_model *model)
{
    int64_t count = 0;
    oci_model_walk(cx, model, visit_count, &count);
    return count;
}
