/* What a forward pass hands out under Transformers' names. Models call oci_output for
 * every field of their output class; nothing happens unless someone collects. */
#ifndef OCI_MODELS_OUTPUTS_H
#define OCI_MODELS_OUTPUTS_H

#include "tensor/tensor.h"

typedef struct oci_taps {           /* the context's; src/base only carries the pointer */
    oc_tensors *set;
    bool hidden_states, attentions, use_cache;
    const char *prefix;             /* before every name: "encoder_",
                                       "vision_model_output." */
    const char *cross_prefix;       /* instead of it, before cross_attentions and
                                       caches */
} oci_taps;

static inline bool oci_wants_hidden_states(const oc_context *cx)
{
    return cx->taps && cx->taps->hidden_states;
}
static inline bool oci_wants_attentions(const oc_context *cx)
{
    return cx->taps && cx->taps->attentions;
}
static inline bool oci_wants_cache(const oc_context *cx)
{
    return cx->taps && cx->taps->use_cache;
}

/* Copies x (F32 or I64) into the collected set as prefix + name; NULL x adds nothing. */
void oci_output(oc_context *cx, const char *name, const oci_tensor *x);
/* A scalar, which TensorFlow's classes hand out as [1]. */
void oci_output_loss(oc_context *cx, const oci_tensor *loss);
/* Whether the framework's composites take the argument that asks for one: Flax' do not,
 * and giving it there is OC_E_ARGUMENT. */
bool oci_has_loss(oc_context *cx, const char *argument);
/* prefix + name + "." + index */
void oci_output_at(oc_context *cx, const char *name, int64_t index, const oci_tensor *x);
/* The same with cross_prefix: "cross_attentions.2", "past_key_values.0.3" (part 3). */
void oci_output_cross(oc_context *cx, const char *name, int64_t index,
                      const oci_tensor *x);
void oci_output_past(oc_context *cx, int64_t layer, int part, const oci_tensor *x);

/* Sets both prefixes for what follows; give the result back to oci_outputs_leave. */
oci_taps oci_outputs_enter(oc_context *cx, const char *prefix, const char *cross_prefix);
void oci_outputs_leave(oc_context *cx, oci_taps before);

#endif
