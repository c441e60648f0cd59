/* What all searches share of a step: the pass of the decoder over the batch, the
 * processing of scores, and what is told of them. */
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"
#include "generate/decoding.h"
#include "generate/warpers.h"

/* ---- the batch ---- */

/* Without use_cache the reference looks at all ids again in every step. That gives the
 * same numbers, so we keep ours, unless the outputs of that longer pass are wanted; or it
 * gives others, as the family knows. */
static bool starts_over(const oci_decoding *d)
{
    return !d->g.use_cache && (d->family->looks_at_all || d->g.output_attentions ||
                               d->g.output_hidden_states);
}

/* Ids of which the cache has the keys: fewer than there are keys
 * behind a prompt's pictures. */
static int64_t ids_cached(const oci_decoding *d)
{
    return d->cache->length ? d->cache->length - d->slots : 0;
}

/* The ids that the decoder has not seen yet, of the rows in the batch: [A, T]. */
static oci_tensor *pending_ids(oc_context *cx, const oci_decoding *d,
                               const int64_t *tokens)
{
    int64_t from = ids_cached(d), T = tokens ? 1 : d->length - from;
    oci_tensor *x = oci_tensor_create(cx, OC_I64, OCI_SHAPE(d->batch_count, T));
    for (int64_t i = 0; x && i < d->batch_count; i++) {
        const int64_t *ids = d->ids + oci_sequence_of(d, d->batch[i]) * d->room + from;
        memcpy(oci_i64(x) + i * T, tokens ? tokens + i : ids, (size_t)T * sizeof *ids);
    }
    return x;
}

/* Tells the cache where the rows of the batch write and read. In the first pass, over the
 * prompt, the rows of a picture are alike, and one is computed for all. */
static void place_rows(oci_decoding *d, int64_t T, bool first)
{
    oci_cache *cache = d->cache;
    cache->origin = NULL;
    for (int64_t i = 0; i < d->batch_count; i++) {
        int64_t row = d->batch[i];
        cache->rows[i] = row;
        cache->cross_rows[i] = d->cross[row];
        d->slot[row] = i;
        if (!d->origin || cache->length == 0) continue;
        int64_t *at = d->batch_origin + i * d->places;
        memcpy(at, d->origin + oci_sequence_of(d, row) * d->places,
               (size_t)cache->length * sizeof *at);
        for (int64_t t = 0; t < T; t++) at[cache->length + t] = row;
        cache->origin = d->batch_origin;
        cache->origin_row = d->places;
    }
    if (first && !d->apart)
        for (int64_t r = 0; r < d->rows; r++)
            d->slot[r] = d->slot[r / d->width * d->width];
}

/* What the pass wrote becomes the past of its rows; that of the first one, of all rows. A
 * sequence of contrastive search learns its row when a candidate is chosen. */
static void note_origin(oci_decoding *d, int64_t from, bool first)
{
    bool alike = first && !d->apart;
    if (!d->origin || (!first && d->search == OCI_SEARCH_CONTRASTIVE)) return;
    for (int64_t s = 0; s < d->sequences; s++) {
        int64_t own = d->search == OCI_SEARCH_CONTRASTIVE ? s * d->width : s;
        for (int64_t t = from; t < d->cache->length; t++)
            d->origin[s * d->places + t] = alike ? own / d->width * d->width : own;
    }
}

static bool is_number(const float *x, int64_t n)
{
    float sum = 0;              /* inf - inf and NaN both end up as NaN */
    for (int64_t i = 0; i < n; i++) sum += x[i] * 0.0f;
    return sum == 0.0f;
}

void oci_step_check(oc_context *cx, const oci_decoding *d, const oci_tensor *logits)
{
    int64_t V = d->shape.vocab_size;
    for (int64_t i = 0; logits && i < d->batch_count && !d->g.remove_invalid_values; i++)
        if (!is_number(oci_f32(logits) + i * V, V))
            oci_fail(cx, OC_E_FAILED,
                     "generate: row %lld, token %lld: expected numbers as logits, found "
                     "NaN or infinity",
                     (long long)d->batch[i], (long long)(d->length - d->prompt));
}

oci_tensor *oci_step_logits(oc_context *cx, oci_decoding *d, const int64_t *tokens)
{
    if (starts_over(d)) d->cache->length = 0;
    int64_t from = d->cache->length;
    bool first = d->length == d->prompt && from == 0;
    oci_tensor *ids = pending_ids(cx, d, tokens);
    if (!ids) return NULL;
    place_rows(d, ids->shape[1], first);
    oci_taps taps = { .attentions = d->g.output_attentions, .prefix = d->family->outputs,
                      .hidden_states = d->g.output_hidden_states ||
                                       d->search == OCI_SEARCH_CONTRASTIVE,
                      .cross_prefix = "" };
    oc_tensors_free(d->held);
    d->held = taps.attentions || taps.hidden_states ? oc_tensors_create(cx) : NULL;
    taps.set = d->held;
    if (d->held) cx->taps = &taps;
    oci_tensor *logits = d->family->pass(cx, d, ids);
    cx->taps = NULL;
    if (oci_failed(cx)) return NULL;
    note_origin(d, from, first);
    oci_step_check(cx, d, logits);
    return oci_failed(cx) ? NULL : logits;
}

/* ---- scores ---- */

/* The prompt of item b, where that is what the model's encoder ids are. */
static oci_ids prompt_of(const oci_decoding *d, int64_t b)
{
    if (d->family == &oci_picture_family || b >= d->items) return (oci_ids){ 0 };
    return (oci_ids){ .at = d->ids + b * (d->sequences / d->items) * d->room,
                      .count = (size_t)d->prompt };
}

/* The number of sequence s within its group of beams, all items counted. */
static int64_t number_in_group(const oci_decoding *d, int64_t s)
{
    if (d->search != OCI_SEARCH_BEAM) return s;
    int64_t size = d->width / d->g.num_beam_groups;
    return s / d->width * size + s % size;
}

bool oci_step_process(oc_context *cx, const oci_decoding *d, int64_t s, oci_ids earlier,
                      float *scores)
{
    int64_t item = s / (d->sequences / d->items);
    const oci_row row = {
        .ids = d->ids + s * d->room, .length = d->length, .prompt = d->prompt,
        .max_length = d->max_length, .earlier = earlier,
        /* The reference gathers prompts by row, and there are as many as items. */
        .penalised_ids = prompt_of(d, number_in_group(d, s)),
        .encoder_ids = prompt_of(d, item), .item = item,
        .allowed = d->o.prefix_allowed_tokens, .allowed_user = d->o.prefix_user };
    int64_t V = d->shape.vocab_size;
    if (!oci_process_logits(cx, &d->g, &row, scores, V)) return false;
    if (d->g.do_sample) oci_warp_logits(cx, &d->g, oci_warpers_keep(&d->g), scores, V);
    return !oci_failed(cx);
}

float *oci_step_scores(oc_context *cx, oci_decoding *d, int64_t count)
{
    char name[64];
    oc_tensor_view view;
    const int64_t shape[] = { count, d->shape.vocab_size };
    if (!d->o.output_scores) return NULL;
    snprintf(name, sizeof name, "scores.%lld", (long long)(d->length - d->prompt));
    oc_tensors_add(cx, d->out, name, OC_F32, 2, shape, NULL);
    if (oci_failed(cx) || !oc_tensors_find(d->out, name, &view)) return NULL;
    return (float *)(uintptr_t)view.data;       /* our own set, just made */
}

/* ---- outputs of the decoder ---- */

bool oci_keeps_rows(const oci_decoding *d)
{
    return d->o.output_scores || d->g.output_attentions || d->g.output_hidden_states ||
           (d->family->looks_at_all && starts_over(d));
}

/* decoder_attentions.2 of step 5 is decoder_attentions.5.2. */
static void add_output(oc_context *cx, oci_decoding *d, const oc_tensor_view *view,
                       const int64_t *from, int64_t count)
{
    char name[OCI_MAX_NAME];
    int64_t shape[OCI_MAX_RANK];
    const char *dot = strchr(view->name, '.');
    size_t each = view->shape[0] ? view->bytes / (size_t)view->shape[0] : 0;
    int stem = dot ? (int)(dot - view->name) : 0;
    snprintf(name, sizeof name, "%.*s.%lld%s", stem, view->name,
             (long long)(d->length - d->prompt), dot ? dot : "");
    memcpy(shape, view->shape, (size_t)view->rank * sizeof *shape);
    shape[0] = count;
    oc_tensors_add(cx, d->out, name, OC_F32, view->rank, shape, NULL);
    oc_tensor_view made;
    if (oci_failed(cx) || !oc_tensors_find(d->out, name, &made)) return;
    for (int64_t r = 0; r < count; r++)
        memcpy((char *)(uintptr_t)made.data + (size_t)r * each,
               (const char *)view->data + (size_t)from[r] * each, each);
}

void oci_step_outputs(oc_context *cx, oci_decoding *d, const int64_t *from, int64_t count)
{
    for (size_t i = 0; d->held && i < oc_tensors_count(d->held) && !oci_failed(cx); i++) {
        oc_tensor_view view = oc_tensors_get(d->held, i);
        bool hidden = strstr(view.name, "hidden_states") != NULL;
        if (hidden ? d->g.output_hidden_states : d->g.output_attentions)
            add_output(cx, d, &view, from, count);
    }
}

/* ---- telling ---- */

bool oci_announce(oc_context *cx, oci_decoding *d, int64_t s, int64_t token, bool last)
{
    const char *text = NULL;
    if (!d->o.callback) return true;
    if (d->text && last) text = oci_detokenizer_push_last(cx, d->text[s], token, NULL);
    else if (d->text) text = oci_detokenizer_push(cx, d->text[s], token, NULL);
    return d->o.callback(d->o.callback_user, s, token, text);
}

/* ---- when to stop ---- */

bool oci_is_eos(const oci_generation_config *g, int64_t id)
{
    for (size_t i = 0; i < g->eos_token_id.count; i++)
        if (g->eos_token_id.at[i] == id) return true;
    return false;
}

bool oci_step_barred(oc_context *cx, const oci_decoding *d)
{
    if (d->length >= d->room)
        oci_fail(cx, OC_E_LIMIT,
                 "generate: expected at most %lld ids in a row, found more",
                 (long long)d->room);
    return oci_failed(cx) || oci_cancelled(cx);
}

bool oci_time_is_up(const oci_decoding *d)
{
    return d->length >= d->max_length ||
           (d->g.max_time >= 0 && oci_now() - d->started > d->g.max_time);
}
