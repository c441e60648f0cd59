/* Each function is one processor of Transformers 4.37.2's logits_process.py, whose class
 * it names. Arithmetic is f32 as there, one rounding an operation: a Python scalar is
 * rounded to f32 before it meets a tensor. */
#include "generate/processors.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"

static void ban(float *scores, const oci_ids *ids)
{
    for (size_t i = 0; i < ids->count; i++) scores[ids->at[i]] = -INFINITY;
}

static void ban_all(float *scores, int64_t vocab)
{
    for (int64_t i = 0; i < vocab; i++) scores[i] = -INFINITY;
}

static bool has_id(const oci_ids *ids, int64_t id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->at[i] == id) return true;
    return false;
}

/* ---- sequence bias, bad words ---- */

/* The entry's last id may come next: the ids before it are
 * those that the row ends with. */
static bool completes(const oci_ids *entry, const oci_row *row)
{
    int64_t m = (int64_t)entry->count;
    if (m == 1) return true;
    if (m > row->length) return false;
    return !memcmp(entry->at, row->ids + row->length - (m - 1),
                   (size_t)(m - 1) * sizeof *entry->at);
}

/* SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor: the biases of a token
 * are summed first, single ids before sequences, and then added to every score.
 * The sums of a block of the vocabulary live on the stack, so that long lists cost
 * no memory and linear time. */
static void add_biases(const oci_biases *list, const oci_ids *lone, const oci_row *row,
                       float *scores, int64_t vocab)
{
    enum { BLOCK = 2048 };
    float sum[BLOCK];
    for (int64_t begin = 0; begin < vocab && list->count; begin += BLOCK) {
        int64_t n = oci_min(vocab - begin, BLOCK);
        memset(sum, 0, sizeof sum);
        for (int longer = 0; longer < 2; longer++)
            for (size_t i = 0; i < list->count; i++) {
                const oci_ids *ids = &list->at[i].ids;
                int64_t last = ids->at[ids->count - 1] - begin;
                if (last < 0 || last >= n || (ids->count > 1) != longer) continue;
                if (lone && !longer && has_id(lone, ids->at[0])) continue;
                if (completes(ids, row)) sum[last] += list->at[i].bias;
            }
        for (int64_t i = 0; i < n; i++) scores[begin + i] += sum[i];
    }
}

/* ---- repetition ---- */

enum { BLOCK = 1 << 16 };       /* ids of the vocabulary whose marks are on the stack
                                   at once */

typedef struct marks {
    uint8_t bits[BLOCK / 8];
} marks;

/* True if the id was marked already. */
static bool mark(marks *m, int64_t id)
{
    bool before = m->bits[id / 8] >> (id % 8) & 1;
    m->bits[id / 8] = (uint8_t)(m->bits[id / 8] | 1u << (id % 8));
    return before;
}

/* RepetitionPenaltyLogitsProcessor: each id that occurs, once. The encoder's variant is
 * the same with 1 / p on the encoder's ids. */
static void penalise_repetition(double penalty, const oci_ids *ids, float *scores,
                                int64_t vocab)
{
    marks seen;
    float p = (float)penalty;
    for (int64_t begin = 0; begin < vocab; begin += BLOCK) {
        int64_t n = oci_min(vocab - begin, BLOCK);
        memset(&seen, 0, sizeof seen);
        for (size_t i = 0; i < ids->count; i++) {
            int64_t id = ids->at[i] - begin;
            if (id < 0 || id >= n || mark(&seen, id)) continue;
            float *s = &scores[begin + id];
            *s = *s < 0 ? *s * p : *s / p;
        }
    }
}

/* NoRepeatNGramLogitsProcessor: what followed an occurrence of the last N-1 ids among
 * `in`, which are the row's own ids or (EncoderNoRepeatNGramLogitsProcessor) the
 * encoder's; with N = 1 everything that occurs there. */
static void ban_ngrams(int64_t N, const oci_ids *in, const oci_row *row, float *scores,
                       int64_t vocab)
{
    if (N > row->length + 1) return;
    size_t bytes = (size_t)(N - 1) * sizeof *row->ids;
    const int64_t *tail = row->ids + row->length - (N - 1);
    for (int64_t i = 0; i + N <= (int64_t)in->count; i++) {
        int64_t next = in->at[i + N - 1];
        if (next >= 0 && next < vocab && !memcmp(in->at + i, tail, bytes))
            scores[next] = -INFINITY;
    }
}

/* ---- beams, callbacks ---- */

/* HammingDiversityLogitsProcessor: d for each time that an earlier group of beams chose
 * the id. Counted before it is multiplied, as there. */
static void penalise_earlier(double penalty, const oci_ids *earlier, float *scores,
                             int64_t vocab)
{
    for (size_t i = 0; i < earlier->count; i++) {
        int64_t times = 0;
        bool first = true;
        for (size_t k = 0; k < earlier->count; k++) {
            if (earlier->at[k] != earlier->at[i]) continue;
            times++;
            first = first && k >= i;
        }
        if (first && earlier->at[i] >= 0 && earlier->at[i] < vocab) /* a pad may not be */
            scores[earlier->at[i]] -= (float)penalty * (float)times;
    }
}

/* PrefixConstrainedLogitsProcessor: -infinity is added to what
 * the callback does not name. */
static bool keep_allowed(oc_context *cx, const oci_row *row, float *scores, int64_t vocab)
{
    marks kept;
    oci_ids ids = { 0 };
    const int64_t *at = row->allowed(row->allowed_user, row->item, row->ids,
                                     (size_t)row->length, &ids.count);
    if (ids.count == 0 || !at) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "prefix_allowed_tokens: expected ids for picture %lld, found none",
                 (long long)row->item);
        return false;
    }
    for (size_t i = 0; i < ids.count; i++)
        if (at[i] < 0 || at[i] >= vocab) {
            oci_fail(cx, OC_E_ARGUMENT,
                     "prefix_allowed_tokens: expected ids in 0..%lld, found %lld",
                     (long long)vocab - 1, (long long)at[i]);
            return false;
        }
    for (int64_t begin = 0; begin < vocab; begin += BLOCK) {
        int64_t n = oci_min(vocab - begin, BLOCK);
        memset(&kept, 0, sizeof kept);
        for (size_t i = 0; i < ids.count; i++)
            if (at[i] >= begin && at[i] < begin + n) mark(&kept, at[i] - begin);
        for (int64_t i = 0; i < n; i++)
            if (!mark(&kept, i)) scores[begin + i] += -INFINITY;
    }
    return true;
}

/* ---- length ---- */

/* MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor. */
static void hold_back_end(const oci_generation_config *g, const oci_row *row,
                          float *scores)
{
    if (row->length < g->min_length || row->length - row->prompt < g->min_new_tokens)
        ban(scores, &g->eos_token_id);
}

/* ExponentialDecayLengthPenalty: the absolute value serves negative scores too. */
static void favour_end(const oci_generation_config *g, const oci_row *row, float *scores)
{
    int64_t over = row->length - row->prompt - g->decay_start;
    if (g->decay_start < 0 || over <= 0) return;
    float factor = (float)(pow(g->decay_factor, (double)over) - 1);
    for (size_t i = 0; i < g->eos_token_id.count; i++) {
        float *s = &scores[g->eos_token_id.at[i]];
        float more = fabsf(*s) * factor;
        *s += more;
    }
}

/* ---- forced and suppressed ids ---- */

/* ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor. */
static void force_ends(const oci_generation_config *g, const oci_row *row, float *scores,
                       int64_t vocab)
{
    if (g->forced_bos_token_id >= 0 && row->length == 1) {
        ban_all(scores, vocab);
        scores[g->forced_bos_token_id] = 0;
    }
    if (g->forced_eos_token_id.count && row->length == row->max_length - 1) {
        ban_all(scores, vocab);
        for (size_t i = 0; i < g->forced_eos_token_id.count; i++)
            scores[g->forced_eos_token_id.at[i]] = 0;
    }
}

/* SuppressTokensAtBeginLogitsProcessor: the first step that decides freely. */
static void suppress_at_begin(const oci_generation_config *g, const oci_row *row,
                              float *scores)
{
    const oci_ids *forced = &g->forced_decoder_ids;
    int64_t begin = row->prompt;
    if (row->prompt <= 1 && g->forced_bos_token_id >= 0) begin++;
    if (forced->count) begin += forced->at[forced->count - 2];
    if (row->length == begin) ban(scores, &g->begin_suppress_tokens);
}

/* ForceTokensLogitsProcessor: of several entries for one index the last holds. */
static void force_decoder_id(const oci_ids *pairs, const oci_row *row, float *scores,
                             int64_t vocab)
{
    int64_t id = -1;
    for (size_t i = 0; i < pairs->count; i += 2)
        if (pairs->at[i] == row->length) id = pairs->at[i + 1];
    if (id < 0) return;
    ban_all(scores, vocab);
    scores[id] = 0;
}

/* ---- the values themselves ---- */

/* InfNanRemoveLogitsProcessor */
static void remove_invalid(float *scores, int64_t vocab)
{
    for (int64_t i = 0; i < vocab; i++) {
        if (isnan(scores[i])) scores[i] = 0;
        else if (isinf(scores[i])) scores[i] = scores[i] > 0 ? FLT_MAX : -FLT_MAX;
    }
}

void oci_renormalize(float *scores, int64_t vocab)
{
    float max = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < vocab; i++)
        if (scores[i] > max) max = scores[i];
    for (int64_t i = 0; i < vocab; i++) sum += (double)expf(scores[i] - max);
    float log_sum = (float)log(sum);
    for (int64_t i = 0; i < vocab; i++) scores[i] = scores[i] - max - log_sum;
}

/* ---- all of them ---- */

bool oci_process_logits(oc_context *cx, const oci_generation_config *g,
                        const oci_row *row, float *scores, int64_t vocab)
{
    oci_ids own = { .at = (int64_t *)(uintptr_t)row->ids, .count = (size_t)row->length };
    add_biases(&g->sequence_bias, NULL, row, scores, vocab);
    if (g->diversity_penalty > 0)
        penalise_earlier(g->diversity_penalty, &row->earlier, scores, vocab);
    if (g->encoder_repetition_penalty != 1)
        penalise_repetition(1 / g->encoder_repetition_penalty, &row->penalised_ids,
                            scores, vocab);
    if (g->repetition_penalty != 1)
        penalise_repetition(g->repetition_penalty, &own, scores, vocab);
    if (g->no_repeat_ngram_size > 0)
        ban_ngrams(g->no_repeat_ngram_size, &own, row, scores, vocab);
    if (g->encoder_no_repeat_ngram_size > 0)
        ban_ngrams(g->encoder_no_repeat_ngram_size, &row->encoder_ids, row, scores,
                   vocab);
    add_biases(&g->bad_words_ids, &g->eos_token_id, row, scores, vocab);
    hold_back_end(g, row, scores);
    if (row->allowed && !keep_allowed(cx, row, scores, vocab)) return false;
    force_ends(g, row, scores, vocab);
    if (g->remove_invalid_values) remove_invalid(scores, vocab);
    favour_end(g, row, scores);
    ban(scores, &g->suppress_tokens);
    suppress_at_begin(g, row, scores);
    force_decoder_id(&g->forced_decoder_ids, row, scores, vocab);
    if (g->renormalize_logits) oci_renormalize(scores, vocab);
    return true;
}

/* `step` 2 looks at the ids of (index, id) pairs, where -1 stands for none. */
static void check_ids(oc_context *cx, const char *name, const oci_ids *ids, size_t step,
                      int64_t vocab)
{
    for (size_t i = step - 1; i < ids->count; i += step)
        if (ids->at[i] >= vocab || ids->at[i] < (step == 2 ? -1 : 0))
            oci_fail(cx, OC_E_ARGUMENT, "%s: expected ids in 0..%lld, found %lld", name,
                     (long long)vocab - 1, (long long)ids->at[i]);
}

static void check_biases(oc_context *cx, const char *name, const oci_biases *list,
                         int64_t vocab)
{
    for (size_t i = 0; i < list->count; i++)
        check_ids(cx, name, &list->at[i].ids, 1, vocab);
}

oc_status oci_processors_check(oc_context *cx, const oci_generation_config *g,
                               int64_t vocab)
{
    int64_t bos = g->forced_bos_token_id;
    bool eos = g->min_length > 0 || g->min_new_tokens > 0 || g->decay_start >= 0;
    check_biases(cx, "sequence_bias", &g->sequence_bias, vocab);
    check_biases(cx, "bad_words_ids", &g->bad_words_ids, vocab);
    if (eos) check_ids(cx, "eos_token_id", &g->eos_token_id, 1, vocab);
    check_ids(cx, "forced_bos_token_id", &(oci_ids){ .at = &bos, .count = bos >= 0 }, 1,
              vocab);
    check_ids(cx, "forced_eos_token_id", &g->forced_eos_token_id, 1, vocab);
    check_ids(cx, "suppress_tokens", &g->suppress_tokens, 1, vocab);
    check_ids(cx, "begin_suppress_tokens", &g->begin_suppress_tokens, 1, vocab);
    check_ids(cx, "forced_decoder_ids", &g->forced_decoder_ids, 2, vocab);
    return cx->status;
}
