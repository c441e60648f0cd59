/* Running a loaded model. */
#include "models/model.h"

#include <stdio.h>
#include <string.h>

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
    oci_fail(cx, OC_E_UNSUPPORTED, "%s: class: expected %s, found %.80s",
             model->config.name, list, name);
    return NULL;
}

/* grad.NAME under the name that named_parameters() has: the first of tied
 * ones, in the file's shape (a convolution's too). A parameter that the loss
 * does not reach has no gradient. */
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

/* Between two marks of the arena; outputs were copied out on the way
 * (models/outputs.h). */
static void run(oc_context *cx, const oci_model *model, const oci_class *c,
                const oc_tensors *in, bool gradients, oc_tensors *out)
{
    oci_tape tape;
    oci_arena_mark mark = oci_mark(cx);
    if (gradients) oci_tape_begin(cx, &tape);
    oci_tensor *loss = c->forward(cx, model->root, in);
    if (gradients) {
        if (!loss)
            oci_fail(cx, OC_E_ARGUMENT, "gradients: %s gave no loss; it needs labels",
                     c->name);
        oci_backward(cx, loss);
        oci_tape_end(cx);
        oci_model_walk(cx, model, visit_output_gradient, out);
        oci_model_walk(cx, model, visit_drop_gradient, NULL);
    }
    oci_arena_reset(&cx->arena, mark);
}

oc_tensors *oci_model_forward(oc_context *cx, const oci_model *model,
                              const oc_tensors *in, const oc_forward_options *o)
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
