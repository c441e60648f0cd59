/* Greedy search as in Transformers 4.37.2 (GenerationMixin.greedy_search):
 *   {logits of the last position → processors → largest → append} until all rows ended
 * A row that ended leaves the batch; its later columns are pads. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "generate/decoding.h"
#include "generate/processors.h"

/* The ids that the decoder has not seen yet, of the rows in the batch: [A, T]. */
static oci_tensor *pending_ids(oc_context *cx, const oci_decoding *d)
{
    int64_t from = d->cache->length, T = d->length - from;
    oci_tensor *x = oci_tensor_create(cx, OC_I64, OCI_SHAPE(d->active_count, T));
    for (int64_t i = 0; x && i < d->active_count; i++)
        memcpy(oci_i64(x) + i * T, d->ids + d->active[i] * d->room + from,
               (size_t)T * sizeof(int64_t));
    return x;
}

/* Without use_cache the reference counts positions over all ids, leaving pads out; with it,
 * the length of the cache. Only sinusoidal positions see the difference. */
static const int64_t *counted_ids(oc_context *cx, const oci_decoding *d)
{
    if (d->g.use_cache) return NULL;
    oci_tensor *n = oci_tensor_create(cx, OC_I64, OCI_SHAPE(d->active_count));
    for (int64_t i = 0; n && i < d->active_count; i++) {
        const int64_t *row = d->ids + d->active[i] * d->room;
        oci_i64(n)[i] = 0;
        for (int64_t t = 0; t < d->cache->length; t++)
            oci_i64(n)[i] += row[t] != d->ved->shape.pad_token_id;
    }
    return n ? oci_i64(n) : NULL;
}

/* Logits of the last position, [A, 1, V]. */
static oci_tensor *next_logits(oc_context *cx, oci_decoding *d)
{
    memcpy(d->cache->rows, d->active, (size_t)d->active_count * sizeof *d->active);
    memcpy(d->cache->cross_rows, d->active, (size_t)d->active_count * sizeof *d->active);
    return d->ved->decoder_arch->decode(cx, d->ved->decoder, (oci_decode_call){
        .input_ids = pending_ids(cx, d), .encoder_hidden_states = d->states,
        .cache = d->cache, .last_only = true, .counted = counted_ids(cx, d) });
}

static bool is_eos(const oci_generation_config *g, int64_t id)
{
    for (size_t i = 0; i < g->eos_token_id.count; i++)
        if (g->eos_token_id.at[i] == id) return true;
    return false;
}

static bool is_number(const float *x, int64_t n)
{
    float sum = 0;              /* inf - inf and NaN both end up as NaN */
    for (int64_t i = 0; i < n; i++) sum += x[i] * 0.0f;
    return sum == 0.0f;
}

/* Tells the callback; false when it wants this row to stop. */
static bool announce(oc_context *cx, oci_decoding *d, int64_t row, int64_t token)
{
    size_t size;
    if (!d->callback) return true;
    const char *text = d->text ? oci_detokenizer_push(cx, d->text[row], token, &size) : NULL;
    return d->callback(d->callback_user, row, token, text);
}

/* Picks the next id of one row from its raw logits [V], which are overwritten. */
static void pick(oc_context *cx, oci_decoding *d, int64_t row, float *logits, float *scratch)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t V = d->ved->shape.vocab_size, *ids = d->ids + row * d->room;
    if (!is_number(logits, V)) {
        oci_fail(cx, OC_E_FAILED, "generate: row %lld, token %lld: expected numbers as logits, "
                 "found NaN or infinity", (long long)row, (long long)(d->length - d->prompt));
        return;
    }
    be->log_softmax(cx, 1, V, logits, scratch);
    oci_process_logits(&d->g, &(oci_row){ .ids = ids, .length = d->length,
                       .prompt = d->prompt, .max_length = d->max_length }, logits, V);
    if (d->finished[row]) return;           /* stays for its scores alone */
    int64_t token = be->argmax(V, logits);
    ids[d->length] = token;
    d->logprobs[row * d->room + d->made[row]++] = scratch[token];
    bool go_on = announce(cx, d, row, token);
    d->finished[row] = is_eos(&d->g, token) || !go_on;
}

static void keep_scores(oc_context *cx, oci_decoding *d, const oci_tensor *logits)
{
    char name[64];
    const int64_t shape[] = { d->rows, logits->shape[2] };
    snprintf(name, sizeof name, "scores.%lld", (long long)(d->length - d->prompt));
    oc_tensors_add(cx, d->scores, name, OC_F32, 2, shape, logits->data);
}

static void step(oc_context *cx, oci_decoding *d)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *logits = next_logits(cx, d);
    int64_t V = d->ved->shape.vocab_size, left = 0;
    oci_tensor *scratch = oci_tensor_create(cx, OC_F32, OCI_SHAPE(V));
    if (!logits || !scratch) return;
    for (int64_t b = 0; b < d->rows; b++)           /* what ended rows hold */
        d->ids[b * d->room + d->length] = d->g.pad_token_id;
    for (int64_t i = 0; i < d->active_count && !oci_failed(cx); i++)
        pick(cx, d, d->active[i], oci_f32(logits) + i * V, oci_f32(scratch));
    if (d->scores && !oci_failed(cx)) keep_scores(cx, d, logits);
    /* Scores are wanted of all rows to the last step, so then nobody leaves. */
    for (int64_t i = 0; i < d->active_count; i++)
        if (d->scores || !d->finished[d->active[i]]) d->active[left++] = d->active[i];
    d->active_count = left;
    d->length++;
    oci_arena_reset(&cx->arena, mark);
}

static bool all_finished(const oci_decoding *d)
{
    for (int64_t b = 0; b < d->rows; b++)
        if (!d->finished[b]) return false;
    return true;
}

oc_status oci_greedy(oc_context *cx, oci_decoding *d)
{
    double start = oci_now();
    do {
        if (d->length >= d->room)
            oci_fail(cx, OC_E_LIMIT, "generate: expected at most %lld ids in a row, found more",
                     (long long)d->room);
        if (!oci_failed(cx) && !oci_cancelled(cx)) step(cx, d);
        if (d->g.max_time >= 0 && oci_now() - d->started > d->g.max_time) break;
    } while (!oci_failed(cx) && !all_finished(d) && d->length < d->max_length);
    d->decode_seconds = oci_now() - start;
    return cx->status;
}
