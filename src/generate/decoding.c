#include "generate/decoding.h"

#include <ctype.h>
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"
#include "generate/processors.h"

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "decoder_input_ids", OCI_INPUT_IDS, 2 },
    { "encoder_outputs.0", OCI_INPUT_FLOAT, 3 },
    { "decoder_attention_mask", OCI_INPUT_MASK, 2 },    /* taken and not used, as 4.37.2 does */
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

/* What 4.37.2 has and this version has not. Beam groups without beams are idle there too. */
static void refuse(oc_context *cx, const oci_generation_config *g)
{
    const struct { bool given; const char *what; } rows[] = {
        { g->constraints, "constraints" }, { g->force_words_ids, "force_words_ids" },
        { g->num_beams > 1, "num_beams > 1" }, { g->do_sample, "do_sample" },
        { g->penalty_alpha > 0 && g->top_k > 1, "penalty_alpha" },
        { g->prompt_lookup_num_tokens >= 0, "prompt_lookup_num_tokens" },
        { g->guidance_scale >= 0 && g->guidance_scale != 1, "guidance_scale" },
        { g->diversity_penalty > 0, "diversity_penalty" },
        { g->encoder_repetition_penalty != 1, "encoder_repetition_penalty" },
        { g->encoder_no_repeat_ngram_size > 0, "encoder_no_repeat_ngram_size" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].given)
            oci_fail(cx, OC_E_UNSUPPORTED, "generate: %s is not in this version, only greedy "
                     "search is", rows[i].what);
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

/* decoder_input_ids, with the start token before them unless some row begins with it. */
static void lay_prompt(oci_decoding *d, const oci_tensor *given, int64_t start, bool add)
{
    int64_t T = given ? given->shape[1] : 0;
    for (int64_t b = 0; b < d->rows; b++) {
        int64_t *row = d->ids + b * d->room;
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

/* How many positions a row can come to. */
static void set_room(oc_context *cx, oci_decoding *d, int64_t prompt)
{
    const oci_generation_config *g = &d->g;
    d->max_length = g->max_new_tokens >= 0 ? g->max_new_tokens + prompt : g->max_length;
    d->room = oci_max(d->max_length, prompt + 1);       /* one token is always made */
    if (d->room > (int64_t)cx->limits.sequence)
        d->room = oci_max((int64_t)cx->limits.sequence, prompt + 1);
}

static void make_memory(oc_context *cx, oci_decoding *d, bool scores)
{
    const oci_decoder_shape *s = &d->ved->shape;
    size_t B = (size_t)d->rows, cells;
    if (!oci_mul(B, (size_t)d->room, &cells)) cells = SIZE_MAX;
    d->ids = oci_calloc(cx, cells, sizeof *d->ids);
    d->logprobs = oci_calloc(cx, cells, sizeof *d->logprobs);
    d->made = oci_calloc(cx, B, sizeof *d->made);
    d->active = oci_calloc(cx, B, sizeof *d->active);
    d->finished = oci_calloc(cx, B, sizeof *d->finished);
    if (scores) d->scores = oc_tensors_create(cx);
    /* No decoder answers beyond its positions, so neither need the cache go there. */
    int64_t most = oci_max(s->max_positions, 4096);
    if (!oci_failed(cx))
        d->cache = oci_cache_create(cx, s->layers, d->rows, s->heads, s->head_dim,
                                    oci_min(d->room, most), d->states->shape[1]);
}

static void make_streams(oc_context *cx, oci_decoding *d)
{
    if (!d->callback || !d->model->tokenizer || oci_failed(cx)) return;
    d->text = oci_calloc(cx, (size_t)d->rows, sizeof *d->text);
    for (int64_t b = 0; d->text && b < d->rows; b++)
        d->text[b] = oci_detokenizer_create(cx, d->model->tokenizer, true, OC_CLEAN_UP_DEFAULT);
}

/* ---- begin and end ---- */

/* Pictures that go through the encoder together: enough rows for the products, few enough
 * that a layer's values stay in the cache. Each picture's result is the same in any company. */
enum { PICTURES_AT_ONCE = 4 };

static oci_tensor *encode_some(oc_context *cx, const oci_decoding *d, const oci_tensor *pixels,
                               int64_t first, int64_t count, bool interpolate)
{
    int64_t shape[OCI_MAX_RANK], each = oci_tensor_count(pixels) / pixels->shape[0];
    memcpy(shape, pixels->shape, sizeof shape);
    shape[0] = count;
    return oci_ved_encode(cx, d->ved, (oci_encode_call){
        .pixel_values = oci_tensor_view(cx, pixels, pixels->rank, shape, first * each),
        .interpolate_pos_encoding = interpolate });
}

/* [B, N, Dc], in slices of PICTURES_AT_ONCE. */
static oci_tensor *encode_all(oc_context *cx, const oci_decoding *d, oci_tensor *pixels,
                              bool interpolate)
{
    int64_t B = pixels->shape[0];
    if (B <= PICTURES_AT_ONCE) return encode_some(cx, d, pixels, 0, B, interpolate);
    oci_tensor *all = NULL;
    for (int64_t b = 0; b < B && !oci_failed(cx); b += PICTURES_AT_ONCE) {
        oci_arena_mark mark = oci_mark(cx);
        int64_t count = oci_min(PICTURES_AT_ONCE, B - b);
        const oci_tensor *x = encode_some(cx, d, pixels, b, count, interpolate);
        if (!x) return NULL;
        int64_t each = oci_tensor_count(x) / count;
        if (all) {
            memcpy(oci_f32(all) + b * each, x->data, (size_t)(count * each) * sizeof(float));
            oci_arena_reset(&cx->arena, mark);
        } else {        /* the first slice says how large the result is, and stays below it */
            all = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, x->shape[1], x->shape[2]));
            if (all) memcpy(all->data, x->data, (size_t)(count * each) * sizeof(float));
        }
    }
    return all;
}

static void encode(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    double start = oci_now();
    oci_tensor *given = oci_input(cx, in, inputs, "encoder_outputs.0"), *pixels = NULL;
    if (given && given->shape[2] != d->ved->encoder_width)
        oci_fail(cx, OC_E_MALFORMED, "encoder_outputs.0: expected width %lld, found %lld",
                 (long long)d->ved->encoder_width, (long long)given->shape[2]);
    if (!given) pixels = oci_input_required(cx, in, inputs, "pixel_values");
    if (oci_failed(cx)) return;
    d->states = given ? oci_ved_project(cx, d->ved, given)
                      : encode_all(cx, d, pixels,
                                   oci_input_flag(in, "interpolate_pos_encoding"));
    d->encode_seconds = oci_now() - start;
    if (d->states) d->rows = d->states->shape[0];
}

static void read_config(oc_context *cx, oci_decoding *d, const char *config)
{
    oci_generation_config *g = &d->g;
    if (!oci_generation_config_read(cx, g, &d->model->generation, &d->model->core.config,
                                    config)) return;
    refuse(cx, g);
    oci_processors_check(cx, g, d->ved->shape.vocab_size);
    if (g->pad_token_id < 0 && g->eos_token_id.count) {
        g->pad_token_id = g->eos_token_id.at[0];
        oci_log(cx, OC_LOG_INFO, "generate: no pad_token_id, eos_token_id %lld stands in",
                (long long)g->pad_token_id);
    }
}

bool oci_decoding_begin(oc_context *cx, oci_decoding *d, const oc_model *model,
                        const oc_tensors *in, const char *config, bool scores,
                        oc_token_callback callback, void *callback_user)
{
    *d = (oci_decoding){ .model = model, .ved = model->core.root, .callback = callback,
                         .callback_user = callback_user, .started = oci_now() };
    if (model->core.arch != &oci_vision_encoder_decoder) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: expected a vision-encoder-decoder to generate with, "
                 "found %s", model->folder, model->core.arch->model_type);
        return false;
    }
    if (!oci_inputs_check(cx, in, inputs)) return false;
    read_config(cx, d, config);
    oci_tensor *given = oci_input(cx, in, inputs, "decoder_input_ids");
    int64_t start = oci_failed(cx) ? -1 : start_token(cx, &d->g);
    if (!oci_failed(cx)) encode(cx, d, in);
    if (oci_failed(cx)) return false;
    oci_inputs_agree(cx, "pixel_values", d->states, "decoder_input_ids", given, 1);
    bool add = start_missing(given, start) && !(given && named_donut(model->folder));
    set_room(cx, d, (given ? given->shape[1] : 0) + add);
    make_memory(cx, d, scores);
    make_streams(cx, d);
    if (oci_failed(cx)) return false;
    lay_prompt(d, given, start, add);
    d->active_count = d->rows;
    for (int64_t b = 0; b < d->rows; b++) d->active[b] = b;
    return true;
}

void oci_decoding_end(oci_decoding *d)
{
    for (int64_t b = 0; d->text && b < d->rows; b++) oci_detokenizer_free(d->text[b]);
    oci_free(d->text);
    oc_tensors_free(d->scores);
    oci_cache_free(d->cache);
    oci_free(d->ids);
    oci_free(d->logprobs);
    oci_free(d->made);
    oci_free(d->active);
    oci_free(d->finished);
    oci_generation_config_deinit(&d->g);
    *d = (oci_decoding){ 0 };
}
