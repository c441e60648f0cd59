#include "text/bpe.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/bytelevel.h"
#include "text/loader.h"

enum { MAX_TOKEN = 1024 };

/* A token in the making: a stretch of the word, linked to its neighbours. */
typedef struct symbol {
    uint32_t id;
    int32_t previous, next;     /* -1: none */
    uint32_t size;              /* in bytes of the characters; 0: merged into its
                                   neighbour */
} symbol;

/* A merge that could be done: the lowest rank first, then the leftmost. */
typedef struct candidate {
    uint64_t order;             /* rank << 32 | position of the left symbol */
    uint32_t id;                /* of the two together */
} candidate;

/* ---- loading ----------------------------------------------------------------------- */

/* Ids of the 256 bytes' characters with `end` behind them; true if there are all. */
static bool find_bytes(const oci_vocab *vocab, const char *end, int64_t ids[256])
{
    bool complete = true;
    for (int b = 0; b < 256; b++) {
        char text[16];
        int n = oci_utf8_encode(oci_bytelevel_char((uint8_t)b), text);
        n += snprintf(text + n, sizeof text - (size_t)n, "%s", end);
        ids[b] = oci_vocab_find(vocab, text, (size_t)n);
        if (ids[b] == OCI_NO_ID) complete = false;
    }
    return complete;
}

/* A token of one character, or 0 for any other. U+0000 cannot be one: JSON's strings and
 * SentencePiece's pieces end there. */
static uint32_t single_character(const oci_vocab *vocab, int64_t id)
{
    size_t size;
    uint32_t code;
    const char *token = oci_vocab_get(vocab, id, &size);
    if (!token || size == 0 || size > 4) return 0;
    return (size_t)oci_utf8_decode(token, size, &code) == size ? code : 0;
}

/* All of the vocabulary's characters, and the tokens of bytes. */
static bool find_characters(oc_context *cx, const oci_vocab *vocab, oci_bpe *bpe)
{
    size_t count = 0;
    bpe->of_characters = bpe->complete = true;
    for (int64_t id = 0; id < vocab->bound; id++)
        count += single_character(vocab, id) != 0;
    if (!oci_pairs_init(cx, &bpe->characters, count)) return false;
    for (int64_t id = 0; id < vocab->bound; id++) {
        uint32_t code = single_character(vocab, id);
        if (code) oci_pairs_set(&bpe->characters, code, 0, (uint32_t)id);
    }
    for (int b = 0; b < 256; b++) {
        char text[8];
        int n = snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        bpe->byte_ids[b] = oci_vocab_find(vocab, text, (size_t)n);
    }
    return true;
}

static bool find_units(oc_context *cx, const oci_vocab *vocab, oci_bpe *bpe,
                       oci_bpe_units units)
{
    if (units == OCI_BPE_CHARACTERS) return find_characters(cx, vocab, bpe);
    const char *last = units == OCI_BPE_WORD_ENDS ? OCI_WORD_END : "";
    bool all = find_bytes(vocab, "", bpe->byte_ids);
    bpe->complete = find_bytes(vocab, last, bpe->last_ids) && all;
    return true;
}

oci_bpe *oci_bpe_create(oc_context *cx, const oci_vocab *vocab, size_t merges,
                        oci_bpe_units units)
{
    oci_bpe *bpe = oci_calloc(cx, 1, sizeof *bpe);
    if (!bpe) return NULL;
    bpe->unknown = OCI_NO_ID;
    if (find_units(cx, vocab, bpe, units) && oci_pairs_init(cx, &bpe->merges, merges))
        return bpe;
    oci_bpe_free(bpe);
    return NULL;
}

void oci_bpe_free(void *self)
{
    oci_bpe *bpe = self;
    if (!bpe) return;
    oci_pairs_deinit(&bpe->merges);
    oci_pairs_deinit(&bpe->characters);
    oci_free(bpe);
}

/* The id of a token that a merge names. */
static int64_t find_part(oc_context *cx, const oci_vocab *vocab, const char *text,
                         size_t size, uint32_t rank, const char *where)
{
    int64_t id = size ? oci_vocab_find(vocab, text, size) : OCI_NO_ID;
    if (id == OCI_NO_ID)
        oci_fail(cx, OC_E_MALFORMED, "%s: merge %lu: token `%.*s` out of vocabulary",
                 where, (unsigned long)rank, (int)oci_min((int64_t)size, 100), text);
    return id;
}

bool oci_bpe_add_merge(oc_context *cx, oci_bpe *bpe, const oci_vocab *vocab,
                       const char *a, size_t a_size, const char *b, size_t b_size,
                       uint32_t rank, const char *where)
{
    int64_t a_id = find_part(cx, vocab, a, a_size, rank, where);
    int64_t b_id = find_part(cx, vocab, b, b_size, rank, where);
    if (oci_failed(cx)) return false;
    /* Tokens of the vocabulary are no longer than limits.token_bytes, which is 1024. */
    char both[2 * MAX_TOKEN];
    if (a_size > MAX_TOKEN || b_size > MAX_TOKEN) {
        oci_fail(cx, OC_E_LIMIT, "%s: merge %lu: a token of over %d bytes", where,
                 (unsigned long)rank, MAX_TOKEN);
        return false;
    }
    memcpy(both, a, a_size);
    memcpy(both + a_size, b, b_size);
    int64_t id = find_part(cx, vocab, both, a_size + b_size, rank, where);
    if (oci_failed(cx)) return false;
    oci_pairs_set(&bpe->merges, (uint64_t)a_id << 32 | (uint64_t)b_id, rank,
                  (uint32_t)id);
    return true;
}

/* One element of "merges": "a b", or ["a", "b"] as tokenizers 0.20 and later write. */
static bool load_merge(oci_loader *in, oci_bpe *bpe, const json_t *merge, uint32_t rank)
{
    const oci_vocab *vocab = &in->t->vocab;
    const char *where = in->json.name;
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
        if (json_is_string(a) && json_is_string(b))
            return oci_bpe_add_merge(in->cx, bpe, vocab, json_string_value(a),
                                     json_string_length(a), json_string_value(b),
                                     json_string_length(b), rank, where);
    }
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge);
        size_t size = json_string_length(merge);
        const char *space = memchr(text, ' ', size);
        const char *b = space ? space + 1 : NULL;
        if (b && !memchr(b, ' ', size - (size_t)(b - text)))
            return oci_bpe_add_merge(in->cx, bpe, vocab, text, (size_t)(space - text), b,
                                     size - (size_t)(b - text), rank, where);
    }
    char field[64];
    snprintf(field, sizeof field, "model.merges[%lu]", (unsigned long)rank);
    oci_json_expected(in->cx, &in->json, field, "two tokens", merge);
    return false;
}

/* The model's units follow from what is before it: the file does not say them. */
static bool follows_bytelevel(const oc_tokenizer *t)
{
    return t->pre_count > 0 && t->pre[t->pre_count - 1].kind == &oci_bytelevel_pre;
}

/* end_of_word_suffix: CLIP's, or none. */
static oci_bpe_units load_units(oci_loader *in, const json_t *object, const char *field)
{
    bool bytes = follows_bytelevel(in->t);
    const char *text = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "end_of_word_suffix"), "");
    bool word_ends = !strcmp(text, OCI_WORD_END);
    if (*text && (!word_ends || !bytes))
        oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: %s: expected none%s, found \"%.50s\"",
                 in->json.name, in->field, bytes ? " or \"" OCI_WORD_END "\"" : "", text);
    return !bytes ? OCI_BPE_CHARACTERS : word_ends ? OCI_BPE_WORD_ENDS : OCI_BPE_BYTES;
}

static bool must_be_off(oci_loader *in, const json_t *object, const char *field,
                        const char *key)
{
    if (oci_json_bool(in->cx, &in->json, object, oci_field(in, field, key), false))
        oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: %s: expected false, found true",
                 in->json.name, in->field);
    return !oci_failed(in->cx);
}

/* Settings that no tokenizer of our families has. */
static bool check_settings(oci_loader *in, const json_t *object, const char *field)
{
    oc_context *cx = in->cx;
    const oci_json *doc = &in->json;
    const char *prefix = oci_json_text(
        cx, doc, object, oci_field(in, field, "continuing_subword_prefix"), "");
    if (*prefix)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: expected none, found \"%.50s\"",
                 doc->name, in->field, prefix);
    if (!must_be_off(in, object, field, "ignore_merges") ||
        (follows_bytelevel(in->t) && !must_be_off(in, object, field, "byte_fallback")))
        return false;
    double dropout =
        oci_json_real(cx, doc, object, oci_field(in, field, "dropout"), 0, 0, 1);
    if (dropout != 0)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: expected none, found %g", doc->name,
                 in->field, dropout);
    return !oci_failed(cx);
}

static bool load_unknown(oci_loader *in, oci_bpe *bpe, const json_t *object,
                         const char *field)
{
    const char *text = oci_json_text(in->cx, &in->json, object,
                                     oci_field(in, field, "unk_token"), NULL);
    if (text) {
        bpe->unknown = oci_vocab_find(&in->t->vocab, text, strlen(text));
        if (bpe->unknown == OCI_NO_ID)
            oci_fail(in->cx, OC_E_MALFORMED,
                     "%s: %s: expected a token of the vocabulary, found \"%.100s\"",
                     in->json.name, in->field, text);
    }
    bpe->fuse_unknown = oci_json_bool(in->cx, &in->json, object,
                                      oci_field(in, field, "fuse_unk"), false);
    bpe->byte_fallback = oci_json_bool(in->cx, &in->json, object,
                                       oci_field(in, field, "byte_fallback"), false);
    return !oci_failed(in->cx);
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    oc_context *cx = in->cx;
    oci_bpe_units units = load_units(in, object, field);
    if (!check_settings(in, object, field) || !oci_load_model_vocab(in, object, field))
        return NULL;
    const json_t *merges = oci_json_array(cx, &in->json, object,
                                          oci_field(in, field, "merges"));
    if (!oci_failed(cx) && !merges)
        oci_json_expected(cx, &in->json, in->field, "an array of merges", merges);
    size_t count = json_array_size(merges);
    if (!oci_failed(cx) && count > cx->limits.vocab_size)
        oci_fail(cx, OC_E_LIMIT, "%s: %s: expected at most %llu merges, found %zu",
                 in->json.name, in->field, (unsigned long long)cx->limits.vocab_size,
                 count);
    if (oci_failed(cx)) return NULL;
    oci_bpe *bpe = oci_bpe_create(cx, &in->t->vocab, count, units);
    bool ok = bpe && load_unknown(in, bpe, object, field);
    /* The list may begin with the version line of a merges.txt, which has no rank. */
    uint32_t rank = 0;
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *merge = json_array_get(merges, i);
        const char *text = json_string_value(merge);
        if (text && !strncmp(text, "#version", 8)) continue;
        ok = load_merge(in, bpe, merge, rank++);
    }
    if (ok) return bpe;
    oci_bpe_free(bpe);
    return NULL;
}

/* ---- a heap of candidates ---------------------------------------------------------- */

typedef struct heap {
    candidate *items;
    size_t count;
} heap;

static void heap_push(heap *h, candidate c)
{
    size_t i = h->count++;
    for (; i > 0 && h->items[(i - 1) / 2].order > c.order; i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = c;
}

static candidate heap_pop(heap *h)
{
    candidate top = h->items[0], last = h->items[--h->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && h->items[child + 1].order < h->items[child].order)
            child++;
        if (h->items[child].order >= last.order) break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = last;
    return top;
}

/* ---- encoding ---------------------------------------------------------------------- */

static const oci_pair *find_merge(const oci_bpe *bpe, uint32_t left, uint32_t right)
{
    return oci_pairs_find(&bpe->merges, (uint64_t)left << 32 | right);
}

/* Pushes the merge of the symbols at `left` and after it, if there is one. */
static void consider(const oci_bpe *bpe, heap *h, const symbol *symbols, int32_t left)
{
    int32_t right = symbols[left].next;
    const oci_pair *merge = right < 0 ? NULL : find_merge(bpe, symbols[left].id,
                                                          symbols[right].id);
    if (merge)
        heap_push(h,
                  (candidate){ (uint64_t)merge->rank << 32 | (uint32_t)left, merge->id });
}

/* Every merge takes a symbol away and brings at most two candidates, so the heap never
 * holds more than 2 * count, and the whole takes n log n steps. */
static void merge_all(const oci_bpe *bpe, symbol *symbols, size_t count, heap *h)
{
    for (size_t i = 0; i < count; i++) consider(bpe, h, symbols, (int32_t)i);
    while (h->count > 0) {
        candidate top = heap_pop(h);
        int32_t at = (int32_t)(uint32_t)top.order;
        symbol *left = &symbols[at];
        if (left->size == 0 || left->next < 0) continue;
        symbol *right = &symbols[left->next];
        /* The symbols may have changed since this was pushed. */
        const oci_pair *merge = find_merge(bpe, left->id, right->id);
        if (!merge || merge->id != top.id) continue;
        left->id = top.id;
        left->size += right->size;
        left->next = right->next;
        right->size = 0;
        if (left->next >= 0) symbols[left->next].previous = at;
        if (left->previous >= 0) consider(bpe, h, symbols, left->previous);
        consider(bpe, h, symbols, at);
    }
}

/* The character of a byte takes one or two bytes in the vocabulary. */
static uint32_t char_size(uint8_t byte)
{
    return oci_bytelevel_char(byte) < 0x80 ? 1 : 2;
}

/* One symbol a byte; returns their number. A byte without an id is the unknown token, or
 * left out if there is none. */
static size_t fill(const oci_bpe *bpe, const oci_segment *word, symbol *symbols)
{
    const char *text = word->text;
    size_t count = 0, bytes = word->size + word->prefixed;
    bool after_unknown = false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = word->prefixed ? (uint8_t)(i ? text[i - 1] : ' ')
                                      : (uint8_t)text[i];
        int64_t id = i + 1 == bytes ? bpe->last_ids[byte] : bpe->byte_ids[byte];
        bool unknown = id == OCI_NO_ID;
        if (unknown) id = bpe->unknown;
        if (id == OCI_NO_ID) continue;
        uint32_t size = bpe->complete ? 1 : char_size(byte);
        if (unknown && after_unknown && bpe->fuse_unknown) {
            symbols[count - 1].size += size;
            continue;
        }
        after_unknown = unknown;
        symbols[count] =
            (symbol){ (uint32_t)id, (int32_t)count - 1, (int32_t)count + 1, size };
        count++;
    }
    if (count) symbols[count - 1].next = -1;
    return count;
}

static void add_symbol(symbol *symbols, size_t *count, int64_t id, size_t size)
{
    int32_t at = (int32_t)*count;
    symbols[(*count)++] = (symbol){ (uint32_t)id, at - 1, at + 1, (uint32_t)size };
}

static bool has_bytes(const oci_bpe *bpe, const char *text, size_t size)
{
    if (!bpe->byte_fallback) return false;
    for (size_t i = 0; i < size; i++)
        if (bpe->byte_ids[(unsigned char)text[i]] == OCI_NO_ID) return false;
    return true;
}

/* One symbol a character, or a byte of one that the vocabulary lacks; returns their
 * number. Where there are no bytes either it is the unknown token, or left out. */
static size_t fill_characters(const oci_bpe *bpe, const oci_segment *word,
                              symbol *symbols)
{
    size_t count = 0, unknown = 0;      /* bytes of an unknown token yet to be placed */
    for (size_t at = 0, length; at < word->size; at += length) {
        const char *text = word->text + at;
        uint32_t code;
        length = (size_t)oci_utf8_decode(text, word->size - at, &code);
        const oci_pair *known = oci_pairs_find(&bpe->characters, code);
        /* The reference does not place it before bytes: it comes after them, then. */
        bool bytes = !known && has_bytes(bpe, text, length);
        if (unknown && !bytes && (known || !bpe->fuse_unknown)) {
            add_symbol(symbols, &count, bpe->unknown, unknown);
            unknown = 0;
        }
        if (known) add_symbol(symbols, &count, known->id, length);
        for (size_t i = 0; bytes && i < length; i++)
            add_symbol(symbols, &count, bpe->byte_ids[(unsigned char)text[i]], 1);
        if (!known && !bytes && bpe->unknown != OCI_NO_ID) unknown += length;
    }
    if (unknown) add_symbol(symbols, &count, bpe->unknown, unknown);
    if (count) symbols[count - 1].next = -1;
    return count;
}

/* Walks from sizes in the vocabulary's characters to bytes of the word. The two run apart
 * after a byte that was left out, and then the reference's offsets do too. */
typedef struct ruler {
    const oci_bpe *bpe;
    const char *text;
    const oci_segment *word;
    size_t byte, place;         /* byte of the word (with its prefix), and where it
                                   begins */
} ruler;

/* The byte of the word that holds `place`; places must not fall. */
static size_t byte_at(ruler *r, size_t place)
{
    if (r->bpe->complete) return place;
    for (;;) {
        bool invented = r->word->prefixed && r->byte == 0;
        uint8_t byte = invented ? (uint8_t)' '
                                : (uint8_t)r->text[r->byte - r->word->prefixed];
        if (place < r->place + char_size(byte)) return r->byte;
        r->place += char_size(byte);
        r->byte++;
    }
}

static bool emit(oci_work *work, const oci_bpe *bpe, const oci_segment *word,
                 const symbol *symbols, size_t count)
{
    ruler r = { .bpe = bpe, .text = word->text, .word = word };
    size_t place = 0, shift = word->prefixed;
    for (int32_t i = 0; count && i >= 0; i = symbols[i].next) {
        size_t begin = byte_at(&r, place);
        place += symbols[i].size;
        size_t end = byte_at(&r, place - 1) + 1;
        /* The invented space has the offsets of the character after it. */
        begin = begin < shift ? 0 : begin - shift;
        end = end <= shift ? 1 : end - shift;
        if (!oci_work_emit(work, symbols[i].id, word, begin, end)) return false;
    }
    return true;
}

static bool encode(oci_work *work, const void *self, const oci_segment *word)
{
    const oci_bpe *bpe = self;
    size_t size = word->size + word->prefixed;
    if (size > INT32_MAX / 2) {
        oci_fail(work->cx, OC_E_LIMIT, "a word of %zu bytes", size);
        return false;
    }
    symbol *symbols = oci_grow(work->cx, work->symbols, &work->symbol_room, size,
                               sizeof *symbols);
    if (!symbols) return false;
    work->symbols = symbols;
    candidate *items = oci_grow(work->cx, work->queue, &work->queue_room, 2 * size,
                                sizeof *items);
    if (!items) return false;
    work->queue = items;
    heap h = { .items = items };
    size_t count = bpe->of_characters ? fill_characters(bpe, word, symbols)
                                      : fill(bpe, word, symbols);
    merge_all(bpe, symbols, count, &h);
    return emit(work, bpe, word, symbols, count);
}

const oci_model_kind oci_bpe_model = { "BPE", load, oci_bpe_free, encode };
