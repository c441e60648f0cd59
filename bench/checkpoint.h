/* Random checkpoints at the size of published models, for benches. */
#ifndef OCELLI_BENCH_CHECKPOINT_H
#define OCELLI_BENCH_CHECKPOINT_H

#include "ocelli.h"

typedef enum checkpoint_kind { CHECKPOINT_VIT, CHECKPOINT_TROCR } checkpoint_kind;

/* A folder with config.json, generation_config.json and model.safetensors, unless it is there
 * already: ViT-B/16 at 224 px (343 MB in f32), or TrOCR-base at 384 px (1.3 GB). The values
 * depend on the tensors' names alone, so that bf16 is f32 rounded. False with a message on
 * stderr. Transformers 4.37.2 loads these folders, too. */
bool checkpoint_make(oc_context *cx, checkpoint_kind kind, oc_dtype dtype, const char *folder);

/* GB of weights that one decoding step of TrOCR-base reads, and GB of keys and values of the
 * encoder's states, which are kept in f32 whatever the weights are. */
double checkpoint_step_gb(oc_dtype dtype);
double checkpoint_cross_gb(void);

#endif
