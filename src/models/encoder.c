/* What all vision encoders share. */
#include "models/arch.h"

void oci_encode_pooled(oc_context *cx, const oci_encode_call *call, oci_tensor *pooled)
{
    oci_output(cx, "pooler_output", pooled);
    if (call->pooled) *call->pooled = pooled;
}

oci_encode_call oci_encode_call_of(oc_context *cx, const oc_tensors *in,
                                   const oci_input_spec *specs)
{
    return (oci_encode_call){
        .pixel_values = oci_input_required(cx, in, specs, "pixel_values"),
        .head_mask = oci_input(cx, in, specs, "head_mask"),
        .bool_masked_pos = oci_input(cx, in, specs, "bool_masked_pos"),
        .interpolate_pos_encoding = oci_input_flag(in, "interpolate_pos_encoding") };
}
