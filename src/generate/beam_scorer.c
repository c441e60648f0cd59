#include "generate/beam_scorer.h"

#include <math.h>
#include <string.h>

#include "base/size.h"

bool oci_beam_scorer_init(oc_context *cx, oci_beam_scorer *s)
{
    size_t stores = (size_t)(s->items * s->groups), slots, cells = SIZE_MAX;
    if (oci_mul(stores, (size_t)s->size, &slots) &&
        !oci_mul(slots, (size_t)s->room + 1, &cells)) cells = SIZE_MAX;
    s->stores = oci_calloc(cx, stores, sizeof *s->stores);
    s->hypotheses = oci_calloc(cx, slots, sizeof *s->hypotheses);
    s->ids = oci_calloc(cx, cells, sizeof *s->ids);
    s->trace = oci_calloc(cx, cells, sizeof *s->trace);
    s->logprobs = oci_calloc(cx, cells, sizeof *s->logprobs);
    if (oci_failed(cx)) return false;
    for (int64_t i = 0; i < s->items * s->groups; i++)
        s->stores[i] = (oci_store){ .at = s->hypotheses + i * s->size, .worst = 1e9 };
    return true;
}

void oci_beam_scorer_deinit(oci_beam_scorer *s)
{
    oci_free(s->stores);
    oci_free(s->hypotheses);
    oci_free(s->ids);
    oci_free(s->trace);
    oci_free(s->logprobs);
    *s = (oci_beam_scorer){ 0 };
}

/* ---- one store ---- */

/* Takes the least valuable out, the oldest of equals; returns its slot. */
static int64_t drop_worst(oci_store *store)
{
    int64_t least = 0;
    for (int64_t i = 1; i < store->count; i++)
        if (store->at[i].value < store->at[least].value) least = i;
    int64_t slot = store->at[least].slot;
    store->count--;
    memmove(store->at + least, store->at + least + 1,
            (size_t)(store->count - least) * sizeof *store->at);
    return slot;
}

static void copy_beam(oci_beam_scorer *s, const oci_beam *beam, oci_hypothesis *h)
{
    int64_t at = h->slot * (s->room + 1);
    h->length = beam->length;
    h->made = beam->made;
    h->traced = beam->trace ? beam->traced : 0;
    memcpy(s->ids + at, beam->ids, (size_t)h->length * sizeof *s->ids);
    memcpy(s->logprobs + at, beam->logprobs, (size_t)h->made * sizeof *s->logprobs);
    if (h->traced)
        memcpy(s->trace + at, beam->trace, (size_t)h->traced * sizeof *s->trace);
}

/* The hypothesis that was made of the beam, or NULL if it is none of the best. A full
 * store never drops what is just coming: that is better than its worst. */
static oci_hypothesis *add(oci_beam_scorer *s, int64_t index, const oci_beam *beam,
                           int64_t generated)
{
    oci_store *store = &s->stores[index];
    double value = (double)beam->sum / pow((double)generated, s->length_penalty);
    bool full = store->count == s->size;
    if (full && !(value > store->worst)) return NULL;
    int64_t slot = full ? drop_worst(store) : index * s->size + store->count;
    oci_hypothesis *h = &store->at[store->count++];
    *h = (oci_hypothesis){ .value = value, .slot = slot };
    copy_beam(s, beam, h);
    if (full) {
        store->worst = store->at[0].value;
        for (int64_t i = 1; i < store->count; i++)
            store->worst = fmin(store->worst, store->at[i].value);
    } else if (!(store->worst < value)) {
        store->worst = value;       /* NaN, too: then nothing replaces what is stored */
    }
    return h;
}

void oci_store_add(oci_beam_scorer *s, int64_t store, const oci_beam *beam,
                   int64_t generated)
{
    add(s, store, beam, generated);
}

bool oci_store_is_done(const oci_beam_scorer *s, int64_t index, double best_sum,
                       int64_t length)
{
    const oci_store *store = &s->stores[index];
    if (store->count < s->size) return false;
    if (s->early == OCI_EARLY_YES) return true;
    /* Sums only fall, so a longer text is worth most if it gains most by its
     * length: with a positive penalty that of the greatest length. `false`
     * looks at today's length only. */
    bool ahead = s->early == OCI_EARLY_NEVER && s->length_penalty > 0;
    double generated = (double)((ahead ? s->max_length : length) - s->prompt);
    return store->worst >= best_sum / pow(generated, s->length_penalty);
}

/* ---- a step ---- */

static bool ends(const oci_beam_scorer *s, int64_t token)
{
    for (size_t i = 0; s->eos && i < s->eos->count; i++)
        if (s->eos->at[i] == token) return true;
    return false;
}

/* The beam with its end token, which counts as generated but is not among the ids. */
static void finish(oci_beam_scorer *s, int64_t store, const oci_beam *beam, int64_t row,
                   const oci_candidate *c)
{
    oci_beam ended = *beam;
    ended.sum = c->score;
    oci_hypothesis *h = add(s, store, &ended, beam->length + 1 - s->prompt);
    if (!h) return;
    int64_t at = h->slot * (s->room + 1);
    s->logprobs[at + h->made++] = c->logprob;
    if (beam->trace) s->trace[at + h->traced++] = row + c->beam;
}

bool oci_beam_scorer_process(oc_context *cx, oci_beam_scorer *s, int64_t store,
                             const oci_beam *beams, int64_t row,
                             const oci_candidate *candidates, int64_t count,
                             oci_candidate *next)
{
    int64_t kept = 0;
    for (int64_t rank = 0; rank < count && kept < s->size; rank++) {
        const oci_candidate *c = &candidates[rank];
        if (!ends(s, c->token)) next[kept++] = *c;
        else if (rank < s->size) finish(s, store, &beams[c->beam], row, c);
    }
    if (kept < s->size) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "beam search: expected %lld candidates that do not end, found %lld "
                 "among %lld",
                 (long long)s->size, (long long)kept, (long long)count);
        return false;
    }
    if (oci_store_is_done(s, store, (double)candidates[0].score, beams[0].length + 1))
        s->stores[store].done = true;
    return true;
}

bool oci_beam_scorer_is_done(const oci_beam_scorer *s)
{
    for (int64_t i = 0; i < s->items * s->groups; i++)
        if (!s->stores[i].done) return false;
    return true;
}

/* ---- the end ---- */

const oci_hypothesis *oci_beam_scorer_take(oci_beam_scorer *s, int64_t item)
{
    oci_hypothesis *best = NULL;
    for (int64_t g = 0; g < s->groups; g++) {
        oci_store *store = &s->stores[item * s->groups + g];
        for (int64_t i = 0; i < store->count; i++) {
            oci_hypothesis *h = &store->at[i];
            /* The last of equals and of NaN, as from the end of a stable sort. */
            if (!h->taken && (!best || !(h->value < best->value))) best = h;
        }
    }
    if (best) best->taken = true;
    return best;
}
