/* vocab.json and merges.txt, read as GPT2Tokenizer and RobertaTokenizer read them and put
 * together as convert_slow_tokenizer.py of Transformers 4.37.2 does. */
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "io/file.h"
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/loader.h"

typedef struct lines {
    const char *text;
    size_t size, at;
} lines;

/* The next line, as Python's text files cut them: LF, CR or both end one. False at the end;
 * what follows the last line end is no line, and Transformers drops it. */
static bool next_line(lines *in, const char **line, size_t *size)
{
    size_t at = in->at;
    while (at < in->size && in->text[at] != '\n' && in->text[at] != '\r') at++;
    if (at == in->size) return false;
    *line = in->text + in->at;
    *size = at - in->at;
    in->at = at + 1;
    if (in->text[at] == '\r' && in->at < in->size && in->text[in->at] == '\n') in->at++;
    return true;
}

static bool is_blank(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

/* The next word of a line, as str.split() cuts it; false when there is none. */
static bool next_word(const char **line, const char *end, const char **word, size_t *size)
{
    while (*line < end && is_blank(**line)) ++*line;
    *word = *line;
    while (*line < end && !is_blank(**line)) ++*line;
    *size = (size_t)(*line - *word);
    return *size > 0;
}

/* The first line is the version, whatever it says. A merge that comes twice counts where it
 * came first. */
static bool read_merges(oci_loader *in, oci_bpe *bpe, const char *path, lines text)
{
    const char *line, *a, *b, *rest;
    size_t size, a_size, b_size, rest_size, number = 1;
    uint32_t rank = 0;
    if (!next_line(&text, &line, &size)) return true;
    while (next_line(&text, &line, &size)) {
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
        if (!oci_bpe_add_merge(in->cx, bpe, &in->t->vocab, a, a_size, b, b_size, rank++, where))
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

static bool load_merges(oci_loader *in, const char *path)
{
    oc_context *cx = in->cx;
    oci_buffer *bytes = oci_file_read(cx, path, cx->limits.json_bytes);
    if (!bytes) return false;
    size_t count = count_lines(bytes);
    oci_bpe *bpe = NULL;
    if (!oci_utf8_valid((const char *)bytes->data, bytes->size))
        oci_fail(cx, OC_E_MALFORMED, "%s: expected UTF-8", path);
    else if (count > cx->limits.vocab_size)
        oci_fail(cx, OC_E_LIMIT, "%s: expected at most %llu merges, found %zu", path,
                 (unsigned long long)cx->limits.vocab_size, count);
    else
        bpe = oci_bpe_create(cx, &in->t->vocab, count);
    in->t->model_kind = &oci_bpe_model;
    in->t->model = bpe;             /* the tokenizer's from here on */
    bool ok = bpe && read_merges(in, bpe, path,
                                 (lines){ (const char *)bytes->data, bytes->size, 0 });
    oci_buffer_unref(&bytes);
    return ok;
}

bool oci_load_vocab_merges(oci_loader *in, const char *vocab_path, const char *merges_path)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    if (!oci_json_open(cx, &in->json, vocab_path)) return false;
    if (!json_is_object(in->json.root)) {
        oci_json_expected(cx, &in->json, "(top)", "an object of tokens", in->json.root);
        return false;
    }
    oci_bytelevel *pre = oci_calloc(cx, 1, sizeof *pre);
    if (!pre) return false;
    pre->use_regex = true;
    pre->add_prefix_space = oci_json_bool(cx, &in->config, in->config.root, "add_prefix_space",
                                          false);
    t->pre[t->pre_count++] = (oci_pre){ &oci_bytelevel_pre, pre };
    t->decoder = &oci_bytelevel_decoder;
    return !oci_failed(cx) && oci_load_vocab(in, &in->json, in->json.root, "(top)") &&
           load_merges(in, merges_path);
}

/* The id of a special token that the post-processor sets. */
static uint32_t role_id(oci_loader *in, oci_role role)
{
    const oci_added *token = &in->roles[role];
    int64_t id = token->content ? oci_vocab_find(&in->t->vocab, token->content, token->size)
                                : OCI_NO_ID;
    if (id == OCI_NO_ID)
        oci_fail(in->cx, OC_E_MALFORMED, "%s: expected bos, cls and sep tokens", in->folder);
    return (uint32_t)id;
}

bool oci_load_class_post(oci_loader *in)
{
    oc_context *cx = in->cx;
    oci_post *post = &in->t->post;
    if (in->class->roberta) {
        uint32_t cls = role_id(in, OCI_CLS), sep = role_id(in, OCI_SEP);
        post->trim_offsets = true;
        post->add_prefix_space = oci_json_bool(cx, &in->config, in->config.root,
                                               "add_prefix_space", false);
        return !oci_failed(cx) && oci_post_roberta(cx, post, cls, sep);
    }
    if (!oci_json_bool(cx, &in->config, in->config.root, "add_bos_token", false))
        return !oci_failed(cx) && oci_post_none(cx, post);
    uint32_t bos = role_id(in, OCI_BOS);
    const oci_template_item items[] = { { -1, 0, bos }, { 0, 0, 0 }, { 1, 1, 0 } };
    return !oci_failed(cx) && oci_template_set(cx, &post->single, items, 2) &&
           oci_template_set(cx, &post->pair, items, 3);
}
