/* Random checkpoints at the size of published models, for benches. */
#ifndef OCELLI_BENCH_CHECKPOINT_H
#define OCELLI_BENCH_CHECKPOINT_H

#include "ocelli.h"

typedef enum checkpoint_kind {
    CHECKPOINT_VIT,             /* ViT-B/16 at 224 px, 343 MB in f32 */
    CHECKPOINT_TROCR,           /* TrOCR-base at 384 px, 1.3 GB */
    CHECKPOINT_SWIN,            /* Donut-base's encoder at 1280 x 960, 295 MB */
    CHECKPOINT_BERT,            /* BERT-base, 438 MB */
    CHECKPOINT_VISUAL_BERT,     /* VisualBERT-base for VQA, 3129 answers, 462 MB */
    CHECKPOINT_DUAL             /* VisionTextDualEncoder of ViT-B/16 and BERT-base, 786 MB */
} checkpoint_kind;

/* A folder with config.json, generation_config.json and model.safetensors, unless it is there
 * already. The values depend on the tensors' names alone; of the first two, which come in bf16
 * as well, so that bf16 is f32 rounded, and drawn by the library for the others. False with a
 * message on stderr. Transformers 4.37.2 loads these folders, too. */
bool checkpoint_make(oc_context *cx, checkpoint_kind kind, oc_dtype dtype, const char *folder);

/* The words of CHECKPOINT_DUAL's vocabulary are "w104", "w105", … up to this one, their ids. */
enum { CHECKPOINT_LAST_WORD = 30521 };

/* GB of weights that one decoding step of TrOCR-base reads, and GB of keys and values of the
 * encoder's states, which are kept in f32 whatever the weights are. */
double checkpoint_step_gb(oc_dtype dtype);
double checkpoint_cross_gb(void);

#endif
