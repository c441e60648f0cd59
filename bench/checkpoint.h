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
    CHECKPOINT_DUAL,            /* VisionTextDualEncoder of ViT-B/16 and BERT-base, 786
                                   MB */
    CHECKPOINT_CLIP             /* CLIP ViT-L/14's tower at 336 px, 1.2 GB */
} checkpoint_kind;

/* A folder with config.json, generation_config.json and model.safetensors, unless
 * it is there already. The values depend on the tensors' names alone, so that a
 * bf16 file is the f32 one rounded; those of the first two are made here, the
 * others' drawn by the library. False with a message on stderr. Transformers 4.37.2
 * loads these folders, too. */
bool checkpoint_make(oc_context *cx, checkpoint_kind kind, oc_dtype dtype,
                     const char *folder);

/* The words of CHECKPOINT_DUAL's vocabulary are "w104", "w105",
 * … up to this one, their ids. */
enum { CHECKPOINT_LAST_WORD = 30521 };

/* GB of weights that one decoding step of TrOCR-base reads, and GB of keys and values of
 * the encoder's states, which are kept in f32 whatever the weights are. */
double checkpoint_step_gb(oc_dtype dtype);
double checkpoint_cross_gb(void);

/* ---- ViP-LLaVA, in bf16 shards ----------------------------------------------------- */

typedef struct checkpoint_llama {       /* the language model; tower and projector
                                           are alike */
    const char *name;
    int width, layers, heads, key_heads, ffn, vocab, positions;
} checkpoint_llama;
extern const checkpoint_llama checkpoint_llamas[];      /* 1b and 7b, then one without
                                                           a name */
const checkpoint_llama *checkpoint_llama_find(const char *name);
/* How many numbers one decoding step reads: all matrices but the embeddings. */
double checkpoint_llama_weights(const checkpoint_llama *shape);
/* 3.1 GB for 1b, 14 GB for 7b, in shards of four layers,
 * with all configs but no tokenizer. */
bool checkpoint_make_vipllava(oc_context *cx, const checkpoint_llama *shape,
                              const char *folder);

/* ---- for those who write them ------------------------------------------------------ */

typedef struct tensor_writer {
    oc_context *cx;
    oc_tensors *set;
    oc_dtype dtype;
} tensor_writer;
void add_tensor(const tensor_writer *w, const char *name, int rank, const int64_t *shape);
/* NAME.weight [out, in], or [out] where `in` is 0, and with `bias` NAME.bias [out]. */
void add_layer(const tensor_writer *w, int64_t out, int64_t in, bool bias,
               const char *format, ...);
bool write_text(const char *folder, const char *file, const char *text);
bool is_there(const char *folder, const char *file);
bool make_folders(const char *folder);          /* and those above it */

#endif
