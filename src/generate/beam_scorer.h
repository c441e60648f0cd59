/* The scorer of beam search: which candidates of a step go on, which are
 * kept as finished, and when nothing better can come. 4.37.2's
 * BeamSearchScorer and BeamHypotheses, arithmetic in double as there. It
 * knows ids and scores, and no model. */
#ifndef OCI_GENERATE_BEAM_SCORER_H
#define OCI_GENERATE_BEAM_SCORER_H

#include "generate/config.h"

/* A row as far as it has come. `trace` says for each generated id the row that it was
 * chosen from (beam_indices), or is NULL. Borrowed. */
typedef struct oci_beam {
    const int64_t *ids, *trace;
    const float *logprobs;          /* of the generated ids */
    int64_t length, made, traced;
    float sum;                      /* of its scores */
} oci_beam;

typedef struct oci_candidate {      /* one more id on one of a group's beams */
    float score;                    /* the beam's sum and this id's */
    float logprob;                  /* log softmax of the raw logits */
    int64_t beam, token;            /* beam: 0 .. size-1 within the group */
} oci_candidate;

typedef struct oci_hypothesis {
    double value;                   /* sum / length^length_penalty */
    int64_t slot;                   /* its place in the scorer's arrays */
    int64_t length, made, traced;   /* of ids (without the end token), logprobs, trace */
    bool taken;
} oci_hypothesis;

typedef struct oci_store {          /* finished hypotheses of one group of one item */
    oci_hypothesis *at;             /* [size], in the order in which they came */
    int64_t count;
    double worst;
    bool done;
} oci_store;

typedef struct oci_beam_scorer {
    int64_t items, groups, size;    /* size: beams of a group, hypotheses of a store */
    int64_t room;                   /* ids of a row */
    int64_t prompt, max_length;
    double length_penalty;
    oci_early_stopping early;
    const oci_ids *eos;
    oci_store *stores;              /* [items * groups] */
    oci_hypothesis *hypotheses;     /* [items * groups * size] */
    int64_t *ids, *trace;           /* [items * groups * size, room + 1] */
    float *logprobs;
} oci_beam_scorer;

/* From a scorer whose numbers, down to eos, are set. */
bool oci_beam_scorer_init(oc_context *cx, oci_beam_scorer *s);
void oci_beam_scorer_deinit(oci_beam_scorer *s);

/* Adds one, if it is among the `size` best; `generated` is the length
 * that its sum is divided by. */
void oci_store_add(oci_beam_scorer *s, int64_t store, const oci_beam *beam,
                   int64_t generated);
bool oci_store_is_done(const oci_beam_scorer *s, int64_t store, double best_sum,
                       int64_t length);

/* One step of a store: candidates in descending order, beams [size] before it. The
 * candidates that go on are written to next [size]. `row` is the number of beam 0 in
 * traces. False with an error set if too many candidates end. */
bool oci_beam_scorer_process(oc_context *cx, oci_beam_scorer *s, int64_t store,
                             const oci_beam *beams, int64_t row,
                             const oci_candidate *candidates, int64_t count,
                             oci_candidate *next);
bool oci_beam_scorer_is_done(const oci_beam_scorer *s);
/* The best hypothesis of an item that was not taken yet, over all its groups; marks it
 * taken. NULL: there is none. */
const oci_hypothesis *oci_beam_scorer_take(oci_beam_scorer *s, int64_t item);

#endif
