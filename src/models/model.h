/* A loaded model: an architecture, its parameters and its config. Immutable once open,
 * but for training; any number of contexts may run it at once. */
#ifndef OCI_MODELS_MODEL_H
#define OCI_MODELS_MODEL_H

#include "io/weights.h"
#include "models/arch.h"

typedef struct oci_model {
    const oci_arch *arch;
    void *root;                 /* the architecture's struct */
    oci_json config;            /* config.json as it was read */
    bool trainable;
    bool has_slots;             /* the arrays of layers are made: it can be walked */
    char **fresh;               /* [fresh_count] names of parameters that no file had */
    size_t fresh_count;
} oci_model;

/* Reads FOLDER/config.json and the weights, as the options ask.
 * False: error set, *model empty. */
bool oci_model_load(oc_context *cx, oci_model *model, const char *folder,
                    const oc_model_options *options);
/* The config alone, with slots empty: for `inspect`, which walks without
 * weights. The class replaces architectures[0], so that all who ask for that
 * find it, a saved config too; NULL: none. The second takes model->config as it
 * is. On failure *model is empty. */
bool oci_model_load_config(oc_context *cx, oci_model *model, const char *folder,
                           const char *class_name);
bool oci_model_open_config(oc_context *cx, oci_model *model);
void oci_model_unload(oci_model *model);

/* Runs `visit` over every parameter in state-dict order; tied second names come with
 * param->tied. */
void oci_model_walk(oc_context *cx, const oci_model *model,
                    void (*visit)(oci_walker *, const oci_param *), void *user);

/* The class that `name` says, or architectures[0] if NULL; NULL (error
 * set) if the model is none. */
const oci_class *oci_model_class(oc_context *cx, const oci_model *model,
                                 const char *name);

oc_tensors *oci_model_forward(oc_context *cx, const oci_model *model,
                              const oc_tensors *in, const oc_forward_options *options);

/* Called once all is known to be writable, and before the first file is written. */
typedef struct oci_write_begin {
    void (*call)(oc_context *cx, void *user);
    void *user;
} oci_write_begin;

/* Writes the weights as the options ask (NULL: as they are by default), and then
 * config.json, into an existing folder. The values are the model's own; or, of a
 * model whose config alone was loaded, those of `weights`, read one tensor at a
 * time (NULL: the model's own). */
oc_status oci_model_write(oc_context *cx, const oci_model *model,
                          const oci_weights *weights, const char *folder,
                          const oc_save_options *options,
                          const oci_write_begin *begin);

/* The tensor of that name, also with the base model's prefix before it or taken off. */
const oci_weight_ref *oci_model_weight(const oci_arch *arch, const oci_weights *weights,
                                       const char *name);

/* False (error set) unless the file's tensor has the parameter's
 * shape and a type of numbers. */
bool oci_weight_fits(oc_context *cx, const oci_param *param, const oci_weight_ref *ref);

/* How weights are to lie in memory. */
typedef struct oci_load_how {
    oc_dtype dtype;                 /* of oc_model_options.weights_dtype; 0: as in
                                       the file */
    bool trainable;
    bool copy;                      /* read weights in blocks, too, in place of
                                       mapping them */
} oci_load_how;

/* Fills the parameter from the file's tensor, which fits it. Returns whether NaN are
 * among its numbers. */
bool oci_weight_load(oc_context *cx, const oci_param *param, const oci_weight_ref *ref,
                     const oci_load_how *how, oci_weight_room *room);
/* Of weights in blocks: all numbers in the file's order, in a new block;
 * NULL: error set. */
OC_NODISCARD float *oci_weight_wide(oc_context *cx, const oci_param *param,
                                    const oci_weight_ref *ref, const void *panels);
/* Whether their scales are finite (in the first and last group, or all);
 * else error set. */
bool oci_weight_finite(oc_context *cx, const oci_weight_ref *ref, const void *bytes,
                       bool all);

/* Keys of old checkpoints that nothing reads and nobody misses. */
bool oci_key_ignored(const char *name);

#endif
