/* Models that no folder has: made afresh from a config, put together from two folders, or
 * with another number of tokens. */
#ifndef OCI_MODELS_MAKE_H
#define OCI_MODELS_MAKE_H

#include "models/model.h"

/* Takes model->config as it is and draws every parameter as Transformers does. False:
 * error set, *model empty. */
bool oci_model_make(oc_context *cx, oci_model *model, uint64_t seed, bool trainable);
/* A composite that two models can be joined to: of each part the key of its config, what
 * goes before the names of its parameters, and before those of its options. */
typedef struct oci_joint {
    const char *model_type, *class_name;
    const char *configs[2], *names[2], *options[2];
} oci_joint;

/* NULL when that composite is none. */
const oci_joint *oci_joint_find(const char *model_type);
/* model->config is a composite's; `folders` are those of its two parts in
 * their order. What neither has is drawn, and its name kept in model->fresh.
 * False: error set, *model empty. */
bool oci_model_join(oc_context *cx, oci_model *model, const char *const folders[2],
                    uint64_t seed, bool trainable);
/* Draws every parameter that has no value yet, and keeps their names in model->fresh. */
void oci_model_complete(oc_context *cx, oci_model *model, uint64_t seed);
/* A parameter `p` of the model that is to be, whose shape is not that of `old`. */
typedef void (*oci_rebuild_change)(oc_context *cx, const oci_model *next,
                                   const oci_param *old, const oci_param *p, void *user);
/* Gives the model another config, which asks for the same parameters, some
 * of other shapes: `change` makes those, the others change hands. On failure
 * the model is what it was. */
bool oci_model_rebuild(oc_context *cx, oci_model *model, const json_t *config,
                       oci_rebuild_change change, void *user);
/* Transformers' resize_token_embeddings on the part that has tokens: rows are cut off or
 * drawn, tied heads follow, config too. On failure the model is what it was. */
bool oci_model_resize_tokens(oc_context *cx, oci_model *model, int64_t tokens,
                             uint64_t seed);
/* vocab_size of the part that has tokens; 0 if none has. */
int64_t oci_model_tokens(const oci_model *model);
/* num_parameters(): numbers, not tensors; tied ones once. */
int64_t oci_model_count(oc_context *cx, const oci_model *model);

#endif
