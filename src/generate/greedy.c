/* One id after the other, each decided as soon as it can be:
 * 4.37.2's greedy_search and sample.
 *   {logits of the last position → processors (→ warpers) → largest, or a draw → append}
 * until all sequences ended. One that ended leaves the batch;
 * its later columns are pads. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "generate/decoding.h"
#include "generate/sample.h"

/* The next id of sequence s from its scores [V]. */
static int64_t pick(oc_context *cx, const oci_decoding *d, int64_t s, const float *scores)
{
    const oci_backend *be = oci_backend_get(cx);
    int64_t V = d->shape.vocab_size;
    if (d->search == OCI_SEARCH_GREEDY) return be->argmax(V, scores);
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *p = oci_tensor_create(cx, OC_F32, OCI_SHAPE(V));
    oci_rng rng = oci_draws_of(d->g.seed, d->o.first_picture + s / d->width, s % d->width,
                               d->length - d->prompt);
    int64_t token = 0;
    if (p) {
        be->softmax(cx, 1, V, scores, oci_f32(p));
        oci_draw(cx, &rng, oci_f32(p), V, 1, &token);
    }
    oci_arena_reset(&cx->arena, mark);
    return token;
}

/* Decides on the next id of sequence s. Raw logits [V] become scores [V], which may be
 * the same; scratch [V]. */
static void decide(oc_context *cx, oci_decoding *d, int64_t s, const float *raw,
                   float *scores, float *scratch)
{
    int64_t V = d->shape.vocab_size;
    oci_backend_get(cx)->log_softmax(cx, 1, V, raw, scratch);
    memmove(scores, raw, (size_t)V * sizeof *raw);
    if (!oci_step_process(cx, d, s, (oci_ids){ 0 }, scores)) return;
    if (d->finished[s]) return;             /* stays for its scores alone */
    int64_t token = pick(cx, d, s, scores);
    if (oci_failed(cx)) return;
    d->ids[s * d->room + d->length] = token;
    d->logprobs[s * d->room + d->made[s]++] = scratch[token];
    bool ends = oci_is_eos(&d->g, token);
    bool go_on =
        oci_announce(cx, d, s, token, ends || d->length + 1 >= d->max_length);
    d->finished[s] = ends || !go_on;
}

/* Decides for all rows; in the first step those of a picture share their logits. */
static void decide_all(oc_context *cx, oci_decoding *d, const oci_tensor *logits)
{
    int64_t V = d->shape.vocab_size;
    bool shared = d->batch_count < d->sequences && d->length == d->prompt;
    float *scores = oci_step_scores(cx, d, d->sequences);
    oci_tensor *scratch = oci_tensor_create(cx, OC_F32, OCI_SHAPE(2, V));
    if (shared) {
        d->batch_count = d->sequences;
        for (int64_t s = 0; s < d->sequences; s++) d->batch[s] = s;
    }
    for (int64_t i = 0; scratch && i < d->batch_count && !oci_failed(cx); i++) {
        int64_t s = d->batch[i];
        decide(cx, d, s, oci_step_row(d, logits, s),
               scores ? scores + s * V : oci_f32(scratch), oci_f32(scratch) + V);
    }
}

void oci_search_decide(oc_context *cx, oci_decoding *d, const oci_tensor *logits)
{
    oci_step_outputs(cx, d, d->slot, d->sequences);
    for (int64_t s = 0; s < d->sequences; s++)          /* what ended rows hold */
        d->ids[s * d->room + d->length] = d->g.pad_token_id;
    decide_all(cx, d, logits);
    if (oci_failed(cx)) return;
    int64_t left = 0;
    for (int64_t i = 0; i < d->batch_count; i++)
        if (oci_keeps_rows(d) || !d->finished[d->batch[i]])
            d->batch[left++] = d->batch[i];
    d->batch_count = left;
    d->length++;
}

void oci_search_step(oc_context *cx, oci_decoding *d)
{
    oci_arena_mark mark = oci_mark(cx);
    const oci_tensor *logits = oci_step_logits(cx, d, NULL);
    if (logits) oci_search_decide(cx, d, logits);
    oci_arena_reset(&cx->arena, mark);
}

static bool all_finished(const oci_decoding *d)
{
    for (int64_t s = 0; s < d->sequences; s++)
        if (!d->finished[s]) return false;
    return true;
}

bool oci_search_goes_on(const oci_decoding *d)
{
    return !all_finished(d) && !oci_time_is_up(d);
}

void oci_search_one_by_one(oc_context *cx, oci_decoding *d)
{
    do {
        if (oci_step_barred(cx, d)) return;
        oci_search_step(cx, d);
    } while (!oci_failed(cx) && oci_search_goes_on(d));
}
