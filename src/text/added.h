/* Added tokens: strings that are cut out of a text before the model sees it. */
#ifndef OCI_TEXT_ADDED_H
#define OCI_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"
#include "text/vocab.h"

struct oci_work;
struct oci_segment;

typedef struct oci_added {      /* one token as a file gives it; borrows its text */
    const char *content;
    size_t size;
    bool single_word, lstrip, rstrip, special;
    int8_t normalized;          /* -1: not said, which means "unless special" */
} oci_added;

/* Finds the longest pattern at every place in one pass (Aho and Corasick 1975, run from
 * the end of the text with reversed patterns). */
typedef struct oci_matcher {
    oci_pairs edges;            /* node << 8 | byte → node */
    uint32_t *fail;             /* [nodes] */
    uint32_t *best;             /* [nodes]: 1 + place of the entry with the longest
                                   pattern that ends here */
    size_t nodes;               /* 0: no patterns */
    bool first[256];            /* bytes that some reversed pattern begins with */
} oci_matcher;

typedef struct oci_hit {
    size_t at;
    uint32_t entry;
} oci_hit;

typedef struct oci_hits {       /* from the last to the first */
    oci_hit *items;
    size_t count, room;
} oci_hits;

typedef struct oci_added_entry {
    uint32_t id;
    uint32_t size;              /* of its pattern: its string, normalized if it is said to
                                   be */
    bool normalized, special;
} oci_added_entry;

typedef struct oci_added_vocab {
    int64_t model_count;        /* tokens of the model; new ids begin there */
    int64_t largest;            /* largest id of an added token, or OCI_NO_ID */
    uint8_t *flags;             /* [flags_room], by id */
    size_t flags_room;
    oci_added_entry *entries;
    size_t count, room;
    oci_matcher raw, normalized;
} oci_added_vocab;

void oci_added_init(oci_added_vocab *added, int64_t model_count);
void oci_added_deinit(oci_added_vocab *added);
/* Adds or changes one as tokenizers' add_tokens does; the id is the vocabulary's or a new
 * one. `where` (file and field) is for messages. Returns the id, or OCI_NO_ID on error;
 * an empty token is left out, which is no error. */
int64_t oci_added_add(oc_context *cx, oci_added_vocab *added, oci_vocab *vocab,
                      const oci_added *token, const char *where);
bool oci_added_has(const oci_added_vocab *added, int64_t id);
/* Decoding with skip_special_tokens drops it. */
bool oci_added_is_special(const oci_added_vocab *added, int64_t id);
/* Builds the matchers, once all tokens and the normalizers are in. */
bool oci_added_finish(oc_context *cx, struct oc_tokenizer *t);
/* Emits the tokens of level 0 (raw) or 1 (normalized) that a segment holds, and passes
 * what lies between them to `rest`. */
bool oci_added_split(struct oci_work *work, int level, const struct oci_segment *segment,
                     bool (*rest)(struct oci_work *work, const struct oci_segment *gap));

#endif
