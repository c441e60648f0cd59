#include "generate/decoding.h"

#include <ctype.h>
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "decoder_input_ids", OCI_INPUT_IDS, 2 },
    { "encoder_outputs.0", OCI_INPUT_FLOAT, 3 },
    { "decoder_attention_mask", OCI_INPUT_MASK, 2 },    /* taken and not used, as 4.37.2 does */
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

/* What 4.37.2 has and this version has not, or what has nothing to work on here. */
static void refuse(oc_context *cx, const oci_generation_config *g)
{
    const struct { bool given; const char *what; } rows[] = {
        { g->constraints, "constraints: not in this version" },
        { g->force_words_ids, "force_words_ids: not in this version" },
        { g->prompt_lookup_num_tokens >= 0, "prompt_lookup_num_tokens: not in this version" },
        { g->guidance_scale >= 0 && g->guidance_scale != 1,
          "guidance_scale: not in this version" },
        { g->encoder_repetition_penalty != 1,
          "encoder_repetition_penalty: needs an encoder that reads ids, not pictures" },
        { g->encoder_no_repeat_ngram_size > 0,
          "encoder_no_repeat_ngram_size: needs an encoder that reads ids, not pictures" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].given) oci_fail(cx, OC_E_UNSUPPORTED, "generate: %s", rows[i].what);
    if (g->diversity_penalty > 0 && (g->num_beams < 2 || g->num_beam_groups < 2))
        oci_fail(cx, OC_E_ARGUMENT, "generate: diversity_penalty: expected groups of beams "
                 "(num_beams, num_beam_groups), found none");
}

/* 4.37.2's _get_generation_mode, and how many rows a picture has then. */
static oci_search choose_search(const oci_generation_config *g, int64_t *width)
{
    *width = 1;
    if (g->num_beams > 1) {
        *width = g->num_beams;
        return OCI_SEARCH_BEAM;
    }
    if (g->do_sample) {
        *width = g->num_return_sequences;
        return OCI_SEARCH_SAMPLE;
    }
    if (g->top_k <= 1 || !(g->penalty_alpha > 0)) return OCI_SEARCH_GREEDY;
    *width = g->top_k;
    return OCI_SEARCH_CONTRASTIVE;
}

/* ---- the prompt ---- */

/* Donut's prompts are taken as they are (4.37.2 looks at the name it was loaded by). */
static bool named_donut(const char *folder)
{
    static const char word[] = "donut";
    for (; *folder; folder++) {
        size_t i = 0;
        while (word[i] && tolower((unsigned char)folder[i]) == word[i]) i++;
        if (!word[i]) return true;
    }
    return false;
}

/* The start token; bos stands in for it. -1 with an error if there is neither. */
static int64_t start_token(oc_context *cx, const oci_generation_config *g)
{
    int64_t start = g->decoder_start_token_id >= 0 ? g->decoder_start_token_id
                                                   : g->bos_token_id;
    if (start < 0)
        oci_fail(cx, OC_E_ARGUMENT, "generate: expected decoder_start_token_id or bos_token_id "
                 "in generation_config.json or as an option, found neither");
    return start;
}

/* decoder_input_ids, with the start token before them unless some row begins with it; each
 * picture's for all its sequences. */
static void lay_prompt(oci_decoding *d, const oci_tensor *given, int64_t start, bool add)
{
    int64_t T = given ? given->shape[1] : 0;
    for (int64_t s = 0; s < d->sequences; s++) {
        int64_t *row = d->ids + s * d->room, b = s / (d->sequences / d->pictures);
        if (add) *row++ = start;
        if (given) memcpy(row, oci_i64(given) + b * T, (size_t)T * sizeof *row);
    }
    d->length = d->prompt = T + add;
}

static bool start_missing(const oci_tensor *given, int64_t start)
{
    for (int64_t b = 0; given && b < given->shape[0]; b++)
        if (oci_i64(given)[b * given->shape[1]] == start) return false;
    return true;
}

/* ---- memory ---- */

/* No decoder answers beyond its positions: neither need the cache go there. */
static int64_t most_positions(const oci_decoding *d)
{
    return oci_max(d->ved->shape.max_positions, 4096);
}

/* How many ids a row can come to. One more than there are positions for, so that it is the
 * decoder that complains. */
static void set_room(oc_context *cx, oci_decoding *d, int64_t prompt)
{
    const oci_generation_config *g = &d->g;
    int64_t most = oci_min(most_positions(d) + 2, (int64_t)cx->limits.sequence);
    d->max_length = g->max_new_tokens >= 0 ? g->max_new_tokens + prompt : g->max_length;
    d->room = oci_max(d->max_length, prompt + 1);       /* one token is always made */
    if (d->room > most) d->room = oci_max(most, prompt + 1);
}

static void make_memory(oc_context *cx, oci_decoding *d)
{
    const oci_decoder_shape *s = &d->ved->shape;
    bool beams = d->search == OCI_SEARCH_BEAM;
    size_t rows = (size_t)d->rows, n = (size_t)d->sequences, row = (size_t)d->room, ids;
    if (!oci_mul(row, sizeof *d->ids, &ids)) ids = SIZE_MAX;
    d->ids = oci_calloc(cx, n, ids);
    d->logprobs = oci_calloc(cx, n, ids / sizeof *d->ids * sizeof *d->logprobs);
    d->made = oci_calloc(cx, n, sizeof *d->made);
    d->finished = oci_calloc(cx, n, sizeof *d->finished);
    d->batch = oci_calloc(cx, rows, sizeof *d->batch);
    d->slot = oci_calloc(cx, rows, sizeof *d->slot);
    d->cross = oci_calloc(cx, rows, sizeof *d->cross);
    if (d->search != OCI_SEARCH_GREEDY) {
        d->origin = oci_calloc(cx, n, ids);
        d->batch_origin = oci_calloc(cx, rows, ids);
    }
    if (beams) d->sums = oci_calloc(cx, n, sizeof *d->sums);
    if (beams && d->o.output_scores) d->trace = oci_calloc(cx, n, ids);
    if (!oci_failed(cx))
        d->cache = oci_cache_create_shared(cx, s->layers, d->rows, s->heads, s->head_dim,
                                           oci_min(d->room, most_positions(d)), d->pictures,
                                           d->states->shape[1]);
}

static void make_streams(oc_context *cx, oci_decoding *d)
{
    if (!d->o.callback || !d->model->tokenizer || oci_failed(cx)) return;
    d->text = oci_calloc(cx, (size_t)d->rows, sizeof *d->text);
    for (int64_t s = 0; d->text && s < d->sequences; s++)
        d->text[s] = oci_detokenizer_create(cx, d->model->tokenizer, true, OC_CLEAN_UP_DEFAULT);
}

/* ---- begin and end ---- */

static void read_config(oc_context *cx, oci_decoding *d)
{
    oci_generation_config *g = &d->g;
    if (!oci_generation_config_read(cx, g, &d->model->generation, &d->model->core.config,
                                    d->o.config)) return;
    g->output_attentions |= d->o.output_attentions;
    g->output_hidden_states |= d->o.output_hidden_states;
    d->search = choose_search(g, &d->width);
    refuse(cx, g);
    oci_processors_check(cx, g, d->ved->shape.vocab_size);
    if (g->pad_token_id < 0 && g->eos_token_id.count) {
        g->pad_token_id = g->eos_token_id.at[0];
        oci_log(cx, OC_LOG_INFO, "generate: no pad_token_id, eos_token_id %lld stands in",
                (long long)g->pad_token_id);
    }
}

/* The rows that B pictures need. */
static void set_rows(oc_context *cx, oci_decoding *d)
{
    int64_t most = (int64_t)cx->limits.batch;
    d->pictures = d->states->shape[0];
    d->rows = d->sequences = d->pictures * d->width;       /* both are 32-bit numbers at most */
    if (d->search == OCI_SEARCH_CONTRASTIVE) d->sequences = d->pictures;
    if (d->pictures > INT32_MAX || d->width > INT32_MAX || d->rows > oci_max(most, d->pictures))
        oci_fail(cx, OC_E_LIMIT, "generate: expected at most %lld rows in a batch, found %lld "
                 "pictures of %lld rows", (long long)most, (long long)d->pictures,
                 (long long)d->width);
}

static void begin_batch(oci_decoding *d)
{
    d->batch_count = d->pictures;       /* one row each for the prompt */
    for (int64_t b = 0; b < d->pictures; b++) d->batch[b] = b * d->width;
    for (int64_t r = 0; r < d->rows; r++) d->cross[r] = r / d->width;
}

static const oc_generate_options no_options = { .size = sizeof no_options };

bool oci_decoding_begin(oc_context *cx, oci_decoding *d, const oc_model *model,
                        const oc_tensors *in, const oc_generate_options *options)
{
    *d = (oci_decoding){ .model = model, .ved = model->core.root, .o = no_options,
                         .started = oci_now() };
    oci_take_options(&d->o, sizeof d->o, options);
    if (model->core.arch != &oci_vision_encoder_decoder) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: expected a vision-encoder-decoder to generate with, "
                 "found %s", model->folder, model->core.arch->model_type);
        return false;
    }
    if (!oci_inputs_check(cx, in, inputs)) return false;
    read_config(cx, d);
    oci_tensor *given = oci_input(cx, in, inputs, "decoder_input_ids");
    int64_t start = oci_failed(cx) ? -1 : start_token(cx, &d->g);
    d->out = oc_tensors_create(cx);
    if (!oci_failed(cx)) oci_decoding_encode(cx, d, in, inputs);
    if (oci_failed(cx)) return false;
    oci_inputs_agree(cx, "pixel_values", d->states, "decoder_input_ids", given, 1);
    bool add = start_missing(given, start) && !(given && named_donut(model->folder));
    set_rows(cx, d);
    set_room(cx, d, (given ? given->shape[1] : 0) + add);
    if (!oci_failed(cx)) make_memory(cx, d);
    make_streams(cx, d);
    if (oci_failed(cx)) return false;
    lay_prompt(d, given, start, add);
    begin_batch(d);
    return true;
}

oc_status oci_decoding_run(oc_context *cx, oci_decoding *d)
{
    double start = oci_now();
    switch (d->search) {
    case OCI_SEARCH_GREEDY: case OCI_SEARCH_SAMPLE: oci_search_one_by_one(cx, d); break;
    case OCI_SEARCH_BEAM: oci_search_beams(cx, d); break;
    case OCI_SEARCH_CONTRASTIVE: oci_search_contrastive(cx, d); break;
    }
    oci_cancelled(cx);          /* by the callback of the last token, say */
    d->decode_seconds = oci_now() - start;
    return cx->status;
}

void oci_decoding_end(oci_decoding *d)
{
    for (int64_t s = 0; d->text && s < d->rows; s++) oci_detokenizer_free(d->text[s]);
    oci_free(d->text);
    oc_tensors_free(d->out);
    oc_tensors_free(d->held);
    oci_cache_free(d->cache);
    void *const blocks[] = { d->ids, d->made, d->logprobs, d->finished, d->sums, d->trace,
                             d->batch, d->slot, d->cross, d->origin, d->batch_origin };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) oci_free(blocks[i]);
    oci_generation_config_deinit(&d->g);
    *d = (oci_decoding){ 0 };
}
