/* A model's weights as files: which parameters, under which names, of which type, and
 * where their values come from. The files themselves are io/weight_save.h's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/mask.h"
#include "base/size.h"
#include "io/weight_save.h"
#include "models/foreign.h"
#include "models/model.h"
#include "nn/param.h"

/* One tensor to be: its parameter, or what a file has of it. */
typedef struct part {
    const oci_weight_ref *ref;  /* NULL: the values are the model's own */
    const oci_foreign_name *foreign;    /* as Keras or Flax have it; NULL: as PyTorch
                                           has it */
    oc_dtype original;          /* of weights in blocks: what they were made of */
    char *told;                 /* … and what the file says of them */
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
    size_t selected;                /* of them: by the mask */
    bool *used;                     /* [weights->count] */
    oci_arena names;
    oci_weight_room read;           /* a tensor out of a file … */
    float *values;                  /* … or out of the model, */
    void *turned;                   /* and in another order, */
    void *packed;                   /* or in blocks */
    oc_dtype blocks;                /* the type of those that are written; 0: none */
} plan;

/* ---- what is written --------------------------------------------------------------- */

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

/* What it is now, and what that was made of: the same but for weights in blocks. */
static oc_dtype own_dtype(const oci_param *param, const oci_weight_ref *ref,
                          oc_dtype *original)
{
    const oci_tensor *t = ref ? NULL : *param->slot;
    const oc_dtype own = ref ? ref->entry->dtype :
                         oci_dtype_is_blocks(t->dtype) ? t->dtype : t->stored;
    *original = !oci_dtype_is_blocks(own) ? own : ref ? ref->entry->original : t->stored;
    return own;
}

/* A trained model is written in the type it was trained in; integers stay what they are,
 * and matrices become weights in blocks if that is asked for, where they can. */
static oc_dtype stored_dtype(const plan *p, const oci_param *param,
                             const oci_weight_ref *ref)
{
    oc_dtype wanted = p->options.dtype, original, own = own_dtype(param, ref, &original);
    if (!oci_mask_selects(p->options.mask, param->name)) wanted = (oc_dtype)0;
    if (oci_dtype_is_blocks(own)) {
        if (wanted) return wanted;
        if (p->format->keeps_blocks) return own;
        own = original;
    }
    if (!is_float(own)) return own;
    if (oci_dtype_is_blocks(wanted)) return oci_param_takes_blocks(param) ? wanted : own;
    if (wanted) return wanted;
    if (own == OC_BF16 && p->format->layout == OCI_LAYOUT_KERAS) return OC_F32;
    return !ref && (p->model->trainable || own == OC_F64) ? OC_F32 : own;
}

/* The tensor that a tied parameter is a second name of; NULL: none,
 * or it is not written. */
static const oci_save_tensor *first_name(const plan *p, const oci_param *param)
{
    for (size_t i = 0; param->tied && i < p->count; i++)
        if (p->params[i].slot == param->shared) return &p->tensors[i];
    return NULL;
}

/* Of the last tensor of the plan. */
static void tell_blocks(oc_context *cx, plan *p, size_t index)
{
    const oci_param *param = &p->params[index];
    oci_save_tensor *t = &p->tensors[index];
    part *own = &p->parts[index];
    own_dtype(param, own->ref, &own->original);
    own->told = oci_arena_alloc(cx, &p->names, OCI_BLOCKS_TEXT);
    if (own->told)
        oci_blocks_text(t->dtype, own->original, param->shape,
                        param->kind == OCI_PARAM_TURNED, own->told);
    t->bytes = oci_param_bytes(cx, param, t->dtype, false);
}

static void add(oc_context *cx, plan *p, const oci_param *param,
                const oci_weight_ref *ref, const oci_save_tensor *first)
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
    if (oci_mask_selects(p->options.mask, param->name)) p->selected++;
    oci_save_tensor *t = &p->tensors[p->count++];
    *t = (oci_save_tensor){ .name = copy, .dtype = stored_dtype(p, param, ref),
                            .rank = own->rank, .shape = own->shape, .same_as = first };
    if (oci_dtype_is_blocks(t->dtype)) tell_blocks(cx, p, p->count - 1);
    else if (!oci_shape_bytes(t->dtype, t->rank, t->shape, &t->bytes))
        oci_fail(cx, OC_E_LIMIT, "%s: %s: the number of bytes overflows",
                 p->model->config.name, copy);
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

/* What a folder has beyond the model: a head that we do not run, buffers. It
 * stays, under its name; for Keras and Flax as what its shape suggests, buffers
 * apart, which they compute. */
static void add_rest(oc_context *cx, plan *p)
{
    for (size_t i = 0; p->weights && i < p->weights->count && !oci_failed(cx); i++) {
        const oci_weight_ref *ref = &p->weights->refs[i];
        const bool blocks = oci_dtype_is_blocks(ref->entry->dtype);
        if (p->used[i] || (p->format->layout != OCI_LAYOUT_TORCH &&
                           ((!is_float(ref->entry->dtype) && !blocks) ||
                            oci_key_ignored(ref->name))))
            continue;
        /* What no part of ours multiplies by is not made weights in blocks. */
        const bool stays = oci_dtype_is_blocks(p->options.dtype) && !blocks;
        oci_param param = { .name = ref->name, .rank = ref->entry->rank,
                            .kind = stays ? OCI_PARAM_VALUE :
                                    blocks && ref->entry->turned ? OCI_PARAM_TURNED
                                                                 : OCI_PARAM_PRODUCT };
        memcpy(param.shape, ref->entry->shape, sizeof param.shape);
        add(cx, p, &param, ref, NULL);
    }
}

/* Names, shapes and orders of Keras or Flax in place of PyTorch's. */
static void translate(oc_context *cx, plan *p)
{
    oci_foreign foreign;
    if (oci_failed(cx) || p->format->layout == OCI_LAYOUT_TORCH) return;
    if (!oci_foreign_begin(cx, p->model, p->format->layout, p->params, p->count,
                           &foreign))
        return;
    for (size_t i = 0; i < p->count; i++) {
        oci_foreign_name *n = oci_arena_alloc(cx, &p->names, sizeof *n);
        if (!n || !oci_foreign_entry(cx, &foreign, p->params, i, n)) return;
        p->parts[i].foreign = n;
        p->tensors[i].name = n->name;
        p->tensors[i].rank = n->rank;
        p->tensors[i].shape = n->shape;
    }
}

/* ---- where values come from -------------------------------------------------------- */

/* Weights in blocks as they are, out of the file or the model; NULL: they are none, or an
 * error is set. */
static const void *blocks_of(oc_context *cx, plan *p, size_t index, oc_dtype *dtype)
{
    const oci_weight_ref *ref = p->parts[index].ref;
    const oci_tensor *t = ref ? NULL : *p->params[index].slot;
    *dtype = ref ? ref->entry->dtype : t->dtype;
    if (!oci_dtype_is_blocks(*dtype)) return NULL;
    if (!ref) return t->panels->data;
    const void *data = oci_weight_bytes(cx, ref, &p->read);
    return data && oci_weight_finite(cx, ref, data, true) ? data : NULL;
}

/* Numbers in PyTorch's order, of whatever float type is at hand. The last tensor's are
 * gone before the next one's are made. */
static const void *values_of(oc_context *cx, plan *p, size_t index, oc_dtype *dtype)
{
    const oci_weight_ref *ref = p->parts[index].ref;
    oci_free(p->values);
    p->values = NULL;
    const void *blocks = ref ? blocks_of(cx, p, index, dtype) : NULL;
    if (oci_failed(cx)) return NULL;
    if (ref && !blocks) {
        *dtype = ref->entry->dtype;
        return oci_weight_bytes(cx, ref, &p->read);
    }
    *dtype = OC_F32;
    return p->values = ref ? oci_weight_wide(cx, &p->params[index], ref, blocks)
                           : oci_param_values(cx, &p->params[index]);
}

/* As weights in blocks: those at hand, or made of the numbers. */
static const void *fetch_blocks(oc_context *cx, plan *p, size_t index, oc_dtype *dtype)
{
    const oci_save_tensor *tensor = &p->tensors[index];
    const oci_param *param = &p->params[index];
    oc_dtype from;
    *dtype = tensor->dtype;
    const void *data = blocks_of(cx, p, index, &from);
    if (oci_failed(cx) || (data && from == tensor->dtype)) return data;
    data = values_of(cx, p, index, &from);
    oci_free(p->packed);
    p->packed = data ? oci_alloc(cx, tensor->bytes) : NULL;
    if (!p->packed) return NULL;
    oci_param_quantise(cx, param, tensor->dtype, from, data, p->packed);
    const int64_t N = param->shape[param->kind == OCI_PARAM_TURNED];
    const int64_t K = param->shape[param->kind != OCI_PARAM_TURNED];
    if (!oci_blocks_finite(tensor->dtype, K, p->packed, oci_blocks_groups(N)))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected finite numbers to make %s of, found others", tensor->name,
                 oci_dtype_name(tensor->dtype));
    return oci_failed(cx) ? NULL : p->packed;
}

static const char *told_of(void *user, const oci_save_tensor *tensor)
{
    const plan *p = user;
    return p->parts[tensor - p->tensors].told;
}

static const void *fetch(oc_context *cx, void *user, const oci_save_tensor *tensor,
                         oc_dtype *dtype)
{
    plan *p = user;
    const size_t index = (size_t)(tensor - p->tensors);
    const oci_foreign_name *foreign = p->parts[index].foreign;
    oci_free(p->turned);
    p->turned = NULL;
    if (oci_dtype_is_blocks(tensor->dtype)) return fetch_blocks(cx, p, index, dtype);
    const void *data = values_of(cx, p, index, dtype);
    if (!data || !foreign || !foreign->moves) return data;
    oci_entry own = { .dtype = *dtype, .rank = p->params[index].rank };
    memcpy(own.shape, p->params[index].shape, sizeof own.shape);
    if (oci_shape_bytes(own.dtype, own.rank, own.shape, &own.bytes))
        p->turned = oci_alloc(cx, own.bytes);
    if (p->turned) oci_layout_permute(&own, foreign->order, data, p->turned);
    return p->turned;
}

/* ---- files ------------------------------------------------------------------------- */

/* Transformers' shard_checkpoint has 5 GB, those of TensorFlow and Flax 10 GB. */
static uint64_t shard_bytes(const plan *p)
{
    if (p->options.max_shard_size) return p->options.max_shard_size;
    return p->format->layout == OCI_LAYOUT_TORCH ? UINT64_C(5000000000)
                                                 : UINT64_C(10000000000);
}

/* The type of the weights in blocks that were written; 0: none are. */
static oc_dtype blocks_written(const plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (oci_dtype_is_blocks(p->tensors[i].dtype)) return p->tensors[i].dtype;
    return (oc_dtype)0;
}

static void write_weights(oc_context *cx, plan *p, const char *folder,
                          const oci_write_begin *begin)
{
    const oci_save_source source = { .fetch = fetch, .blocks = told_of, .user = p };
    if (p->weights) p->used = oci_calloc(cx, p->weights->count, sizeof *p->used);
    if (p->weights) p->room = p->weights->count;
    else oci_model_walk(cx, p->model, visit_count, p);
    p->params = oci_calloc(cx, p->room, sizeof *p->params);
    p->parts = oci_calloc(cx, p->room, sizeof *p->parts);
    p->tensors = oci_calloc(cx, p->room, sizeof *p->tensors);
    if (p->tensors) oci_model_walk(cx, p->model, visit_plan, p);
    add_rest(cx, p);
    if (p->options.mask && !p->selected && !oci_failed(cx))
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected a mask that selects parameters, found one that selects "
                 "none", p->options.mask);
    translate(cx, p);
    if (!oci_failed(cx) && begin) begin->call(cx, begin->user);
    if (!oci_failed(cx))
        oci_weights_save(cx, folder, p->format, p->tensors, p->count, shard_bytes(p),
                         &source);
    p->blocks = blocks_written(p);
    oci_free(p->packed);
    oci_free(p->turned);
    oci_free(p->values);
    oci_weight_room_free(&p->read);
    oci_arena_deinit(&p->names);
    oci_free(p->tensors);
    oci_free(p->parts);
    oci_free(p->params);
    oci_free(p->used);
}

/* In Transformers' manner, for those who look whether they can read the weights. One of
 * another method is not ours to take away. */
static bool set_quantization(json_t *config, oc_dtype blocks)
{
    static const char key[] = "quantization_config";
    const char *method = json_string_value(json_object_get(json_object_get(config, key),
                                                           "quant_method"));
    if (!blocks) {
        if (method && !strcmp(method, "ocelli")) json_object_del(config, key);
        return true;
    }
    const char *dtype = blocks == OC_INT4   ? "int4"
                        : blocks == OC_INT8 ? "int8" : "int8-channel";
    json_t *told = json_pack("{s:s, s:s, s:i, s:i}", "quant_method", "ocelli",
                             "weights_dtype", dtype, "bits",
                             blocks == OC_INT4 ? 4 : 8, "version", OCI_BLOCKS_VERSION);
    if (told && blocks != OC_INT8_CHANNEL &&
        json_object_set_new(told, "block_size", json_integer(OCI_PARAM_BLOCK))) {
        json_decref(told);
        return false;
    }
    return told && json_object_set_new(config, key, told) == 0;
}

/* The config as it was read; only the type of the weights follows what is written. */
static void write_config(oc_context *cx, const plan *p, const char *folder)
{
    char path[OCI_MAX_PATH];
    const oc_dtype dtype = oci_dtype_is_blocks(p->options.dtype) ? OC_DTYPE_COUNT
                         : p->options.dtype && !p->options.mask ? p->options.dtype
                         : p->model->trainable ? OC_F32 : OC_DTYPE_COUNT;
    json_t *copy = json_copy(p->model->config.root);
    if (!copy || !set_quantization(copy, p->blocks)) {
        json_decref(copy);
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for a copy", p->model->config.name);
        return;
    }
    if (dtype != OC_DTYPE_COUNT) {
        json_object_del(copy, "dtype");
        json_object_set_new(copy, "torch_dtype",
                            json_string(dtype == OC_BF16  ? "bfloat16"
                                        : dtype == OC_F16 ? "float16" : "float32"));
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
        oci_fail(cx, OC_E_ARGUMENT,
                 "save: format: expected safetensors, bin, h5 or msgpack, found %.20s",
                 o->format);
    else if (!p->format->save)
        oci_fail(cx, OC_E_UNSUPPORTED, "save: format: %s is not written", o->format);
    if (o->mask && !o->dtype)
        oci_fail(cx, OC_E_ARGUMENT, "save: mask: expected a dtype for what it selects");
    const bool blocks = oci_dtype_is_blocks(o->dtype);
    if (o->dtype && o->dtype != OC_F32 && o->dtype != OC_BF16 && o->dtype != OC_F16 &&
        !blocks)
        oci_fail(cx, OC_E_ARGUMENT,
                 "save: dtype: expected F32, BF16, F16, INT8, INT8_CHANNEL or INT4");
    else if (blocks && p->format && !p->format->keeps_blocks)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "save: dtype: %s is written to safetensors alone, not to %s",
                 oci_dtype_name(o->dtype), o->format);
    return !oci_failed(cx);
}

oc_status oci_model_write(oc_context *cx, const oci_model *model,
                          const oci_weights *weights, const char *folder,
                          const oc_save_options *options, const oci_write_begin *begin)
{
    plan p = { .model = model, .weights = weights };
    if (!oci_failed(cx) && read_options(cx, &p, options))
        write_weights(cx, &p, folder, begin);
    if (!oci_failed(cx)) write_config(cx, &p, folder);
    return cx->status;
}
