/* A model's weights as files: which parameters, under which names, of which type, and where
 * their values come from. The files themselves are io/weight_save.h's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "io/weight_save.h"
#include "models/model.h"
#include "nn/param.h"

/* One tensor to be: its parameter, or what a file has of it. */
typedef struct part {
    oci_param param;            /* name NULL: a walk's names do not last */
    const oci_weight_ref *ref;  /* NULL: the values are the model's own */
} part;

typedef struct plan {
    const oci_model *model;
    const oci_weights *weights;     /* NULL: the model's own values */
    oc_save_options options;
    const oci_weight_format *format;
    part *parts;                    /* [room] */
    oci_save_tensor *tensors;       /* [room], of the same indices */
    size_t count, room;
    oci_arena names;
    oci_weight_room read;           /* a tensor out of a file … */
    float *values;                  /* … or out of the model */
} plan;

/* ---- what is written ------------------------------------------------------------------- */

static bool is_written(const plan *p, const oci_param *param, const oci_weight_ref *ref)
{
    bool there = p->weights ? ref != NULL : *param->slot != NULL;
    return there && (!param->tied || p->format->keeps_ties);
}

static const oci_weight_ref *ref_of(const plan *p, const oci_param *param)
{
    return p->weights ? oci_model_weight(p->model->arch, p->weights, param->name) : NULL;
}

static void visit_count(oci_walker *walker, const oci_param *param)
{
    plan *p = walker->user;
    p->room += is_written(p, param, ref_of(p, param));
}

/* A trained model is written in the type it was trained in. */
static oc_dtype stored_dtype(const plan *p, const oci_param *param, const oci_weight_ref *ref)
{
    if (p->options.dtype) return p->options.dtype;
    if (ref) return ref->entry->dtype;
    oc_dtype own = (*param->slot)->stored;
    return p->model->trainable || own == OC_F64 ? OC_F32 : own;
}

/* The tensor that a tied parameter is a second name of. */
static const oci_save_tensor *first_name(const plan *p, const oci_param *param)
{
    for (size_t i = 0; param->tied && i < p->count; i++)
        if (p->parts[i].param.slot == param->shared) return &p->tensors[i];
    return NULL;
}

static void visit_plan(oci_walker *walker, const oci_param *param)
{
    oc_context *cx = walker->cx;
    plan *p = walker->user;
    const oci_weight_ref *ref = ref_of(p, param);
    if (oci_failed(cx) || !is_written(p, param, ref) || p->count == p->room) return;
    if (ref && !oci_weight_fits(cx, param, ref)) return;
    part *own = &p->parts[p->count];
    size_t size = strlen(param->name) + 1;
    char *name = oci_arena_alloc(cx, &p->names, size);
    if (!name) return;
    memcpy(name, param->name, size);
    *own = (part){ .param = *param, .ref = ref };
    own->param.name = name;
    oci_save_tensor *t = &p->tensors[p->count];
    *t = (oci_save_tensor){ .name = name, .dtype = stored_dtype(p, param, ref),
                            .rank = param->rank, .shape = own->param.shape,
                            .same_as = first_name(p, param) };
    if (!oci_shape_bytes(t->dtype, t->rank, t->shape, &t->bytes))
        oci_fail(cx, OC_E_LIMIT, "%s: %s: the number of bytes overflows", p->model->config.name,
                 name);
    p->count++;
}

/* ---- where values come from ------------------------------------------------------------ */

/* The last tensor's values are gone before the next one's are made: one at a time. */
static const void *fetch(oc_context *cx, void *user, const oci_save_tensor *tensor,
                         oc_dtype *dtype)
{
    plan *p = user;
    const part *own = &p->parts[tensor - p->tensors];
    if (own->ref) {
        *dtype = own->ref->entry->dtype;
        return oci_weight_bytes(cx, own->ref, &p->read);
    }
    *dtype = OC_F32;
    oci_free(p->values);
    return p->values = oci_param_values(cx, &own->param);
}

/* ---- files ----------------------------------------------------------------------------- */

/* Transformers' shard_checkpoint has 5 GB, those of TensorFlow and Flax 10 GB. */
static uint64_t shard_bytes(const plan *p)
{
    if (p->options.max_shard_size) return p->options.max_shard_size;
    return p->format->keeps_ties || !strcmp(p->format->suffix, ".safetensors")
           ? UINT64_C(5000000000) : UINT64_C(10000000000);
}

static void write_weights(oc_context *cx, plan *p, const char *folder)
{
    oci_save_source source = { fetch, p };
    oci_model_walk(cx, p->model, visit_count, p);
    p->parts = oci_calloc(cx, p->room, sizeof *p->parts);
    p->tensors = oci_calloc(cx, p->room, sizeof *p->tensors);
    if (p->parts && p->tensors) oci_model_walk(cx, p->model, visit_plan, p);
    if (!oci_failed(cx))
        oci_weights_save(cx, folder, p->format, p->tensors, p->count, shard_bytes(p), &source);
    oci_free(p->values);
    oci_weight_room_free(&p->read);
    oci_arena_deinit(&p->names);
    oci_free(p->tensors);
    oci_free(p->parts);
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
