/* DonutSwin — Kim et al. 2021, "OCR-free document understanding transformer",
 * arXiv:2111.15664. Transformers: DonutSwinModel. Swin without its last norm: what the
 * last stage gives is last_hidden_state. */
#include "models/swin.h"

static void donut_swin_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_swin_open(cx, from, model);
    ((oci_swin *)model)->final_norm = false;
}

static const oci_class classes[] = {
    { "DonutSwinModel", oci_swin_inputs, oci_swin_forward }, { 0 }
};

/* Its base_model_prefix is Swin's. */
const oci_arch oci_donut_swin = {
    .model_type = "donut-swin", .base_prefix = "swin.", .size = sizeof(oci_swin),
    .classes = classes, .open = donut_swin_open, .close = oci_swin_close,
    .walk = oci_swin_walk, .encode = oci_swin_encode, .encoder_width = oci_swin_width };
