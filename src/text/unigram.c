#include "text/unigram.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "text/loader.h"
#include "text/trie.h"

typedef struct unigram {
    oci_trie trie;
    double *scores;             /* [count] */
    size_t count;
    double unknown_score;       /* of a code point that is no piece */
    int64_t unknown;
    int64_t bytes[256];         /* <0x00> … <0xFF> */
    bool byte_fallback;         /* … to be used, if all are there, for what is unknown */
} unigram;

/* The best way from the start of a word to a byte. */
typedef struct step {
    double score;
    uint32_t from, id;          /* of its last piece; `from` nowhere: no way so far */
} step;

static const uint32_t nowhere = UINT32_MAX;

static const double unknown_penalty = 10;

/* ---- loading ----------------------------------------------------------------------- */

static void free_model(void *self)
{
    unigram *u = self;
    if (!u) return;
    oci_trie_deinit(&u->trie);
    oci_free(u->scores);
    oci_free(u);
}

/* Checked before memory is taken. */
static bool measure(oci_loader *in, const oci_piece *pieces, size_t count,
                    int64_t unknown, const char *where, size_t *bytes)
{
    uint64_t most = in->cx->limits.token_bytes;
    *bytes = 0;
    if (unknown != OCI_NO_ID && (uint64_t)unknown >= count) {
        oci_fail(in->cx, OC_E_MALFORMED, "%s: unk_id: expected below %zu, found %lld",
                 where, count, (long long)unknown);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > most) {
            oci_fail(in->cx, OC_E_LIMIT,
                     "%s: piece %zu: expected at most %llu bytes, found %zu", where, i,
                     (unsigned long long)most, pieces[i].size);
            return false;
        }
        *bytes += pieces[i].size;
    }
    return true;
}

/* Of pieces with one text the last one counts, so they go in from the end. */
static bool fill_vocab(oci_loader *in, const oci_piece *pieces, size_t count,
                       size_t bytes)
{
    oci_vocab *vocab = &in->t->vocab;
    if (!oci_vocab_init(in->cx, vocab, (int64_t)count, (int64_t)count, bytes))
        return false;
    for (size_t i = count; i-- > 0;)
        if (!oci_vocab_add(in->cx, vocab, pieces[i].text, pieces[i].size, (int64_t)i))
            return false;
    oci_added_init(&in->t->added, (int64_t)count);
    return true;
}

bool oci_unigram_vocab(oci_loader *in, const oci_piece *pieces, size_t count,
                       int64_t unknown, const char *where)
{
    size_t bytes;
    return measure(in, pieces, count, unknown, where, &bytes) &&
           fill_vocab(in, pieces, count, bytes);
}

static bool make_trie(oc_context *cx, unigram *u, const oci_vocab *vocab)
{
    uint32_t *ids = oci_calloc(cx, u->count + 1, sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; ids && i < u->count; i++) {
        size_t size;
        const char *text = oci_vocab_get(vocab, (int64_t)i, &size);
        bool counts = vocab->repeats == 0 ||
                      oci_vocab_find(vocab, text, size) == (int64_t)i;
        if (size > 0 && counts) ids[count++] = (uint32_t)i;
    }
    bool ok = ids && oci_trie_init(cx, &u->trie, vocab, ids, count, 0);
    oci_free(ids);
    return ok;
}

static void find_bytes(unigram *u, const oci_vocab *vocab, bool byte_fallback)
{
    u->byte_fallback = byte_fallback;
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        u->bytes[b] = oci_vocab_find(vocab, text, 6);
    }
}

void *oci_unigram_create(oci_loader *in, const oci_piece *pieces, size_t count,
                         int64_t unknown, bool byte_fallback, const char *where)
{
    oc_context *cx = in->cx;
    if (!oci_unigram_vocab(in, pieces, count, unknown, where)) return NULL;
    unigram *u = oci_calloc(cx, 1, sizeof *u);
    if (!u) return NULL;
    u->count = count;
    u->unknown = unknown;
    u->scores = oci_calloc(cx, count + 1, sizeof *u->scores);
    double least = INFINITY;
    for (size_t i = 0; u->scores && i < count; i++) {
        u->scores[i] = pieces[i].score;
        if (pieces[i].score < least) least = pieces[i].score;
    }
    u->unknown_score = least - unknown_penalty;
    find_bytes(u, &in->t->vocab, byte_fallback);
    if (u->scores && make_trie(cx, u, &in->t->vocab)) return u;
    free_model(u);
    return NULL;
}

/* Powers of ten that a double holds exactly. */
static const double powers[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

/* A score as the reference has it of the decimal that we read as `score`. serde_json does
 * not round to the nearest double: it divides the digits, as a double, by a power of ten,
 * which is another number where there are more than 53 bits of digits; so in a quarter of
 * XLM-R's pieces. Ways of equal score hang on that last bit. The digits are the fewest
 * that read back as `score`, as every writer of these files leaves them. */
static double score_of_digits(double score)
{
    double size = fabs(score), half = (nextafter(size, INFINITY) - size) / 2;
    int most = (int)(sizeof powers / sizeof *powers) - 1, places = 0;
    while (places < most && size * powers[places] < 1e14) places++;  /* these are exact */
    for (; places <= most && size * powers[places] < 1e17; places++) {
        /* size * power = whole + more + rest, where whole and more are integers. */
        double power = powers[places], whole = nearbyint(size * power);
        double rest = fma(size, power, -whole), more = nearbyint(rest);
        if (fabs(rest - more) <= half * power)
            return copysign((double)((int64_t)whole + (int64_t)more) / power, score);
    }
    return score;
}

static bool load_piece(oci_loader *in, const json_t *pair, size_t index, oci_piece *piece)
{
    const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
    if (json_array_size(pair) == 2 && json_is_string(text) && json_is_number(score)) {
        *piece = (oci_piece){ json_string_value(text), json_string_length(text),
                              score_of_digits(json_number_value(score)) };
        return true;
    }
    char field[64];
    snprintf(field, sizeof field, "model.vocab[%zu]", index);
    oci_json_expected(in->cx, &in->json, field, "a piece and its score", pair);
    return false;
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    oc_context *cx = in->cx;
    int64_t most = (int64_t)cx->limits.vocab_size;
    int64_t unknown = oci_json_int(cx, &in->json, object, oci_field(in, field, "unk_id"),
                                   OCI_NO_ID, 0, most);
    bool fallback = oci_json_bool(cx, &in->json, object,
                                  oci_field(in, field, "byte_fallback"), false);
    const json_t *list =
        oci_json_array(cx, &in->json, object, oci_field(in, field, "vocab"));
    size_t count = json_array_size(list);
    if (!oci_failed(cx) && !list)
        oci_json_expected(cx, &in->json, in->field, "an array of pieces", list);
    if (!oci_failed(cx) && count > (size_t)most)
        oci_fail(cx, OC_E_LIMIT, "%s: %s: expected at most %lld pieces, found %zu",
                 in->json.name, in->field, (long long)most, count);
    if (oci_failed(cx)) return NULL;
    oci_piece *pieces = oci_calloc(cx, count + 1, sizeof *pieces);
    bool ok = pieces;
    for (size_t i = 0; ok && i < count; i++)
        ok = load_piece(in, json_array_get(list, i), i, &pieces[i]);
    void *self =
        ok ? oci_unigram_create(in, pieces, count, unknown, fallback, in->json.name)
           : NULL;
    oci_free(pieces);
    return self;
}

/* ---- encoding ---------------------------------------------------------------------- */

static void reach(step *to, double score, size_t from, uint32_t id)
{
    /* A later way must be better, not as good. */
    if (to->from == nowhere || score > to->score)
        *to = (step){ score, (uint32_t)from, id };
}

/* Viterbi: the best way to every byte. False if the word needs an unknown token that the
 * model does not have. */
static bool find_ways(oci_work *work, const unigram *u, const oci_segment *word,
                      step *steps)
{
    size_t size = word->size;
    for (size_t i = 0; i <= size; i++) steps[i] = (step){ 0, nowhere, 0 };
    for (size_t at = 0, length; at < size; at += length) {
        const char *text = word->text + at;
        unsigned char lead = (unsigned char)*text;
        length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        double score = steps[at].score;
        bool single = false;
        oci_trie_walk walk = { 0 };
        size_t n;
        uint32_t id;
        while ((n = oci_trie_next(&u->trie, &walk, text, size - at, &id)) > 0) {
            reach(&steps[at + n], u->scores[id] + score, at, id);
            single |= n == length;
        }
        if (single) continue;
        step *to = &steps[at + length];
        double unknown = u->unknown_score + score;
        if (u->unknown == OCI_NO_ID && (to->from == nowhere || unknown > to->score)) {
            oci_fail(work->cx, OC_E_MALFORMED,
                     "tokenizer: a character is in no piece, and there is no unk_id");
            return false;
        }
        reach(to, unknown, at, (uint32_t)u->unknown);
    }
    return true;
}

/* What is unknown to the model: one token, or one for each byte. */
static bool emit_unknown(oci_work *work, const unigram *u, const oci_segment *word,
                         size_t begin, size_t end)
{
    const char *text = word->text + begin;
    int64_t id = oci_vocab_find(&work->t->vocab, text, end - begin);
    /* Added tokens are no pieces. */
    if (id != OCI_NO_ID && (size_t)id < u->count)
        return oci_work_emit(work, id, word, begin, end);
    bool bytes = u->byte_fallback;
    for (size_t i = 0; bytes && i < end - begin; i++)
        bytes = u->bytes[(unsigned char)text[i]] != OCI_NO_ID;
    if (!bytes) return oci_work_emit_surface(work, u->unknown, word, begin, end);
    for (size_t i = 0; i < end - begin; i++)
        if (!oci_work_emit(work, u->bytes[(unsigned char)text[i]], word, begin, end))
            return false;
    return true;
}

static bool encode(oci_work *work, const void *self, const oci_segment *word)
{
    const unigram *u = self;
    if (word->size >= nowhere) {
        oci_fail(work->cx, OC_E_LIMIT, "a word of %zu bytes", word->size);
        return false;
    }
    step *steps = oci_grow(work->cx, work->symbols, &work->symbol_room, word->size + 1,
                           sizeof *steps);
    if (!steps) return false;
    work->symbols = steps;
    if (!find_ways(work, u, word, steps)) return false;
    /* From the end back, so that each step knows where its piece ends. */
    step here = steps[word->size];
    for (size_t end = word->size; end > 0;) {
        step before = steps[here.from];
        size_t from = here.from;
        steps[from].from = (uint32_t)end;
        steps[from].id = here.id;
        here = before;
        end = from;
    }
    for (size_t at = 0; at < word->size;) {
        size_t end = steps[at].from;
        uint32_t id = steps[at].id;
        bool unknown = u->unknown != OCI_NO_ID && id == u->unknown;
        /* Neighbours that are unknown are one. */
        while (unknown && end < word->size && steps[end].id == id) end = steps[end].from;
        bool ok = unknown ? emit_unknown(work, u, word, at, end)
                          : oci_work_emit(work, id, word, at, end);
        if (!ok) return false;
        at = end;
    }
    return true;
}

const oci_model_kind oci_unigram_model = { "Unigram", load, free_model, encode };
