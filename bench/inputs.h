/* What the benches feed to models: numbers that serving.py makes alike. */
#ifndef OCELLI_BENCH_INPUTS_H
#define OCELLI_BENCH_INPUTS_H

#include "checkpoint.h"

/* The arguments of a forward pass over `batch` rows, in a new set; the
 * error is the context's: pixel_values, or input_ids [batch, 32], or
 * VisualBERT's 20 words and 36 regions. */
oc_tensors *inputs_make(oc_context *cx, checkpoint_kind kind, int batch);

/* `count` texts in a new block (free) that take 5 to 64 tokens of CHECKPOINT_DUAL's
 * vocabulary, its [CLS] and [SEP] included; NULL without memory. */
char **inputs_texts(int count);

#endif
