#include "text/added.h"

#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/pipeline.h"
#include "text/unicode.h"

/* What is known of an id. The first six are the token as it was added last; the seventh
 * stays once set, as tokenizers' special_tokens_set does. */
enum {
    ADDED = 1, SINGLE_WORD = 2, LSTRIP = 4, RSTRIP = 8, SPECIAL = 16, NORMALIZED = 32,
    SKIPPED = 64
};

void oci_added_init(oci_added_vocab *a, int64_t model_count)
{
    *a = (oci_added_vocab){ .model_count = model_count, .largest = OCI_NO_ID };
}

static void matcher_deinit(oci_matcher *m)
{
    oci_pairs_deinit(&m->edges);
    oci_free(m->fail);
    oci_free(m->best);
    *m = (oci_matcher){ 0 };
}

void oci_added_deinit(oci_added_vocab *a)
{
    oci_free(a->flags);
    oci_free(a->entries);
    matcher_deinit(&a->raw);
    matcher_deinit(&a->normalized);
    *a = (oci_added_vocab){ 0 };
}

static unsigned flags_of(const oci_added_vocab *a, int64_t id)
{
    return id >= 0 && (size_t)id < a->flags_room ? a->flags[id] : 0;
}

bool oci_added_has(const oci_added_vocab *a, int64_t id)
{
    return flags_of(a, id) & ADDED;
}

bool oci_added_is_special(const oci_added_vocab *a, int64_t id)
{
    return flags_of(a, id) & SKIPPED;
}

/* ---- adding ------------------------------------------------------------------------ */

/* The vocabulary's id, or the next free one, put into the vocabulary. */
static int64_t find_or_make_id(oc_context *cx, oci_added_vocab *a, oci_vocab *vocab,
                               const oci_added *token, const char *where)
{
    int64_t id = oci_vocab_find(vocab, token->content, token->size);
    if (id != OCI_NO_ID) return id;
    id = a->largest >= a->model_count ? a->largest + 1 : a->model_count;
    if ((uint64_t)id >= cx->limits.vocab_size) {
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %llu tokens", where,
                 (unsigned long long)cx->limits.vocab_size);
        return OCI_NO_ID;
    }
    /* Only where the model's ids leave holes; the reference would let two tokens share
     * it. */
    if (oci_vocab_get(vocab, id, NULL)) {
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected ids without holes, found id %lld of an added token taken",
                 where, (long long)id);
        return OCI_NO_ID;
    }
    return oci_vocab_add(cx, vocab, token->content, token->size, id) ? id : OCI_NO_ID;
}

static bool push_entry(oc_context *cx, oci_added_vocab *a, int64_t id, bool normalized,
                       bool special)
{
    oci_added_entry *entries = oci_grow(cx, a->entries, &a->room, a->count + 1,
                                        sizeof *entries);
    if (!entries) return false;
    a->entries = entries;
    entries[a->count++] = (oci_added_entry){ (uint32_t)id, 0, normalized, special };
    return true;
}

static bool reserve_flags(oc_context *cx, oci_added_vocab *a, int64_t id)
{
    size_t old = a->flags_room;
    uint8_t *flags = oci_grow(cx, a->flags, &a->flags_room, (size_t)id + 1, 1);
    if (!flags) return false;
    a->flags = flags;
    memset(flags + old, 0, a->flags_room - old);
    return true;
}

int64_t oci_added_add(oc_context *cx, oci_added_vocab *a, oci_vocab *vocab,
                      const oci_added *token, const char *where)
{
    if (token->size == 0 || oci_failed(cx)) return OCI_NO_ID;
    if (token->size > cx->limits.token_bytes) {
        oci_fail(cx, OC_E_LIMIT, "%s: expected a token of at most %llu bytes, found %zu",
                 where, (unsigned long long)cx->limits.token_bytes, token->size);
        return OCI_NO_ID;
    }
    int64_t id = find_or_make_id(cx, a, vocab, token, where);
    if (id == OCI_NO_ID || !reserve_flags(cx, a, id)) return OCI_NO_ID;
    bool normalized = token->normalized < 0 ? !token->special : token->normalized;
    unsigned old = a->flags[id];
    unsigned now = ADDED | (token->single_word ? SINGLE_WORD : 0) |
                   (token->lstrip ? LSTRIP : 0) | (token->rstrip ? RSTRIP : 0) |
                   (token->special ? SPECIAL : 0) | (normalized ? NORMALIZED : 0);
    bool first_special = token->special && !(old & SKIPPED);
    if ((old & ~(unsigned)SKIPPED) == now) return id;
    /* A special token is matched as it was when it first became special; one that is not
     * is matched in every form that it was added in. */
    if ((first_special || !((old & SKIPPED) || token->special)) &&
        !push_entry(cx, a, id, normalized, token->special))
        return OCI_NO_ID;
    a->flags[id] = (uint8_t)(now | (old & SKIPPED) | (token->special ? SKIPPED : 0));
    a->largest = oci_max(a->largest, id);
    return id;
}

/* ---- matching ---------------------------------------------------------------------- */

/* The trie while it is built: where each node hangs. */
typedef struct trie {
    uint32_t *parent, *depth, *order;
    uint8_t *byte;
} trie;

static uint64_t edge_key(uint32_t node, uint8_t byte)
{
    return (uint64_t)node << 8 | byte;
}

/* A link leads to fewer bytes than were matched, so all steps over a text are linear. */
static uint32_t step(const oci_matcher *m, uint32_t node, uint8_t byte)
{
    for (;;) {
        const oci_pair *edge = oci_pairs_find(&m->edges, edge_key(node, byte));
        if (edge) return edge->id;
        if (node == 0) return 0;
        node = m->fail[node];
    }
}

/* Of two entries with one pattern the earlier one counts. */
static void insert_pattern(oci_matcher *m, trie *t, const char *text, size_t size,
                           uint32_t entry)
{
    uint32_t node = 0;
    m->first[(uint8_t)text[size - 1]] = true;
    while (size-- > 0) {
        uint8_t byte = (uint8_t)text[size];
        const oci_pair *edge = oci_pairs_find(&m->edges, edge_key(node, byte));
        uint32_t next = edge ? edge->id : (uint32_t)m->nodes++;
        if (!edge) {
            oci_pairs_set(&m->edges, edge_key(node, byte), 0, next);
            t->parent[next] = node;
            t->byte[next] = byte;
            t->depth[next] = t->depth[node] + 1;
        }
        node = next;
    }
    if (!m->best[node]) m->best[node] = entry + 1;
}

/* Failure links, shallow nodes first: a node's own pattern is longer than what ends at
 * its link, so it wins. */
static void link_nodes(oci_matcher *m, trie *t, uint32_t *starts, size_t max_depth)
{
    memset(starts, 0, (max_depth + 2) * sizeof *starts);
    for (size_t i = 0; i < m->nodes; i++) starts[t->depth[i] + 1]++;
    for (size_t d = 0; d <= max_depth; d++) starts[d + 1] += starts[d];
    for (uint32_t i = 0; i < m->nodes; i++) t->order[starts[t->depth[i]]++] = i;
    for (size_t i = 1; i < m->nodes; i++) {
        uint32_t node = t->order[i], parent = t->parent[node];
        m->fail[node] = parent ? step(m, m->fail[parent], t->byte[node]) : 0;
        if (!m->best[node]) m->best[node] = m->best[m->fail[node]];
    }
}

/* The strings that the entries of a matcher are found by, one after the other. */
static bool collect_patterns(oc_context *cx, oc_tokenizer *t, bool normalized,
                             oci_bytes *patterns, size_t *longest)
{
    oci_added_vocab *a = &t->added;
    oci_text texts[2] = { { 0 } };
    bool ok = true;
    for (size_t i = 0; ok && i < a->count; i++) {
        oci_added_entry *entry = &a->entries[i];
        if (entry->normalized != normalized) continue;
        oci_segment s = { 0 };
        s.text = oci_vocab_get(&t->vocab, entry->id, &s.size);
        ok = (!normalized || oci_normalize(cx, t, &s, texts)) &&
             oci_bytes_append(cx, patterns, s.text, s.size) == OC_OK;
        entry->size = (uint32_t)s.size;
        if (s.size > *longest) *longest = s.size;
    }
    oci_text_deinit(&texts[0]);
    oci_text_deinit(&texts[1]);
    return ok;
}

/* Special tokens first, as the reference numbers its patterns; one that normalizes to
 * nothing is found nowhere. */
static void insert_all(oci_matcher *m, trie *t, const oci_added_vocab *a, bool normalized,
                       const char *patterns)
{
    m->nodes = 1;
    for (int special = 1; special >= 0; special--) {
        const char *pattern = patterns;
        for (size_t i = 0; i < a->count; i++) {
            const oci_added_entry *entry = &a->entries[i];
            if (entry->normalized != normalized) continue;
            if (entry->special == special && entry->size > 0)
                insert_pattern(m, t, pattern, entry->size, (uint32_t)i);
            pattern += entry->size;
        }
    }
}

static bool build(oc_context *cx, oci_matcher *m, oc_tokenizer *tokenizer,
                  bool normalized)
{
    size_t longest = 0;
    oci_bytes patterns;
    oci_bytes_init(&patterns, UINT32_MAX / 2);
    if (!collect_patterns(cx, tokenizer, normalized, &patterns, &longest) ||
        patterns.size == 0) {
        oci_bytes_deinit(&patterns);
        return !oci_failed(cx);
    }
    size_t nodes = patterns.size + 1;
    trie t = { .parent = oci_calloc(cx, nodes, sizeof *t.parent),
               .depth = oci_calloc(cx, nodes, sizeof *t.depth),
               .order = oci_calloc(cx, nodes, sizeof *t.order),
               .byte = oci_calloc(cx, nodes, 1) };
    uint32_t *starts = oci_calloc(cx, longest + 2, sizeof *starts);
    m->fail = oci_calloc(cx, nodes, sizeof *m->fail);
    m->best = oci_calloc(cx, nodes, sizeof *m->best);
    if (oci_pairs_init(cx, &m->edges, nodes) && !oci_failed(cx)) {
        insert_all(m, &t, &tokenizer->added, normalized, patterns.data);
        link_nodes(m, &t, starts, longest);
    }
    oci_bytes_deinit(&patterns);
    oci_free(t.parent);
    oci_free(t.depth);
    oci_free(t.order);
    oci_free(t.byte);
    oci_free(starts);
    return !oci_failed(cx);
}

bool oci_added_finish(oc_context *cx, oc_tokenizer *t)
{
    return build(cx, &t->added.raw, t, false) && build(cx, &t->added.normalized, t, true);
}

/* The longest pattern at each place that has one. */
static bool find_hits(oc_context *cx, const oci_matcher *m, const char *text, size_t size,
                      oci_hits *hits)
{
    uint32_t node = 0;
    hits->count = 0;
    for (size_t at = size; at-- > 0;) {
        uint8_t byte = (uint8_t)text[at];
        if (node == 0 && !m->first[byte]) continue;
        node = step(m, node, byte);
        if (!m->best[node]) continue;
        oci_hit *items =
            oci_grow(cx, hits->items, &hits->room, hits->count + 1, sizeof *items);
        if (!items) return false;
        hits->items = items;
        items[hits->count++] = (oci_hit){ at, m->best[node] - 1 };
    }
    return true;
}

/* ---- splitting --------------------------------------------------------------------- */

static unsigned classes_at(const char *p, size_t n, int *length)
{
    uint32_t code = 0;
    *length = oci_utf8_decode(p, n, &code);
    return oci_unicode_classes(code);
}

/* The start of the code point that ends at `end` > 0. */
static size_t previous(const char *text, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}

/* Whether neither neighbour inside [0, size) is a word character. */
static bool stands_alone(const char *text, size_t size, size_t begin, size_t end)
{
    int length;
    if (begin > 0) {
        size_t at = previous(text, begin);
        if (classes_at(text + at, begin - at, &length) & OCI_WORD) return false;
    }
    return end == size || !(classes_at(text + end, size - end, &length) & OCI_WORD);
}

static size_t eat_left(const char *text, size_t low, size_t begin)
{
    int length;
    while (begin > low) {
        size_t at = previous(text, begin);
        if (!(classes_at(text + at, begin - at, &length) & OCI_WHITE)) break;
        begin = at;
    }
    return begin > low ? begin : low;
}

static size_t eat_right(const char *text, size_t size, size_t end)
{
    int length;
    while (end < size && classes_at(text + end, size - end, &length) & OCI_WHITE)
        end += (size_t)length;
    return end;
}

bool oci_added_split(oci_work *work, int level, const oci_segment *segment,
                     bool (*rest)(oci_work *work, const oci_segment *gap))
{
    const oci_added_vocab *a = &work->t->added;
    const oci_matcher *m = level == 0 ? &a->raw : &a->normalized;
    oci_hits *hits = &work->hits[level];
    const char *text = segment->text;
    if (m->nodes == 0) return segment->size == 0 || rest(work, segment);
    if (!find_hits(work->cx, m, text, segment->size, hits)) return false;
    size_t done = 0, free_from = 0;     /* given out; where the next match may begin */
    for (size_t i = hits->count; i-- > 0;) {
        const oci_added_entry *entry = &a->entries[hits->items[i].entry];
        size_t begin = hits->items[i].at, end = begin + entry->size;
        if (begin < free_from) continue;
        free_from = end;                /* also where single_word refuses the match */
        unsigned flags = flags_of(a, entry->id);
        if (flags & SINGLE_WORD && !stands_alone(text, segment->size, begin, end))
            continue;
        if (flags & LSTRIP) begin = eat_left(text, done, begin);
        if (flags & RSTRIP) end = eat_right(text, segment->size, end);
        if (begin >= end) continue;     /* white space that the match before it ate */
        oci_segment gap = oci_part(segment, done, begin);
        if (begin > done && !rest(work, &gap)) return false;
        if (!oci_work_emit_surface(work, entry->id, segment, begin, end)) return false;
        done = end;
    }
    oci_segment gap = oci_part(segment, done, segment->size);
    return gap.size == 0 || rest(work, &gap);
}
