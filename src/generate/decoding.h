/* Decoding: one call that turns pictures and prompts into token ids. Everything that
 * lasts for the call is here; what lasts for a step is in the arena.
 *
 * A call works on B items: pictures, or prompts with any number of them. Each has
 * `width` rows in the decoder's cache (beams, samples, candidates of contrastive
 * search, else one) and each row a sequence of ids, but for contrastive search,
 * where an item's candidates continue its one sequence. What is computed is the
 * batch: the rows that still want a next token. In the first step, over the prompt,
 * the rows of an item are one.
 *
 * What the searches know of a model is its family: two functions, one that reads a call's
 * inputs and one that passes over ids. */
#ifndef OCI_GENERATE_DECODING_H
#define OCI_GENERATE_DECODING_H

#include "generate/config.h"
#include "checkpoint/folder.h"
#include "generate/processors.h"
#include "models/arch.h"

typedef enum oci_search { OCI_SEARCH_GREEDY, OCI_SEARCH_SAMPLE, OCI_SEARCH_BEAM,
                          OCI_SEARCH_CONTRASTIVE } oci_search;

typedef struct oci_decoding oci_decoding;

typedef struct oci_family {
    const oci_arch *arch;
    const oci_input_spec *inputs;
    const char *outputs;        /* before the names of hidden states and attentions */
    bool looks_at_all;          /* without use_cache a row's masks depend on all rows as
                                   they are: every pass starts over, and no row leaves */
    oci_decoder_shape (*shape)(const void *root);
    /* Reads the inputs, encodes the pictures: sets items, given, start, most and what the
     * passes need. The config is read already. */
    void (*open)(oc_context *cx, oci_decoding *d, const oc_tensors *in);
    /* One pass over ids [A, T], which the cache has not:
     * logits of the last, [A, 1, V]. */
    oci_tensor *(*pass)(oc_context *cx, oci_decoding *d, oci_tensor *ids);
} oci_family;

extern const oci_family oci_picture_family, oci_prompt_family;

struct oci_decoding {
    const oc_model *model;
    const oci_family *family;
    void *session;              /* whose call it is, where a family has sessions */
    oci_decoder_shape shape;
    oci_generation_config g;
    oc_generate_options o;
    oci_search search;
    int64_t items, width;       /* B, and rows of each */
    int64_t rows;               /* B * width, of the cache */
    oci_tensor *given;          /* I64 [B, T] ids to begin with, in the arena; or NULL */
    int64_t start;              /* id before them; -1: none */
    int64_t most;               /* positions that a row can come to */
    bool apart;                 /* rows of an item differ from the prompt on: they see
                                   other pictures */
    int64_t slots;              /* that a prompt takes in the cache beyond its ids */
    int64_t places;             /* room + slots: positions in a row of the cache */
    int64_t sequences;          /* rows of ids: as many, or B in contrastive search */
    int64_t prompt;             /* P: ids that were given */
    int64_t length;             /* L: ids so far, the same for all sequences */
    int64_t max_length;         /* with max_new_tokens counted in */
    int64_t room;               /* ids that fit in a row of `ids` */
    int64_t *ids;               /* [sequences, room] */
    int64_t *made;              /* [sequences] ids that were generated, the end
                                   token included */
    float *logprobs;            /* [sequences, room]; of generated ids, from position 0 */
    bool *finished;             /* [sequences] */
    float *sums;                /* [sequences] beam search: final scores; else NULL */
    int64_t *trace;             /* [sequences, room] beam search: beam_indices; else
                                   NULL */
    int64_t *batch, batch_count;    /* [rows] the rows that are computed, ascending */
    int64_t *slot;              /* [rows] where in the last batch the logits of a row
                                   were */
    oci_cache *cache;           /* made here, or by `open`, which then takes it back */
    int64_t *cross;             /* [rows] item whose picture a row looks at */
    int64_t *origin;            /* [sequences, places] cache row of each position; NULL:
                                   its own */
    int64_t *batch_origin;      /* [rows, places] the same for the rows of a batch */
    oci_tensor *states;         /* of the pictures, in the arena below all steps: [B, N,
                                   Dc] that cross-attention reads, or [pictures, P, D] for
                                   the prompts' places; or NULL */
    bool cross_attends;         /* the first */
    oci_tensor *mask;           /* [B, prompt] 1: is to be seen; families with prompts */
    bool *dead;                 /* [rows, slots] slots with keys of zeros; or NULL */
    oc_tensors *out;            /* what is handed out besides the ids */
    oc_tensors *held;           /* outputs of the decoder in the last step, or NULL */
    oci_detokenizer **text;     /* [sequences] streams for the callback, or NULL */
    double started, encode_seconds, decode_seconds;
};

/* Reads the config, encodes the pictures, makes the prompt and all memory of the call. */
bool oci_decoding_begin(oc_context *cx, oci_decoding *d, const oc_model *model,
                        const oc_tensors *in, const oc_generate_options *options);
/* The same for a family that is not found by the model alone. */
bool oci_decoding_begin_as(oc_context *cx, oci_decoding *d, const oc_model *model,
                           const oci_family *family, void *session, const oc_tensors *in,
                           const oc_generate_options *options);
void oci_decoding_end(oci_decoding *d);
/* Pictures through an encoder, some at a time: [N, ..] of what `encode` makes of each
 * group (encode.c). */
typedef oci_tensor *oci_encode_group(oc_context *cx, const oci_decoding *d,
                                     oci_tensor *pixels, bool interpolate);
oci_tensor *oci_encode_pictures(oc_context *cx, const oci_decoding *d,
                                oc_tensor_view pixels, oci_encode_group *encode,
                                bool interpolate);
/* What an option kv_dtype means: 0 is OC_F32; OC_E_ARGUMENT if no cache can be of it. */
oc_dtype oci_kept_dtype(oc_context *cx, oc_dtype asked);
/* From prompt to last token, by whichever search the config asks for. */
oc_status oci_decoding_run(oc_context *cx, oci_decoding *d);

/* The loops of 4.37.2's greedy_search and sample; of beam_search, beam_sample and
 * group_beam_search; of contrastive_search (spec: generation §4-9). */
void oci_search_one_by_one(oc_context *cx, oci_decoding *d);
/* The first in parts: a pass and what is decided by it; what is decided by the logits of
 * a pass that somebody else made; whether there is another step. */
void oci_search_step(oc_context *cx, oci_decoding *d);
void oci_search_decide(oc_context *cx, oci_decoding *d, const oci_tensor *logits);
bool oci_search_goes_on(const oci_decoding *d);
void oci_search_beams(oc_context *cx, oci_decoding *d);
void oci_search_contrastive(oc_context *cx, oci_decoding *d);

/* ---- parts of a step (step.c) ---- */

/* One pass of the decoder over the rows of d->batch: the ids of their sequences
 * that it has not seen yet or, if not NULL, tokens [batch_count]. Logits of the
 * last position, [batch, V]. */
oci_tensor *oci_step_logits(oc_context *cx, oci_decoding *d, const int64_t *tokens);
/* OC_E_FAILED where logits are no numbers, and nothing removes those. */
void oci_step_check(oc_context *cx, const oci_decoding *d, const oci_tensor *logits);
/* The sequence that a row of the cache continues. */
static inline int64_t oci_sequence_of(const oci_decoding *d, int64_t row)
{
    return d->search == OCI_SEARCH_CONTRASTIVE ? row / d->width : row;
}
/* Where the raw logits of a row are in what oci_step_logits gave. */
static inline float *oci_step_row(const oci_decoding *d, const oci_tensor *logits,
                                  int64_t row)
{
    return oci_f32(logits) + d->slot[row] * d->shape.vocab_size;
}
/* [count, V] of scores.STEP, to be filled; NULL if nobody wants them. */
float *oci_step_scores(oc_context *cx, oci_decoding *d, int64_t count);
/* Hands out what the last pass left in d->held as NAME.STEP.LAYER: row r of `count` is
 * row from[r] of the batch. */
void oci_step_outputs(oc_context *cx, oci_decoding *d, const int64_t *from,
                      int64_t count);
/* Whether all rows are to be computed to the end, because their outputs are wanted. */
bool oci_keeps_rows(const oci_decoding *d);
/* Processors and, when sampling, warpers on the scores of sequence s; `earlier` are the
 * tokens that earlier beam groups chose in this step. */
bool oci_step_process(oc_context *cx, const oci_decoding *d, int64_t s, oci_ids earlier,
                      float *scores);
/* Tells the callback; false when it wants the sequence to stop. With the last token comes
 * the text that waited for another. */
bool oci_announce(oc_context *cx, oci_decoding *d, int64_t s, int64_t token, bool last);
/* Stops the loop: an error, an interruption, or no room for one more id. */
bool oci_step_barred(oc_context *cx, const oci_decoding *d);
/* max_length or max_time is reached. */
bool oci_time_is_up(const oci_decoding *d);
bool oci_is_eos(const oci_generation_config *g, int64_t id);

#endif
