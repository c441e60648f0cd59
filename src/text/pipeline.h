/* How a text becomes ids, in the order and with the words of tokenizers 0.15.2:
 *
 *   text → cut out added tokens that are matched raw
 *        → normalizers, one after the other
 *        → cut out added tokens that are matched in normalized text
 *        → pre-tokenizers, one after the other → words → model → tokens
 *        → truncate → post-processor (special tokens) → pad
 *
 * and back: ids → strings → decoder → bytes → UTF-8 → clean-up. Each stage that has kinds
 * has a table of them; a kind that is not in its table is OC_E_UNSUPPORTED by name. A new
 * one is a file and a row. */
#ifndef OCI_TEXT_PIPELINE_H
#define OCI_TEXT_PIPELINE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/utf8.h"
#include "io/json.h"
#include "ocelli.h"
#include "text/added.h"
#include "text/vocab.h"

typedef struct oci_loader oci_loader;
typedef struct oci_work oci_work;

/* A piece of the text as the stages so far have left it. UTF-8, whole code points. */
typedef struct oci_segment {
    const char *text;           /* [size] */
    size_t size;
    const uint32_t *origin;     /* [size]: a byte of the code point of the caller's text
                                   that each byte stands for, never falling; NULL: nothing
                                   was … */
    size_t at;                  /* … changed, and text[i] is byte at + i of the caller's
                                   text */
    bool prefixed;              /* a space that the text does not have stands before it */
} oci_segment;

static inline size_t oci_origin(const oci_segment *s, size_t i)
{
    return s->origin ? s->origin[i] : s->at + i;
}

/* Bytes [begin, end) of a segment. */
static inline oci_segment oci_part(const oci_segment *s, size_t begin, size_t end)
{
    return (oci_segment){ s->text + begin, end - begin,
                          s->origin ? s->origin + begin : NULL, s->at + begin, false };
}

/* Text in the making, with the origin of each byte. */
typedef struct oci_text {
    char *bytes;
    uint32_t *origin;
    size_t size, room;          /* room of both */
} oci_text;

typedef struct oci_token {
    uint32_t id;
    uint32_t begin, end;        /* code points of the text */
    uint32_t surface;           /* 1 + index in oci_work.surfaces; 0: the vocabulary's
                                   string */
} oci_token;

/* ---- kinds of parts ---------------------------------------------------------------- */

/* `load` reads the part's JSON object; `field` is its path for messages. It returns what
 * `free` (else oci_free) takes, or NULL with an error set. */
typedef enum oci_outcome {
    OCI_FAILED,                 /* an error is set */
    OCI_KEPT,                   /* the segment as it was, or what is left of it */
    OCI_WRITTEN                 /* what was appended to `out` */
} oci_outcome;

typedef struct oci_normalizer_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    oci_outcome (*run)(oc_context *cx, const void *self, oci_segment *segment,
                       oci_text *out);
} oci_normalizer_kind;

typedef struct oci_pre_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    /* Cuts a segment, which is not empty, and hands the pieces to
     * oci_pre_tokenize(work, next, piece). */
    bool (*run)(oci_work *work, const void *self, const oci_segment *segment, int next);
} oci_pre_kind;

typedef struct oci_model_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    void (*free)(void *self);
    bool (*encode)(oci_work *work, const void *self, const oci_segment *word);
} oci_model_kind;

/* What a decoder knows of the tokens before. */
typedef struct oci_decoding {
    bool begun;                 /* there were any */
    oci_bytes run;              /* bytes of which it is not known what they become */
    oci_bytes token;            /* scratch */
    uint32_t stripped;          /* characters taken from the start */
} oci_decoding;

typedef struct oci_decoder_kind {
    const char *type;
    void *(*load)(oci_loader *in, const json_t *object, const char *field);
    /* Appends the bytes that a token stands for, after those held back. */
    oc_status (*token)(oc_context *cx, const void *self, const char *token, size_t size,
                       oci_decoding *d, oci_bytes *out);
    /* Appends what was held back, at the end; NULL: nothing ever is. */
    oc_status (*end)(oc_context *cx, const void *self, oci_decoding *d, oci_bytes *out);
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
    bool first_types_only;      /* overflowing pieces of a text get its number as their
                                   type */
} oci_post;

/* ---- the tokenizer ----------------------------------------------------------------- */

enum { OCI_MAX_PARTS = 8 };     /* in a Sequence */

typedef struct oci_normalizer {
    const oci_normalizer_kind *kind;
    void *self;                 /* oci_free releases it, as all the others */
} oci_normalizer;

typedef struct oci_pre {
    const oci_pre_kind *kind;
    void *self;
} oci_pre;

struct oc_tokenizer {
    oci_vocab vocab;            /* the model's and the added tokens */
    oci_added_vocab added;
    oci_normalizer normalizers[OCI_MAX_PARTS];
    int normalizer_count;
    oci_pre pre[OCI_MAX_PARTS];
    int pre_count;
    const oci_model_kind *model_kind;
    void *model;
    const oci_decoder_kind *decoder;
    void *decoder_self;
    oci_post post;
    int64_t pad_id;             /* OCI_NO_ID: the tokenizer has no pad token */
    int64_t eos_id, unk_id;     /* the same */
    int64_t max_length;         /* model_max_length; 0: none */
    bool pad_left, truncate_left;
    bool clean_up;              /* clean_up_tokenization_spaces */
    bool word_ends;             /* decoded "</w>" is a space, and the text stripped */
    bool token_types;           /* the model takes token_type_ids */
};

/* ---- a text on its way ------------------------------------------------------------- */

typedef struct oci_surface {    /* what a token stands for, where it is not its string */
    size_t at, size;            /* in oci_work.surface_text */
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
    oci_bytes surface_text;
    oci_hits hits[2];           /* of the two matchers of added tokens */
    oci_text normal[2];         /* what normalizers write, in turn */
    oci_text pieces[OCI_MAX_PARTS];     /* what pre-tokenizers write */
    unsigned begun;             /* bit per pre-tokenizer: the first piece of the text is
                                   over */
    void *symbols, *queue;      /* scratch of the model, kept from word to word */
    size_t symbol_room, queue_room;
};

/* Runs all stages up to the model over work->text. */
bool oci_work_run(oci_work *work);
void oci_work_deinit(oci_work *work);
/* Runs pre-tokenizer `stage` and those after it, then the model. */
bool oci_pre_tokenize(oci_work *work, int stage, const oci_segment *segment);
/* A token that stands for bytes [begin, end) of a segment, end > begin. */
bool oci_work_emit(oci_work *work, int64_t id, const oci_segment *segment, size_t begin,
                   size_t end);
/* The same, and what it stands for is told by oc_encoding_token where it is not the
 * token's own string. */
bool oci_work_emit_surface(oci_work *work, int64_t id, const oci_segment *segment,
                           size_t begin, size_t end);
/* All normalizers over a segment; what they write goes to the two texts in turn. */
bool oci_normalize(oc_context *cx, const oc_tokenizer *t, oci_segment *segment,
                   oci_text texts[2]);
/* Room for `more` bytes behind the text's end; bounded by limits.text_bytes. */
bool oci_text_reserve(oc_context *cx, oci_text *text, size_t more);
/* A code point; room must have been reserved. */
static inline void oci_text_put(oci_text *text, uint32_t code, size_t origin)
{
    int n = 1;
    if (code < 0x80)
        text->bytes[text->size] = (char)code;
    else
        n = oci_utf8_encode(code, text->bytes + text->size);
    for (int i = 0; i < n; i++) text->origin[text->size++] = (uint32_t)origin;
}
/* Bytes [begin, end) of a segment. */
bool oci_text_copy(oc_context *cx, oci_text *text, const oci_segment *segment,
                   size_t begin, size_t end);
oci_segment oci_text_segment(const oci_text *text);
void oci_text_deinit(oci_text *text);
/* `block`, grown to hold `count` elements of `size` bytes, at least doubling. */
OC_NODISCARD void *oci_grow(oc_context *cx, void *block, size_t *room, size_t count,
                            size_t size);

#endif
