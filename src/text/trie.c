#include "text/trie.h"

#include <string.h>

#include "base/context.h"
#include "base/size.h"

/* Strings ids[low … high) share the bytes that lead to a node. */
typedef struct range {
    uint32_t low, high;
} range;

typedef struct builder {
    oci_trie *trie;
    uint32_t *ids, *other;      /* [strings] each: as they are, and as they are being
                                   sorted */
    range *ranges;              /* [nodes] */
    size_t room;
} builder;

static const char *text_of(const oci_trie *trie, uint32_t id, size_t *size)
{
    const oci_word *word = &trie->vocab->words[id];
    *size = word->size - trie->skip;
    return trie->vocab->bytes + word->at + trie->skip;
}

static uint8_t byte_at(const oci_trie *trie, uint32_t id, size_t depth)
{
    const oci_word *word = &trie->vocab->words[id];
    return (uint8_t)trie->vocab->bytes[word->at + trie->skip + depth];
}

/* ---- building ---------------------------------------------------------------------- */

static void add_child(builder *b, oci_trie_node *node, uint8_t label, range r)
{
    oci_trie *trie = b->trie;
    node->count++;
    trie->nodes[trie->count] = (oci_trie_node){ .label = label };
    b->ranges[trie->count++] = r;
}

/* Few strings: by insertion. */
static void sort_few(const builder *b, range r, size_t depth)
{
    for (uint32_t i = r.low + 1; i < r.high; i++) {
        uint32_t id = b->ids[i], k = i;
        uint8_t byte = byte_at(b->trie, id, depth);
        for (; k > r.low && byte_at(b->trie, b->ids[k - 1], depth) > byte; k--)
            b->ids[k] = b->ids[k - 1];
        b->ids[k] = id;
    }
}

static void sort_many(const builder *b, range r, size_t depth)
{
    uint32_t starts[257] = { 0 };
    for (uint32_t i = r.low; i < r.high; i++)
        starts[byte_at(b->trie, b->ids[i], depth) + 1]++;
    for (int c = 0; c < 256; c++) starts[c + 1] += starts[c];
    for (uint32_t i = r.low; i < r.high; i++) {
        uint32_t id = b->ids[i];
        b->other[r.low + starts[byte_at(b->trie, id, depth)]++] = id;
    }
    memcpy(b->ids + r.low, b->other + r.low, (r.high - r.low) * sizeof *b->ids);
}

/* The children of a node of this depth. A string that is alone stays where it is: the
 * rest of it is compared with the vocabulary's. */
static void expand(builder *b, size_t at, size_t depth)
{
    oci_trie *trie = b->trie;
    range r = b->ranges[at];
    oci_trie_node *node = &trie->nodes[at];
    if (at > 0 && r.high - r.low == 1) {
        node->id = b->ids[r.low] + 1;
        return;
    }
    /* All are different: at most one ends here. */
    for (uint32_t i = r.low; i < r.high; i++) {
        size_t size;
        text_of(trie, b->ids[i], &size);
        if (size != depth) continue;
        node->id = b->ids[i] + 1;
        b->ids[i] = b->ids[r.low];
        b->ids[r.low++] = node->id - 1;
    }
    if (r.high - r.low < 32) sort_few(b, r, depth);
    else sort_many(b, r, depth);
    node->first = (uint32_t)trie->count;
    while (r.low < r.high) {
        uint8_t label = byte_at(trie, b->ids[r.low], depth);
        range child = { r.low, r.low };
        while (child.high < r.high && byte_at(trie, b->ids[child.high], depth) == label)
            child.high++;
        add_child(b, node, label, child);
        r.low = child.high;
    }
}

/* Every level ends where the nodes did when it began. */
static void build(builder *b, size_t strings)
{
    oci_trie *trie = b->trie;
    b->ranges[0] = (range){ 0, (uint32_t)strings };
    trie->nodes[0] = (oci_trie_node){ 0 };
    trie->count = 1;
    size_t depth = 0;
    for (size_t at = 0, end = 1; at < trie->count; depth++) {
        for (; at < end; at++) expand(b, at, depth);
        end = trie->count;
    }
    for (uint32_t i = 0; i < trie->nodes[0].count; i++)
        trie->top[trie->nodes[trie->nodes[0].first + i].label] = trie->nodes[0].first + i;
}

bool oci_trie_init(oc_context *cx, oci_trie *trie, const oci_vocab *vocab, uint32_t *ids,
                   size_t count, uint32_t skip)
{
    *trie = (oci_trie){ .vocab = vocab, .skip = skip };
    builder b = { .trie = trie, .ids = ids, .room = 1 };
    for (size_t i = 0; i < count; i++) {
        size_t size;
        text_of(trie, ids[i], &size);
        b.room += size;         /* no more nodes than bytes, and the root */
    }
    if (b.room > UINT32_MAX) {
        oci_fail(cx, OC_E_LIMIT, "a vocabulary of over 4 GiB");
        return false;
    }
    b.other = oci_calloc(cx, count ? count : 1, sizeof *b.other);
    b.ranges = oci_calloc(cx, b.room, sizeof *b.ranges);
    trie->nodes = oci_calloc(cx, b.room, sizeof *trie->nodes);
    if (!oci_failed(cx)) {
        build(&b, count);
        oci_trie_node *nodes = oci_realloc(cx, trie->nodes, trie->count * sizeof *nodes);
        if (nodes) trie->nodes = nodes;
    }
    oci_free(b.other);
    oci_free(b.ranges);
    if (!oci_failed(cx)) return true;
    oci_trie_deinit(trie);
    return false;
}

void oci_trie_deinit(oci_trie *trie)
{
    oci_free(trie->nodes);
    *trie = (oci_trie){ 0 };
}

/* ---- looking up -------------------------------------------------------------------- */

/* A string that is alone below its node; what is left of it. */
static size_t match_rest(const oci_trie *trie, oci_trie_walk *walk, const char *text,
                         size_t size, uint32_t *id)
{
    size_t n, depth = walk->depth;
    *id = walk->node->id - 1;
    const char *string = text_of(trie, *id, &n);
    walk->depth = SIZE_MAX;             /* nothing comes after it */
    return n <= size && !memcmp(string + depth, text + depth, n - depth) ? n : 0;
}

size_t oci_trie_next(const oci_trie *trie, oci_trie_walk *walk, const char *text,
                     size_t size, uint32_t *id)
{
    while (walk->depth < size) {
        uint8_t byte = (uint8_t)text[walk->depth];
        const oci_trie_node *node;
        if (walk->depth == 0)
            node = trie->top[byte] ? trie->nodes + trie->top[byte] : NULL;
        else
            node = oci_trie_child(trie, walk->node, byte);
        if (!node) break;
        walk->node = node;
        walk->depth++;
        if (node->count == 0) return match_rest(trie, walk, text, size, id);
        if (node->id) {
            *id = node->id - 1;
            return walk->depth;
        }
    }
    walk->depth = SIZE_MAX;
    return 0;
}
