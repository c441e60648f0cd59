/* tokenizer.json, as tokenizers 0.15.2 reads it; merges may also be pairs, as later
 * versions write them. */
#include <string.h>

#include "base/size.h"
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/charsmap.h"
#include "text/fallback.h"
#include "text/forms.h"
#include "text/loader.h"
#include "text/metaspace.h"
#include "text/normalize.h"
#include "text/split.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

static const oci_normalizer_kind *const normalizer_kinds[] = {
    &oci_bert_normalizer_kind, &oci_precompiled, &oci_nfc, &oci_nfd, &oci_nfkc, &oci_nfkd,
    &oci_lowercase, &oci_strip_kind, &oci_strip_accents, &oci_prepend, &oci_replace,
    &oci_nmt
};
static const oci_pre_kind *const pre_kinds[] = {
    &oci_bytelevel_pre, &oci_bert_pre, &oci_metaspace_pre, &oci_whitespace_split,
    &oci_whitespace, &oci_digits, &oci_punctuation, &oci_split
};
static const oci_model_kind *const model_kinds[] = {
    &oci_bpe_model, &oci_wordpiece_model, &oci_unigram_model
};
static const oci_decoder_kind *const decoder_kinds[] = {
    &oci_bytelevel_decoder, &oci_wordpiece_decoder, &oci_metaspace_decoder,
    &oci_fallback_decoder, &oci_replace_decoder, &oci_byte_fallback_decoder,
    &oci_fuse_decoder, &oci_strip_decoder
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

const char *oci_field(oci_loader *in, const char *path, const char *key)
{
    snprintf(in->field, sizeof in->field, "%s.%s", path, key);
    return in->field;
}

static bool unsupported(oci_loader *in, const char *field, const char *type)
{
    oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: %s: %.100s", in->json.name, field, type);
    return false;
}

/* The "type" of a part; NULL with an error set. */
static const char *type_of(oci_loader *in, const json_t *object, const char *field)
{
    const char *type =
        oci_json_text(in->cx, &in->json, object, oci_field(in, field, "type"), NULL);
    if (!type && !oci_failed(in->cx))
        oci_json_expected(in->cx, &in->json, in->field, "a name", NULL);
    return oci_failed(in->cx) ? NULL : type;
}

/* ---- vocabulary -------------------------------------------------------------------- */

/* Ids may leave holes, but a small file must not ask for a large table. */
static int64_t largest_bound(const oc_context *cx, size_t count)
{
    int64_t bound = oci_min((int64_t)count, INT64_MAX / 8) * 4 + 1024;
    return oci_min(bound, (int64_t)cx->limits.vocab_size);
}

static bool bad_token(oci_loader *in, const oci_json *doc, const char *field,
                      const char *token, const char *what, const json_t *value)
{
    char path[OCI_MAX_FIELD];
    snprintf(path, sizeof path, "%s[\"%.100s\"]", field, token);
    oci_json_expected(in->cx, doc, path, what, value);
    return false;
}

/* Counts bytes and the largest id, and checks every entry, before memory is taken. */
static bool measure_vocab(oci_loader *in, const oci_json *doc, const json_t *object,
                          const char *field, int64_t *bound, size_t *bytes)
{
    oc_context *cx = in->cx;
    const char *token;
    json_t *value;
    *bound = 0;
    *bytes = 0;
    int64_t most = largest_bound(cx, json_object_size(object));
    json_object_foreach((json_t *)(uintptr_t)object, token, value) {
        json_int_t id = json_integer_value(value);
        size_t size = strlen(token);
        char what[64];
        snprintf(what, sizeof what, "an id in 0..%lld", (long long)most - 1);
        if (!json_is_integer(value) || id < 0 || id >= most)
            return bad_token(in, doc, field, token, what, value);
        if (size > cx->limits.token_bytes) {
            oci_fail(cx, OC_E_LIMIT,
                     "%s: %s: expected tokens of at most %llu bytes, found %zu",
                     doc->name, field, (unsigned long long)cx->limits.token_bytes, size);
            return false;
        }
        *bound = oci_max(*bound, id + 1);
        *bytes += size;
    }
    return true;
}

bool oci_load_vocab(oci_loader *in, const oci_json *doc, const json_t *object,
                    const char *field)
{
    oc_context *cx = in->cx;
    size_t count = json_object_size(object), bytes;
    int64_t bound;
    if (count > cx->limits.vocab_size) {
        oci_fail(cx, OC_E_LIMIT, "%s: %s: expected at most %llu tokens, found %zu",
                 doc->name, field, (unsigned long long)cx->limits.vocab_size, count);
        return false;
    }
    if (!measure_vocab(in, doc, object, field, &bound, &bytes)) return false;
    oci_vocab *vocab = &in->t->vocab;
    if (!oci_vocab_init(cx, vocab, (int64_t)count, bound, bytes)) return false;
    const char *token;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, token, value) {
        json_int_t id = json_integer_value(value);
        if (oci_vocab_get(vocab, id, NULL))
            return bad_token(in, doc, field, token, "an id of its own", value);
        if (!oci_vocab_add(cx, vocab, token, strlen(token), id)) return false;
    }
    oci_added_init(&in->t->added, (int64_t)count);
    return true;
}

bool oci_load_model_vocab(oci_loader *in, const json_t *model, const char *field)
{
    oc_context *cx = in->cx;
    const json_t *vocab =
        oci_json_object(cx, &in->json, model, oci_field(in, field, "vocab"));
    if (!oci_failed(cx) && !vocab)
        oci_json_expected(cx, &in->json, in->field, "an object of tokens", vocab);
    return !oci_failed(cx) && oci_load_vocab(in, &in->json, vocab, "model.vocab");
}

/* ---- parts ------------------------------------------------------------------------- */

static bool load_normalizer(oci_loader *in, const json_t *object, const char *field,
                            const char *type)
{
    oc_tokenizer *t = in->t;
    for (size_t i = 0; i < COUNT(normalizer_kinds); i++) {
        const oci_normalizer_kind *kind = normalizer_kinds[i];
        if (strcmp(kind->type, type)) continue;
        void *self = kind->load(in, object, field);
        if (self) t->normalizers[t->normalizer_count++] = (oci_normalizer){ kind, self };
        return self;
    }
    return unsupported(in, field, type);
}

static bool load_pre_tokenizer(oci_loader *in, const json_t *object, const char *field,
                               const char *type)
{
    oc_tokenizer *t = in->t;
    for (size_t i = 0; i < COUNT(pre_kinds); i++) {
        if (strcmp(pre_kinds[i]->type, type)) continue;
        void *self = pre_kinds[i]->load(in, object, field);
        if (self) t->pre[t->pre_count++] = (oci_pre){ pre_kinds[i], self };
        return self;
    }
    return unsupported(in, field, type);
}

/* What a Sequence holds, Sequences within it too, in the order in which it runs. */
typedef struct parts {
    const char *list;           /* the member that holds a Sequence's parts */
    bool (*load)(oci_loader *in, const json_t *object, const char *field,
                 const char *type);
    struct {
        const json_t *list;
        size_t next;
    } stack[OCI_MAX_PARTS];
    int depth, count;
} parts;

/* One part: a Sequence goes onto the stack, any other is loaded. */
static bool load_part(oci_loader *in, parts *p, const json_t *object, const char *field)
{
    if (!json_is_object(object)) {
        oci_json_expected(in->cx, &in->json, field, "an object", object);
        return false;
    }
    const char *type = type_of(in, object, field);
    if (!type) return false;
    bool sequence = !strcmp(type, "Sequence");
    if (sequence ? p->depth == OCI_MAX_PARTS : p->count == OCI_MAX_PARTS) {
        oci_fail(in->cx, OC_E_LIMIT, "%s: %s: expected at most %d parts", in->json.name,
                 field, OCI_MAX_PARTS);
        return false;
    }
    if (!sequence) {
        p->count++;
        return p->load(in, object, field, type);
    }
    const json_t *list = oci_json_array(in->cx, &in->json, object,
                                        oci_field(in, field, p->list));
    if (!list && !oci_failed(in->cx))
        oci_json_expected(in->cx, &in->json, in->field, "an array of parts", list);
    p->stack[p->depth].list = list;
    p->stack[p->depth++].next = 0;
    return !oci_failed(in->cx);
}

/* A stack of its own: how deep a file nests must not become our depth of calls. */
static bool load_parts(oci_loader *in, parts *p, const json_t *object, const char *field)
{
    char place[64];
    if (!object) return true;
    if (!load_part(in, p, object, field)) return false;
    while (p->depth > 0) {
        const json_t *list = p->stack[p->depth - 1].list;
        size_t next = p->stack[p->depth - 1].next++;
        if (next == json_array_size(list)) {
            p->depth--;
            continue;
        }
        snprintf(place, sizeof place, "%s.%s[%zu]", field, p->list, next);
        if (!load_part(in, p, json_array_get(list, next), place)) return false;
    }
    return true;
}

static bool load_model(oci_loader *in, const json_t *object)
{
    /* GPT-2's published file is older than the field "type". */
    const char *fallback = json_object_get(object, "merges") ? "BPE" : NULL;
    const char *type = oci_json_text(in->cx, &in->json, object, "model.type", fallback);
    if (!type) type = type_of(in, object, "model");
    if (oci_failed(in->cx)) return false;
    for (size_t i = 0; i < COUNT(model_kinds); i++) {
        if (strcmp(model_kinds[i]->type, type)) continue;
        in->t->model_kind = model_kinds[i];
        in->t->model = model_kinds[i]->load(in, object, "model");
        return in->t->model;
    }
    return unsupported(in, "model", type);
}

static bool load_decoder(oci_loader *in, const json_t *object)
{
    if (!object) return true;
    const char *type = type_of(in, object, "decoder");
    if (!type) return false;
    for (size_t i = 0; i < COUNT(decoder_kinds); i++) {
        if (strcmp(decoder_kinds[i]->type, type)) continue;
        in->t->decoder = decoder_kinds[i];
        in->t->decoder_self = decoder_kinds[i]->load(in, object, "decoder");
        return in->t->decoder_self;
    }
    return unsupported(in, "decoder", type);
}

/* ---- added tokens ------------------------------------------------------------------ */

bool oci_read_added(oci_loader *in, const oci_json *doc, const json_t *object,
                    const char *field, bool special, oci_added *token)
{
    oc_context *cx = in->cx;
    *token = (oci_added){ .normalized = -1 };
    if (!json_is_object(object)) {
        oci_json_expected(cx, doc, field, "a token", object);
        return false;
    }
    token->content =
        oci_json_text(cx, doc, object, oci_field(in, field, "content"), NULL);
    if (!token->content) {
        oci_json_expected(cx, doc, in->field, "a string", NULL);
        return false;
    }
    token->size = strlen(token->content);
    token->single_word =
        oci_json_bool(cx, doc, object, oci_field(in, field, "single_word"), false);
    token->lstrip = oci_json_bool(cx, doc, object, oci_field(in, field, "lstrip"), false);
    token->rstrip = oci_json_bool(cx, doc, object, oci_field(in, field, "rstrip"), false);
    token->special =
        oci_json_bool(cx, doc, object, oci_field(in, field, "special"), special);
    if (json_object_get(object, "normalized"))
        token->normalized =
            oci_json_bool(cx, doc, object, oci_field(in, field, "normalized"),
                          !token->special);
    return !oci_failed(cx);
}

/* As in the reference the id in the file is only compared: the token's id is the model's,
 * or the next free one. */
static bool load_added(oci_loader *in, const json_t *list)
{
    oc_context *cx = in->cx;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        char field[64];
        snprintf(field, sizeof field, "added_tokens[%zu]", i);
        oci_added token;
        if (!oci_read_added(in, &in->json, object, field, false, &token)) return false;
        const json_t *value = json_object_get(object, "id");
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || (uint64_t)id >= cx->limits.vocab_size) {
            oci_json_expected(cx, &in->json, oci_field(in, field, "id"), "an id", value);
            return false;
        }
        int64_t given =
            oci_added_add(cx, &in->t->added, &in->t->vocab, &token, in->json.name);
        if (oci_failed(cx)) return false;
        if (given != id)
            oci_log(cx, OC_LOG_WARNING, "%s: %s: token \"%s\" has id %lld, not %lld",
                    in->json.name, field, token.content, (long long)given, (long long)id);
    }
    return true;
}

/* ---- the whole file ---------------------------------------------------------------- */

static bool check_top(oci_loader *in)
{
    const json_t *root = in->json.root;
    if (!json_is_object(root)) {
        oci_json_expected(in->cx, &in->json, "(top)", "an object", root);
        return false;
    }
    const char *version = oci_json_text(in->cx, &in->json, root, "version", "1.0");
    if (!oci_failed(in->cx) && strcmp(version, "1.0"))
        unsupported(in, "version", version);
    return !oci_failed(in->cx);
}

/* The model comes before what looks ids up: added tokens, then the post-processor. */
bool oci_load_tokenizer_json(oci_loader *in)
{
    oc_context *cx = in->cx;
    if (!check_top(in)) return false;
    const json_t *root = in->json.root;
    const json_t *normalizer = oci_json_object(cx, &in->json, root, "normalizer");
    const json_t *pre = oci_json_object(cx, &in->json, root, "pre_tokenizer");
    const json_t *model = oci_json_object(cx, &in->json, root, "model");
    const json_t *post = oci_json_object(cx, &in->json, root, "post_processor");
    const json_t *decoder = oci_json_object(cx, &in->json, root, "decoder");
    const json_t *added = oci_json_array(cx, &in->json, root, "added_tokens");
    if (!oci_failed(cx) && !model)
        oci_json_expected(cx, &in->json, "model", "an object", model);
    if (oci_failed(cx)) return false;
    parts normalizers = { .list = "normalizers", .load = load_normalizer };
    parts pre_tokenizers = { .list = "pretokenizers", .load = load_pre_tokenizer };
    return load_parts(in, &normalizers, normalizer, "normalizer") &&
           load_parts(in, &pre_tokenizers, pre, "pre_tokenizer") &&
           load_model(in, model) && load_added(in, added) && load_decoder(in, decoder) &&
           oci_post_load(in, post);
}
