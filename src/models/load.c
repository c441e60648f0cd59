/* Loading, counting and freeing parameters: visitors of the walk. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "io/weights.h"
#include "models/make.h"
#include "models/memory.h"
#include "models/prune.h"
#include "nn/fill.h"
#include "nn/param.h"

/* ---- opening the architecture ---- */

/* As save_pretrained would write it for a model of that class. */
static void choose_class(oc_context *cx, const oci_model *model, const char *name)
{
    if (!name || !oci_model_class(cx, model, name)) return;
    if (json_object_set_new(model->config.root, "architectures", json_pack("[s]", name)))
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for architectures", model->config.name);
}

static bool open_as(oc_context *cx, oci_model *model, const char *class_name)
{
    const oci_json *doc = &model->config;
    oci_config_source from = { .doc = doc, .object = doc->root, .path = "" };
    const char *type = oci_json_text(cx, doc, from.object, "model_type", NULL);
    if (!type) oci_config_fail(cx, &from, "model_type", "required, but missing");
    else if (!(model->arch = oci_arch_find(type)))
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: model_type: \"%.40s\" is not known to this build", doc->name, type);
    else
        choose_class(cx, model, class_name);
    if (!oci_failed(cx) && (model->root = oci_calloc(cx, 1, model->arch->size)))
        model->arch->open(cx, &from, model->root);
    if (model->root) oci_heads_check(cx, &from, model->arch);
    model->has_slots = !oci_failed(cx);
    if (oci_failed(cx)) oci_model_unload(model);
    return !oci_failed(cx);
}

bool oci_model_open_config(oc_context *cx, oci_model *model)
{
    return open_as(cx, model, NULL);
}

bool oci_model_load_config(oc_context *cx, oci_model *model, const char *folder,
                           const char *class_name)
{
    *model = (oci_model){ 0 };
    char path[OCI_MAX_PATH];
    snprintf(path, sizeof path, "%s/config.json", folder);
    return oci_json_open(cx, &model->config, path) && open_as(cx, model, class_name);
}

void oci_model_walk(oc_context *cx, const oci_model *model,
                    void (*visit)(oci_walker *, const oci_param *), void *user)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_walker walker = { .cx = cx, .visit = visit, .user = user };
    model->arch->walk(OCI_WALK_ROOT(&walker), model->root);
    if (!cx->tape) oci_arena_reset(&cx->arena, mark);
}

/* A parameter owns its elements (raw or in panels) and, after an interrupted backward, a
 * gradient on the heap. */
static void visit_free(oci_walker *walker, const oci_param *param)
{
    (void)walker;
    if (!param->tied) oci_param_free(*param->slot);
    *param->slot = NULL;
}

/* Walks with a context of its own: freeing must work when the caller's holds an error. */
void oci_model_unload(oci_model *model)
{
    oc_context_options alone = OC_OPTIONS(oc_context_options, .threads = 1);
    oc_context *cx = model->has_slots ? oc_context_create(&alone) : NULL;
    if (cx) oci_model_walk(cx, model, visit_free, NULL);
    oc_context_free(cx);
    if (model->root) model->arch->close(model->root);
    oci_free(model->root);
    oci_json_close(&model->config);
    for (size_t i = 0; i < model->fresh_count; i++) oci_free(model->fresh[i]);
    oci_free(model->fresh);
    *model = (oci_model){ 0 };
}

/* ---- weights into parameters ---- */

typedef struct loader {
    const oci_weights *weights;
    const oci_arch *arch;
    oci_load_how how;
    bool *used;                 /* [weights->count] */
    oci_weight_room room;
} loader;

/* The one place where what the config promises meets what the file has. */
bool oci_weight_fits(oc_context *cx, const oci_param *p, const oci_weight_ref *ref)
{
    const oci_entry *e = ref->entry;
    oci_tensor expected = { .rank = p->rank }, found = { .rank = e->rank };
    memcpy(expected.shape, p->shape, sizeof p->shape);
    memcpy(found.shape, e->shape, sizeof found.shape);
    char a[128], b[128];
    const bool blocks = oci_dtype_is_blocks(e->dtype);
    bool is_float = e->dtype == OC_F32 || e->dtype == OC_BF16 || e->dtype == OC_F16 ||
                    e->dtype == OC_F64;
    /* Keras has dimensions of 1 where PyTorch has none, and the other way round. */
    bool same = ref->file->layout == OCI_LAYOUT_KERAS ||
                ref->file->layout == OCI_LAYOUT_KERAS_FLAT
                ? oci_tensor_count(&expected) == oci_tensor_count(&found)
                : oci_same_shape(&expected, &found);
    if (!same)
        oci_fail(cx, OC_E_MALFORMED, "%s: tensor %s: expected shape %s, found %s",
                 ref->file->path, ref->name, oci_shape_text(&expected, a),
                 oci_shape_text(&found, b));
    else if (blocks && (!oci_param_takes_blocks(p) ||
                        e->turned != (p->kind == OCI_PARAM_TURNED)))
        oci_fail(cx, OC_E_MALFORMED, "%s: tensor %s: expected numbers%s, found %s%s",
                 ref->file->path, ref->name, oci_param_takes_blocks(p) ?
                 " or weights in blocks of its own order" : "", oci_dtype_name(e->dtype),
                 e->turned ? ", turned" : "");
    else if (!is_float && !blocks)
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: tensor %s: expected F32, BF16, F16 or F64, found %s",
                 ref->file->path, ref->name, oci_dtype_name(e->dtype));
    return !oci_failed(cx);
}

static const oci_weight_ref *find_joined(const oci_weights *weights, const char *front,
                                         const char *rest)
{
    char name[OCI_MAX_NAME];
    int n = snprintf(name, sizeof name, "%s%s", front, rest);
    return n < (int)sizeof name ? oci_weights_find(weights, name) : NULL;
}

/* Files of a model with a head have the base model's names behind its prefix ("vit."),
 * files of a base model (and GPT-2's) have not; either serves for either. */
const oci_weight_ref *oci_model_weight(const oci_arch *arch, const oci_weights *weights,
                                       const char *name)
{
    const char *prefix = arch->base_prefix;
    const oci_weight_ref *ref = oci_weights_find(weights, name);
    for (const oci_other_name *o = arch->other_names; !ref && o && o->ours; o++)
        if (!strncmp(name, o->ours, strlen(o->ours)))
            ref = find_joined(weights, o->theirs, name + strlen(o->ours));
    if (ref || !prefix) return ref;
    size_t n = strlen(prefix);
    if (!strncmp(name, prefix, n)) return oci_weights_find(weights, name + n);
    return find_joined(weights, prefix, name);
}

/* What a parameter is made of, checked. NULL: nothing, or an error is set; of what is
 * missing one message tells, when all is seen. */
static const oci_weight_ref *find_weight(oc_context *cx, loader *from, const oci_param *p)
{
    if (oci_failed(cx)) return NULL;
    const oci_weight_ref *ref = oci_model_weight(from->arch, from->weights, p->name);
    if (!ref) return NULL;
    from->used[ref - from->weights->refs] = true;
    return oci_weight_fits(cx, p, ref) ? ref : NULL;
}

static void warn_nan(oc_context *cx, const oci_weight_ref *ref)
{
    oci_log(cx, OC_LOG_WARNING, "%s: tensor %s: expected numbers, found NaN",
            ref->file->path, ref->name);
}

/* What is not there yet. The first fault stays in the context and makes the rest of the
 * walk do nothing. */
static void visit_load(oci_walker *walker, const oci_param *p)
{
    loader *from = walker->user;
    if (*p->slot && !p->tied) return;
    const oci_weight_ref *ref = find_weight(walker->cx, from, p);
    if (ref && oci_weight_load(walker->cx, p, ref, &from->how, &from->room))
        warn_nan(walker->cx, ref);
}

/* ---- small tensors: a thread takes one after the other ----------------------------- */

/* Larger ones (a table of words) are read alone, so that no more than one of them is held
 * beside its form in memory; their packing is cut across the threads. */
enum { SMALL_BYTES = 8 << 20 };

typedef struct small_tensor {
    oci_param param;
    const oci_weight_ref *ref;
    bool has_nan;
} small_tensor;

typedef struct crew {
    loader *from;
    small_tensor *tensors;      /* [room], of which `count` are filled */
    int64_t count, room;
    size_t bytes;               /* of all of them, as the files have them */
} crew;

static void visit_count(oci_walker *walker, const oci_param *p)
{
    (void)p;
    ((crew *)walker->user)->room++;
}

/* Mapping is for one thread at a time, and takes none of them long. */
static bool is_mapped(const oci_param *p, const oci_weight_ref *ref)
{
    return ref->file->blocks &&
           (oci_dtype_is_blocks(ref->entry->dtype) || p->kind == OCI_PARAM_TABLE);
}

/* Second names are left for later: they share their slot with the first. */
static void visit_small(oci_walker *walker, const oci_param *p)
{
    crew *c = walker->user;
    const oci_weight_ref *ref = p->tied ? NULL : find_weight(walker->cx, c->from, p);
    if (!ref || ref->entry->bytes > SMALL_BYTES || !ref->file->format->shared_reads ||
        is_mapped(p, ref)) return;
    c->tensors[c->count] = (small_tensor){ .param = *p, .ref = ref };
    c->tensors[c->count++].param.name = ref->name;      /* the walk's own ends with it */
    c->bytes += oci_param_bytes(walker->cx, p, oci_param_dtype(p, ref->entry->dtype,
                                c->from->how.dtype), c->from->how.trainable);
}

static void load_small(oc_context *cx, void *user, int64_t index, oci_weight_room *room)
{
    const crew *c = user;
    small_tensor *t = &c->tensors[index];
    t->has_nan = oci_weight_load(cx, &t->param, t->ref, &c->from->how, room);
}

static void load_small_tensors(oc_context *cx, const oci_model *model, loader *from)
{
    crew c = { .from = from };
    oci_model_walk(cx, model, visit_count, &c);
    c.tensors = oci_calloc(cx, (size_t)c.room, sizeof *c.tensors);
    if (c.tensors) oci_model_walk(cx, model, visit_small, &c);
    oci_params_fill(cx, c.count, c.bytes, load_small, &c);
    for (int64_t i = 0; i < c.count && !oci_failed(cx); i++)
        if (c.tensors[i].has_nan) warn_nan(cx, c.tensors[i].ref);
    oci_free(c.tensors);
}

/* Buffers that older versions of Transformers saved and newer ones compute. */
bool oci_key_ignored(const char *name)
{
    static const char *const endings[] = { "position_ids", ".attn.bias", "masked_bias",
        "relative_position_index", "_float_tensor", "crossattention.bias",
        "rotary_emb.inv_freq" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t k = strlen(endings[i]);
        if (n >= k && !strcmp(name + n - k, endings[i])) return true;
    }
    return false;
}

/* One line however many there are: a checkpoint with another head has hundreds. */
static void warn_unused(oc_context *cx, const loader *from)
{
    size_t unused = 0;
    const char *first = NULL;
    for (size_t i = 0; i < from->weights->count; i++) {
        const char *name = from->weights->refs[i].name;
        if (from->used[i] || oci_key_ignored(name)) continue;
        if (!first) first = name;
        unused++;
    }
    if (unused)
        oci_log(cx, OC_LOG_WARNING,
                "%s: %zu tensors are not part of this model and were left out, the first "
                "of them %s",
                from->weights->folder, unused, first);
}

/* ---- what no file has ---- */

enum { MISSING_SHOWN = 8 };

typedef struct missing_names {
    char text[OCI_MAX_MESSAGE / 2];
    size_t length, count;
} missing_names;

/* Of tied ones either name will do: a slot that is empty has got neither. */
static void visit_missing(oci_walker *walker, const oci_param *p)
{
    missing_names *m = walker->user;
    if (p->optional || *p->slot) return;
    if (m->count++ < MISSING_SHOWN && m->length < sizeof m->text)
        m->length += (size_t)snprintf(m->text + m->length, sizeof m->text - m->length,
                                      "%s%s", m->length ? ", " : "", p->name);
}

/* Transformers would go on, and warn: right before training,
 * and a wrong answer otherwise. */
static void refuse_missing(oc_context *cx, const oci_model *model, const char *folder)
{
    missing_names m = { .count = 0 };
    const json_t *names = json_object_get(model->config.root, "architectures");
    const char *class_name = json_string_value(json_array_get(names, 0));
    char more[48] = "";
    oci_model_walk(cx, model, visit_missing, &m);
    if (m.count > MISSING_SHOWN)
        snprintf(more, sizeof more, " and %zu more", m.count - MISSING_SHOWN);
    if (m.count && !oci_failed(cx))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: %s: required, but missing: %s%s; Transformers would initialise "
                 "them anew; --allow-missing does so",
                 folder, class_name ? class_name : model->arch->classes[0].name, m.text,
                 more);
}

static void draw_missing(oc_context *cx, oci_model *model, const char *folder)
{
    oci_model_complete(cx, model, 0);
    if (model->fresh_count && !oci_failed(cx))
        oci_log(cx, OC_LOG_WARNING,
                "%s: %zu parameters are in no file and were made afresh, the first of "
                "them %s",
                folder, model->fresh_count, model->fresh[0]);
}

static bool check_dtype(oc_context *cx, const char *folder, const oc_model_options *o)
{
    const bool blocks = oci_dtype_is_blocks(o->weights_dtype);
    if (o->weights_dtype && o->weights_dtype != OC_F32 && o->weights_dtype != OC_BF16 &&
        o->weights_dtype != OC_F16 && !blocks)
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: weights_dtype: expected F32, BF16, F16, INT8, INT8_CHANNEL or "
                 "INT4, found %s",
                 folder, oci_dtype_name(o->weights_dtype));
    else if (blocks && o->trainable)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: weights of %s cannot be trained: gradients need F32", folder,
                 oci_dtype_name(o->weights_dtype));
    return !oci_failed(cx);
}

bool oci_model_load(oc_context *cx, oci_model *model, const char *folder,
                    const oc_model_options *options)
{
    oci_weights weights = { 0 };
    if (!oci_model_load_config(cx, model, folder, options->class_name)) return false;
    model->trainable = options->trainable;
    if (check_dtype(cx, folder, options) &&
        oci_weights_open(cx, &weights, folder, options->weights, options->map)) {
        loader from = { .weights = &weights, .arch = model->arch,
                        .how = { .dtype = options->weights_dtype, .copy = options->no_map,
                                 .trainable = options->trainable } };
        from.used = oci_calloc(cx, weights.count, sizeof *from.used);
        if (from.used && oci_memory_check(cx, model, &weights, options)) {
            load_small_tensors(cx, model, &from);
            oci_model_walk(cx, model, visit_load, &from);
            if (!oci_failed(cx) && options->allow_missing)
                draw_missing(cx, model, folder);
            else if (!oci_failed(cx)) refuse_missing(cx, model, folder);
            if (!oci_failed(cx)) warn_unused(cx, &from);
        }
        oci_free(from.used);
        oci_weight_room_free(&from.room);
        oci_weights_close(&weights);
    }
    if (oci_failed(cx)) oci_model_unload(model);
    return !oci_failed(cx);
}
