/* GenerationConfig of Transformers 4.37.2: its fields, where their values come from, and what
 * is refused. */
#ifndef OCI_GENERATE_CONFIG_H
#define OCI_GENERATE_CONFIG_H

#include "base/context.h"
#include "io/json.h"

typedef struct oci_ids {            /* a list of token ids; owned by the config */
    int64_t *at;
    size_t count;
} oci_ids;

typedef struct oci_bias {           /* sequence_bias, bad_words_ids: ids and what is added */
    oci_ids ids;
    float bias;
} oci_bias;

typedef struct oci_generation_config {
    int64_t max_length, max_new_tokens, min_length, min_new_tokens;     /* -1: null */
    double max_time;                                                    /* < 0: null */
    bool do_sample, use_cache, renormalize_logits, remove_invalid_values;
    int64_t num_beams, num_beam_groups, num_return_sequences, top_k, seed;
    int64_t no_repeat_ngram_size;
    double temperature, top_p, penalty_alpha;                           /* < 0: null */
    double repetition_penalty, length_penalty, diversity_penalty;
    int64_t pad_token_id, bos_token_id, decoder_start_token_id;         /* -1: null */
    oci_ids eos_token_id;                                               /* count 0: null */
    int64_t forced_bos_token_id;                                        /* -1: null */
    oci_ids forced_eos_token_id, suppress_tokens, begin_suppress_tokens;
    oci_ids forced_decoder_ids;         /* index, id, index, id, …; id -1: null */
    oci_bias *bad_words;                /* bias = -infinity */
    size_t bad_words_count;
    oci_bias *sequence_bias;
    size_t sequence_bias_count;
    int64_t decay_start;                /* exponential_decay_length_penalty; -1: null */
    double decay_factor;
} oci_generation_config;

/* The values that generate() works with, by 4.37.2's rules: defaults; then
 * generation_config.json if the folder has one, else what config.json says at its top level
 * and, where that left a default, in `decoder`, `generator`, `text_config` (spec: VED §4);
 * then `overrides` (a JSON object; unknown names are OC_E_ARGUMENT naming the nearest known
 * one). Checks types, ranges and the combinations that 4.37.2 refuses. `generation` may be
 * empty (root NULL). Free with oci_generation_config_deinit, also after a failure. */
bool oci_generation_config_read(oc_context *cx, oci_generation_config *g,
                                const oci_json *generation, const oci_json *config,
                                const char *overrides);
void oci_generation_config_deinit(oci_generation_config *g);

#endif
