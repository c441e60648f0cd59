#include "text/llama.h"

#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"
#include "text/fallback.h"
#include "text/loader.h"
#include "text/normalize.h"
#include "text/trie.h"

/* LlamaConverter of convert_slow_tokenizer.py, Transformers 4.37.2. SentencePiece has no
 * list of merges: two pieces merge where the two together are a piece, the better its
 * score the sooner. */

enum { MAX_PIECE = 1024 };          /* limits.token_bytes, if nobody raised it */

static const uint32_t none = UINT32_MAX;

typedef struct merge {
    double score;
    uint32_t piece, left, right;
} merge;

typedef struct merges {
    merge *items;
    size_t count, room;
} merges;

/* Finds the pieces that another begins and ends with: a trie of all, and one of all
 * written from the end. Linear in the text of the vocabulary, whatever that is. */
typedef struct splitter {
    const oci_vocab *vocab;
    oci_vocab backward;
    oci_trie heads, tails;
} splitter;

/* ---- merges ------------------------------------------------------------------------ */

static void reverse(const char *text, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) out[i] = text[size - 1 - i];
}

/* Ids stay the same: a hit of the tails' trie is the piece itself. */
static bool init_backward(oc_context *cx, splitter *s)
{
    const oci_vocab *vocab = s->vocab;
    char text[MAX_PIECE];
    bool ok = oci_vocab_init(cx, &s->backward, vocab->count, vocab->bound,
                             vocab->bytes_used);
    for (int64_t id = 0; ok && id < vocab->bound; id++) {
        size_t size;
        const char *piece = oci_vocab_get(vocab, id, &size);
        reverse(piece, size, text);
        ok = oci_vocab_add(cx, &s->backward, text, size, id);
    }
    return ok;
}

static bool init_trie(oc_context *cx, oci_trie *trie, const oci_vocab *vocab)
{
    uint32_t *ids = oci_calloc(cx, (size_t)vocab->bound + 1, sizeof *ids);
    for (int64_t id = 0; ids && id < vocab->bound; id++) ids[id] = (uint32_t)id;
    bool ok = ids && oci_trie_init(cx, trie, vocab, ids, (size_t)vocab->bound, 0);
    oci_free(ids);
    return ok;
}

static void deinit_splitter(splitter *s)
{
    oci_trie_deinit(&s->heads);
    oci_trie_deinit(&s->tails);
    oci_vocab_deinit(&s->backward);
}

/* The ids of the pieces that text[0 … size) begins with, by their length. */
static void find_heads(const oci_trie *trie, const char *text, size_t size, uint32_t *ids)
{
    oci_trie_walk walk = { 0 };
    size_t n;
    uint32_t id;
    for (size_t i = 0; i <= size; i++) ids[i] = none;
    while ((n = oci_trie_next(trie, &walk, text, size, &id)) > 0) ids[n] = id;
}

static bool split_piece(oc_context *cx, const splitter *s, uint32_t piece, double score,
                        merges *out)
{
    uint32_t heads[MAX_PIECE + 1], tails[MAX_PIECE + 1];
    char backward[MAX_PIECE];
    size_t size;
    const char *text = oci_vocab_get(s->vocab, piece, &size);
    reverse(text, size, backward);
    find_heads(&s->heads, text, size, heads);
    find_heads(&s->tails, backward, size, tails);
    for (size_t n = 1; n < size; n++) {
        if (heads[n] == none || tails[size - n] == none) continue;
        if (out->count >= cx->limits.vocab_size) {
            oci_fail(cx, OC_E_LIMIT, "tokenizer.model: expected at most %llu merges",
                     (unsigned long long)cx->limits.vocab_size);
            return false;
        }
        merge *items = oci_grow(cx, out->items, &out->room, out->count + 1,
                                sizeof *items);
        if (!items) return false;
        out->items = items;
        items[out->count++] = (merge){ score, piece, heads[n], tails[size - n] };
    }
    return true;
}

/* Python sorts twice, and both times leaves equals in their order: what is left to decide
 * is the piece, and then its parts. */
static int compare_merges(const void *a, const void *b)
{
    const merge *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    if (x->piece != y->piece) return x->piece < y->piece ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

static bool find_merges(oc_context *cx, const oci_vocab *vocab, const oci_piece *pieces,
                        size_t count, merges *out)
{
    splitter s = { .vocab = vocab };
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size <= MAX_PIECE) continue;
        oci_fail(cx, OC_E_LIMIT, "piece %zu: expected at most %d bytes, found %zu", i,
                 MAX_PIECE, pieces[i].size);
        return false;
    }
    bool ok = init_backward(cx, &s) && init_trie(cx, &s.heads, vocab) &&
              init_trie(cx, &s.tails, &s.backward);
    for (size_t i = 0; ok && i < count; i++)
        ok = split_piece(cx, &s, (uint32_t)i, pieces[i].score, out);
    deinit_splitter(&s);
    if (ok && out->count) qsort(out->items, out->count, sizeof *out->items,
                                compare_merges);
    return ok;
}

/* ---- the model --------------------------------------------------------------------- */

static bool add_merges(oci_loader *in, oci_bpe *bpe, const merges *list, const char *path)
{
    const oci_vocab *vocab = &in->t->vocab;
    for (size_t i = 0; i < list->count; i++) {
        size_t a_size, b_size;
        const char *a = oci_vocab_get(vocab, list->items[i].left, &a_size);
        const char *b = oci_vocab_get(vocab, list->items[i].right, &b_size);
        if (!oci_bpe_add_merge(in->cx, bpe, vocab, a, a_size, b, b_size, (uint32_t)i,
                               path))
            return false;
    }
    return true;
}

static bool make_bpe(oci_loader *in, const oci_spm *spm, const oci_piece *pieces,
                     size_t count, const char *path)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    merges list = { 0 };
    bool ok = oci_unigram_vocab(in, pieces, count, OCI_NO_ID, path);
    if (ok && t->vocab.repeats) {
        oci_fail(cx, OC_E_MALFORMED, "%s: expected pieces that differ, found one twice",
                 path);
        ok = false;
    }
    ok = ok && find_merges(cx, &t->vocab, pieces, count, &list);
    oci_bpe *bpe =
        ok ? oci_bpe_create(cx, &t->vocab, list.count, OCI_BPE_CHARACTERS) : NULL;
    t->model_kind = &oci_bpe_model;
    t->model = bpe;                 /* the tokenizer's from here on */
    if (bpe) {
        bpe->fuse_unknown = bpe->byte_fallback = true;
        bpe->unknown = oci_vocab_find(&t->vocab, spm->unknown, spm->unknown_size);
        ok = add_merges(in, bpe, &list, path);
    }
    oci_free(list.items);
    return bpe && ok;
}

/* The converter adds these to what it cuts out of texts, whatever the files say. */
static bool add_specials(oci_loader *in, const char *path)
{
    static const char *const names[] = { "<unk>", "<s>", "</s>" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        oci_added token = { .content = names[i], .size = strlen(names[i]),
                            .special = true, .normalized = 0 };
        oci_added_add(in->cx, &in->t->added, &in->t->vocab, &token, path);
    }
    return !oci_failed(in->cx);
}

/* LlamaConverter.normalizer: a block in front, and one for every space. */
static bool add_parts(oci_loader *in)
{
    static const char block[] = "\xe2\x96\x81";
    oc_tokenizer *t = in->t;
    void *prepend = oci_prepend_create(in->cx, block);
    if (prepend)
        t->normalizers[t->normalizer_count++] = (oci_normalizer){ &oci_prepend, prepend };
    void *replace = oci_replace_space(in->cx, block);
    if (replace)
        t->normalizers[t->normalizer_count++] = (oci_normalizer){ &oci_replace, replace };
    t->decoder = &oci_fallback_decoder;
    t->decoder_self = oci_fallback_create(in->cx);
    return !oci_failed(in->cx);
}

/* What SentencePiece itself refuses to load. */
static bool check(oci_loader *in, const oci_spm *spm, const char *path)
{
    oc_context *cx = in->cx;
    if (spm->unknowns != 1)
        oci_fail(cx, OC_E_MALFORMED, "%s: expected one piece of type UNKNOWN, found %zu",
                 path, spm->unknowns);
    else if (spm->model_type != OCI_SPM_UNIGRAM && spm->model_type != OCI_SPM_BPE)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: model_type: expected 1 (Unigram) or 2 (BPE), found %llu", path,
                 (unsigned long long)spm->model_type);
    for (size_t i = 0; i < spm->count && !oci_failed(cx); i++)
        if (spm->pieces[i].score != spm->pieces[i].score)
            oci_fail(cx, OC_E_MALFORMED, "%s: piece %zu: expected a score, found NaN",
                     path, i);
    return !oci_failed(cx);
}

bool oci_llama_convert(oci_loader *in, const oci_spm *spm, const char *path)
{
    static const char *const names[] = { "<unk>", "<s>", "</s>" };
    enum { OWN = sizeof names / sizeof *names, UNKNOWN = 0 };
    if (!check(in, spm, path) || !add_parts(in)) return false;
    /* The first three go by these names whatever the file calls them. */
    size_t count = spm->count > OWN ? spm->count : OWN;
    oci_piece *pieces = oci_calloc(in->cx, count, sizeof *pieces);
    if (!pieces) return false;
    for (size_t i = 0; i < count; i++)
        pieces[i] = i < OWN ? (oci_piece){ names[i], strlen(names[i]), 0 }
                            : spm->pieces[i];
    bool ok;
    if (spm->model_type == OCI_SPM_BPE) {
        ok = make_bpe(in, spm, pieces, count, path) && add_specials(in, path);
    } else {
        in->t->model_kind = &oci_unigram_model;
        in->t->model = oci_unigram_create(in, pieces, count, UNKNOWN, true, path);
        ok = in->t->model;
    }
    oci_free(pieces);
    return ok;
}

/* ---- post-processor ---------------------------------------------------------------- */

/* update_post_processor of LlamaTokenizerFast: <s> A </s> <s> B </s>, each of them if the
 * config wants it. */
bool oci_load_llama_post(oci_loader *in)
{
    oc_context *cx = in->cx;
    const json_t *root = in->config.root;
    bool begin = oci_json_bool(cx, &in->config, root, "add_bos_token", true);
    bool end = oci_json_bool(cx, &in->config, root, "add_eos_token", false);
    oci_template_item items[6];
    size_t count = 0, single = 0;
    for (int i = 0; i < 2 && !oci_failed(cx); i++) {
        uint8_t type = (uint8_t)i;
        if (begin)
            items[count++] = (oci_template_item){ -1, type, oci_role_id(in, OCI_BOS) };
        items[count++] = (oci_template_item){ (int8_t)i, type, 0 };
        if (end)
            items[count++] = (oci_template_item){ -1, type, oci_role_id(in, OCI_EOS) };
        if (i == 0) single = count;
    }
    oci_post *post = &in->t->post;
    post->has_offsets = post->trim_offsets = false;
    post->first_types_only = true;
    return !oci_failed(cx) && oci_template_set(cx, &post->single, items, single) &&
           oci_template_set(cx, &post->pair, items, count);
}
