/* A model's weights as files: which parameters, under which names, of which type, and where
 * their values come from. The files themselves are io/weight_save.h's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "io/weight_save.h"
#include "models/foreign.h"
#include "models/model.h"
#include "nn/param.h"

/* One tensor to be: its parameter, or what a file has of it. */
typedef struct part {
    const oci_weight_ref *ref;  /* NULL: the values are the model's own */
    const oci_foreign_name *foreign;    /* as Keras or Flax have it; NULL: as PyTorch has it */
} part;

typedef struct plan {
    const oci_model *model;
    const oci_weights *weights;     /* NULL: the model's own values */
    oc_save_options options;
    const oci_weight_format *format;
    oci_param *params;              /* [room], their names in the arena */
    part *parts;                    /* [room], of the same indices … */
    oci_save_tensor *tensors;       /* … and so these */
    size_t count, room;
    bool *used;                     /* [weights->count] */
    oci_arena names;
    oci_weight_room read;           /* a tensor out of a file … */
    float *values;                  /* … or out of the model, */
    void *turned;                   /* and in another order */
} plan;

/* ---- what is written ------------------------------------------------------------------- */

static const oci_weight_ref *ref_of(const plan *p, const oci_param *param)
{
    return p->weights ? oci_model_weight(p->model->arch, p->weights, param->name) : NULL;
}

static void visit_count(oci_walker *walker, const oci_param *param)
{
    (void)param;
    ((plan *)walker->user)->room++;
}

static bool is_float(oc_dtype dtype)
{
    return dtype == OC_F32 || dtype == OC_BF16 || dtype == OC_F16 || dtype == OC_F64;
}

/* A trained model is written in the type it was trained in; integers stay what they are. */
static oc_dtype stored_dtype(const plan *p, const oci_param *param, const oci_weight_ref *ref)
{
    oc_dtype own = ref ? ref->entry->dtype : (*param->slot)->stored;
    if (!is_float(own)) return own;
    if (p->options.dtype) return p->options.dtype;
    if (own == OC_BF16 && p->format->layout == OCI_LAYOUT_KERAS) return OC_F32;
    return !ref && (p->model->trainable || own == OC_F64) ? OC_F32 : own;
}

/* The tensor that a tied parameter is a second name of; NULL: none, or it is not written. */
static const oci_save_tensor *first_name(const plan *p, const oci_param *param)
{
    for (size_t i = 0; param->tied && i < p->count; i++)
        if (p->params[i].slot == param->shared) return &p->tensors[i];
    return NULL;
}

static void add(oc_context *cx, plan *p, const oci_param *param, const oci_weight_ref *ref,
                const oci_save_tensor *first)
{
    /* A file's tensors keep its names, with or without the base model's prefix. */
    const char *name = ref ? ref->name : param->name;
    size_t size = strlen(name) + 1;
    char *copy = oci_arena_alloc(cx, &p->names, size);
    if (!copy) return;
    oci_param *own = &p->params[p->count];
    *own = *param;
    own->name = memcpy(copy, name, size);
    p->parts[p->count].ref = ref;
    oci_save_tensor *t = &p->tensors[p->count++];
    *t = (oci_save_tensor){ .name = copy, .dtype = stored_dtype(p, param, ref),
                            .rank = own->rank, .shape = own->shape, .same_as = first };
    if (!oci_shape_bytes(t->dtype, t->rank, t->shape, &t->bytes))
        oci_fail(cx, OC_E_LIMIT, "%s: %s: the number of bytes overflows", p->model->config.name,
                 copy);
}

static void visit_plan(oci_walker *walker, const oci_param *param)
{
    oc_context *cx = walker->cx;
    plan *p = walker->user;
    const oci_weight_ref *ref = ref_of(p, param);
    if (oci_failed(cx) || !(p->weights ? ref != NULL : *param->slot != NULL)) return;
    if (ref && !oci_weight_fits(cx, param, ref)) return;
    if (ref && p->used[ref - p->weights->refs]) return;
    if (ref) p->used[ref - p->weights->refs] = true;
    const oci_save_tensor *first = first_name(p, param);
    if (!first || p->format->keeps_ties) add(cx, p, param, ref, first);
}

/* What a folder has beyond the model: a head that we do not run, buffers. It stays, under its
 * name; for Keras and Flax as what its shape suggests, buffers apart, which they compute. */
static void add_rest(oc_context *cx, plan *p)
{
    for (size_t i = 0; p->weights && i < p->weights->count && !oci_failed(cx); i++) {
        const oci_weight_ref *ref = &p->weights->refs[i];
        if (p->used[i] || (p->format->layout != OCI_LAYOUT_TORCH &&
                           (!is_float(ref->entry->dtype) || oci_key_ignored(ref->name))))
            continue;
        oci_param param = { .name = ref->name, .rank = ref->entry->rank,
                            .kind = OCI_PARAM_PRODUCT };
        memcpy(param.shape, ref->entry->shape, sizeof param.shape);
        add(cx, p, &param, ref, NULL);
    }
}

/* Names, shapes and orders of Keras or Flax in place of PyTorch's. */
static void translate(oc_context *cx, plan *p)
{
    oci_foreign foreign;
    if (oci_failed(cx) || p->format->layout == OCI_LAYOUT_TORCH) return;
    if (!oci_foreign_begin(cx, p->model, p->format->layout, p->params, p->count, &foreign)) return;
    for (size_t i = 0; i < p->count; i++) {
        oci_foreign_name *n = oci_arena_alloc(cx, &p->names, sizeof *n);
        if (!n || !oci_foreign_entry(cx, &foreign, p->params, i, n)) return;
        p->parts[i].foreign = n;
        p->tensors[i].name = n->name;
        p->tensors[i].rank = n->rank;
        p->tensors[i].shape = n->shape;
    }
}

/* ---- where values come from ------------------------------------------------------------ */

/* In PyTorch's order. The last tensor's values are gone before the next one's are made. */
static const void *values_of(oc_context *cx, plan *p, size_t index, oc_dtype *dtype)
{
    const oci_weight_ref *ref = p->parts[index].ref;
    if (ref) {
        *dtype = ref->entry->dtype;
        return oci_weight_bytes(cx, ref, &p->read);
    }
    *dtype = OC_F32;
    oci_free(p->values);
    return p->values = oci_param_values(cx, &p->params[index]);
}

static const void *fetch(oc_context *cx, void *user, const oci_save_tensor *tensor,
                         oc_dtype *dtype)
{
    plan *p = user;
    const size_t index = (size_t)(tensor - p->tensors);
    const oci_foreign_name *foreign = p->parts[index].foreign;
    oci_free(p->turned);
    p->turned = NULL;
    const void *data = values_of(cx, p, index, dtype);
    if (!data || !foreign || !foreign->moves) return data;
    oci_entry own = { .dtype = *dtype, .rank = p->params[index].rank };
    memcpy(own.shape, p->params[index].shape, sizeof own.shape);
    if (oci_shape_bytes(own.dtype, own.rank, own.shape, &own.bytes))
        p->turned = oci_alloc(cx, own.bytes);
    if (p->turned) oci_layout_permute(&own, foreign->order, data, p->turned);
    return p->turned;
}

/* ---- files ----------------------------------------------------------------------------- */

/* Transformers' shard_checkpoint has 5 GB, those of TensorFlow and Flax 10 GB. */
static uint64_t shard_bytes(const plan *p)
{
    if (p->options.max_shard_size) return p->options.max_shard_size;
    return p->format->layout == OCI_LAYOUT_TORCH ? UINT64_C(5000000000)
                                                 : UINT64_C(10000000000);
}

static void write_weights(oc_context *cx, plan *p, const char *folder)
{
    oci_save_source source = { fetch, p };
    if (p->weights) p->used = oci_calloc(cx, p->weights->count, sizeof *p->used);
    if (p->weights) p->room = p->weights->count;
    else oci_model_walk(cx, p->model, visit_count, p);
    p->params = oci_calloc(cx, p->room, sizeof *p->params);
    p->parts = oci_calloc(cx, p->room, sizeof *p->parts);
    p->tensors = oci_calloc(cx, p->room, sizeof *p->tensors);
    if (p->tensors) oci_model_walk(cx, p->model, visit_plan, p);
    add_rest(cx, p);
    translate(cx, p);
    if (!oci_failed(cx))
        oci_weights_save(cx, folder, p->format, p->tensors, p->count, shard_bytes(p), &source);
    oci_free(p->turned);
    oci_free(p->values);
    oci_weight_room_free(&p->read);
    oci_arena_deinit(&p->names);
    oci_free(p->tensors);
    oci_free(p->parts);
    oci_free(p->params);
    oci_free(p->used);
}

/* The config as it was read; only the type of the weights follows what is written. */
static void write_config(oc_context *cx, const plan *p, const char *folder)
{
    char path[OCI_MAX_PATH];
    const oc_dtype dtype = p->options.dtype ? p->options.dtype
                         : p->model->trainable ? OC_F32 : OC_DTYPE_COUNT;
    json_t *copy = json_copy(p->model->config.root);
    if (!copy) {
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for a copy", p->model->config.name);
        return;
    }
    if (dtype != OC_DTYPE_COUNT) {
        json_object_del(copy, "dtype");
        json_object_set_new(copy, "torch_dtype", json_string(dtype == OC_BF16 ? "bfloat16" :
                                                 dtype == OC_F16 ? "float16" : "float32"));
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    oci_json_save(cx, copy, path);
    json_decref(copy);
}

static bool read_options(oc_context *cx, plan *p, const oc_save_options *options)
{
    char suffix[32];
    const oc_save_options *o = &p->options;
    p->options = (oc_save_options){ .size = sizeof *o };
    oci_take_options(&p->options, sizeof *o, options);
    snprintf(suffix, sizeof suffix, ".%s", o->format ? o->format : "safetensors");
    p->format = oci_weight_format_by(suffix);
    if (!p->format)
        oci_fail(cx, OC_E_ARGUMENT, "save: format: expected safetensors, bin, h5 or msgpack, found "
                 "%.20s", o->format);
    else if (!p->format->save)
        oci_fail(cx, OC_E_UNSUPPORTED, "save: format: %s is not written", o->format);
    if (o->dtype && o->dtype != OC_F32 && o->dtype != OC_BF16 && o->dtype != OC_F16)
        oci_fail(cx, OC_E_ARGUMENT, "save: dtype: expected F32, BF16 or F16");
    return !oci_failed(cx);
}

oc_status oci_model_write(oc_context *cx, const oci_model *model, const oci_weights *weights,
                          const char *folder, const oc_save_options *options)
{
    plan p = { .model = model, .weights = weights };
    if (!oci_failed(cx) && read_options(cx, &p, options)) write_weights(cx, &p, folder);
    if (!oci_failed(cx)) write_config(cx, &p, folder);
    return cx->status;
}
