/* How a text becomes ids, in the order and with the words of tokenizers 0.15.2:
 *
 *   text → cut out added tokens that are matched raw
 *        → [normalizer] → cut out added tokens that are matched in normalized text
 *        → pre-tokenizers, one after the other → words → model → tokens
 *        → truncate → post-processor (special tokens) → pad
 *
 * and back: ids → strings → decoder → bytes → UTF-8 → clean-up. Each stage that has kinds has
 * a table of them; a kind that is not in its table is OC_E_UNSUPPORTED by name. A new one is
 * a file and a row. */
#ifndef OCI_TEXT_PIPELINE_H
#define OCI_TEXT_PIPELINE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/context.h"
#include "io/json.h"
#include "ocelli.h"
#include "text/added.h"
#include "text/vocab.h"

typedef struct oci_loader oci_loader;
typedef struct oci_work oci_work;

/* A piece of the caller's text. */
typedef struct oci_segment {
    size_t at, size;
    bool prefixed;              /* a space that the text does not have stands before it */
} oci_segment;

typedef struct oci_token {
    uint32_t id;
    uint32_t begin, end;        /* code points of the text */
    uint32_t surface;           /* 1 + index in oci_work.surfaces; 0: the vocabulary's string */
} oci_token;

/* ---- kinds of parts -------------------------------------------------------------------- */

/* `load` reads the part's JSON object; `field` is its path for messages. It returns what
 * `free` takes, or NULL with an error set. */
typedef struct oci_pre_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    /* Cuts a segment and hands the pieces to oci_pre_tokenize(work, next, piece). */
    bool (*run)(oci_work *work, const void *self, const oci_segment *segment, int next);
} oci_pre_kind;

typedef struct oci_model_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    void (*free)(void *self);
    bool (*encode)(oci_work *work, const void *self, const oci_segment *word);
} oci_model_kind;

typedef struct oci_decoder_kind {
    const char *type;
    /* Appends the bytes that a token stands for; `first`: no token came before. */
    oc_status (*token)(oc_context *cx, const char *token, size_t size, bool first,
                       oci_bytes *out);
} oci_decoder_kind;

/* Every post-processor comes down to two templates and how offsets are trimmed. */
typedef struct oci_template_item {
    int8_t sequence;            /* 0, 1: the text, the pair; -1: the special token `id` */
    uint8_t type;               /* token_type_id */
    uint32_t id;
} oci_template_item;

typedef struct oci_template {
    oci_template_item *items;
    size_t count;
} oci_template;

typedef struct oci_post {
    oci_template single, pair;
    bool has_offsets;           /* it is of a kind that has the next two switches, … */
    bool bytelevel;             /* … which is ByteLevel */
    bool trim_offsets, add_prefix_space;
    bool first_types_only;      /* overflowing pieces of a text get its number as their type */
} oci_post;

/* ---- the tokenizer --------------------------------------------------------------------- */

enum { OCI_MAX_PRE_TOKENIZERS = 8 };

typedef struct oci_pre {
    const oci_pre_kind *kind;
    void *self;                 /* oci_free releases it */
} oci_pre;

struct oc_tokenizer {
    oci_vocab vocab;            /* the model's and the added tokens */
    oci_added_vocab added;
    oci_pre pre[OCI_MAX_PRE_TOKENIZERS];
    int pre_count;
    const oci_model_kind *model_kind;
    void *model;
    const oci_decoder_kind *decoder;
    oci_post post;
    int64_t pad_id;             /* OCI_NO_ID: the tokenizer has no pad token */
    int64_t eos_id, unk_id;     /* the same */
    int64_t max_length;         /* model_max_length; 0: none */
    bool pad_left, truncate_left;
    bool clean_up;              /* clean_up_tokenization_spaces */
    bool token_types;           /* the model takes token_type_ids */
};

/* ---- a text on its way ----------------------------------------------------------------- */

typedef struct oci_surface {    /* what an added token matched, where it is not its string */
    size_t at, size;
} oci_surface;

struct oci_work {
    oc_context *cx;
    const oc_tokenizer *t;
    const char *text;           /* UTF-8, checked */
    size_t size;
    size_t at_byte;             /* start of a code point … */
    uint32_t at_code;           /* … and how many stand before it */
    oci_token *tokens;
    size_t count, room;
    oci_surface *surfaces;
    size_t surface_count, surface_room;
    oci_hits hits[2];           /* of the two matchers of added tokens */
    void *symbols, *queue;      /* scratch of the model, kept from word to word */
    size_t symbol_room, queue_room;
};

/* Runs all stages up to the model over work->text. */
bool oci_work_run(oci_work *work);
void oci_work_deinit(oci_work *work);
/* Runs pre-tokenizer `stage` and those after it, then the model. */
bool oci_pre_tokenize(oci_work *work, int stage, const oci_segment *segment);
/* A token that stands for bytes [begin, end) of the text, end > begin. */
bool oci_work_emit(oci_work *work, int64_t id, size_t begin, size_t end);
/* `block`, grown to hold `count` elements of `size` bytes, at least doubling. */
OC_NODISCARD void *oci_grow(oc_context *cx, void *block, size_t *room, size_t count,
                            size_t size);

#endif
