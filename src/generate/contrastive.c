/* Contrastive search — Su et al. 2022, "A contrastive framework for neural text
 * generation", arXiv:2202.06417; 4.37.2's contrastive_search:
 *   {processors on the logits at hand → the k most probable ids
 *    → one pass over all k as if each came next
 *    → score (1 - alpha) p - alpha max cos(its hidden state, those before)
 *    → the best one's id, hidden state, logits and past are the sequence's}
 *
 * The k candidates of a picture are its rows in the cache. They share the past by index;
 * the chosen one's new position joins it by index, too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "generate/decoding.h"

typedef struct contrastive {
    oci_decoding *d;
    int64_t k, width;           /* candidates, size of a hidden state */
    float *pending;             /* [B, V] raw logits that the next id is decided by */
    float *context;             /* [B, room, width] hidden states so far, of length 1 */
    float *p;                   /* [rows] probabilities of the candidates */
    int64_t *tokens;            /* [rows] */
    int64_t *chosen;            /* [B] row of the batch */
} contrastive;

/* The decoder's last hidden states of the pass: the held
 * output with the highest number. */
static bool last_hidden(oc_context *cx, const oci_decoding *d, oc_tensor_view *view)
{
    char stem[64];
    int n = snprintf(stem, sizeof stem, "%shidden_states.", d->family->outputs);
    long most = -1;
    for (size_t i = 0; i < oc_tensors_count(d->held); i++) {
        oc_tensor_view each = oc_tensors_get(d->held, i);
        if (strncmp(each.name, stem, (size_t)n)) continue;
        long number = strtol(each.name + n, NULL, 10);
        if (number <= most) continue;
        most = number;
        *view = each;
    }
    if (most < 0)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "contrastive search: the decoder hands out no hidden states");
    return most >= 0;
}

static void normalize(const float *x, int64_t n, float *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    float norm = (float)sqrt(sum);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / norm;
}

/* ---- the prompt ---- */

/* Pass over the prompt: pending logits, context. */
static void start(oc_context *cx, contrastive *c)
{
    oci_decoding *d = c->d;
    int64_t V = d->shape.vocab_size, P = d->prompt, B = d->items;
    oci_arena_mark mark = oci_mark(cx);
    oc_tensor_view hidden;
    const oci_tensor *logits = oci_step_logits(cx, d, NULL);
    if (!logits || !last_hidden(cx, d, &hidden)) return;
    memcpy(c->pending, logits->data, (size_t)(B * V) * sizeof *c->pending);
    oci_arena_reset(&cx->arena, mark);
    c->width = hidden.shape[2];
    size_t each = (size_t)d->room * (size_t)c->width, cells;
    if (!oci_mul((size_t)B, each, &cells)) cells = SIZE_MAX;
    c->context = oci_calloc(cx, cells, sizeof *c->context);
    for (int64_t i = 0; c->context && i < B * P; i++)
        normalize((const float *)hidden.data + i * c->width, c->width,
                  c->context + (i / P * d->room + i % P) * c->width);
    for (int64_t b = 0; b < B; b++) c->chosen[b] = b;
}

/* ---- a step ---- */

/* The k most probable ids of picture b, most probable first, the first of equals. */
static void take_candidates(oc_context *cx, contrastive *c, int64_t b,
                            const float *scores)
{
    int64_t V = c->d->shape.vocab_size, n = 0, *tokens = c->tokens + b * c->k;
    float *p = c->p + b * c->k;
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *all = oci_tensor_create(cx, OC_F32, OCI_SHAPE(V));
    if (!all) return;
    oci_backend_get(cx)->softmax(cx, 1, V, scores, oci_f32(all));
    for (int64_t v = 0; v < V; v++) {
        float x = oci_f32(all)[v];
        if (n == c->k && !(x > p[n - 1])) continue;
        int64_t at = n < c->k ? n++ : n - 1;
        for (; at > 0 && x > p[at - 1]; at--) {
            p[at] = p[at - 1];
            tokens[at] = tokens[at - 1];
        }
        p[at] = x;
        tokens[at] = v;
    }
    oci_arena_reset(&cx->arena, mark);
}

/* The candidate of picture b that is probable and unlike what was before; `hidden` are
 * the states [k, width] of its candidates. */
static int64_t rank(const contrastive *c, int64_t b, const float *hidden, float *unit)
{
    const oci_decoding *d = c->d;
    const float alpha = (float)d->g.penalty_alpha, rest = (float)(1 - d->g.penalty_alpha);
    int64_t best = 0;
    float most = -INFINITY;
    for (int64_t i = 0; i < c->k; i++) {
        float alike = -INFINITY;
        normalize(hidden + i * c->width, c->width, unit);
        for (int64_t t = 0; t < d->length; t++) {
            const float *before = c->context + (b * d->room + t) * c->width;
            float dot = 0;
            for (int64_t w = 0; w < c->width; w++) dot += unit[w] * before[w];
            if (dot > alike) alike = dot;
        }
        float score = rest * c->p[b * c->k + i] - alpha * alike;
        if (score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}

/* Picture b goes on with its candidate `best`. A sequence that ended goes on, too, while
 * its outputs are wanted, but what it says is pads. */
static void accept(oc_context *cx, contrastive *c, int64_t b, int64_t best,
                   const float *raw, float *scratch)
{
    oci_decoding *d = c->d;
    int64_t V = d->shape.vocab_size, token = c->tokens[b * c->k + best];
    d->origin[b * d->places + d->length + d->slots] = b * d->width + best;
    if (!d->finished[b]) {
        oci_backend_get(cx)->log_softmax(cx, 1, V, c->pending + b * V, scratch);
        d->ids[b * d->room + d->length] = token;
        d->logprobs[b * d->room + d->made[b]++] = scratch[token];
        bool ends = oci_is_eos(&d->g, token);
        bool go_on =
            oci_announce(cx, d, b, token, ends || d->length + 1 >= d->max_length);
        d->finished[b] = ends || !go_on;
    }
    memcpy(c->pending + b * V, raw, (size_t)V * sizeof *raw);
}

/* The batch: all candidates of the pictures that go on. */
static void pick_batch(contrastive *c, int64_t *tokens)
{
    oci_decoding *d = c->d;
    d->batch_count = 0;
    for (int64_t r = 0; r < d->rows; r++) {
        if (d->finished[r / d->width] && !oci_keeps_rows(d)) continue;
        tokens[d->batch_count] = c->tokens[r];
        d->batch[d->batch_count++] = r;
    }
}

/* Scores of the logits at hand, and the candidates that they name. */
static void look_ahead(oc_context *cx, contrastive *c, float *scratch)
{
    oci_decoding *d = c->d;
    int64_t V = d->shape.vocab_size;
    float *kept = oci_step_scores(cx, d, d->items);
    for (int64_t b = 0; b < d->items && !oci_failed(cx); b++) {
        if (d->finished[b] && !oci_keeps_rows(d)) continue;
        float *scores = kept ? kept + b * V : scratch;
        memcpy(scores, c->pending + b * V, (size_t)V * sizeof *scores);
        if (oci_step_process(cx, d, b, (oci_ids){ 0 }, scores))
            take_candidates(cx, c, b, scores);
    }
}

static void step(oc_context *cx, contrastive *c)
{
    oci_decoding *d = c->d;
    oci_arena_mark mark = oci_mark(cx);
    int64_t V = d->shape.vocab_size;
    oc_tensor_view hidden;
    oci_tensor *scratch = oci_tensor_create(cx, OC_F32, OCI_SHAPE(oci_max(V, c->width)));
    oci_tensor *tokens = oci_tensor_create(cx, OC_I64, OCI_SHAPE(d->rows));
    if (!scratch || !tokens) return;
    oci_step_outputs(cx, d, c->chosen, d->items);        /* of the pass before */
    look_ahead(cx, c, oci_f32(scratch));
    pick_batch(c, oci_i64(tokens));
    const oci_tensor *logits = oci_failed(cx) ? NULL
                                              : oci_step_logits(cx, d, oci_i64(tokens));
    if (!logits || !last_hidden(cx, d, &hidden)) return;
    for (int64_t b = 0; b < d->items; b++) {
        d->ids[b * d->room + d->length] = d->g.pad_token_id;
        if (d->finished[b] && !oci_keeps_rows(d)) continue;
        int64_t first = d->slot[b * d->width];
        const float *states = (const float *)hidden.data + first * c->width;
        int64_t best = rank(c, b, states, oci_f32(scratch));
        normalize(states + best * c->width, c->width,
                  c->context + (b * d->room + d->length) * c->width);
        c->chosen[b] = first + best;
        accept(cx, c, b, best, oci_f32(logits) + (first + best) * V, oci_f32(scratch));
    }
    d->length++;
    oci_arena_reset(&cx->arena, mark);
}

static bool all_finished(const oci_decoding *d)
{
    for (int64_t b = 0; b < d->items; b++)
        if (!d->finished[b]) return false;
    return true;
}

void oci_search_contrastive(oc_context *cx, oci_decoding *d)
{
    size_t rows = (size_t)d->rows, B = (size_t)d->items;
    contrastive c = { .d = d, .k = d->width };
    if (!d->g.use_cache)
        oci_fail(cx, OC_E_ARGUMENT,
                 "contrastive search: expected use_cache true, found false");
    if (c.k > d->shape.vocab_size)
        oci_fail(cx, OC_E_ARGUMENT, "contrastive search: top_k: expected at most the "
                 "vocabulary's %lld, found %lld", (long long)d->shape.vocab_size,
                 (long long)c.k);
    c.pending = oci_calloc(cx, B, (size_t)d->shape.vocab_size * sizeof *c.pending);
    c.p = oci_calloc(cx, rows, sizeof *c.p);
    c.tokens = oci_calloc(cx, rows, sizeof *c.tokens);
    c.chosen = oci_calloc(cx, B, sizeof *c.chosen);
    if (!oci_failed(cx)) start(cx, &c);
    do {
        if (oci_step_barred(cx, d)) break;
        step(cx, &c);
    } while (!oci_failed(cx) && !all_finished(d) && !oci_time_is_up(d));
    oci_free(c.pending);
    oci_free(c.context);
    oci_free(c.p);
    oci_free(c.tokens);
    oci_free(c.chosen);
}
