/* Running and writing a loaded model. */
#include "models/model.h"

#include <stdio.h>
#include <string.h>

#include "io/safetensors.h"
#include "nn/param.h"

/* ---- forward ---- */

const oci_class *oci_model_class(oc_context *cx, const oci_model *model, const char *name)
{
    char list[256] = "";
    size_t n = 0;
    if (!name)
        name = json_string_value(json_array_get(json_object_get(model->config.root,
                                                                "architectures"), 0));
    if (!name) name = model->arch->classes[0].name;
    for (const oci_class *c = model->arch->classes; c->name; c++) {
        if (!strcmp(c->name, name)) return c;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", c->name);
    }
    oci_fail(cx, OC_E_UNSUPPORTED, "%s: class: expected %s, found %.80s", model->config.name,
             list, name);
    return NULL;
}

/* grad.NAME under the name that named_parameters() has: the first of tied ones, in the file's
 * shape (a convolution's too). A parameter that the loss does not reach has no gradient. */
static void visit_output_gradient(oci_walker *walker, const oci_param *p)
{
    char name[OCI_MAX_NAME];
    const oci_tensor *t = *p->slot;
    if (p->tied || !t || !t->grad) return;
    snprintf(name, sizeof name, "grad.%s", p->name);
    float *grad = oci_alloc(walker->cx, (size_t)oci_tensor_count(t) * sizeof *grad);
    if (!grad) return;
    oci_param_to_file(p, t->grad, grad);
    oc_tensors_add(walker->cx, walker->user, name, OC_F32, p->rank, p->shape, grad);
    oci_free(grad);
}

/* A gradient that stayed would be added to by the next call. */
static void visit_drop_gradient(oci_walker *walker, const oci_param *p)
{
    (void)walker;
    if (p->tied || !*p->slot) return;
    oci_free((*p->slot)->grad);
    (*p->slot)->grad = NULL;
}

/* Between two marks of the arena; outputs were copied out on the way (models/outputs.h). */
static void run(oc_context *cx, const oci_model *model, const oci_class *c,
                const oc_tensors *in, bool gradients, oc_tensors *out)
{
    oci_tape tape;
    oci_arena_mark mark = oci_mark(cx);
    if (gradients) oci_tape_begin(cx, &tape);
    oci_tensor *loss = c->forward(cx, model->root, in);
    if (gradients) {
        if (!loss)
            oci_fail(cx, OC_E_ARGUMENT, "gradients: %s gave no loss; it needs labels", c->name);
        oci_backward(cx, loss);
        oci_tape_end(cx);
        oci_model_walk(cx, model, visit_output_gradient, out);
        oci_model_walk(cx, model, visit_drop_gradient, NULL);
    }
    oci_arena_reset(&cx->arena, mark);
}

oc_tensors *oci_model_forward(oc_context *cx, const oci_model *model, const oc_tensors *in,
                              const oc_forward_options *o)
{
    const oci_class *c = oci_model_class(cx, model, o->class_name);
    if (o->gradients && !model->trainable)
        oci_fail(cx, OC_E_ARGUMENT, "gradients: the model was not opened as trainable");
    if (!c || oci_failed(cx) || !oci_inputs_check(cx, in, c->inputs)) return NULL;
    oc_tensors *out = oc_tensors_create(cx);
    if (!out) return NULL;
    oci_taps taps = { .set = out, .hidden_states = o->output_hidden_states,
                      .attentions = o->output_attentions, .use_cache = o->use_cache };
    cx->taps = &taps;
    run(cx, model, c, in, o->gradients, out);
    cx->taps = NULL;
    if (!oci_failed(cx)) return out;
    oc_tensors_free(out);
    return NULL;
}

/* ---- writing ---- */

/* What the file writer wants: names, shapes and data that stay put until it is done. */
typedef struct writer {
    oci_save_tensor *tensors;
    char (*names)[OCI_MAX_NAME];
    int64_t (*shapes)[OCI_MAX_RANK];
    void **owned;               /* data that was made for the file */
    size_t count, room;
    bool trainable;
} writer;

static void visit_count(oci_walker *walker, const oci_param *p)
{
    size_t *count = walker->user;
    *count += !p->tied && *p->slot;
}

/* Elements in the type `stored` and the file's order, from wherever the model keeps them. NULL
 * on error. */
static void *stored_data(oc_context *cx, const oci_param *p, oc_dtype stored)
{
    size_t n = (size_t)oci_param_count(p);
    float *values = oci_param_values(cx, p);
    if (!values || stored == OC_F32) return values;
    void *data = oci_alloc(cx, n * oci_dtype_size(stored));
    if (data) oci_dtype_from_f32(stored, values, data, n);
    oci_free(values);
    return data;
}

static void visit_write(oci_walker *walker, const oci_param *p)
{
    writer *w = walker->user;
    oci_tensor *t = *p->slot;
    if (p->tied || !t || oci_failed(walker->cx) || w->count == w->room) return;
    size_t i = w->count++;
    /* A trained model is written in the type it was trained in. */
    oc_dtype stored = w->trainable || t->stored == OC_F64 ? OC_F32 : t->stored;
    w->owned[i] = stored_data(walker->cx, p, stored);
    snprintf(w->names[i], sizeof w->names[i], "%s", p->name);
    memcpy(w->shapes[i], p->shape, sizeof p->shape);
    w->tensors[i] = (oci_save_tensor){
        .name = w->names[i], .dtype = stored, .rank = p->rank, .shape = w->shapes[i],
        .data = w->owned[i],
        .bytes = (size_t)oci_tensor_count(t) * oci_dtype_size(stored) };
}

/* All tensors are made before the first byte is written: the format's header has every offset
 * in it. Costs one more copy of the weights for as long as the save takes. */
static void write_weights(oc_context *cx, const oci_model *model, const char *folder)
{
    char path[OCI_MAX_PATH];
    writer w = { .trainable = model->trainable };
    static const char *const metadata[] = { "format", "pt" };
    oci_model_walk(cx, model, visit_count, &w.room);
    w.tensors = oci_calloc(cx, w.room, sizeof *w.tensors);
    w.names = oci_calloc(cx, w.room, sizeof *w.names);
    w.shapes = oci_calloc(cx, w.room, sizeof *w.shapes);
    w.owned = oci_calloc(cx, w.room, sizeof *w.owned);
    if (w.owned) oci_model_walk(cx, model, visit_write, &w);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (!oci_failed(cx)) oci_safetensors_save(cx, path, w.tensors, w.count, metadata, 1);
    for (size_t i = 0; w.owned && i < w.count; i++) oci_free(w.owned[i]);
    oci_free(w.tensors);
    oci_free(w.names);
    oci_free(w.shapes);
    oci_free(w.owned);
}

/* The config as it was read; only the type of the weights follows what is written. */
static void write_config(oc_context *cx, const oci_model *model, const char *folder)
{
    char path[OCI_MAX_PATH];
    json_t *copy = json_copy(model->config.root);
    if (!copy) {
        oci_fail(cx, OC_E_MEMORY, "%s: no memory for a copy", model->config.name);
        return;
    }
    if (model->trainable) {
        json_object_del(copy, "dtype");
        json_object_set_new(copy, "torch_dtype", json_string("float32"));
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    oci_json_save(cx, copy, path);
    json_decref(copy);
}

oc_status oci_model_write(oc_context *cx, const oci_model *model, const char *folder)
{
    write_weights(cx, model, folder);
    if (!oci_failed(cx)) write_config(cx, model, folder);
    return cx->status;
}
