/* Post-processors: which special tokens stand around a text and a pair. All of them come
 * down to a template for one text and one for two. */
#include <string.h>

#include "base/size.h"
#include "text/loader.h"

enum { MAX_ITEMS = 64 };        /* of a template; RoBERTa's has six */

static const oci_template_item first = { 0, 0, 0 };

bool oci_template_set(oc_context *cx, oci_template *out, const oci_template_item *items,
                      size_t count)
{
    oci_template_item *copy = oci_calloc(cx, count ? count : 1, sizeof *copy);
    if (!copy) return false;
    if (count) memcpy(copy, items, count * sizeof *copy);
    oci_free(out->items);
    *out = (oci_template){ copy, count };
    return true;
}

void oci_post_deinit(oci_post *post)
{
    oci_free(post->single.items);
    oci_free(post->pair.items);
    *post = (oci_post){ 0 };
}

bool oci_post_none(oc_context *cx, oci_post *post)
{
    const oci_template_item pair[] = { first, { 1, 1, 0 } };
    return oci_template_set(cx, &post->single, &first, 1) &&
           oci_template_set(cx, &post->pair, pair, 2);
}

/* <s> A </s>, <s> A </s></s> B </s>, all of type 0. */
bool oci_post_roberta(oc_context *cx, oci_post *post, uint32_t cls, uint32_t sep)
{
    const oci_template_item c = { -1, 0, cls }, s = { -1, 0, sep };
    const oci_template_item pair[] = { c, first, s, s, { 1, 0, 0 }, s };
    return oci_template_set(cx, &post->single, pair, 3) &&
           oci_template_set(cx, &post->pair, pair, 6);
}

/* ---- from tokenizer.json ----------------------------------------------------------- */

/* A special token's id: one that the vocabulary has. */
static uint32_t special_id(oci_loader *in, const json_t *value, const char *field)
{
    json_int_t id = json_integer_value(value);
    if (json_is_integer(value) && oci_vocab_get(&in->t->vocab, id, NULL))
        return (uint32_t)id;
    oci_json_expected(in->cx, &in->json, field, "the id of a token", value);
    return 0;
}

/* "cls" or "sep": [text, id]. */
static uint32_t load_named(oci_loader *in, const json_t *object, const char *key)
{
    const json_t *pair = oci_json_array(in->cx, &in->json, object,
                                        oci_field(in, "post_processor", key));
    if (oci_failed(in->cx)) return 0;
    if (json_array_size(pair) == 2 && json_is_string(json_array_get(pair, 0)))
        return special_id(in, json_array_get(pair, 1), in->field);
    oci_json_expected(in->cx, &in->json, in->field, "a token and its id", pair);
    return 0;
}

static void load_offsets(oci_loader *in, const json_t *object)
{
    oci_post *post = &in->t->post;
    post->has_offsets = true;
    post->trim_offsets =
        oci_json_bool(in->cx, &in->json, object,
                      oci_field(in, "post_processor", "trim_offsets"), true);
    post->add_prefix_space =
        oci_json_bool(in->cx, &in->json, object,
                      oci_field(in, "post_processor", "add_prefix_space"), true);
}

/* On an error the ids are 0, and nothing is made of them. */
static bool load_roberta(oci_loader *in, const json_t *object)
{
    uint32_t cls = load_named(in, object, "cls"), sep = load_named(in, object, "sep");
    load_offsets(in, object);
    return !oci_failed(in->cx) && oci_post_roberta(in->cx, &in->t->post, cls, sep);
}

static bool load_bert(oci_loader *in, const json_t *object)
{
    uint32_t cls = load_named(in, object, "cls"), sep = load_named(in, object, "sep");
    const oci_template_item pair[] = {
        { -1, 0, cls }, first, { -1, 0, sep }, { 1, 1, 0 }, { -1, 1, sep }
    };
    return !oci_failed(in->cx) &&
           oci_template_set(in->cx, &in->t->post.single, pair, 3) &&
           oci_template_set(in->cx, &in->t->post.pair, pair, 5);
}

static bool load_bytelevel(oci_loader *in, const json_t *object)
{
    load_offsets(in, object);
    in->t->post.bytelevel = true;
    return !oci_failed(in->cx) && oci_post_none(in->cx, &in->t->post);
}

/* {"SpecialToken": {"id": NAME, "type_id": T}}: the ids that `specials` has for NAME. */
static void add_special(oci_loader *in, const json_t *specials, const char *name,
                        uint8_t type, const char *field, oci_template_item *items,
                        size_t *count)
{
    const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
    if (!json_is_array(ids)) {
        oci_json_expected(in->cx, &in->json, field, "a token of special_tokens", ids);
        return;
    }
    for (size_t i = 0; i < json_array_size(ids) && !oci_failed(in->cx); i++) {
        if (*count == MAX_ITEMS) {
            oci_fail(in->cx, OC_E_LIMIT, "%s: %s: expected at most %d tokens",
                     in->json.name, field, MAX_ITEMS);
            return;
        }
        uint32_t id = special_id(in, json_array_get(ids, i), field);
        items[(*count)++] = (oci_template_item){ -1, type, id };
    }
}

/* {"Sequence": {"id": "A" or "B", "type_id": T}} */
static void add_sequence(oci_loader *in, const char *name, uint8_t type, int sequences,
                         const char *field, oci_template_item *items, size_t *count)
{
    bool b = !strcmp(name, "B");
    if ((!b && strcmp(name, "A")) || (b && sequences < 2) || *count == MAX_ITEMS)
        oci_fail(in->cx, OC_E_MALFORMED, "%s: %s: expected sequence %s, found \"%.50s\"",
                 in->json.name, field, sequences < 2 ? "A" : "A or B", name);
    else
        items[(*count)++] = (oci_template_item){ (int8_t)b, type, 0 };
}

static bool load_template(oci_loader *in, const json_t *object, const char *key,
                          int sequences, oci_template *out)
{
    oc_context *cx = in->cx;
    oci_template_item items[MAX_ITEMS];
    size_t count = 0;
    const json_t *pieces = oci_json_array(cx, &in->json, object,
                                          oci_field(in, "post_processor", key));
    const json_t *specials = oci_json_object(cx, &in->json, object,
                                             "post_processor.special_tokens");
    char field[64];
    snprintf(field, sizeof field, "post_processor.%s", key);
    if (!pieces && !oci_failed(cx))
        oci_json_expected(cx, &in->json, field, "an array of pieces", pieces);
    for (size_t i = 0; i < json_array_size(pieces) && !oci_failed(cx); i++) {
        const json_t *piece = json_array_get(pieces, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const json_t *body = special ? special : json_object_get(piece, "Sequence");
        const char *name = json_string_value(json_object_get(body, "id"));
        json_int_t type = json_integer_value(json_object_get(body, "type_id"));
        if (!name || type < 0 || type > 255)
            oci_json_expected(cx, &in->json, field, "a SpecialToken or Sequence", piece);
        else if (special)
            add_special(in, specials, name, (uint8_t)type, field, items, &count);
        else
            add_sequence(in, name, (uint8_t)type, sequences, field, items, &count);
    }
    return !oci_failed(cx) && oci_template_set(cx, out, items, count);
}

/* TemplateProcessing sets the types of what was not cut off, and only of that. */
static bool load_templates(oci_loader *in, const json_t *object)
{
    in->t->post.first_types_only = true;
    return load_template(in, object, "single", 1, &in->t->post.single) &&
           load_template(in, object, "pair", 2, &in->t->post.pair);
}

static const struct {
    const char *type;
    bool (*load)(oci_loader *in, const json_t *object);
} kinds[] = { { "RobertaProcessing", load_roberta },
              { "BertProcessing", load_bert },
              { "TemplateProcessing", load_templates },
              { "ByteLevel", load_bytelevel } };

bool oci_post_load(oci_loader *in, const json_t *object)
{
    if (!object) return oci_post_none(in->cx, &in->t->post);
    const char *type =
        oci_json_text(in->cx, &in->json, object, "post_processor.type", "");
    if (oci_failed(in->cx)) return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].type, type)) return kinds[i].load(in, object);
    oci_fail(in->cx, OC_E_UNSUPPORTED, "%s: post_processor: %.100s", in->json.name, type);
    return false;
}
