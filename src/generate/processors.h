/* Logits processors: what 4.37.2 does to the scores of a step before a token is picked,
 * in its order (spec: generation §2). One row at a time; nothing is allocated. */
#ifndef OCI_GENERATE_PROCESSORS_H
#define OCI_GENERATE_PROCESSORS_H

#include "generate/config.h"

typedef struct oci_row {            /* what processors know of a row */
    const int64_t *ids;             /* prompt and generated ids so far */
    int64_t length;                 /* L: how many */
    int64_t prompt;                 /* P: how many of them were the prompt */
    int64_t max_length;             /* after max_new_tokens was counted in */
    oci_ids encoder_ids;            /* of a text encoder, or the prompt where there is
                                       none; count 0: it saw something else */
    oci_ids penalised_ids;          /* the same, for encoder_repetition_penalty */
    oci_ids earlier;                /* what earlier beam groups of its item chose
                                       this step */
    int64_t item;                   /* of the batch, for the callback */
    oc_prefix_callback allowed;     /* prefix_allowed_tokens_fn, or NULL */
    void *allowed_user;
} oci_row;

/* Changes scores [vocab] in place. Ids outside the vocabulary were refused by
 * oci_processors_check; false with an error set if the callback allows nothing, or an id
 * outside. Guidance is not here: it needs the model. */
bool oci_process_logits(oc_context *cx, const oci_generation_config *g,
                        const oci_row *row, float *scores, int64_t vocab);
/* Every id that a processor would touch lies in 0..vocab-1; else OC_E_ARGUMENT naming the
 * field. eos_token_id may lie outside while nothing but the comparison with it is asked
 * for: a small model often has its class's default there. */
oc_status oci_processors_check(oc_context *cx, const oci_generation_config *g,
                               int64_t vocab);

/* LogitNormalization: log softmax, in the order (s - max) - log sum. */
void oci_renormalize(float *scores, int64_t vocab);

#endif
