/* The tables of GenerationConfig: part of config.c, which alone includes them. */
#ifndef OCI_GENERATE_CONFIG_TABLE_H
#define OCI_GENERATE_CONFIG_TABLE_H

#include <float.h>
#include <math.h>

#include "generate/config.h"

typedef enum field_type {
    INT, REAL, BOOL, EARLY, IDS /* a number or a list */, WORDS, BIAS, DECAY, PAIRS,
    GIVEN /* null or anything */, NOTHING /* known, without effect on what we do */
} field_type;

enum {
    SAMPLING = 1, BEAMS = 2,    /* idle without these: 4.37.2 warns when it is set then */
    OLD = 4                     /* one of PretrainedConfig's own generation parameters */
};

typedef struct field {
    const char *name;
    field_type type;
    size_t offset;
    double fallback;
    double null;                /* the value that null stands for; REFUSED: no null */
    double low, high;
    int flags;
} field;

/* Counts stay where a double holds them exactly and where sums
 * with lengths cannot overflow. */
#define LARGEST 9007199254740992.0
#define LAST_ID ((double)INT32_MAX)
#define REFUSED NAN
#define POSITIVE DBL_MIN        /* low end of what must be greater than 0 */

#define AT(member) offsetof(oci_generation_config, member)
#define F_INT(name, fallback, null, low, high, flags) \
    { #name, INT, AT(name), fallback, null, low, high, flags }
#define F_REAL(name, fallback, null, low, flags) \
    { #name, REAL, AT(name), fallback, null, low, DBL_MAX, flags }
#define F_BOOL(name, fallback, null, flags) \
    { #name, BOOL, AT(name), fallback, null, 0, 0, flags }
#define F_ID(name, flags) F_INT(name, -1, -1, -1, LAST_ID, flags)
#define F_LIST(name, type, low, flags) \
    { #name, type, AT(name), 0, 0, low, LAST_ID, flags }
#define F_NOTHING(name) { #name, NOTHING, 0, 0, 0, 0, 0, 0 }

static const field fields[] = {
    /* name, default, null, low, (high,) flags */
    F_INT(max_length, 20, -1, 0, LARGEST, OLD),
    F_INT(max_new_tokens, -1, -1, 0, LARGEST, 0),
    F_INT(min_length, 0, 0, 0, LARGEST, OLD),
    F_INT(min_new_tokens, -1, -1, 0, LARGEST, 0),
    { "early_stopping", EARLY, AT(early_stopping), OCI_EARLY_NO, REFUSED, 0, 0,
      OLD | BEAMS },
    F_REAL(max_time, -1, -1, 0, 0),
    F_BOOL(do_sample, false, REFUSED, OLD),
    F_INT(num_beams, 1, 1, 1, LAST_ID, OLD),
    F_INT(num_beam_groups, 1, REFUSED, 1, LAST_ID, OLD | BEAMS),
    F_REAL(penalty_alpha, -1, -1, 0, 0),
    F_BOOL(use_cache, true, false, 0),
    F_REAL(temperature, 1, 1, 0, OLD | SAMPLING),
    F_INT(top_k, 50, 0, 0, LARGEST, OLD | SAMPLING),
    F_REAL(top_p, 1, 1, 0, OLD | SAMPLING),
    F_REAL(typical_p, 1, 1, 0, OLD | SAMPLING),
    F_REAL(epsilon_cutoff, 0, 0, 0, SAMPLING),
    F_REAL(eta_cutoff, 0, 0, 0, SAMPLING),
    F_REAL(diversity_penalty, 0, REFUSED, -DBL_MAX, OLD | BEAMS),
    F_REAL(repetition_penalty, 1, 1, POSITIVE, OLD),
    F_REAL(encoder_repetition_penalty, 1, 1, POSITIVE, 0),
    F_REAL(length_penalty, 1, REFUSED, -DBL_MAX, OLD | BEAMS),
    F_INT(no_repeat_ngram_size, 0, 0, 0, LARGEST, OLD),
    F_LIST(bad_words_ids, WORDS, 0, OLD),
    F_LIST(force_words_ids, GIVEN, 0, 0),
    F_BOOL(renormalize_logits, false, false, 0),
    F_LIST(constraints, GIVEN, 0, BEAMS),
    F_ID(forced_bos_token_id, OLD),
    F_LIST(forced_eos_token_id, IDS, 0, OLD),
    F_BOOL(remove_invalid_values, false, false, OLD),
    { "exponential_decay_length_penalty", DECAY, AT(decay_start), -1, -1, 0, LARGEST,
      OLD },
    F_LIST(suppress_tokens, IDS, 0, OLD),
    F_LIST(begin_suppress_tokens, IDS, 0, OLD),
    F_LIST(forced_decoder_ids, PAIRS, 0, 0),
    F_LIST(sequence_bias, BIAS, 0, 0),
    F_REAL(guidance_scale, -1, -1, 0, 0),
    F_INT(num_return_sequences, 1, REFUSED, 1, LAST_ID, OLD),
    F_BOOL(output_attentions, false, false, 0),
    F_BOOL(output_hidden_states, false, false, 0),
    F_BOOL(output_scores, false, false, OLD),
    F_BOOL(return_dict_in_generate, false, false, OLD),
    F_ID(pad_token_id, 0),
    F_ID(bos_token_id, 0),
    F_LIST(eos_token_id, IDS, -1, 0),       /* -1, which no token is: never ends */
    F_INT(encoder_no_repeat_ngram_size, 0, 0, 0, LARGEST, OLD),
    F_ID(decoder_start_token_id, 0),
    F_INT(prompt_lookup_num_tokens, -1, -1, 0, LARGEST, 0),
    F_INT(seed, 0, 0, 0, LARGEST, 0),       /* ours */
    /* Of assisted decoding and of contrastive search's memory,
     * and what only describes. */
    F_NOTHING(num_assistant_tokens), F_NOTHING(num_assistant_tokens_schedule),
    F_NOTHING(low_memory), F_NOTHING(generation_kwargs), F_NOTHING(transformers_version),
    F_NOTHING(_from_model_config), F_NOTHING(_commit_hash),
};

static const field *const fields_end = fields + sizeof fields / sizeof *fields;

/* Arguments of generate() itself: 4.37.2 refuses to find them in the config. */
static const char *const arguments[] = {
    "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "synced_gpus",
    "assistant_model", "streamer", "negative_prompt_ids",
    "negative_prompt_attention_mask",
};

/* Ids that a config class has where its JSON is silent (defaults of the constructors in
 * models/NAME/configuration_NAME.py of 4.37.2, of those that can be decoders here). */
static const struct {
    const char *model_type;
    int64_t pad, bos, eos, start, forced_eos;       /* -1: null */
} class_ids[] = {
    { "bart", 1, 0, 2, 2, 2 },          { "bert", 0, -1, -1, -1, -1 },
    { "bert-generation", 0, 2, 1, -1, -1 }, { "big_bird", 0, 1, 2, -1, -1 },
    { "camembert", 1, 0, 2, -1, -1 },   { "electra", 0, -1, -1, -1, -1 },
    { "gpt2", -1, 50256, 50256, -1, -1 }, { "llama", -1, 1, 2, -1, -1 },
    { "marian", 58100, -1, 0, 58100, 0 }, { "mbart", 1, 0, 2, -1, 2 },
    { "mistral", -1, 1, 2, -1, -1 },    { "roberta", 1, 0, 2, -1, -1 },
    { "trocr", 1, 0, 2, 2, -1 },        { "xglm", 1, 0, 2, 2, -1 },
    { "xlm-roberta", 1, 0, 2, -1, -1 }, { "xlm-roberta-xl", 1, 0, 2, -1, -1 },
};

#endif
