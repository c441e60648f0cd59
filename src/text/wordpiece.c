#include "text/wordpiece.h"

#include <string.h>

#include "text/loader.h"
#include "text/trie.h"

enum { MAX_PREFIX = 32, MAX_TOKEN = 1024 };

typedef struct wordpiece {
    oci_trie begin, inside;     /* pieces that begin a word, and those that continue
                                   one */
    int64_t unknown;            /* or OCI_NO_ID */
    int64_t longest;            /* code points of a word that is looked at */
} wordpiece;

/* ---- loading ----------------------------------------------------------------------- */

static void free_model(void *self)
{
    wordpiece *w = self;
    if (!w) return;
    oci_trie_deinit(&w->begin);
    oci_trie_deinit(&w->inside);
    oci_free(w);
}

/* The strings that are longer than the prefix that they begin with. */
static bool make_trie(oc_context *cx, oci_trie *trie, const oci_vocab *vocab,
                      const char *prefix, uint32_t *ids)
{
    size_t count = 0, skip = strlen(prefix), size;
    for (int64_t id = 0; id < vocab->bound; id++) {
        const char *text = oci_vocab_get(vocab, id, &size);
        if (text && size > skip && !memcmp(text, prefix, skip))
            ids[count++] = (uint32_t)id;
    }
    return oci_trie_init(cx, trie, vocab, ids, count, (uint32_t)skip);
}

void *oci_wordpiece_create(oc_context *cx, const oci_vocab *vocab, const char *unknown,
                           const char *prefix, int64_t longest)
{
    wordpiece *w = oci_calloc(cx, 1, sizeof *w);
    uint32_t *ids = oci_calloc(cx, (size_t)vocab->bound + 1, sizeof *ids);
    if (w && ids) {
        w->unknown = oci_vocab_find(vocab, unknown, strlen(unknown));
        w->longest = longest;
        if (make_trie(cx, &w->begin, vocab, "", ids))
            make_trie(cx, &w->inside, vocab, prefix, ids);
    }
    oci_free(ids);
    if (!oci_failed(cx)) return w;
    free_model(w);
    return NULL;
}

static const char *load_text(oci_loader *in, const json_t *object, const char *field,
                             const char *key)
{
    const char *text = oci_json_text(in->cx, &in->json, object, oci_field(in, field, key),
                                     NULL);
    if (!text) oci_json_expected(in->cx, &in->json, in->field, "a text", NULL);
    return text;
}

static void *load(oci_loader *in, const json_t *object, const char *field)
{
    oc_context *cx = in->cx;
    const char *unknown = load_text(in, object, field, "unk_token");
    const char *prefix = load_text(in, object, field, "continuing_subword_prefix");
    int64_t longest =
        oci_json_int(cx, &in->json, object,
                     oci_field(in, field, "max_input_chars_per_word"), 100, 0, INT64_MAX);
    if (oci_failed(cx) || !oci_load_model_vocab(in, object, field)) return NULL;
    return oci_wordpiece_create(cx, &in->t->vocab, unknown, prefix, longest);
}

/* ---- encoding ---------------------------------------------------------------------- */

static bool emit_unknown(oci_work *work, const wordpiece *w, const oci_segment *word)
{
    if (w->unknown != OCI_NO_ID)
        return oci_work_emit(work, w->unknown, word, 0, word->size);
    oci_fail(work->cx, OC_E_MALFORMED,
             "tokenizer: a word is unknown, and so is unk_token");
    return false;
}

static bool is_too_long(const wordpiece *w, const oci_segment *word)
{
    if ((uint64_t)word->size <= (uint64_t)w->longest) return false;
    int64_t codes = 0;
    for (size_t i = 0; i < word->size; i++)
        codes += ((unsigned char)word->text[i] & 0xc0) != 0x80;
    return codes > w->longest;
}

/* The longest piece at text[0], or 0. */
static size_t longest_piece(const oci_trie *trie, const char *text, size_t size,
                            uint32_t *id)
{
    oci_trie_walk walk = { 0 };
    size_t best = 0, n;
    uint32_t found;
    while ((n = oci_trie_next(trie, &walk, text, size, &found)) > 0) {
        best = n;
        *id = found;
    }
    return best;
}

/* One piece that cannot be found makes the whole word unknown. */
static bool encode(oci_work *work, const void *self, const oci_segment *word)
{
    const wordpiece *w = self;
    size_t before = work->count;
    if (is_too_long(w, word)) return emit_unknown(work, w, word);
    for (size_t at = 0; at < word->size;) {
        uint32_t id = 0;
        size_t n = longest_piece(at ? &w->inside : &w->begin, word->text + at,
                                 word->size - at, &id);
        if (n == 0) {
            work->count = before;
            return emit_unknown(work, w, word);
        }
        if (!oci_work_emit(work, id, word, at, at + n)) return false;
        at += n;
    }
    return true;
}

const oci_model_kind oci_wordpiece_model = { "WordPiece", load, free_model, encode };

/* ---- decoding ---------------------------------------------------------------------- */

typedef struct decoder {
    bool clean_up;
    size_t prefix_size;
    char prefix[MAX_PREFIX];
} decoder;

void *oci_wordpiece_decoder_create(oc_context *cx, const char *prefix, bool clean_up)
{
    size_t size = strlen(prefix);
    if (size > MAX_PREFIX) {
        oci_fail(cx, OC_E_UNSUPPORTED, "decoder: a prefix of over %d bytes", MAX_PREFIX);
        return NULL;
    }
    decoder *d = oci_calloc(cx, 1, sizeof *d);
    if (!d) return NULL;
    d->clean_up = clean_up;
    d->prefix_size = size;
    memcpy(d->prefix, prefix, size);
    return d;
}

static void *load_decoder(oci_loader *in, const json_t *object, const char *field)
{
    const char *prefix = oci_json_text(in->cx, &in->json, object,
                                       oci_field(in, field, "prefix"), "##");
    bool clean_up =
        oci_json_bool(in->cx, &in->json, object, oci_field(in, field, "cleanup"), true);
    return oci_failed(in->cx) ? NULL
                              : oci_wordpiece_decoder_create(in->cx, prefix, clean_up);
}

/* tokenizers' clean-up of one token with the space before it: these, one after the other.
 * No replacement is longer than what it replaces. */
static size_t clean(char *text, size_t size)
{
    static const struct {
        const char *from, *to;
    } cleanings[] = { { " .", "." },     { " ?", "?" },     { " !", "!" },
                      { " ,", "," },     { " ' ", "'" },    { " n't", "n't" },
                      { " 'm", "'m" },   { " do not", " don't" },
                      { " 's", "'s" },   { " 've", "'ve" }, { " 're", "'re" } };
    for (size_t c = 0; c < sizeof cleanings / sizeof *cleanings; c++) {
        const char *from = cleanings[c].from, *to = cleanings[c].to;
        size_t n = strlen(from), m = strlen(to), out = 0;
        for (size_t at = 0; at < size;) {
            if (size - at >= n && !memcmp(text + at, from, n)) {
                memmove(text + out, to, m);
                out += m;
                at += n;
            } else {
                text[out++] = text[at++];
            }
        }
        size = out;
    }
    return size;
}

static oc_status decode_token(oc_context *cx, const void *self, const char *token,
                              size_t size, oci_decoding *decoding, oci_bytes *out)
{
    const decoder *d = self;
    bool first = !decoding->begun;
    char text[MAX_TOKEN + 1];
    size_t n = 0;
    if (!first && size >= d->prefix_size && !memcmp(token, d->prefix, d->prefix_size)) {
        token += d->prefix_size;
        size -= d->prefix_size;
    } else if (!first) {
        text[n++] = ' ';
    }
    if (size > MAX_TOKEN) return oci_fail(cx, OC_E_LIMIT, "a token of %zu bytes", size);
    memcpy(text + n, token, size);
    n += size;
    if (d->clean_up && memchr(text, ' ', n)) n = clean(text, n);
    return n ? oci_bytes_append(cx, out, text, n) : cx->status;
}

const oci_decoder_kind oci_wordpiece_decoder = { "WordPiece", load_decoder,
                                                 decode_token, NULL };
