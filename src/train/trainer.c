/* One training step:
 *
 *   batch → forward on the tape → loss → oci_backward → optimizer
 *     → arena back to its mark
 *
 * The loop, the data and the schedule are the caller's. Nothing but the moments
 * outlives a step: activations, records and gradients go at its end, so memory
 * does not grow. Gradients of one batch only; who wants to accumulate over
 * several makes one batch of them. */
#include <string.h>

#include "checkpoint/folder.h"
#include "base/size.h"

typedef struct trained {            /* a parameter and its moments */
    oci_tensor *tensor;
    float *m, *v;                   /* AdamW; on the heap, same shape */
} trained;

struct oc_trainer {
    oc_model *model;                /* the caller's; trained in place */
    const oci_class *of;
    oc_trainer_options options;
    int64_t step;
    trained *params;
    size_t count, room;
};

/* Two walks: one that counts, so that the list is made in one piece, one that fills it. A
 * tied second name is the same tensor and must be stepped once. */
static void visit_count(oci_walker *walker, const oci_param *p)
{
    size_t *count = walker->user;
    *count += !p->tied && *p->slot;
}

static void visit_add(oci_walker *walker, const oci_param *p)
{
    oc_trainer *t = walker->user;
    if (p->tied || !*p->slot || oci_failed(walker->cx)) return;
    trained *one = &t->params[t->count++];
    one->tensor = *p->slot;
    if (t->options.optimizer != OC_ADAMW) return;
    size_t n = (size_t)oci_tensor_count(one->tensor);
    one->m = oci_calloc(walker->cx, n, sizeof *one->m);
    one->v = oci_calloc(walker->cx, n, sizeof *one->v);
}

/* Zeros in the caller's struct, and what an older caller's struct lacks, mean
 * torch.optim's defaults. */
static void read_options(oc_trainer *t, const oc_trainer_options *options)
{
    oc_trainer_options *o = &t->options;
    *o = (oc_trainer_options){ .size = sizeof *o };
    oci_take_options(o, sizeof *o, options);
    if (o->learning_rate <= 0) o->learning_rate = 1e-3;
    if (o->beta1 <= 0) o->beta1 = 0.9;
    if (o->beta2 <= 0) o->beta2 = 0.999;
    if (o->eps <= 0) o->eps = 1e-8;
}

/* NaN fails every comparison, and so this. */
static bool options_fit(oc_context *cx, const oc_trainer_options *o)
{
    bool good = (o->optimizer == OC_SGD || o->optimizer == OC_ADAMW) &&
                o->learning_rate < 1e6 && o->beta1 < 1 && o->beta2 < 1 && o->eps < 1 &&
                o->weight_decay >= 0 && o->weight_decay < 1e6;
    if (!good)
        oci_fail(cx, OC_E_ARGUMENT,
                 "trainer: expected SGD or AdamW with a learning rate, betas below 1 and "
                 "a weight decay of at least 0, found optimizer %d, %g, (%g, %g), %g",
                 (int)o->optimizer, o->learning_rate, o->beta1, o->beta2,
                 o->weight_decay);
    return good;
}

oc_trainer *oc_trainer_create(oc_context *cx, oc_model *model,
                              const oc_trainer_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return NULL;
    if (!model->core.trainable) {
        oci_fail(cx, OC_E_ARGUMENT, "%s: a trainer needs a model opened as trainable",
                 model->folder);
        return NULL;
    }
    oc_trainer *t = oci_calloc(cx, 1, sizeof *t);
    if (!t) return NULL;
    t->model = model;
    read_options(t, options);
    options_fit(cx, &t->options);
    t->of = oci_model_class(cx, &model->core, t->options.class_name);
    oci_model_walk(cx, &model->core, visit_count, &t->room);
    t->params = oci_calloc(cx, t->room, sizeof *t->params);
    if (t->params) oci_model_walk(cx, &model->core, visit_add, t);
    if (!oci_failed(cx)) return t;
    oc_trainer_free(t);
    return NULL;
}

void oc_trainer_free(oc_trainer *trainer)
{
    if (!trainer) return;
    for (size_t i = 0; i < trainer->count; i++) {
        oci_free(trainer->params[i].m);
        oci_free(trainer->params[i].v);
    }
    oci_free(trainer->params);
    oci_free(trainer);
}

/* Parameters that the loss did not reach stay as they are, as in torch.optim. */
static void update(oc_context *cx, oc_trainer *t)
{
    const oci_backend *be = oci_backend_get(cx);
    const oc_trainer_options *o = &t->options;
    const oci_adamw_args adamw = {
        .lr = (float)o->learning_rate, .beta1 = (float)o->beta1, .beta2 = (float)o->beta2,
        .eps = (float)o->eps, .weight_decay = (float)o->weight_decay, .step = ++t->step };
    for (size_t i = 0; i < t->count; i++) {
        oci_tensor *w = t->params[i].tensor;
        int64_t n = oci_tensor_count(w);
        if (!w->grad) continue;
        if (o->optimizer == OC_ADAMW)
            be->adamw(cx, &adamw, n, w->grad, t->params[i].m, t->params[i].v, oci_f32(w));
        else
            be->axpy(cx, n, -(float)o->learning_rate, w->grad, oci_f32(w));
    }
}

/* They lie on the heap, unlike those of activations: the arena's
 * reset does not reach them. */
static void drop_gradients(oc_trainer *t)
{
    for (size_t i = 0; i < t->count; i++) {
        oci_free(t->params[i].tensor->grad);
        t->params[i].tensor->grad = NULL;
    }
}

oc_status oc_trainer_step(oc_context *cx, oc_trainer *trainer, const oc_tensors *batch,
                          float *loss)
{
    if (!oci_given(cx, trainer, __func__, "a trainer") ||
        !oci_given(cx, batch, __func__, "a batch"))
        return oc_context_status(cx);
    if (!oci_inputs_check(cx, batch, trainer->of->inputs)) return cx->status;
    oci_tape tape;
    oci_arena_mark mark = oci_mark(cx);
    oci_tape_begin(cx, &tape);
    oci_tensor *l = trainer->of->forward(cx, trainer->model->core.root, batch);
    if (!l)
        oci_fail(cx, OC_E_ARGUMENT, "training: the batch gives no loss; it needs labels");
    oci_backward(cx, l);
    oci_tape_end(cx);
    if (!oci_failed(cx)) {
        if (loss) *loss = oci_f32(l)[0];
        update(cx, trainer);
    }
    drop_gradients(trainer);
    oci_arena_reset(&cx->arena, mark);
    return cx->status;
}
