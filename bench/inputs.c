#include "inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 5, MOST = 64, WORD = 8 };        /* tokens of a text; bytes of a word */
enum { WORDS = 32, QUESTION = 20, REGIONS = 36, REGION_WIDTH = 2048, IDS = 20000 };

/* Knuth's multiplicative hash: what is near is far apart. */
static uint32_t scatter(size_t i) { return (uint32_t)i * 2654435761u; }

/* Numbers in [-1, 1). */
static void add_floats(oc_context *cx, oc_tensors *set, const char *name, int rank,
                       const int64_t *shape)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)shape[i];
    float *x = malloc(n * sizeof *x);
    if (!x) return;             /* the model will miss it */
    for (size_t i = 0; i < n; i++) x[i] = (float)(int32_t)scatter(i) * 0x1p-31f;
    oc_tensors_add(cx, set, name, OC_F32, rank, shape, x);
    free(x);
}

/* Ids from 1000 to 20999, or `value` everywhere. */
static void add_ids(oc_context *cx, oc_tensors *set, const char *name, int64_t rows,
                    int64_t columns, int value)
{
    const int64_t shape[] = { rows, columns };
    size_t n = (size_t)(rows * columns);
    int64_t *x = malloc(n * sizeof *x);
    if (!x) return;
    for (size_t i = 0; i < n; i++)
        x[i] = value < 0 ? 1000 + (int64_t)(scatter(i) / 256 % IDS) : value;
    oc_tensors_add(cx, set, name, OC_I64, 2, shape, x);
    free(x);
}

static void add_pixels(oc_context *cx, oc_tensors *set, int batch, int height, int width)
{
    const int64_t shape[] = { batch, 3, height, width };
    add_floats(cx, set, "pixel_values", 4, shape);
}

oc_tensors *inputs_make(oc_context *cx, checkpoint_kind kind, int batch)
{
    const int64_t regions[] = { batch, REGIONS, REGION_WIDTH };
    oc_tensors *set = oc_tensors_create(cx);
    switch (kind) {
    case CHECKPOINT_VIT: add_pixels(cx, set, batch, 224, 224); break;
    case CHECKPOINT_TROCR: add_pixels(cx, set, batch, 384, 384); break;
    case CHECKPOINT_CLIP: add_pixels(cx, set, batch, 336, 336); break;
    case CHECKPOINT_SWIN: add_pixels(cx, set, batch, 1280, 960); break;
    case CHECKPOINT_BERT:
        add_ids(cx, set, "input_ids", batch, WORDS, -1);
        add_ids(cx, set, "attention_mask", batch, WORDS, 1);
        break;
    case CHECKPOINT_VISUAL_BERT:
        add_ids(cx, set, "input_ids", batch, QUESTION, -1);
        add_ids(cx, set, "attention_mask", batch, QUESTION, 1);
        add_ids(cx, set, "token_type_ids", batch, QUESTION, 0);
        add_floats(cx, set, "visual_embeds", 3, regions);
        add_ids(cx, set, "visual_attention_mask", batch, REGIONS, 1);
        add_ids(cx, set, "visual_token_type_ids", batch, REGIONS, 1);
        break;
    case CHECKPOINT_DUAL: break;        /* its towers' are those of a ViT and of a BERT */
    }
    return set;
}

char **inputs_texts(int count)
{
    size_t n = (size_t)count, room = (MOST - 2) * WORD + 1;
    char **texts = malloc(n * (sizeof *texts + room));
    for (size_t i = 0; texts && i < n; i++) {
        texts[i] = (char *)(texts + n) + i * room;
        size_t words = LEAST + scatter(i) / 256 % (MOST - LEAST + 1) - 2, at = 0;
        for (size_t k = 0; k < words; k++)
            at += (size_t)snprintf(texts[i] + at, room - at, "w%u ",
                                   1000 + scatter(i * MOST + k) / 256 % IDS);
    }
    return texts;
}
