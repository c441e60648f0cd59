#include "models/outputs.h"

#include <stdio.h>

/* A copy on the heap: the arena is reset long before the caller looks. */
static void put(oc_context *cx, const char *prefix, const char *name, const oci_tensor *x)
{
    char full[OCI_MAX_NAME];
    snprintf(full, sizeof full, "%s%s", prefix ? prefix : "", name);
    oc_tensors_add(cx, cx->taps->set, full, x->dtype, x->rank, x->shape, x->data);
}

/* Nobody collects: taps are NULL, and a model's calls of these cost a comparison each. */
void oci_output(oc_context *cx, const char *name, const oci_tensor *x)
{
    if (cx->taps && x) put(cx, cx->taps->prefix, name, x);
}

void oci_output_loss(oc_context *cx, const oci_tensor *loss)
{
    if (!loss) return;
    oci_tensor shown = *loss;
    if (cx->framework == OC_TENSORFLOW && shown.rank == 0) {
        shown.rank = 1;
        shown.shape[0] = 1;
    }
    oci_output(cx, "loss", &shown);
}

bool oci_has_loss(oc_context *cx, const char *argument)
{
    if (cx->framework == OC_FLAX)
        oci_fail(cx, OC_E_ARGUMENT,
                 "input %s: expected none, for Flax' composites have no loss", argument);
    return !oci_failed(cx);
}

void oci_output_at(oc_context *cx, const char *name, int64_t index, const oci_tensor *x)
{
    char numbered[OCI_MAX_NAME];
    snprintf(numbered, sizeof numbered, "%s.%lld", name, (long long)index);
    oci_output(cx, numbered, x);
}

/* Seq2SeqLMOutput has decoder_attentions, but cross_attentions and past_key_values
 * without a prefix: hence two of them. */
void oci_output_cross(oc_context *cx, const char *name, int64_t index,
                      const oci_tensor *x)
{
    char numbered[OCI_MAX_NAME];
    snprintf(numbered, sizeof numbered, "%s.%lld", name, (long long)index);
    if (cx->taps && x) put(cx, cx->taps->cross_prefix, numbered, x);
}

/* `part`: 0 keys, 1 values, 2 and 3 those of the encoder's output. */
void oci_output_past(oc_context *cx, int64_t layer, int part, const oci_tensor *x)
{
    char name[64];
    snprintf(name, sizeof name, "past_key_values.%lld.%d", (long long)layer, part);
    if (cx->taps && x) put(cx, cx->taps->cross_prefix, name, x);
}

/* Parts of composites nest: what this gives back goes to oci_outputs_leave. */
oci_taps oci_outputs_enter(oc_context *cx, const char *prefix, const char *cross_prefix)
{
    oci_taps before = { 0 };
    if (!cx->taps) return before;
    before = *cx->taps;
    cx->taps->prefix = prefix;
    cx->taps->cross_prefix = cross_prefix;
    return before;
}

void oci_outputs_leave(oc_context *cx, oci_taps before)
{
    if (!cx->taps) return;
    cx->taps->prefix = before.prefix;
    cx->taps->cross_prefix = before.cross_prefix;
}
