/* Beam search, diverse beam search (Vijayakumar et al. 2016, arXiv:1610.02424) and beam
 * sample: 4.37.2's beam_search, group_beam_search and beam_sample, of which the first is
 * the second with one group.
 *   {logits → log softmax → processors (→ warpers) → + sum of the beam
 *    → for each group of an item the best candidates, or draws → scorer
 *    → ids and past of the beams that go on}
 *
 * K beams of an item are G groups of S. Beams move by index: ids are copied, keys and
 * values are not (nn/cache.h). */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "generate/beam_scorer.h"
#include "generate/decoding.h"
#include "generate/sample.h"

typedef struct beams {
    oci_decoding *d;
    oci_beam_scorer scorer;
    int64_t K, G, S, C;             /* C: candidates of a group */
    float *sums;                    /* [rows] of the beams' scores */
    oci_candidate *next;            /* [rows] what each row goes on with */
    int64_t *source;                /* [rows] the row whose past it takes */
    oci_candidate *candidates;      /* [C] */
    int64_t *drawn;                 /* [C] */
    oci_beam *views;                /* [S] */
    int64_t *tokens;                /* [K] what earlier groups of an item chose */
    /* beam_indices so far, by group, item and beam, as the reference numbers them. */
    int64_t *trace, *trace_count;   /* [rows, room + 1], [G]; NULL if nobody wants them */
    void *spare;                    /* rows on their way */
} beams;

static int64_t row_of(const beams *b, int64_t item, int64_t group, int64_t beam)
{
    return item * b->K + group * b->S + beam;
}

/* Row `index` of a group among all items: beam index % S of item index / S. */
static int64_t row_in_group(const beams *b, int64_t group, int64_t index)
{
    return row_of(b, index / b->S, group, index % b->S);
}

/* ---- candidates ---- */

/* Ranks below: a smaller score or, of equals, a later place. NaN, which an end token that
 * is barred gets of the exponential decay, is the largest, as for torch.topk. */
static bool below(const oci_candidate *a, const oci_candidate *b)
{
    if (isnan(a->score) != isnan(b->score)) return isnan(b->score);
    if (a->score != b->score && !isnan(a->score)) return a->score < b->score;
    return a->beam != b->beam ? a->beam > b->beam : a->token > b->token;
}

/* A heap with the lowest of the best on top takes c in. */
static void sift(oci_candidate *heap, int64_t n, oci_candidate c)
{
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && below(&heap[child + 1], &heap[child])) child++;
        if (!below(&heap[child], &c)) break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

/* A heap of candidates that every other one outranks. */
static void clear_heap(oci_candidate *heap, int64_t n)
{
    for (int64_t c = 0; c < n; c++)
        heap[c] = (oci_candidate){ .score = -INFINITY, .beam = INT64_MAX };
}

/* From a heap to best first. */
static void sort_heap(oci_candidate *heap, int64_t n)
{
    while (--n > 0) {
        oci_candidate last = heap[n];
        heap[n] = heap[0];
        sift(heap, n, last);
    }
}

/* The C best of S * V sums, the first of equals, best first. */
static void choose_best(beams *b, const float *scores, const float *sums)
{
    int64_t V = b->d->shape.vocab_size;
    oci_candidate *heap = b->candidates;
    clear_heap(heap, b->C);
    for (int64_t k = 0; k < b->S; k++)
        for (int64_t v = 0; v < V; v++) {
            float sum = scores[k * V + v] + sums[k];
            if (sum < heap[0].score) continue;
            oci_candidate c = { .score = sum, .beam = k, .token = v };
            if (below(&heap[0], &c)) sift(heap, b->C, c);
        }
    sort_heap(heap, b->C);
}

/* C draws from the softmax of S * V sums, best first. */
static void draw(oc_context *cx, beams *b, int64_t item, const float *scores,
                 const float *sums)
{
    const oci_decoding *d = b->d;
    int64_t V = d->shape.vocab_size, n = b->S * V;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *p = oci_tensor_create(cx, OC_F32, OCI_SHAPE(2, n));
    if (!p) return;
    float *all = oci_f32(p) + n;
    for (int64_t k = 0; k < b->S; k++)
        for (int64_t v = 0; v < V; v++) all[k * V + v] = scores[k * V + v] + sums[k];
    oci_backend_get(cx)->softmax(cx, 1, n, all, oci_f32(p));
    oci_rng rng = oci_draws_of(d->g.seed, d->o.first_picture + item, 0,
                               d->length - d->prompt);
    oci_draw(cx, &rng, oci_f32(p), n, b->C, b->drawn);
    clear_heap(b->candidates, b->C);
    for (int64_t c = 0; c < b->C && !oci_failed(cx); c++)
        sift(b->candidates, b->C, (oci_candidate){ .score = all[b->drawn[c]],
             .beam = b->drawn[c] / V, .token = b->drawn[c] % V });
    sort_heap(b->candidates, b->C);
    oci_arena_reset(&cx->arena, mark);
}

/* ---- one group of one item ---- */

/* Rows as the scorer sees them. The reference looks a hypothesis' beam_indices up in the
 * list of all groups as if it were group 0's, and so do we. */
static void view_group(beams *b, int64_t item, int64_t group)
{
    const oci_decoding *d = b->d;
    for (int64_t k = 0; k < b->S; k++) {
        int64_t row = row_of(b, item, group, k);
        b->views[k] = (oci_beam){
            .ids = d->ids + row * d->room, .length = d->length, .made = d->made[row],
            .logprobs = d->logprobs + row * d->room, .sum = b->sums[row] };
        if (!b->trace) continue;
        b->views[k].trace = b->trace + (item * b->S + k) * (d->room + 1);
        b->views[k].traced = b->trace_count[0];
    }
}

/* A finished group goes on with pads of no worth, on the past of the first item's: what
 * 4.37.2 does, and what its scores to the last step show. */
static void idle(beams *b, int64_t item, int64_t group)
{
    for (int64_t k = 0; k < b->S; k++) {
        int64_t row = row_of(b, item, group, k);
        b->next[row] = (oci_candidate){ .token = b->d->g.pad_token_id };
        b->source[row] = 0;
    }
}

/* Where the raw log-probabilities and the scores of a group's beams are. */
typedef struct step_values {
    const oci_tensor *raw;          /* log softmax, [batch, V] */
    float *scores;                  /* [S, V], or [rows, V] if they are handed out */
    bool handed_out;
} step_values;

/* Scores of the group's rows, processed; [S, V]. NULL on error. */
static float *score_group(oc_context *cx, beams *b, const step_values *v, int64_t item,
                          int64_t group)
{
    oci_decoding *d = b->d;
    int64_t V = d->shape.vocab_size, first = row_of(b, item, group, 0);
    float *scores = v->scores + (v->handed_out ? first * V : 0);
    oci_ids earlier = { .at = b->tokens, .count = (size_t)(group * b->S) };
    for (int64_t k = 0; k < group * b->S; k++)
        b->tokens[k] = b->next[item * b->K + k].token;
    for (int64_t k = 0; k < b->S; k++) {
        memcpy(scores + k * V, oci_step_row(d, v->raw, first + k),
               (size_t)V * sizeof *scores);
        if (!oci_step_process(cx, d, first + k, earlier, scores + k * V)) return NULL;
    }
    return scores;
}

static void advance_group(oc_context *cx, beams *b, const step_values *v, int64_t item,
                          int64_t group)
{
    const oci_decoding *d = b->d;
    int64_t store = item * b->G + group, first = row_of(b, item, group, 0);
    bool done = b->scorer.stores[store].done;
    float *scores = done && !v->handed_out ? NULL : score_group(cx, b, v, item, group);
    if (oci_failed(cx)) return;
    if (done) {
        idle(b, item, group);
        return;
    }
    if (d->g.do_sample) draw(cx, b, item, scores, b->sums + first);
    else choose_best(b, scores, b->sums + first);
    for (int64_t c = 0; c < b->C && !oci_failed(cx); c++) {
        oci_candidate *at = &b->candidates[c];
        at->logprob = oci_step_row(d, v->raw, first + at->beam)[at->token];
    }
    view_group(b, item, group);
    if (oci_failed(cx) ||
        !oci_beam_scorer_process(cx, &b->scorer, store, b->views, item * b->S,
                                 b->candidates, b->C, b->next + first))
        return;
    for (int64_t k = 0; k < b->S; k++)
        b->source[first + k] = item * b->S + b->next[first + k].beam;
}

/* ---- moving ---- */

/* Rows of `size` bytes, `stride` apart: each of the group's
 * becomes a copy of its source. */
static void move_rows(const beams *b, int64_t group, void *rows, size_t stride,
                      size_t size)
{
    int64_t n = b->d->items * b->S;
    char *spare = b->spare;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = row_in_group(b, group, b->source[row_in_group(b, group, i)]);
        memcpy(spare + (size_t)i * size, (char *)rows + (size_t)from * stride, size);
    }
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)rows + (size_t)row_in_group(b, group, i) * stride,
               spare + (size_t)i * size, size);
}

/* The group's part of `trace` grows by where each row came from. */
static void move_trace(beams *b, int64_t group)
{
    size_t stride = (size_t)b->d->room + 1, each = (size_t)b->trace_count[group];
    int64_t n = b->d->items * b->S, *spare = b->spare;
    int64_t *trace = b->trace + (size_t)(group * n) * stride;
    for (int64_t i = 0; i < n; i++) {
        int64_t source = b->source[row_in_group(b, group, i)];
        memcpy(spare + (size_t)i * (each + 1), trace + (size_t)source * stride,
               each * sizeof *spare);
        spare[(size_t)i * (each + 1) + each] = source;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(trace + (size_t)i * stride, spare + (size_t)i * (each + 1),
               (each + 1) * sizeof *spare);
    b->trace_count[group]++;
}

/* The group's beams become those that go on. */
static void move_group(beams *b, int64_t group)
{
    oci_decoding *d = b->d;
    size_t room = (size_t)d->room, L = (size_t)d->length, steps = L - (size_t)d->prompt;
    move_rows(b, group, d->ids, room * sizeof *d->ids, L * sizeof *d->ids);
    move_rows(b, group, d->logprobs, room * sizeof *d->logprobs,
              steps * sizeof *d->logprobs);
    move_rows(b, group, d->origin, (size_t)d->places * sizeof *d->origin,
              (size_t)d->cache->length * sizeof *d->origin);
    /* Some decoders' caches keep the encoder's keys in place; see oci_decoder_shape. */
    if (d->g.use_cache && !d->shape.cross_cache_stays)
        move_rows(b, group, d->cross, sizeof *d->cross, sizeof *d->cross);
    if (b->trace) move_trace(b, group);
    for (int64_t i = 0; i < d->items * b->S; i++) {
        int64_t row = row_in_group(b, group, i);
        b->sums[row] = b->next[row].score;
        d->ids[row * d->room + d->length] = b->next[row].token;
        d->logprobs[row * d->room + d->made[row]++] = b->next[row].logprob;
    }
}

/* ---- the loop ---- */

/* Rows of groups that are done leave, unless their scores are wanted. */
static void pick_batch(beams *b)
{
    oci_decoding *d = b->d;
    d->batch_count = 0;
    for (int64_t r = 0; r < d->rows; r++)
        if (oci_keeps_rows(d) || !b->scorer.stores[r / b->S].done)
            d->batch[d->batch_count++] = r;
}

static void step(oc_context *cx, beams *b)
{
    oci_decoding *d = b->d;
    oci_arena_mark mark = oci_mark(cx);
    int64_t V = d->shape.vocab_size;
    oci_tensor *logits = oci_step_logits(cx, d, NULL), *own = NULL;
    if (!logits) return;
    oci_step_outputs(cx, d, d->slot, d->rows);
    oci_backend_get(cx)->log_softmax(cx, d->batch_count, V, oci_f32(logits),
                                     oci_f32(logits));
    step_values v = { .raw = logits, .scores = oci_step_scores(cx, d, d->rows) };
    v.handed_out = v.scores != NULL;
    if (!v.handed_out) own = oci_tensor_create(cx, OC_F32, OCI_SHAPE(b->S, V));
    if (own) v.scores = oci_f32(own);
    for (int64_t g = 0; g < b->G && !oci_failed(cx); g++) {
        for (int64_t i = 0; i < d->items && !oci_failed(cx); i++)
            advance_group(cx, b, &v, i, g);
        if (!oci_failed(cx)) move_group(b, g);
    }
    d->length++;
    pick_batch(b);
    oci_arena_reset(&cx->arena, mark);
}

/* ---- the end ---- */

/* Beams of groups that are not done are hypotheses as they are. */
static void add_running(beams *b)
{
    const oci_decoding *d = b->d;
    for (int64_t store = 0; store < d->items * b->G; store++) {
        if (b->scorer.stores[store].done) continue;
        view_group(b, store / b->G, store % b->G);
        for (int64_t k = 0; k < b->S; k++) {
            /* Here the list of all groups is looked up by
             * row: right for one item only. */
            if (b->trace)
                b->views[k].trace = b->trace + (store * b->S + k) * (d->room + 1);
            oci_store_add(&b->scorer, store, &b->views[k], d->length - d->prompt);
        }
    }
}

/* Row `to` of the result. */
static void write_result(beams *b, int64_t to, const oci_hypothesis *h)
{
    oci_decoding *d = b->d;
    const oci_beam_scorer *s = &b->scorer;
    int64_t at = h->slot * (d->room + 1), *ids = d->ids + to * d->room;
    for (int64_t t = 0; t < d->room; t++) ids[t] = d->g.pad_token_id;
    memcpy(ids, s->ids + at, (size_t)h->length * sizeof *ids);
    if (h->length < d->length && d->g.eos_token_id.count)
        ids[h->length] = d->g.eos_token_id.at[0];
    memset(d->logprobs + to * d->room, 0, (size_t)d->room * sizeof *d->logprobs);
    memcpy(d->logprobs + to * d->room, s->logprobs + at,
           (size_t)oci_min(h->made, d->length - d->prompt) * sizeof *d->logprobs);
    d->made[to] = h->made;
    d->sums[to] = (float)h->value;
    for (int64_t t = 0; d->trace && t < d->room; t++)
        d->trace[to * d->room + t] = t < h->traced ? s->trace[at + t] : -1;
}

/* BeamSearchScorer.finalize: the n best of each item; the width of all is that of the
 * longest and an end token, within max_length. */
static void finalize(oc_context *cx, beams *b)
{
    oci_decoding *d = b->d;
    int64_t n = d->g.num_return_sequences, longest = 0, found = 0;
    const oci_hypothesis **best = oci_calloc(cx, (size_t)d->rows, sizeof *best);
    if (!best) return;
    add_running(b);
    for (int64_t i = 0; i < d->items * n; i++) {
        best[found] = oci_beam_scorer_take(&b->scorer, i / n);
        if (best[found]) longest = oci_max(longest, best[found++]->length);
    }
    bool ends = d->g.eos_token_id.count > 0;
    d->length = oci_min(oci_max(longest + ends, d->prompt),
                        oci_min(d->max_length, d->room));
    d->sequences = found;
    for (int64_t i = 0; i < found; i++) write_result(b, i, best[i]);
    oci_free(best);
    for (int64_t s = 0; s < d->sequences; s++)
        for (int64_t t = 0; t < d->made[s]; t++)
            if (!oci_announce(cx, d, s, d->ids[s * d->room + d->prompt + t],
                              t + 1 == d->made[s]))
                break;
}

static bool begin(oc_context *cx, beams *b)
{
    oci_decoding *d = b->d;
    const oci_generation_config *g = &d->g;
    size_t rows = (size_t)d->rows, room = (size_t)d->room + 1;
    b->K = d->width;
    b->G = g->num_beam_groups;
    b->S = b->K / b->G;
    b->C = b->S * (g->do_sample ? 2 : oci_max(2, 1 + (int64_t)g->eos_token_id.count));
    if (b->C > b->S * d->shape.vocab_size)
        oci_fail(cx, OC_E_ARGUMENT,
                 "beam search: expected a vocabulary of at least %lld, found %lld",
                 (long long)(b->C / b->S), (long long)d->shape.vocab_size);
    if (d->max_length <= d->prompt)
        oci_fail(cx, OC_E_ARGUMENT,
                 "beam search: expected a max_length over the prompt's %lld ids, found "
                 "%lld",
                 (long long)d->prompt, (long long)d->max_length);
    b->sums = oci_calloc(cx, rows, sizeof *b->sums);
    b->next = oci_calloc(cx, rows, sizeof *b->next);
    b->source = oci_calloc(cx, rows, sizeof *b->source);
    b->candidates = oci_calloc(cx, (size_t)b->C, sizeof *b->candidates);
    b->drawn = oci_calloc(cx, (size_t)b->C, sizeof *b->drawn);
    b->views = oci_calloc(cx, (size_t)b->S, sizeof *b->views);
    b->tokens = oci_calloc(cx, (size_t)b->K, sizeof *b->tokens);
    b->spare = oci_calloc(cx, rows, ((size_t)d->places + 1) * sizeof(int64_t));
    if (d->trace) {
        b->trace = oci_calloc(cx, rows, room * sizeof *b->trace);
        b->trace_count = oci_calloc(cx, (size_t)b->G, sizeof *b->trace_count);
    }
    b->scorer = (oci_beam_scorer){
        .items = d->items, .groups = b->G, .size = b->S, .room = d->room,
        .prompt = d->prompt, .max_length = d->max_length,
        .length_penalty = g->length_penalty, .early = g->early_stopping,
        .eos = &g->eos_token_id };
    if (!oci_beam_scorer_init(cx, &b->scorer)) return false;
    /* At first the beams of a group are alike: only the first may have candidates. */
    for (int64_t r = 0; r < d->rows && !g->do_sample; r++)
        b->sums[r] = r % b->S ? -1e9f : 0;
    return true;
}

static void end(beams *b)
{
    oci_beam_scorer_deinit(&b->scorer);
    oci_free(b->sums);
    oci_free(b->next);
    oci_free(b->source);
    oci_free(b->candidates);
    oci_free(b->drawn);
    oci_free(b->views);
    oci_free(b->tokens);
    oci_free(b->spare);
    oci_free(b->trace);
    oci_free(b->trace_count);
}

void oci_search_beams(oc_context *cx, oci_decoding *d)
{
    beams b = { .d = d };
    bool good = begin(cx, &b);
    while (good) {
        if (oci_step_barred(cx, d)) break;
        step(cx, &b);
        if (oci_failed(cx) || oci_beam_scorer_is_done(&b.scorer) || oci_time_is_up(d))
            break;
    }
    if (good && !oci_failed(cx)) finalize(cx, &b);
    end(&b);
}
