/* Strings and their ids, both ways, and a map from a 64-bit key to two numbers (merges,
 * trie edges). Hash tables are seeded with their own address, so that a file cannot be
 * written to make its entries collide. */
#ifndef OCI_TEXT_VOCAB_H
#define OCI_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"

enum { OCI_NO_ID = -1 };

typedef struct oci_word {
    uint32_t at, size;          /* in `bytes`; at 0: there is no such id */
} oci_word;

typedef struct oci_vocab {
    char *bytes;                /* all strings, each with a NUL after it */
    size_t bytes_used, bytes_room;
    oci_word *words;            /* [bound]; by id */
    int64_t bound;              /* one more than the largest id */
    int64_t words_room;
    int64_t count;              /* ids that have a string */
    int64_t repeats;            /* of them, those with a string that another id is found
                                   by */
    uint32_t *slots;            /* id + 1, or 0 */
    size_t slots_mask;
} oci_vocab;

/* Room for `count` strings of ids below `bound` and of `bytes` bytes in all; it grows. */
bool oci_vocab_init(oc_context *cx, oci_vocab *vocab, int64_t count, int64_t bound,
                    size_t bytes);
void oci_vocab_deinit(oci_vocab *vocab);
/* The caller has checked the limits, and that the id is not there yet. A string that is
 * there already goes on to be found by the id that it had first. */
bool oci_vocab_add(oc_context *cx, oci_vocab *vocab, const char *text, size_t size,
                   int64_t id);
int64_t oci_vocab_find(const oci_vocab *vocab, const char *text, size_t size);
/* NUL-terminated; NULL for an id that has no string. */
const char *oci_vocab_get(const oci_vocab *vocab, int64_t id, size_t *size);

typedef struct oci_pair {
    uint64_t key;
    uint32_t rank, id;          /* two values; what they mean is the user's business */
} oci_pair;

typedef struct oci_pairs {
    oci_pair *slots;            /* key ~0: free */
    size_t mask, count;
} oci_pairs;

bool oci_pairs_init(oc_context *cx, oci_pairs *pairs, size_t count);
void oci_pairs_deinit(oci_pairs *pairs);
/* Replaces what the key had. At most as many different keys as init was told. */
void oci_pairs_set(oci_pairs *pairs, uint64_t key, uint32_t rank, uint32_t id);

/* The upper bits of a product depend on all bits of the key. */
static inline size_t oci_pairs_hash(const oci_pairs *pairs, uint64_t key)
{
    uint64_t x = (key ^ (uint64_t)(uintptr_t)pairs->slots) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(x >> 24);
}

static inline const oci_pair *oci_pairs_find(const oci_pairs *pairs, uint64_t key)
{
    size_t i = oci_pairs_hash(pairs, key) & pairs->mask;
    while (pairs->slots[i].key != key) {
        if (pairs->slots[i].key == UINT64_MAX) return NULL;
        i = (i + 1) & pairs->mask;
    }
    return &pairs->slots[i];
}

#endif
