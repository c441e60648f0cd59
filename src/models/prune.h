/* Heads that are gone. config.json's pruned_heads, {"LAYER": [HEAD, …]}, says
 * which of the heads that the layer was made with; its projections then have
 * rows for the others alone. */
#ifndef OCI_MODELS_PRUNE_H
#define OCI_MODELS_PRUNE_H

#include "models/model.h"

/* Reads pruned_heads into the attentions of a model's `layers` layers, which lie `stride`
 * bytes apart from `first` on: sets the heads of those that lost some, of `heads`. */
void oci_heads_read(oc_context *cx, const oci_config_source *from, int64_t heads,
                    int64_t layers, oci_attention_layer *first, size_t stride);
/* For architectures without arch->attention: any that are gone are OC_E_UNSUPPORTED. */
void oci_heads_check(oc_context *cx, const oci_config_source *from, const oci_arch *arch);

/* Transformers' prune_heads. `heads` is in the form of pruned_heads; of a composite, an
 * object of those by part. Heads that are gone already are no matter. Config and
 * parameters follow; on failure the model is what it was. */
bool oci_model_prune(oc_context *cx, oci_model *model, const json_t *heads);

#endif
