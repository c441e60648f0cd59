/* Special and added tokens of tokenizer_config.json and its companions: which there are,
 * with what flags, and in what order they get ids. Follows _from_pretrained and __init__
 * of PreTrainedTokenizerBase and PreTrainedTokenizerFast, Transformers 4.37.2. */
#include <stdlib.h>
#include <string.h>

#include "text/loader.h"

/* In the order of SPECIAL_TOKENS_ATTRIBUTES, in which roles get their ids. */
static const char *const role_keys[OCI_ROLES] = { "bos_token", "eos_token", "unk_token",
                                                  "sep_token", "pad_token", "cls_token",
                                                  "mask_token" };

static const char more_key[] = "additional_special_tokens";

/* A token that a file adds, with the id that the file gives it. */
typedef struct pending {
    int64_t id;
    size_t order;               /* of two with one id the later one counts */
    oci_added token;
    bool mapped;                /* a role that names it takes its flags over */
} pending;

typedef struct pendings {
    pending *items;
    size_t count, room;
} pendings;

/* ---- tokens to be added ------------------------------------------------------------ */

/* The token's text stays the document's, which is open until all are added. */
static bool push(oci_loader *in, pendings *list, int64_t id, const oci_added *token,
                 bool mapped)
{
    pending *items =
        oci_grow(in->cx, list->items, &list->room, list->count + 1, sizeof *items);
    if (!items) return false;
    list->items = items;
    items[list->count] = (pending){ id, list->count, *token, mapped };
    list->count++;
    return true;
}

/* "50257" → 50257; -1 if it is not an id. */
static int64_t parse_id(const char *text, uint64_t limit)
{
    uint64_t id = 0;
    if (!*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return -1;
        id = id * 10 + (uint64_t)(*text - '0');
        if (id >= limit) return -1;
    }
    return (int64_t)id;
}

/* added_tokens_decoder: id → AddedToken. */
static bool collect_decoder(oci_loader *in, const json_t *decoder, pendings *list)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)decoder, key, value) {
        char field[OCI_MAX_FIELD];
        snprintf(field, sizeof field, "added_tokens_decoder[\"%.50s\"]", key);
        oci_added token;
        int64_t id = parse_id(key, in->cx->limits.vocab_size);
        if (id < 0)
            oci_fail(in->cx, OC_E_MALFORMED, "%s: %s: expected an id", in->config.name,
                     field);
        if (oci_failed(in->cx) ||
            !oci_read_added(in, &in->config, value, field, false, &token) ||
            !push(in, list, id, &token, true))
            return false;
    }
    return true;
}

static bool put_in(oci_loader *in, oci_vocab *set, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    return !text || oci_vocab_find(set, text, size) != OCI_NO_ID ||
           oci_vocab_add(in->cx, set, text, size, set->bound);
}

/* The texts that make an entry of added_tokens.json special: those of
 * special_tokens_map.json in any form, of tokenizer_config.json only as strings
 * (Transformers looks at its AddedTokens before they are made of their objects). */
static bool collect_named(oci_loader *in, oci_vocab *set)
{
    if (!oci_vocab_init(in->cx, set, 0, 0, 0)) return false;
    const oci_json *const docs[] = { &in->map, &in->config };
    bool ok = true;
    for (int d = 0; d < 2; d++) {
        for (int r = 0; ok && r < OCI_ROLES; r++) {
            const json_t *value = json_object_get(docs[d]->root, role_keys[r]);
            if (d == 1 && json_object_get(in->map.root, role_keys[r])) continue;
            if (d == 0 && json_is_object(value))
                value = json_object_get(value, "content");
            ok = put_in(in, set, value);
        }
        const json_t *list = json_object_get(docs[d]->root, more_key);
        for (size_t i = 0; ok && i < json_array_size(list); i++) {
            const json_t *value = json_array_get(list, i);
            if (d == 0 && json_is_object(value))
                value = json_object_get(value, "content");
            ok = put_in(in, set, value);
        }
    }
    return ok;
}

/* added_tokens.json: text → id. */
static bool collect_legacy(oci_loader *in, pendings *list)
{
    const char *key;
    json_t *value;
    oci_vocab named = { 0 };
    bool ok = collect_named(in, &named);
    json_object_foreach(in->added.root, key, value) {
        json_int_t id = json_integer_value(value);
        if (!ok) break;
        if (!json_is_integer(value) || id < 0 ||
            (uint64_t)id >= in->cx->limits.vocab_size) {
            oci_json_expected(in->cx, &in->added, key, "an id", value);
            ok = false;
            break;
        }
        oci_added token = { .content = key, .size = strlen(key) };
        token.special = oci_vocab_find(&named, key, token.size) != OCI_NO_ID;
        token.normalized = !token.special;
        ok = push(in, list, id, &token, false);
    }
    oci_vocab_deinit(&named);
    return ok;
}

/* tokenizer.json's own tokens again: a role may turn one into a special token. */
static bool collect_own(oci_loader *in, pendings *list)
{
    const json_t *own = json_object_get(in->json.root, "added_tokens");
    for (size_t i = 0; i < json_array_size(own); i++) {
        const json_t *object = json_array_get(own, i);
        oci_added token;
        if (!oci_read_added(in, &in->json, object, "added_tokens", false, &token) ||
            !push(in, list, json_integer_value(json_object_get(object, "id")), &token,
                  true))
            return false;
    }
    return true;
}

/* qsort is not stable: `order` makes it so. */
static int compare_pending(const void *a, const void *b)
{
    const pending *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- roles ------------------------------------------------------------------------- */

/* Sets a role from a string or an AddedToken; null: none. */
static bool read_role(oci_loader *in, const oci_json *doc, const json_t *value,
                      oci_role role)
{
    oci_added *token = &in->roles[role];
    *token = (oci_added){ .normalized = -1 };
    in->role_is_text[role] = json_is_string(value);
    if (json_is_null(value)) return true;
    if (json_is_object(value))
        return oci_read_added(in, doc, value, role_keys[role], doc == &in->map, token);
    token->content = oci_json_text(in->cx, doc, doc->root, role_keys[role], NULL);
    token->size = token->content ? strlen(token->content) : 0;
    return !oci_failed(in->cx);
}

/* An AddedToken of the files with the role's text takes the place of the role. */
static void map_role(oci_loader *in, const pendings *list, oci_role role)
{
    oci_added *token = &in->roles[role];
    for (size_t i = 0; token->content && i < list->count; i++) {
        const pending *p = &list->items[i];
        if (!p->mapped || strcmp(p->token.content, token->content)) continue;
        *token = p->token;
        in->role_is_text[role] = false;
    }
}

/* What the classes' constructors make of a string. */
static void wrap_role(oci_loader *in, oci_role role, bool converted)
{
    oci_added *token = &in->roles[role];
    const oci_class *class = in->class;
    bool roberta = class->family == OCI_ROBERTA, gpt2 = class->family == OCI_GPT2;
    if (!token->content || !in->role_is_text[role]) return;
    if (role == OCI_MASK && class->mask != OCI_MASK_TEXT) {
        token->lstrip = true;
        token->normalized =
            class->mask == OCI_MASK_UNSAID ? -1 : class->mask == OCI_MASK_NORMALIZED;
        token->special = converted && class->family == OCI_XLMR;
    /* Slow classes wrap strings: AddedToken(…) is normalized, LlamaTokenizer's is not. */
    } else if (converted && (roberta || (gpt2 && (role <= OCI_UNK || role == OCI_PAD)) ||
                             (class->family == OCI_CLIP && role <= OCI_UNK))) {
        token->normalized = 1;
    } else if (converted && class->family == OCI_LLAMA &&
               (role <= OCI_UNK || role == OCI_PAD)) {
        token->normalized = 0;
        token->special = true;
    } else {
        return;
    }
    in->role_is_text[role] = false;
}

static bool read_roles(oci_loader *in, const pendings *list, bool modern, bool converted)
{
    for (int r = 0; r < OCI_ROLES; r++) {
        const json_t *mapped = modern ? NULL
                                      : json_object_get(in->map.root, role_keys[r]);
        const json_t *value = mapped ? mapped
                                     : json_object_get(in->config.root, role_keys[r]);
        if (value) {
            if (!read_role(in, mapped ? &in->map : &in->config, value, (oci_role)r))
                return false;
            map_role(in, list, (oci_role)r);
        } else if (in->class && in->class->roles[r]) {
            const char *text = in->class->roles[r];
            in->roles[r] = (oci_added){ .content = text, .size = strlen(text),
                                        .normalized = -1 };
            in->role_is_text[r] = true;
        }
        if (in->class) wrap_role(in, (oci_role)r, converted);
    }
    return true;
}

/* The pad token of tokenizer.json's "padding", where nothing else names one. */
static void read_padding(oci_loader *in, bool modern)
{
    const char *key = role_keys[OCI_PAD];
    const json_t *padding = json_object_get(in->json.root, "padding");
    if (json_object_get(in->config.root, key) ||
        (in->class && in->class->roles[OCI_PAD]) ||
        (!modern && json_object_get(in->map.root, key)) || !json_is_object(padding))
        return;
    const char *text =
        oci_json_text(in->cx, &in->json, padding, "padding.pad_token", NULL);
    if (!text) return;
    in->roles[OCI_PAD] =
        (oci_added){ .content = text, .size = strlen(text), .normalized = -1 };
    in->role_is_text[OCI_PAD] = true;
}

/* ---- adding ------------------------------------------------------------------------ */

static bool is_role(const oci_loader *in, const char *text)
{
    for (int r = 0; r < OCI_ROLES; r++)
        if (in->roles[r].content && !strcmp(in->roles[r].content, text)) return true;
    return false;
}

static bool add(oci_loader *in, const oci_added *token)
{
    oci_added_add(in->cx, &in->t->added, &in->t->vocab, token, in->folder);
    return !oci_failed(in->cx);
}

static bool is_normalized(const oci_added *token)
{
    return token->normalized < 0 ? !token->special : token->normalized;
}

/* A file adds the same token, flag by flag: then the role does not add it once more,
 * which matters when yet another entry has changed its flags in between. */
static bool is_listed(const pendings *list, const oci_added *token)
{
    for (size_t i = 0; i < list->count; i++) {
        const oci_added *p = &list->items[i].token;
        if (p->size == token->size && !memcmp(p->content, token->content, p->size) &&
            p->single_word == token->single_word && p->lstrip == token->lstrip &&
            p->rstrip == token->rstrip && p->special == token->special &&
            is_normalized(p) == is_normalized(token))
            return true;
    }
    return false;
}

/* Of roles with one text the first one counts. */
static bool is_earlier(const oci_loader *in, oci_role role)
{
    for (int r = 0; r < (int)role; r++)
        if (in->roles[r].content &&
            !strcmp(in->roles[r].content, in->roles[role].content))
            return true;
    return false;
}

static bool add_special(oci_loader *in, const oci_added *given, bool is_text)
{
    oci_added token = *given;
    token.special = true;
    if (is_text &&
        oci_added_has(&in->t->added,
                      oci_vocab_find(&in->t->vocab, token.content, token.size)))
        return true;
    return add(in, &token);
}

/* Those that the class brings along come before the files'. */
static bool add_class_tokens(oci_loader *in)
{
    for (const char *const *more = in->class->more; more && *more; more++) {
        oci_added token = { .content = *more, .size = strlen(*more), .normalized = -1 };
        if (!add_special(in, &token, true)) return false;
    }
    return true;
}

/* additional_special_tokens of one file. */
static bool add_more(oci_loader *in, const oci_json *doc)
{
    const json_t *list = oci_json_array(in->cx, doc, doc->root, more_key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        oci_added token = { .content = json_string_value(value), .normalized = -1,
                            .size = json_string_length(value) };
        if (!token.content && !oci_read_added(in, doc, value, more_key, true, &token))
            return false;
        if (!is_role(in, token.content) &&
            !add_special(in, &token, json_is_string(value)))
            return false;
    }
    return !oci_failed(in->cx);
}

/* Every text that some file calls special, as a set. */
static bool collect_specials(oci_loader *in, const oci_json *const docs[2],
                             oci_vocab *set)
{
    if (!oci_vocab_init(in->cx, set, 0, 0, 0)) return false;
    for (int r = 0; r < OCI_ROLES; r++) {
        const oci_added *token = &in->roles[r];
        if (token->content &&
            oci_vocab_find(set, token->content, token->size) == OCI_NO_ID &&
            !oci_vocab_add(in->cx, set, token->content, token->size, set->bound))
            return false;
    }
    const char *const *more = in->class ? in->class->more : NULL;
    for (; more && *more; more++)
        if (oci_vocab_find(set, *more, strlen(*more)) == OCI_NO_ID &&
            !oci_vocab_add(in->cx, set, *more, strlen(*more), set->bound))
            return false;
    for (int d = 0; d < 2; d++) {
        const json_t *list = docs[d] ? json_object_get(docs[d]->root, more_key) : NULL;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *value = json_array_get(list, i);
            if (json_is_object(value)) value = json_object_get(value, "content");
            if (!put_in(in, set, value)) return false;
        }
    }
    return true;
}

/* Of entries with one id the last one counts. */
static void drop_replaced(pendings *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (i + 1 == list->count || list->items[i + 1].id != list->items[i].id)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

static bool add_all(oci_loader *in, pendings *list, bool modern)
{
    const oci_json *const docs[2] = { &in->config, modern ? NULL : &in->map };
    oci_vocab specials = { 0 };
    bool listed[OCI_ROLES], ok = collect_specials(in, docs, &specials);
    drop_replaced(list);
    for (int r = 0; r < OCI_ROLES; r++)
        listed[r] = !in->roles[r].content || is_earlier(in, (oci_role)r) ||
                    (!in->role_is_text[r] && is_listed(list, &in->roles[r]));
    for (size_t i = 0; ok && i < list->count; i++) {
        oci_added *token = &list->items[i].token;
        token->special |=
            oci_vocab_find(&specials, token->content, token->size) != OCI_NO_ID;
        ok = add(in, token);
    }
    for (int r = 0; ok && r < OCI_ROLES; r++)
        if (!listed[r]) ok = add_special(in, &in->roles[r], in->role_is_text[r]);
    if (ok && in->class) ok = add_class_tokens(in);
    for (int d = 0; ok && d < 2; d++)
        if (docs[d]) ok = add_more(in, docs[d]);
    oci_vocab_deinit(&specials);
    return ok;
}

bool oci_special_add(oci_loader *in, bool converted)
{
    oc_context *cx = in->cx;
    pendings list = { 0 };
    const json_t *decoder = oci_json_object(cx, &in->config, in->config.root,
                                            "added_tokens_decoder");
    if (oci_failed(cx)) return false;
    bool ok = decoder
                  ? collect_decoder(in, decoder, &list)
                  : collect_legacy(in, &list) && (converted || collect_own(in, &list));
    if (list.count) qsort(list.items, list.count, sizeof *list.items, compare_pending);
    ok = ok && read_roles(in, &list, decoder, converted);
    if (ok) read_padding(in, decoder);
    ok = ok && !oci_failed(cx) && add_all(in, &list, decoder);
    oci_free(list.items);
    return ok;
}
