/* vocab.json and merges.txt, vocab.txt, SentencePiece's models: read as Transformers'
 * slow tokenizers read them, and put together as its convert_slow_tokenizer.py (4.37.2)
 * does. */
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "io/file.h"
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/charsmap.h"
#include "text/forms.h"
#include "text/llama.h"
#include "text/loader.h"
#include "text/metaspace.h"
#include "text/normalize.h"
#include "text/sentencepiece.h"
#include "text/split.h"
#include "text/wordpiece.h"

typedef struct lines {
    const char *text;
    size_t size, at;
    bool all;                   /* the last line needs no end */
} lines;

/* The next line, as Python's text files cut them: LF, CR or both end one. False at the
 * end; what follows the last line end is no line for most classes of Transformers. */
static bool next_line(lines *in, const char **line, size_t *size)
{
    size_t at = in->at;
    while (at < in->size && in->text[at] != '\n' && in->text[at] != '\r') at++;
    if (at == in->size && (!in->all || in->at >= in->size)) return false;
    *line = in->text + in->at;
    *size = at - in->at;
    in->at = at + (at < in->size);
    if (in->at > at && in->at < in->size && in->text[at] == '\r' &&
        in->text[in->at] == '\n')
        in->at++;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
}

/* The next word of a line, as str.split() cuts it; false when there is none. */
static bool next_word(const char **line, const char *end, const char **word, size_t *size)
{
    while (*line < end && is_blank(**line)) ++*line;
    *word = *line;
    while (*line < end && !is_blank(**line)) ++*line;
    *size = (size_t)(*line - *word);
    return *size > 0;
}

/* The first line is the version, whatever it says; of the others the first `most` count.
 * A merge that comes twice counts where it came first. */
static bool read_merges(oci_loader *in, oci_bpe *bpe, const char *path, lines text,
                        size_t most)
{
    const char *line, *a, *b, *rest;
    size_t size, a_size, b_size, rest_size, number = 1;
    uint32_t rank = 0;
    if (!next_line(&text, &line, &size)) return true;
    while (number <= most && next_line(&text, &line, &size)) {
        const char *end = line + size;
        char where[OCI_MAX_PATH + 32];
        snprintf(where, sizeof where, "%s: line %zu", path, ++number);
        if (!next_word(&line, end, &a, &a_size) || !next_word(&line, end, &b, &b_size) ||
            next_word(&line, end, &rest, &rest_size)) {
            oci_fail(in->cx, OC_E_MALFORMED, "%s: expected two tokens", where);
            return false;
        }
        int64_t a_id = oci_vocab_find(&in->t->vocab, a, a_size);
        int64_t b_id = oci_vocab_find(&in->t->vocab, b, b_size);
        if (a_id != OCI_NO_ID && b_id != OCI_NO_ID &&
            oci_pairs_find(&bpe->merges, (uint64_t)a_id << 32 | (uint64_t)b_id))
            continue;
        if (!oci_bpe_add_merge(in->cx, bpe, &in->t->vocab, a, a_size, b, b_size, rank++,
                               where))
            return false;
    }
    return true;
}

static size_t count_lines(const oci_buffer *bytes)
{
    size_t count = 1;
    for (size_t i = 0; i < bytes->size; i++)
        count += bytes->data[i] == '\n' || bytes->data[i] == '\r';
    return count;
}

/* The text of a file of at most limits.vocab_size lines. */
static oci_buffer *read_text(oci_loader *in, const char *path, size_t *count)
{
    oc_context *cx = in->cx;
    oci_buffer *bytes = oci_file_read(cx, path, cx->limits.json_bytes);
    if (!bytes) return NULL;
    *count = count_lines(bytes);
    if (!oci_utf8_valid((const char *)bytes->data, bytes->size))
        oci_fail(cx, OC_E_MALFORMED, "%s: expected UTF-8", path);
    else if (*count > cx->limits.vocab_size)
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %llu lines, found %zu", path,
                 (unsigned long long)cx->limits.vocab_size, *count);
    if (!oci_failed(cx)) return bytes;
    oci_buffer_unref(&bytes);
    return NULL;
}

/* CLIPTokenizer strips the text, takes a last line without an end, and no more merges
 * than OpenAI's file has: 49152 tokens but for 256 bytes and two. */
static bool load_merges(oci_loader *in, const char *path, bool clip)
{
    enum { CLIP_MERGES = 49152 - 256 - 2 };
    size_t count;
    oci_buffer *bytes = read_text(in, path, &count);
    if (!bytes) return false;
    lines text = { (const char *)bytes->data, bytes->size, 0, clip };
    while (clip && text.at < text.size && is_blank(text.text[text.at])) text.at++;
    while (clip && text.size > text.at && is_blank(text.text[text.size - 1])) text.size--;
    oci_bpe *bpe = oci_bpe_create(in->cx, &in->t->vocab, count,
                                  clip ? OCI_BPE_WORD_ENDS : OCI_BPE_BYTES);
    in->t->model_kind = &oci_bpe_model;
    in->t->model = bpe;             /* the tokenizer's from here on */
    bool ok = bpe && read_merges(in, bpe, path, text, clip ? CLIP_MERGES : SIZE_MAX);
    oci_buffer_unref(&bytes);
    return ok;
}

/* vocab.json becomes in->json and the tokenizer's vocabulary. */
static bool load_vocab_json(oci_loader *in, const char *path)
{
    if (!oci_json_open(in->cx, &in->json, path)) return false;
    if (json_is_object(in->json.root))
        return oci_load_vocab(in, &in->json, in->json.root, "(top)");
    oci_json_expected(in->cx, &in->json, "(top)", "an object of tokens", in->json.root);
    return false;
}

static void add_pre(oc_tokenizer *t, const oci_pre_kind *kind, void *self)
{
    if (self) t->pre[t->pre_count++] = (oci_pre){ kind, self };
}

static void add_normalizer(oc_tokenizer *t, const oci_normalizer_kind *kind, void *self)
{
    if (self) t->normalizers[t->normalizer_count++] = (oci_normalizer){ kind, self };
}

static void make_bytelevel(oci_loader *in, bool add_prefix_space)
{
    oci_bytelevel *pre = oci_calloc(in->cx, 1, sizeof *pre);
    if (!pre) return;
    *pre = (oci_bytelevel){ .add_prefix_space = add_prefix_space, .use_regex = true };
    add_pre(in->t, &oci_bytelevel_pre, pre);
    in->t->decoder = &oci_bytelevel_decoder;
}

bool oci_load_vocab_merges(oci_loader *in, const char *vocab_path,
                           const char *merges_path)
{
    make_bytelevel(in, oci_json_bool(in->cx, &in->config, in->config.root,
                                     "add_prefix_space", false));
    return !oci_failed(in->cx) && load_vocab_json(in, vocab_path) &&
           load_merges(in, merges_path, false);
}

/* unk_token of the files; special_tokens_map.json counts where the config is of the old
 * kind. */
static const char *unknown_of(const oci_loader *in, const char *fallback)
{
    const json_t *given = json_object_get(in->config.root, "added_tokens_decoder")
                              ? NULL : json_object_get(in->map.root, "unk_token");
    if (!given) given = json_object_get(in->config.root, "unk_token");
    if (json_is_object(given)) given = json_object_get(given, "content");
    const char *unknown = json_string_value(given);
    return unknown ? unknown : fallback;
}

bool oci_load_clip(oci_loader *in, const char *vocab_path, const char *merges_path)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    add_normalizer(t, &oci_nfc, oci_nfc.load(in, NULL, ""));
    add_normalizer(t, &oci_replace, oci_replace_blanks(cx));
    add_normalizer(t, &oci_lowercase, oci_lowercase.load(in, NULL, ""));
    add_pre(t, &oci_split, oci_split_clip(in));
    make_bytelevel(in, false);
    if (oci_failed(cx) || !load_vocab_json(in, vocab_path) ||
        !load_merges(in, merges_path, true))
        return false;
    const char *unknown = unknown_of(in, in->class->roles[OCI_UNK]);
    ((oci_bpe *)t->model)->unknown = oci_vocab_find(&t->vocab, unknown, strlen(unknown));
    return true;
}

/* ---- BERT -------------------------------------------------------------------------- */

/* The number of a line is its token's id; of a token that comes twice the last one
 * counts, and the first has none. A last line needs no line end. */
static bool read_tokens(oci_loader *in, const char *path, lines text, size_t most)
{
    oci_vocab *vocab = &in->t->vocab;
    oc_context *cx = in->cx;
    uint32_t *starts = oci_calloc(cx, most + 1, sizeof *starts);
    size_t count = 0, size;
    const char *line;
    if (!starts) return false;
    while (text.at < text.size) {
        starts[count++] = (uint32_t)text.at;
        if (!next_line(&text, &line, &size)) text.at = text.size;
    }
    bool ok = oci_vocab_init(cx, vocab, (int64_t)count, (int64_t)count, text.size);
    /* From the end, so that the last of two is there first. */
    for (size_t i = count; ok && i-- > 0;) {
        lines rest = { text.text, text.size, starts[i], false };
        if (!next_line(&rest, &line, &size)) {
            line = text.text + starts[i];
            size = text.size - starts[i];
        }
        if (size > cx->limits.token_bytes) {
            oci_fail(cx, OC_E_LIMIT,
                     "%s: line %zu: expected at most %llu bytes, found %zu", path, i + 1,
                     (unsigned long long)cx->limits.token_bytes, size);
            ok = false;
        } else if (oci_vocab_find(vocab, line, size) == OCI_NO_ID) {
            ok = oci_vocab_add(cx, vocab, line, size, (int64_t)i);
        }
    }
    oci_free(starts);
    if (ok) oci_added_init(&in->t->added, vocab->count);
    return ok;
}

static bool make_bert(oci_loader *in)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    oci_bert_normalizer *b = oci_calloc(cx, 1, sizeof *b);
    if (b) *b = (oci_bert_normalizer){ true, true, true, true };
    add_normalizer(t, &oci_bert_normalizer_kind, b);    /* settings: oci_config_apply */
    void *none = oci_calloc(cx, 1, 1);
    add_pre(t, &oci_bert_pre, none);
    t->decoder = &oci_wordpiece_decoder;
    t->decoder_self = oci_wordpiece_decoder_create(cx, "##", true);
    return !oci_failed(cx);
}

bool oci_load_vocab_txt(oci_loader *in, const char *path)
{
    size_t count;
    oci_buffer *bytes = read_text(in, path, &count);
    if (!bytes) return false;
    lines text = { (const char *)bytes->data, bytes->size, 0, false };
    bool ok = read_tokens(in, path, text, count) && make_bert(in);
    oci_buffer_unref(&bytes);
    if (!ok) return false;
    in->t->model_kind = &oci_wordpiece_model;
    in->t->model = oci_wordpiece_create(in->cx, &in->t->vocab, unknown_of(in, "[UNK]"),
                                        "##", 100);
    return in->t->model;
}

/* ---- SentencePiece ----------------------------------------------------------------- */

const char *const oci_mbart_languages[] = {
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN",
    "hi_IN", "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP",
    "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN", NULL
};

/* fairseq's order: four tokens of its own instead of SentencePiece's three, then the
 * pieces, the class's tokens, and the mask. */
static bool make_unigram(oci_loader *in, const oci_spm *spm, const char *path)
{
    static const char *const before[] = { "<s>", "<pad>", "</s>", "<unk>" };
    enum { BEFORE = 4, DROPPED = 3, UNKNOWN = 3 };
    const char *const *more = in->class->more;
    size_t languages = 0, count = 0;
    while (more && more[languages]) languages++;
    oci_piece *pieces =
        oci_calloc(in->cx, spm->count + BEFORE + languages + 1, sizeof *pieces);
    if (!pieces) return false;
    for (size_t i = 0; i < BEFORE; i++)
        pieces[count++] = (oci_piece){ before[i], strlen(before[i]), 0 };
    for (size_t i = DROPPED; i < spm->count; i++) pieces[count++] = spm->pieces[i];
    for (size_t i = 0; i < languages; i++)
        pieces[count++] = (oci_piece){ more[i], strlen(more[i]), 0 };
    pieces[count++] = (oci_piece){ "<mask>", 6, 0 };
    in->t->model_kind = &oci_unigram_model;
    in->t->model = oci_unigram_create(in, pieces, count, UNKNOWN, false, path);
    oci_free(pieces);
    return in->t->model;
}

static bool make_sentencepiece(oci_loader *in, const oci_spm *spm, const char *path)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    if (spm->charsmap_size)
        add_normalizer(t, &oci_precompiled,
                       oci_charsmap_create(cx, spm->charsmap, spm->charsmap_size, path));
    oci_strip *strip = oci_calloc(cx, 1, sizeof *strip);
    if (strip) strip->right = true;
    add_normalizer(t, &oci_strip_kind, strip);
    add_normalizer(t, &oci_replace, oci_replace_spaces(cx));
    oci_metaspace *words = oci_metaspace_create(cx);
    add_pre(t, &oci_metaspace_pre, words);
    t->decoder = &oci_metaspace_decoder;
    t->decoder_self = oci_metaspace_create(cx);
    return !oci_failed(cx);
}

bool oci_load_spm(oci_loader *in, const char *path, const uint8_t *bytes, size_t size)
{
    oc_context *cx = in->cx;
    oci_spm spm;
    bool ok = oci_spm_parse(cx, &spm, path, bytes, size);
    if (ok && in->class->family == OCI_LLAMA) {
        ok = oci_llama_convert(in, &spm, path);
        oci_spm_deinit(&spm);
        return ok;
    }
    if (ok && spm.model_type != OCI_SPM_UNIGRAM) {
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: model_type: expected 1 (Unigram), found %llu",
                 path, (unsigned long long)spm.model_type);
        ok = false;
    }
    ok = ok && make_sentencepiece(in, &spm, path) && make_unigram(in, &spm, path);
    oci_spm_deinit(&spm);
    return ok;
}

bool oci_load_sentencepiece(oci_loader *in, const char *path)
{
    oci_buffer *bytes = oci_file_read(in->cx, path, in->cx->limits.json_bytes);
    bool ok = bytes && oci_load_spm(in, path, bytes->data, bytes->size);
    oci_buffer_unref(&bytes);
    return ok;
}

/* ---- post-processors --------------------------------------------------------------- */

uint32_t oci_role_id(oci_loader *in, oci_role role)
{
    const oci_added *token = &in->roles[role];
    int64_t id = token->content
                     ? oci_vocab_find(&in->t->vocab, token->content, token->size)
                     : OCI_NO_ID;
    if (id == OCI_NO_ID)
        oci_fail(in->cx, OC_E_MALFORMED, "%s: expected bos, eos, cls and sep tokens",
                 in->folder);
    return (uint32_t)id;
}

static bool load_roberta_post(oci_loader *in)
{
    oci_post *post = &in->t->post;
    uint32_t cls = oci_role_id(in, OCI_CLS), sep = oci_role_id(in, OCI_SEP);
    post->trim_offsets = true;
    post->add_prefix_space = oci_json_bool(in->cx, &in->config, in->config.root,
                                           "add_prefix_space", false);
    return !oci_failed(in->cx) && oci_post_roberta(in->cx, post, cls, sep);
}

static bool load_clip_post(oci_loader *in)
{
    uint32_t begin = oci_role_id(in, OCI_BOS), end = oci_role_id(in, OCI_EOS);
    return !oci_failed(in->cx) && oci_post_roberta(in->cx, &in->t->post, begin, end);
}

static bool load_gpt2_post(oci_loader *in)
{
    oc_context *cx = in->cx;
    oci_post *post = &in->t->post;
    if (!oci_json_bool(cx, &in->config, in->config.root, "add_bos_token", false))
        return !oci_failed(cx) && oci_post_none(cx, post);
    uint32_t bos = oci_role_id(in, OCI_BOS);
    const oci_template_item items[] = { { -1, 0, bos }, { 0, 0, 0 }, { 1, 1, 0 } };
    return !oci_failed(cx) && oci_template_set(cx, &post->single, items, 2) &&
           oci_template_set(cx, &post->pair, items, 3);
}

static bool load_bert_post(oci_loader *in)
{
    oci_post *post = &in->t->post;
    uint32_t cls = oci_role_id(in, OCI_CLS), sep = oci_role_id(in, OCI_SEP);
    const oci_template_item items[] = {
        { -1, 0, cls }, { 0, 0, 0 }, { -1, 0, sep }, { 1, 1, 0 }, { -1, 1, sep }
    };
    post->first_types_only = true;
    return !oci_failed(in->cx) && oci_template_set(in->cx, &post->single, items, 3) &&
           oci_template_set(in->cx, &post->pair, items, 5);
}

bool oci_load_mbart_post(oci_loader *in)
{
    oc_context *cx = in->cx;
    oci_post *post = &in->t->post;
    const char *language =
        oci_json_text(cx, &in->config, in->config.root, "src_lang", "en_XX");
    if (oci_failed(cx)) return false;
    int64_t id = oci_vocab_find(&in->t->vocab, language, strlen(language));
    uint32_t end = oci_role_id(in, OCI_EOS),
             last = id == OCI_NO_ID ? oci_role_id(in, OCI_UNK) : (uint32_t)id;
    const oci_template_item single[] = { { 0, 0, 0 }, { -1, 0, end }, { -1, 0, last } };
    const oci_template_item pair[] = {
        { 0, 0, 0 }, { 1, 0, 0 }, { -1, 0, end }, { -1, 0, last }
    };
    post->has_offsets = post->trim_offsets = false;
    post->first_types_only = true;
    return !oci_failed(cx) && oci_template_set(cx, &post->single, single, 3) &&
           oci_template_set(cx, &post->pair, pair, 4);
}

bool oci_load_class_post(oci_loader *in)
{
    switch (in->class->family) {
    case OCI_GPT2: return load_gpt2_post(in);
    case OCI_ROBERTA: return load_roberta_post(in);
    case OCI_CLIP: return load_clip_post(in);
    case OCI_BERT: return load_bert_post(in);
    case OCI_XLMR:                      /* its own names, whatever the files call them */
        in->t->post.first_types_only = true;
        return oci_post_roberta(in->cx, &in->t->post, 0, 2);
    case OCI_MBART: case OCI_LLAMA: case OCI_PLAIN: break;  /* by oci_config_apply */
    }
    return !oci_failed(in->cx);
}
