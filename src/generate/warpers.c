/* Each function is one warper of Transformers 4.37.2's logits_process.py, whose class it
 * names. Probabilities are f32; their cumulative sums run in double and are rounded where
 * they are stored, which is what torch.cumsum does on a CPU.
 *
 * Ids whose score is -infinity are out already: they have no probability, and
 * to take them away changes nothing. So sorting leaves them aside, and after
 * top_k little is left to sort. */
#include "generate/warpers.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "generate/processors.h"
#include "tensor/tensor.h"

/* One row's scores and the room to work on them. */
typedef struct bench {
    float *scores;
    int64_t vocab;
    float max, log_sum;         /* of softmax: log p = s - max - log_sum */
    float *p;                   /* [vocab] probabilities, or keys of a sort */
    int32_t *order, *spare;     /* [vocab] */
} bench;

static void take_away(bench *b, int64_t id) { b->scores[id] = -INFINITY; }

/* ---- what warpers share ---- */

/* p = softmax of the scores; returns its entropy, in which -infinity counts 0. */
static float softmax(bench *b)
{
    double sum = 0, entropy = 0;
    b->max = -INFINITY;
    for (int64_t i = 0; i < b->vocab; i++)
        if (b->scores[i] > b->max) b->max = b->scores[i];
    for (int64_t i = 0; i < b->vocab; i++)
        sum += (double)(b->p[i] = expf(b->scores[i] - b->max));
    b->log_sum = (float)log(sum);
    for (int64_t i = 0; i < b->vocab; i++) {
        b->p[i] /= (float)sum;
        if (b->p[i] > 0)
            entropy -= (double)((b->scores[i] - b->max - b->log_sum) * b->p[i]);
    }
    return (float)entropy;
}

/* Maps floats to integers of the same order; NaN comes last. */
static uint32_t sort_key(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Sorts b->order [n] by ascending values[id]; equal ones stay in their order. By radix,
 * so that time is linear. */
static void sort(bench *b, const float *values, int64_t n)
{
    enum { DIGIT = 11, BINS = 1 << DIGIT };
    int32_t begin[BINS];
    for (int shift = 0; shift < 32; shift += DIGIT) {
        memset(begin, 0, sizeof begin);
        for (int64_t i = 0; i < n; i++)
            begin[sort_key(values[b->order[i]]) >> shift & (BINS - 1)]++;
        for (int32_t bin = 0, sum = 0; bin < BINS; bin++) {
            int32_t count = begin[bin];
            begin[bin] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++) {
            uint32_t bin = sort_key(values[b->order[i]]) >> shift & (BINS - 1);
            b->spare[begin[bin]++] = b->order[i];
        }
        int32_t *swap = b->order;
        b->order = b->spare;
        b->spare = swap;
    }
}

/* The ids that are not out yet, ascending; returns how many. */
static int64_t list_ids(bench *b)
{
    int64_t n = 0;
    for (int64_t i = 0; i < b->vocab; i++)
        if (b->scores[i] != -INFINITY) b->order[n++] = (int32_t)i;
    return n;
}

/* The k-th largest score, k >= 1, through a heap of the k largest so far, the least of
 * them on top. */
static float kth_largest(bench *b, int64_t k)
{
    float *heap = b->p;
    int64_t n = oci_min(k, b->vocab);
    for (int64_t i = 0; i < b->vocab; i++) {
        float x = b->scores[i];
        int64_t at = 0;
        if (i < n) {            /* still filling: sift up from the end */
            for (at = i; at > 0 && heap[(at - 1) / 2] > x; at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
            heap[at] = x;
        } else if (x > heap[0]) {
            for (int64_t child; (child = 2 * at + 1) < n; at = child) {
                if (child + 1 < n && heap[child + 1] < heap[child]) child++;
                if (heap[child] >= x) break;
                heap[at] = heap[child];
            }
            heap[at] = x;
        }
    }
    return heap[0];
}

/* ---- warpers ---- */

/* TopKLogitsWarper: of equals at the border all stay. */
static void top_k(bench *b, int64_t k)
{
    if (k >= b->vocab) return;
    float least = kth_largest(b, k);
    for (int64_t i = 0; i < b->vocab; i++)
        if (b->scores[i] < least) take_away(b, i);
}

/* TopPLogitsWarper: from the least probable up, while they sum to 1 - p at most. */
static void top_p(bench *b, double p, int64_t keep)
{
    int64_t n = list_ids(b);
    double sum = 0;
    softmax(b);
    sort(b, b->scores, n);
    for (int64_t i = 0; i < n - keep; i++) {
        sum += (double)b->p[b->order[i]];
        if ((float)sum <= (float)(1 - p)) take_away(b, b->order[i]);
    }
}

/* TypicalLogitsWarper (Meister et al. 2022): from those whose surprise is nearest to the
 * entropy, until they sum to the mass. */
static void typical_p(bench *b, double mass, int64_t keep)
{
    float entropy = softmax(b);
    int64_t n = list_ids(b), last = 0;
    double sum = 0;
    if (n == 0) return;
    for (int64_t i = 0; i < b->vocab; i++)
        b->p[i] = fabsf(-(b->scores[i] - b->max - b->log_sum) - entropy);
    sort(b, b->p, n);
    for (; last < n - 1; last++) {
        sum += (double)expf(b->scores[b->order[last]] - b->max - b->log_sum);
        if (!((float)sum < (float)mass)) break;
    }
    float most = b->p[b->order[last]];
    for (int64_t i = keep; i < n; i++)
        if (b->p[b->order[i]] > most) take_away(b, b->order[i]);
}

/* EpsilonLogitsWarper, EtaLogitsWarper (Hewitt et al. 2022): what is less probable than
 * the threshold, but for the `keep` highest. */
static void cut_off(bench *b, double epsilon, bool eta, int64_t keep)
{
    float least = kth_largest(b, keep), threshold = (float)epsilon, entropy = softmax(b);
    if (eta) threshold = fminf(threshold, sqrtf(threshold) * expf(-entropy));
    for (int64_t i = 0; i < b->vocab; i++)
        if (b->p[i] < threshold && b->scores[i] < least) take_away(b, i);
}

/* ---- all of them ---- */

int64_t oci_warpers_keep(const oci_generation_config *g)
{
    return g->num_beams > 1 ? oci_max(2, (int64_t)g->eos_token_id.count + 1) : 1;
}

void oci_warp_logits(oc_context *cx, const oci_generation_config *g, int64_t keep,
                     float *scores, int64_t vocab)
{
    oci_arena_mark mark = oci_mark(cx);
    size_t n = (size_t)vocab;
    bench b = { .scores = scores, .vocab = vocab };
    b.p = oci_arena_alloc(cx, &cx->arena, n * sizeof *b.p);
    b.order = oci_arena_alloc(cx, &cx->arena, n * sizeof *b.order);
    b.spare = oci_arena_alloc(cx, &cx->arena, n * sizeof *b.spare);
    if (!b.spare || vocab < 1) return;
    keep = oci_min(keep, vocab);
    if (g->temperature != 1)
        for (int64_t i = 0; i < vocab; i++) scores[i] /= (float)g->temperature;
    if (g->top_k != 0) top_k(&b, oci_max(g->top_k, keep));
    if (g->top_p < 1) top_p(&b, g->top_p, keep);
    if (g->typical_p < 1) typical_p(&b, g->typical_p, keep);
    if (g->epsilon_cutoff > 0 && g->epsilon_cutoff < 1)
        cut_off(&b, g->epsilon_cutoff, false, keep);
    if (g->eta_cutoff > 0 && g->eta_cutoff < 1) cut_off(&b, g->eta_cutoff, true, keep);
    if (g->renormalize_logits) oci_renormalize(scores, vocab);
    oci_arena_reset(&cx->arena, mark);
}
