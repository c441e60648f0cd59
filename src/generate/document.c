/* Donut's tokens as JSON: DonutProcessor.token2json of Transformers 4.37.2, rule by rule.
 *
 *   <s_total> 9.50 </s_total>              → {"total": "9.50"}
 *   <s_menu> <s_nm>A</s_nm> <sep/> <s_nm>B</s_nm> </s_menu>
 *                                          → {"menu": [{"nm": "A"}, {"nm": "B"}]}
 *
 * What a model generates need not be well-formed; then the answer is what the reference's
 * regular expressions find: tags match without regard to case, `.` stops at a line feed,
 * and an end tag counts from wherever it stands first. */
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "base/utf8.h"
#include "generate/document.h"
#include "io/json.h"
#include "text/tokenizer.h"

enum { MOST_BYTES = 1 << 20 };      /* a sequence has some thousand tokens */
/* Bytes looked at for each byte of text. Well-formed texts need about their depth;
 * garbage with many open tags is quadratic in the reference, and ends here. */
static const uint64_t looks = 1024, more_looks = 1 << 24;

typedef struct span {
    char *at;
    size_t size;
} span;

typedef struct reader {
    oc_context *cx;
    const oc_tokenizer *tokenizer;      /* NULL: no added tokens */
    uint64_t work;                      /* bytes that may still be looked at */
} reader;

static bool spend(reader *r, size_t bytes)
{
    if (bytes < r->work) r->work -= bytes;
    else
        oci_fail(r->cx, OC_E_LIMIT,
                 "document: expected tags that close, found too many that do not");
    return !oci_failed(r->cx);
}

/* ---- characters -------------------------------------------------------------------- */

/* What str.strip() takes away. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static span strip(span s)
{
    uint32_t code;
    for (int n; s.size > 0; s.at += n, s.size -= (size_t)n) {
        n = oci_utf8_decode(s.at, s.size, &code);
        if (!is_space(code)) break;
    }
    while (s.size > 0) {
        size_t n = 1;           /* back over continuation bytes, 10xxxxxx */
        while (n < s.size && ((unsigned char)s.at[s.size - n] & 0xc0) == 0x80) n++;
        oci_utf8_decode(s.at + s.size - n, n, &code);
        if (!is_space(code)) break;
        s.size -= n;
    }
    return s;
}

/* The one letter that stands for all that re.IGNORECASE takes for the same. */
static uint32_t fold(uint32_t code)
{
    static const struct { uint32_t first, last, step; int32_t add; } runs[] = {
#include "generate/fold.inc"
    };
    if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 32 : code;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (code >= runs[i].first && code <= runs[i].last &&
            (code - runs[i].first) % runs[i].step == 0)
            return (uint32_t)((int32_t)code + runs[i].add);
    return code;
}

/* ---- tags -------------------------------------------------------------------------- */

/* How many bytes of `text` are `literal` but for case;
 * false if it does not begin with it. */
static bool match(span text, const char *literal, size_t size, size_t *matched)
{
    uint32_t a, b;
    size_t at = *matched;
    for (size_t i = 0; i < size; ) {
        int n = at < text.size ? oci_utf8_decode(text.at + at, text.size - at, &a) : 0;
        int m = oci_utf8_decode(literal + i, size - i, &b);
        if (n == 0 || fold(a) != fold(b)) return false;
        at += (size_t)n;
        i += (size_t)m;
    }
    *matched = at;
    return true;
}

/* The first `opening` KEY `>` of `text` from `from` on. Where `any_key`, the key is not
 * given but found: up to the next `>` on the line. `barrier`: gives up at a line feed. */
static bool find_tag(reader *r, span text, size_t from, const char *opening, span *key,
                     bool any_key, bool barrier, span *tag)
{
    for (size_t i = from; i < text.size; i++) {
        size_t size = 0;
        const span here = { text.at + i, text.size - i };
        if (!spend(r, 1) || (barrier && *here.at == '\n')) return false;
        if (*here.at != '<' || !match(here, opening, strlen(opening), &size)) continue;
        if (any_key) {
            size_t end = size;
            while (end < here.size && here.at[end] != '>' && here.at[end] != '\n') end++;
            if (!spend(r, end)) return false;
            if (end == here.size || here.at[end] == '\n') continue;
            *key = (span){ here.at + size, end - size };
            size = end + 1;
        } else if (!spend(r, key->size) || !match(here, key->at, key->size, &size) ||
                   !match(here, ">", 1, &size)) {
            continue;
        }
        *tag = (span){ here.at, size };
        return true;
    }
    return false;
}

/* What stands between the tags of `key`, on one line: the first such pair. */
static bool find_content(reader *r, span text, span key, span *content)
{
    span open, close;
    for (size_t from = 0;
         find_tag(r, text, from, "<s_", &key, false, false, &open);
         from = (size_t)(open.at - text.at) + 1) {
        size_t begin = (size_t)(open.at - text.at) + open.size;
        if (!find_tag(r, text, begin, "</s_", &key, false, true, &close)) continue;
        *content = (span){ text.at + begin, (size_t)(close.at - text.at) - begin };
        return true;
    }
    return false;
}

/* The first `literal`, exactly; what is before it becomes *before, what follows *text. */
static bool cut(span *text, const char *literal, span *before)
{
    const size_t size = strlen(literal);
    for (size_t i = 0; i + size <= text->size; i++) {
        if (memcmp(text->at + i, literal, size) != 0) continue;
        *before = (span){ text->at, i };
        *text = (span){ text->at + i + size, text->size - i - size };
        return true;
    }
    return false;
}

/* All copies of `tag` disappear from the text, itself among them. */
static span erase(reader *r, span text, span tag)
{
    char *literal = oci_strndup(r->cx, tag.at, tag.size);
    size_t to = 0;
    for (size_t i = 0; literal && spend(r, 1) && i < text.size; ) {
        if (text.size - i >= tag.size && memcmp(text.at + i, literal, tag.size) == 0)
            i += tag.size;
        else text.at[to++] = text.at[i++];
    }
    oci_free(literal);
    return (span){ text.at, to };
}

/* ---- values ------------------------------------------------------------------------ */

static json_t *convert(reader *r, span text, bool inner, uint64_t depth);

static json_t *string_of(span s) { return json_stringn(s.at, s.size); }

/* <yes/> as a token of its own means yes. */
static json_t *leaf_of(const reader *r, span s)
{
    s = strip(s);
    if (s.size >= 3 && s.at[0] == '<' && memcmp(s.at + s.size - 2, "/>", 2) == 0 &&
        r->tokenizer && oci_tokenizer_adds(r->tokenizer, s.at, s.size))
        s = (span){ s.at + 1, s.size - 3 };
    return string_of(s);
}

/* Leaves between <sep/>: a list, or the one there is. */
static json_t *leaves_of(const reader *r, span text)
{
    span leaf;
    json_t *list = json_array();
    while (cut(&text, "<sep/>", &leaf)) json_array_append_new(list, leaf_of(r, leaf));
    if (json_array_size(list) == 0) {
        json_decref(list);
        return leaf_of(r, text);
    }
    json_array_append_new(list, leaf_of(r, text));
    return list;
}

/* Tags inside: converted in a copy, since erasing must not show outside. Always a list;
 * NULL where there is nothing in it, which leaves the key as it was. */
static json_t *tree_of(reader *r, span text, uint64_t depth)
{
    if (depth >= r->cx->limits.json_depth) {
        oci_fail(r->cx, OC_E_LIMIT,
                 "document: tags nested deeper than json_depth %llu allows",
                 (unsigned long long)r->cx->limits.json_depth);
        return NULL;
    }
    char *copy = spend(r, text.size) ? oci_strndup(r->cx, text.at, text.size) : NULL;
    if (!copy) return NULL;
    json_t *list = convert(r, (span){ copy, text.size }, true, depth);
    oci_free(copy);
    size_t count = json_array_size(list);
    json_t *value = count == 1 ? json_incref(json_array_get(list, 0)) :
                    count > 1 ? json_incref(list) : NULL;
    json_decref(list);
    return value;
}

static void put(reader *r, json_t *output, span key, json_t *value)
{
    if (oci_failed(r->cx) || !value) {
        json_decref(value);
        return;
    }
    char *name = oci_strndup(r->cx, key.at, key.size);
    if (name && memchr(key.at, 0, key.size)) {
        oci_fail(r->cx, OC_E_UNSUPPORTED, "document: U+0000 in a tag");
        json_decref(value);
    } else if (!name || json_object_set_new(output, name, value) != 0) {
        oci_fail(r->cx, OC_E_MEMORY, "document: %zu bytes for a key", key.size);
        if (!name) json_decref(value);
    }
    oci_free(name);
}

/* The element whose first tag is `open`, and what follows its end. */
static span take_element(reader *r, span text, span open, span key, json_t *output,
                         uint64_t depth)
{
    span close, content, ignored;
    if (!find_tag(r, text, 0, "</s_", &key, false, false, &close))
        return erase(r, text, open);
    if (find_content(r, text, key, &content)) {
        content = strip(content);
        span a = content, b = content;
        bool nested = cut(&a, "<s_", &ignored) && cut(&b, "</s_", &ignored);
        put(r, output, key,
            nested ? tree_of(r, content, depth + 1) : leaves_of(r, content));
    }
    size_t end = (size_t)(close.at - text.at) + close.size;
    return strip((span){ text.at + end, text.size - end });
}

/* A list of objects when `inner` or once a <sep/> was met, else an object.
 * Changes `text`. */
static json_t *convert(reader *r, span text, bool inner, uint64_t depth)
{
    static const char sep[] = "<sep/>";
    enum { SEP_SIZE = sizeof sep - 1 };
    json_t *list = json_array(), *output = json_object();
    span key, open;
    while (text.size > 0 && find_tag(r, text, 0, "<s_", &key, true, false, &open)) {
        span after = take_element(r, text, open, key, output, depth);
        bool erased = after.at == text.at;
        text = after;
        if (oci_failed(r->cx)) break;
        if (erased || text.size < SEP_SIZE || memcmp(text.at, sep, SEP_SIZE) != 0)
            continue;
        text = (span){ text.at + SEP_SIZE, text.size - SEP_SIZE };
        json_array_append_new(list, output);
        output = json_object();
        inner = true;
    }
    if (!inner && json_object_size(output) == 0)
        json_object_set_new(output, "text_sequence", string_of(text));
    if (!inner) {
        json_decref(list);
        return output;
    }
    if (json_object_size(output) > 0) json_array_append(list, output);
    json_decref(output);
    return list;
}

json_t *oci_document_tree(oc_context *cx, const char *text, size_t size,
                          const oc_tokenizer *tokenizer)
{
    if (size > MOST_BYTES) {
        oci_fail(cx, OC_E_LIMIT, "document: %zu bytes, more than %d", size, MOST_BYTES);
        return NULL;
    }
    if (!oci_utf8_valid(text, size)) {
        oci_fail(cx, OC_E_MALFORMED, "document: expected UTF-8");
        return NULL;
    }
    reader r = { cx, tokenizer, more_looks + size * looks };
    char *copy = oci_strndup(cx, text, size);
    json_t *tree = copy ? convert(&r, (span){ copy, size }, false, 0) : NULL;
    oci_free(copy);
    if (!tree && !oci_failed(cx)) oci_fail(cx, OC_E_MEMORY, "document: %zu bytes", size);
    if (!oci_failed(cx)) return tree;
    json_decref(tree);
    return NULL;
}

char *oc_document_json(oc_context *cx, const char *text, size_t size,
                       const oc_tokenizer *tokenizer)
{
    if (!oci_given(cx, text, __func__, "a text")) return NULL;
    json_t *tree = oci_document_tree(cx, text, size, tokenizer);
    char *json = tree ? oci_json_text_of(cx, tree) : NULL;
    json_decref(tree);
    return json;
}

/* ---- sequences --------------------------------------------------------------------- */

/* str.replace(token, "") */
static void drop_token(const oc_tokenizer *tokenizer, int64_t id, span *text)
{
    const char *token = oc_tokenizer_token(tokenizer, id);
    const size_t size = token ? strlen(token) : 0;
    size_t to = 0;
    for (size_t i = 0; size > 0 && i < text->size; ) {
        if (text->size - i >= size && memcmp(text->at + i, token, size) == 0) i += size;
        else text->at[to++] = text->at[i++];
    }
    if (size > 0) text->size = to;
}

/* re.sub(r"<.*?>", "", text, count=1) */
static void drop_first_tag(span *text)
{
    for (size_t i = 0; i < text->size; i++) {
        size_t end = i;
        if (text->at[i] != '<') continue;
        while (end < text->size && text->at[end] != '>' && text->at[end] != '\n') end++;
        if (end == text->size) return;
        if (text->at[end] == '>') {
            memmove(text->at + i, text->at + end + 1, text->size - end - 1);
            text->size -= end + 1 - i;
            return;
        }
        i = end;            /* no tag ends on this line, wherever it begins */
    }
}

char *oci_document_of_sequence(oc_context *cx, const char *text,
                               const oc_tokenizer *tokenizer)
{
    if (oci_failed(cx)) return NULL;
    span s = { oci_strdup(cx, text), strlen(text) };
    char *copy = s.at, *json = NULL;
    if (copy) {
        drop_token(tokenizer, oci_tokenizer_eos(tokenizer), &s);
        drop_token(tokenizer, oci_tokenizer_pad(tokenizer), &s);
        drop_first_tag(&s);
        s = strip(s);
        json = oc_document_json(cx, s.at, s.size, tokenizer);
    }
    oci_free(copy);
    return json;
}
