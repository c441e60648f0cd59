/* GenerationConfig of Transformers 4.37.2: its fields, where their values come from, and
 * what is refused. All its names are known here; what this version cannot do
 * (constraints, guidance, assisted decoding) is refused where it would run. */
#ifndef OCI_GENERATE_CONFIG_H
#define OCI_GENERATE_CONFIG_H

#include "base/context.h"
#include "io/json.h"

typedef struct oci_ids {            /* a list of token ids; owned by the config */
    int64_t *at;
    size_t count;
} oci_ids;

typedef struct oci_bias {           /* sequence_bias, bad_words_ids: ids and what is
                                       added */
    oci_ids ids;                    /* never empty; a slice of one block that entry
                                       0 begins */
    float bias;
} oci_bias;

typedef struct oci_biases {
    oci_bias *at;
    size_t count;
} oci_biases;

typedef enum oci_early_stopping {
    OCI_EARLY_NO,
    OCI_EARLY_YES,
    OCI_EARLY_NEVER
} oci_early_stopping;

typedef struct oci_generation_config {
    int64_t max_length, max_new_tokens, min_length, min_new_tokens;     /* -1: null */
    double max_time;                                                    /* -1: null */
    oci_early_stopping early_stopping;
    bool do_sample, use_cache, renormalize_logits, remove_invalid_values;
    bool output_attentions, output_hidden_states, output_scores, return_dict_in_generate;
    bool constraints, force_words_ids;                                  /* given at all */
    int64_t num_beams, num_beam_groups, num_return_sequences, top_k, seed;
    int64_t no_repeat_ngram_size, encoder_no_repeat_ngram_size;
    int64_t prompt_lookup_num_tokens;                                   /* -1: null */
    double temperature, top_p, typical_p, epsilon_cutoff, eta_cutoff;
    double penalty_alpha, guidance_scale;                               /* -1: null */
    double repetition_penalty, encoder_repetition_penalty;
    double length_penalty, diversity_penalty;
    int64_t pad_token_id, bos_token_id, decoder_start_token_id;         /* -1: null */
    oci_ids eos_token_id;                                              /* count 0: null */
    int64_t forced_bos_token_id;                                        /* -1: null */
    oci_ids forced_eos_token_id, suppress_tokens, begin_suppress_tokens;
    oci_ids forced_decoder_ids;         /* index, id, index, id, …; id -1: null */
    oci_biases bad_words_ids;           /* bias = -infinity; a lone eos has no effect */
    oci_biases sequence_bias;           /* all ids different */
    int64_t decay_start;                /* exponential_decay_length_penalty; -1: null */
    double decay_factor;
} oci_generation_config;

/* The values that generate() works with, by 4.37.2's rules: defaults; then
 * generation_config.json if the folder has one, else what config.json says at its top
 * level and, where that left a default, in `decoder`, `generator`, `text_config` (spec:
 * VED §4). generation_config.json also gives way when it says _from_model_config and
 * config.json's top level sets something: 4.37.2 then takes it as edited by hand. Last
 * come `overrides` (text of a JSON object, or NULL; unknown names are OC_E_ARGUMENT
 * naming the nearest known one).
 *
 * Wrong types and ranges are OC_E_MALFORMED in a file and OC_E_ARGUMENT in the
 * overrides; what 4.37.2 answers with ValueError is OC_E_ARGUMENT. `generation` and
 * `config` may be NULL or empty (root NULL). Free with
 * oci_generation_config_deinit, also after a failure. */
bool oci_generation_config_read(oc_context *cx, oci_generation_config *g,
                                const oci_json *generation, const oci_json *config,
                                const char *overrides);
void oci_generation_config_deinit(oci_generation_config *g);

#endif
