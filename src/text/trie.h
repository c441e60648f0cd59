/* A trie over strings of a vocabulary, for "which of them does this text begin with".
 * Built level by level like a radix sort, in time and memory that are linear in the
 * strings; never changed afterwards. */
#ifndef OCI_TEXT_TRIE_H
#define OCI_TEXT_TRIE_H

#include "text/vocab.h"

typedef struct oci_trie_node {
    uint32_t first;             /* its children are nodes first … first + count - 1, … */
    uint32_t id;                /* 1 + the string that ends here; 0: none does */
    uint16_t count;             /* … in the order of their labels */
    uint8_t label;              /* byte that leads here */
} oci_trie_node;

typedef struct oci_trie {
    const oci_vocab *vocab;     /* borrowed */
    oci_trie_node *nodes;
    size_t count;
    uint32_t skip;              /* bytes of every string before what the trie holds */
    uint32_t top[256];          /* children of the root by label; 0: none */
} oci_trie;

/* Of the strings `ids[0 … count)`, each without its first `skip` bytes, of which it has
 * more; all different. Reorders `ids`. */
bool oci_trie_init(oc_context *cx, oci_trie *trie, const oci_vocab *vocab, uint32_t *ids,
                   size_t count, uint32_t skip);
void oci_trie_deinit(oci_trie *trie);

/* A walk down the trie along a text. */
typedef struct oci_trie_walk {
    const oci_trie_node *node;
    size_t depth;
} oci_trie_walk;

static inline const oci_trie_node *oci_trie_child(const oci_trie *trie,
                                                  const oci_trie_node *node,
                                                  uint8_t label)
{
    const oci_trie_node *child = trie->nodes + node->first;
    size_t count = node->count;
    while (count > 8) {
        size_t half = count / 2;
        if (child[half].label <= label) child += half;
        count -= half;
    }
    for (; count > 0; count--, child++)
        if (child->label == label) return child;
    return NULL;
}

/* The length of the next longer string that text[0 … size) begins with, and its id; 0
 * when there is none. Starts from a zeroed walk. */
size_t oci_trie_next(const oci_trie *trie, oci_trie_walk *walk, const char *text,
                     size_t size, uint32_t *id);

#endif
