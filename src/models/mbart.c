/* mBART's decoder — Liu et al. 2020, arXiv:2001.08210; Donut's and Nougat's.
 * Transformers: MBartForCausalLM. BART (bart.c) with its norms before the
 * blocks and one after the last.
 */
#include "models/bart.h"

static void mbart_open(oc_context *cx, const oci_config_source *from, void *model)
{
    ((oci_bart_model *)model)->mbart = true;
    oci_bart_open(cx, from, model);
}

static oci_tensor *mbart_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    return oci_causal_lm_forward(cx, &oci_mbart, model, in, OCI_LM_PLAIN);
}

static const oci_class classes[] = {
    { "MBartForCausalLM", oci_bart_inputs, mbart_forward }, { 0 }
};

const oci_arch oci_mbart = {
    .model_type = "mbart", .base_prefix = "model.", .size = sizeof(oci_bart_model),
    .classes = classes, .open = mbart_open, .close = oci_bart_close,
    .walk = oci_bart_walk, .decode = oci_bart_decode, .decoder_shape = oci_bart_shape,
    .decoder_inputs = oci_bart_inputs,
};
