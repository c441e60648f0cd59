/* A conversation's memory: what it was about, and how far the model has read. */
#ifndef OCI_GENERATE_CHAT_H
#define OCI_GENERATE_CHAT_H

#include "generate/decoding.h"
#include "text/prompt.h"

typedef struct oci_turn {
    char *question, *answer;        /* owned */
    size_t images;                  /* that came with the question */
    bool whole;
} oci_turn;

struct oc_chat {
    const oc_model *model;          /* borrowed, as its tokenizer */
    const oc_tokenizer *tokenizer;
    const oci_prompt_style *style;
    char *system, *config;          /* owned; NULL: the style's, none */
    int64_t context;                /* positions that a conversation may take */
    int64_t image_id, patches;      /* a picture's id; positions of a picture, 0 before any */
    oci_turn *turns;
    size_t turn_count, turn_room;
    oci_buffer **pictures;          /* F32 [patches, D] of each, encoded once */
    size_t picture_count, picture_room;
    size_t waiting;                 /* the last of them, for the question to come */
    oci_cache *cache;               /* what the model has read: … */
    int64_t *read;                  /* … these ids, cache->length of them, a picture's once
                                       for each patch */
    int64_t fresh;                  /* ids that the last question's first pass read */
};

/* Generation that goes on behind what chat->cache has: ids [1, S], every patch of a picture
 * one of them. */
extern const oci_family oci_chat_family;

#endif
