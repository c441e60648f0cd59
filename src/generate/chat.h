/* A conversation's memory: what it was about, and how far the model has read. */
#ifndef OCI_GENERATE_CHAT_H
#define OCI_GENERATE_CHAT_H

#include "base/bytes.h"
#include "generate/decoding.h"
#include "text/prompt.h"

typedef struct oci_turn {
    char *question, *answer;        /* owned */
    size_t images;                  /* that came with the question */
    bool whole;
} oci_turn;

/* Takes the text of an answer as it comes and passes on what will not be taken back:
 * blanks at both ends are no part of an answer, and the style's stop ends it. */
typedef struct oci_teller {
    oc_context *cx;                 /* of the running call */
    const char *stop;
    oc_chat_callback callback;
    void *user;
    oci_bytes text;                 /* all so far */
    size_t begin, told;             /* where the answer begins in it; what has been
                                       passed on */
    bool stopped, refused;          /* by the stop, by the callback */
} oci_teller;

struct oc_chat {
    const oc_model *model;          /* borrowed, as its tokenizer */
    const oc_tokenizer *tokenizer;
    const oci_prompt_style *style;
    char *system, *config;          /* owned; NULL: the style's, none */
    int64_t context;                /* positions that a conversation may take */
    oc_dtype kv_dtype;
    int64_t image_id, patches;      /* a picture's id; positions of a picture, 0
                                       before any */
    oci_turn *turns;
    size_t turn_count, turn_room;
    oci_buffer **pictures;          /* F32 [patches, D] of each, encoded once */
    size_t picture_count, picture_room;
    size_t waiting;                 /* the last of them, for the question to come */
    oci_cache *cache;               /* what the model has read: … */
    int64_t *read;                  /* … these ids, cache->length of them, a picture's
                                       once for each patch; room for read_room */
    int64_t read_room;
    int64_t fresh;                  /* ids that the last question's first pass read */

    /* The answer under way, from oc_chat_begin to oc_chat_end. */
    bool answering;
    char *question;                 /* owned */
    oci_teller teller;
    oci_decoding decoding;
};

/* Adds a turn; takes `answer`. False: error set. (chat.c) */
bool oci_chat_add_turn(oc_context *cx, oc_chat *chat, const char *question, char *answer,
                       bool whole);
/* The ids of the prompt that ends with `question`, a picture's as often as it has
 * patches: input_ids [1, S]. (chat.c) */
oc_tensors *oci_chat_prompt(oc_context *cx, const oc_chat *chat, const char *question);
/* Forgets an answer under way. (chat_answer.c) */
void oci_chat_drop(oc_chat *chat);

/* Generation that goes on behind what chat->cache has: ids [1, S], every patch of a
 * picture one of them. */
extern const oci_family oci_chat_family;
/* Whether a step of this chat can be one with that of others. */
bool oci_chat_joins(const oc_chat *chat);
/* One pass over the last id of each of `count` such chats: logits [count, 1, V]. */
oci_tensor *oci_chat_pass_many(oc_context *cx, oc_chat *const *chats, size_t count);

#endif
