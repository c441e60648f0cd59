/* Decoding: one call that turns pictures into token ids. Everything that lasts for the call is
 * here; what lasts for a step is in the arena. */
#ifndef OCI_GENERATE_DECODING_H
#define OCI_GENERATE_DECODING_H

#include "generate/config.h"
#include "generate/folder.h"
#include "models/vision_encoder_decoder.h"

typedef struct oci_decoding {
    const oc_model *model;
    const oci_ved *ved;
    oci_generation_config g;
    int64_t rows;               /* B */
    int64_t prompt;             /* P: ids that were given */
    int64_t length;             /* L: ids so far, the same for all rows */
    int64_t max_length;         /* with max_new_tokens counted in */
    int64_t room;               /* ids that fit in a row of `ids` */
    int64_t *ids;               /* [B, room] */
    int64_t *made;              /* [B] ids that a row generated, its end token included */
    float *logprobs;            /* [B, room]; of generated ids, from position 0 */
    int64_t *active, active_count;      /* rows that are still in the batch, ascending */
    bool *finished;             /* [B] */
    oci_cache *cache;
    oci_tensor *states;         /* [B, N, Dc], in the arena below all steps */
    oc_tensors *scores;         /* scores.N, or NULL */
    oci_detokenizer **text;     /* [B] streams for the callback, or NULL */
    oc_token_callback callback;
    void *callback_user;
    double started, encode_seconds, decode_seconds;
} oci_decoding;

/* Reads the config, encodes the pictures, makes the prompt and all memory of the call. */
bool oci_decoding_begin(oc_context *cx, oci_decoding *d, const oc_model *model,
                        const oc_tensors *in, const char *config, bool scores,
                        oc_token_callback callback, void *callback_user);
void oci_decoding_end(oci_decoding *d);

/* The loop of 4.37.2's greedy_search (spec: generation §4). */
oc_status oci_greedy(oc_context *cx, oci_decoding *d);

#endif
