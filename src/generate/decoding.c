#include "generate/decoding.h"

#include <string.h>

#include "base/cpu.h"
#include "base/size.h"

/* What 4.37.2 has and this version has not, or what has nothing to work on here. */
static void refuse(oc_context *cx, const oci_decoding *d)
{
    const oci_generation_config *g = &d->g;
    bool pictures = d->family == &oci_picture_family;
    const struct { bool given; const char *what; } rows[] = {
        { g->constraints, "constraints: not in this version" },
        { g->force_words_ids, "force_words_ids: not in this version" },
        { g->prompt_lookup_num_tokens >= 0, "prompt_lookup_num_tokens: not in this "
                                            "version" },
        { g->guidance_scale >= 0 && g->guidance_scale != 1,
          "guidance_scale: not in this version" },
        { pictures && g->encoder_repetition_penalty != 1,
          "encoder_repetition_penalty: needs an encoder that reads ids, not pictures" },
        { pictures && g->encoder_no_repeat_ngram_size > 0,
          "encoder_no_repeat_ngram_size: needs an encoder that reads ids, not pictures" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].given) oci_fail(cx, OC_E_UNSUPPORTED, "generate: %s", rows[i].what);
    if (g->diversity_penalty > 0 && (g->num_beams < 2 || g->num_beam_groups < 2))
        oci_fail(cx, OC_E_ARGUMENT,
                 "generate: diversity_penalty: expected groups of beams (num_beams, "
                 "num_beam_groups), found none");
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

/* The given ids, behind the start token if there is to be one; each item's for all its
 * sequences. */
static void lay_prompt(oci_decoding *d)
{
    const oci_tensor *given = d->given;
    bool add = d->start >= 0;
    int64_t T = given ? given->shape[1] : 0;
    for (int64_t s = 0; s < d->sequences; s++) {
        int64_t *row = d->ids + s * d->room, b = s / (d->sequences / d->items);
        if (add) *row++ = d->start;
        if (given) memcpy(row, oci_i64(given) + b * T, (size_t)T * sizeof *row);
    }
    d->length = d->prompt = T + add;
}

/* ---- memory ---- */

/* 4.37.2's _validate_generated_length: lengths that cannot be
 * met are said and then kept. */
static void warn_of_lengths(oc_context *cx, const oci_decoding *d, int64_t prompt)
{
    const oci_generation_config *g = &d->g;
    long long most = (long long)d->max_length;
    if (prompt >= d->max_length)
        oci_log(cx, OC_LOG_WARNING,
                "generate: the prompt has %lld tokens and max_length is %lld: one token "
                "is made at the most",
                (long long)prompt, most);
    if (g->min_length > d->max_length)
        oci_log(cx, OC_LOG_WARNING,
                "generate: min_length %lld is over max_length %lld: no end token is "
                "chosen",
                (long long)g->min_length, most);
    if (g->min_new_tokens > 0 && g->min_new_tokens + prompt > d->max_length)
        oci_log(cx, OC_LOG_WARNING,
                "generate: min_new_tokens %lld after a prompt of %lld is over max_length "
                "%lld",
                (long long)g->min_new_tokens, (long long)prompt, most);
}

/* How many ids a row can come to. One more than there are positions for, so that it is
 * the decoder that complains. */
static void set_room(oc_context *cx, oci_decoding *d, int64_t prompt)
{
    const oci_generation_config *g = &d->g;
    int64_t most = oci_min(d->most + 2, (int64_t)cx->limits.sequence);
    d->max_length = g->max_new_tokens >= 0 ? g->max_new_tokens + prompt : g->max_length;
    warn_of_lengths(cx, d, prompt);
    d->room = oci_max(d->max_length, prompt + 1);       /* one token is always made */
    if (d->room > most) d->room = oci_max(most, prompt + 1);
    d->places = d->room + d->slots;
}

oc_dtype oci_kept_dtype(oc_context *cx, oc_dtype asked)
{
    if (!asked) return OC_F32;
    if (asked != OC_F32 && asked != OC_BF16 && asked != OC_INT8)
        oci_fail(cx, OC_E_ARGUMENT, "kv_dtype: expected F32, BF16 or INT8, found %s",
                 oci_dtype_name(asked));
    return asked;
}

static void make_memory(oc_context *cx, oci_decoding *d)
{
    const oci_decoder_shape *s = &d->shape;
    bool beams = d->search == OCI_SEARCH_BEAM;
    size_t rows = (size_t)d->rows, n = (size_t)d->sequences, row = (size_t)d->room, ids,
           places;
    if (!oci_mul(row, sizeof *d->ids, &ids)) ids = SIZE_MAX;
    if (!oci_mul((size_t)d->places, sizeof *d->origin, &places)) places = SIZE_MAX;
    d->ids = oci_calloc(cx, n, ids);
    d->logprobs = oci_calloc(cx, n, ids / sizeof *d->ids * sizeof *d->logprobs);
    d->made = oci_calloc(cx, n, sizeof *d->made);
    d->finished = oci_calloc(cx, n, sizeof *d->finished);
    d->batch = oci_calloc(cx, rows, sizeof *d->batch);
    d->slot = oci_calloc(cx, rows, sizeof *d->slot);
    d->cross = oci_calloc(cx, rows, sizeof *d->cross);
    if (d->search != OCI_SEARCH_GREEDY) {
        d->origin = oci_calloc(cx, n, places);
        d->batch_origin = oci_calloc(cx, rows, places);
    }
    if (beams) d->sums = oci_calloc(cx, n, sizeof *d->sums);
    if (beams && d->o.output_scores) d->trace = oci_calloc(cx, n, ids);
    oc_dtype kept = oci_kept_dtype(cx, d->o.kv_dtype);
    if (!oci_failed(cx) && !d->cache)
        d->cache = oci_cache_create(cx, (oci_cache_spec){
            .layers = s->layers, .rows = d->rows, .heads = s->heads,
            .head_dim = s->head_dim, .length = oci_min(d->room, d->most) + d->slots,
            .sources = d->items,
            .cross_length = d->cross_attends ? d->states->shape[1] : 0,
            .dtype = kept });
}

static void make_streams(oc_context *cx, oci_decoding *d)
{
    if (!d->o.callback || !d->model->tokenizer || oci_failed(cx)) return;
    d->text = oci_calloc(cx, (size_t)d->rows, sizeof *d->text);
    for (int64_t s = 0; d->text && s < d->sequences; s++)
        d->text[s] = oci_detokenizer_create(cx, d->model->tokenizer, true,
                                            OC_CLEAN_UP_DEFAULT);
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
    refuse(cx, d);
    oci_processors_check(cx, g, d->shape.vocab_size);
    if (g->pad_token_id < 0 && g->eos_token_id.count) {
        g->pad_token_id = g->eos_token_id.at[0];
        oci_log(cx, OC_LOG_INFO, "generate: no pad_token_id, eos_token_id %lld stands in",
                (long long)g->pad_token_id);
    }
}

/* The rows that B items need. */
static void set_rows(oc_context *cx, oci_decoding *d)
{
    int64_t most = (int64_t)cx->limits.batch;
    d->rows = d->sequences = d->items * d->width;    /* both are 32-bit numbers at most */
    if (d->search == OCI_SEARCH_CONTRASTIVE) d->sequences = d->items;
    if (d->items > INT32_MAX || d->width > INT32_MAX || d->rows > oci_max(most, d->items))
        oci_fail(cx, OC_E_LIMIT,
                 "generate: expected at most %lld rows in a batch, found %lld pictures "
                 "of %lld rows",
                 (long long)most, (long long)d->items, (long long)d->width);
}

static void begin_batch(oci_decoding *d)
{
    int64_t step = d->apart ? 1 : d->width;         /* one row each for the prompt */
    d->batch_count = d->rows / step;
    for (int64_t b = 0; b < d->batch_count; b++) d->batch[b] = b * step;
    for (int64_t r = 0; r < d->rows; r++) d->cross[r] = r / d->width;
}

static const oc_generate_options no_options = { .size = sizeof no_options };

static const oci_family *find_family(oc_context *cx, const oc_model *model)
{
    static const oci_family *const families[] = { &oci_picture_family,
                                                  &oci_prompt_family };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i]->arch == model->core.arch) return families[i];
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: expected a vision-encoder-decoder or a vipllava to generate with, "
             "found %s",
             model->folder, model->core.arch->model_type);
    return NULL;
}

bool oci_decoding_begin(oc_context *cx, oci_decoding *d, const oc_model *model,
                        const oc_tensors *in, const oc_generate_options *options)
{
    *d = (oci_decoding){ .model = model };
    const oci_family *family = find_family(cx, model);
    return family && oci_inputs_check(cx, in, family->inputs) &&
           oci_decoding_begin_as(cx, d, model, family, NULL, in, options);
}

bool oci_decoding_begin_as(oc_context *cx, oci_decoding *d, const oc_model *model,
                           const oci_family *family, void *session, const oc_tensors *in,
                           const oc_generate_options *options)
{
    *d = (oci_decoding){ .model = model, .family = family, .session = session,
                         .shape = family->shape(model->core.root), .o = no_options,
                         .started = oci_now(), .start = -1 };
    oci_take_options(&d->o, sizeof d->o, options);
    read_config(cx, d);
    d->out = oc_tensors_create(cx);
    double start = oci_now();
    if (!oci_failed(cx)) d->family->open(cx, d, in);
    d->encode_seconds = oci_now() - start;
    if (oci_failed(cx)) return false;
    set_rows(cx, d);
    set_room(cx, d, (d->given ? d->given->shape[1] : 0) + (d->start >= 0));
    if (!oci_failed(cx)) make_memory(cx, d);
    make_streams(cx, d);
    if (oci_failed(cx)) return false;
    lay_prompt(d);
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
                             d->batch, d->slot, d->cross, d->origin, d->batch_origin,
                             d->dead };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) oci_free(blocks[i]);
    oci_generation_config_deinit(&d->g);
    *d = (oci_decoding){ 0 };
}
