#include "tensor/op.h"

#include <stdio.h>
#include <string.h>

bool oci_op_fail(oc_context *cx, const oci_call *call, const char *format, ...)
{
    char why[256], shape[128], found[OCI_MAX_INPUTS * 40] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    size_t n = 0;
    for (int i = 0; i < call->op->inputs && n < sizeof found; i++)
        if (call->in[i])
            n += (size_t)snprintf(found + n, sizeof found - n, " %s",
                                  oci_shape_text(call->in[i], shape));
    oci_fail(cx, OC_E_ARGUMENT, "%s: expected %s, found%s", call->op->name, why, found);
    return false;
}

/* Appends to the tape; doubles its room as needed. */
static void record(oc_context *cx, const oci_call *call)
{
    oci_tape *tape = cx->tape;
    if (tape->count == tape->room) {
        size_t room = tape->room ? tape->room * 2 : 256;
        oci_call *calls = oci_realloc(cx, tape->calls, room * sizeof *calls);
        if (!calls) return;
        tape->calls = calls;
        tape->room = room;
    }
    tape->calls[tape->count++] = *call;
}

oci_tensor *oci_apply(oc_context *cx, const oci_op *op, oci_tensor *const *in,
                      oci_args args)
{
    if (oci_failed(cx)) return NULL;
    oci_call call = { .op = op, .args = args };
    oci_tensor shape = { .dtype = OC_F32 };
    bool wanted = false;
    for (int i = 0; i < op->inputs; i++) {
        call.in[i] = in[i];
        if (i < op->required && !in[i]) return NULL;
        wanted = wanted || (cx->tape && in[i] && in[i]->requires_grad);
    }
    if (!op->shape) {
        shape.rank = in[0]->rank;
        memcpy(shape.shape, in[0]->shape, sizeof shape.shape);
    } else if (!op->shape(cx, &call, &shape)) {
        return NULL;
    }
    call.out = oci_tensor_create(cx, shape.dtype, shape.rank, shape.shape);
    if (!call.out) return NULL;
    call.out->requires_grad = wanted;
    op->forward(cx, &call);
    if (wanted) record(cx, &call);
    return oci_failed(cx) ? NULL : call.out;
}

bool oci_wants_grad(oc_context *cx, const oci_call *call, int i, float **grad)
{
    *grad = NULL;
    if (!call->in[i] || !call->in[i]->requires_grad) return false;
    *grad = oci_tensor_grad(cx, call->in[i]);
    return *grad != NULL;
}

void oci_tape_begin(oc_context *cx, oci_tape *tape)
{
    *tape = (oci_tape){ 0 };
    cx->tape = tape;
}

void oci_tape_end(oc_context *cx)
{
    oci_free(cx->tape->calls);
    *cx->tape = (oci_tape){ 0 };
    cx->tape = NULL;
}

oc_status oci_backward(oc_context *cx, oci_tensor *loss)
{
    if (!loss || oci_failed(cx)) return cx->status;
    float *seed = oci_tensor_grad(cx, loss);
    if (!seed) return cx->status;
    seed[0] = 1.0f;
    for (size_t i = cx->tape->count; i-- > 0 && !oci_failed(cx);) {
        const oci_call *call = &cx->tape->calls[i];
        if (!call->out->grad) continue;             /* the loss does not depend on it */
        if (call->op->gradient)
            call->op->gradient(cx, call);
        else
            oci_fail(cx, OC_E_UNSUPPORTED, "%s has no gradient: it is for inference only",
                     call->op->name);
    }
    return cx->status;
}
