#include "models/config.h"

#include <stdio.h>
#include <string.h>

/* "FILE: PART.FIELD: what": from->path is "" or the way to the part, with a dot at its
 * end. */
void oci_config_fail(oc_context *cx, const oci_config_source *from, const char *field,
                     const char *format, ...)
{
    char text[OCI_MAX_MESSAGE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    oci_fail(cx, OC_E_MALFORMED, "%s: %s%s: %s", from->doc->name, from->path, field,
             text);
}

/* A field that was not read holds 0, and nothing is divided by it. */
void oci_config_divides(oc_context *cx, const oci_config_source *from,
                        const char *part_name, int64_t part, const char *whole_name,
                        int64_t whole)
{
    if (oci_failed(cx) || (part > 0 && whole % part == 0)) return;
    oci_config_fail(cx, from, part_name, "expected a divisor of %s %lld, found %lld",
                    whole_name, (long long)whole, (long long)part);
}

/* By name, as configs have it; the table of names is nn/act.c's. */
static void read_act(oc_context *cx, const oci_config_source *from, const oci_field *f,
                     const char *name, oci_act *act)
{
    *act = (oci_act)f->fallback;
    const char *text = oci_json_text(cx, from->doc, from->object, name, NULL);
    if (text && !oci_failed(cx) && !oci_act_find(text, act))
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: %s: expected an activation such as gelu, gelu_new, quick_gelu, "
                 "relu, silu or tanh, found \"%.40s\"",
                 from->doc->name, name, text);
}

/* A number for both sides, or [height, width]. */
static void read_pair(oc_context *cx, const oci_config_source *from, const oci_field *f,
                      const char *name, int64_t pair[2])
{
    const json_t *value = json_object_get(from->object, f->key);
    if (!json_is_array(value)) {
        pair[0] = pair[1] = oci_json_int(cx, from->doc, from->object, name,
                                         (int64_t)f->fallback, (int64_t)f->low,
                                         (int64_t)f->high);
        return;
    }
    bool good = json_array_size(value) == 2;
    for (size_t i = 0; good && i < 2; i++) {
        const json_t *side = json_array_get(value, i);
        pair[i] = json_integer_value(side);
        good = json_is_integer(side) && (double)pair[i] >= f->low &&
               (double)pair[i] <= f->high;
    }
    if (!good)
        oci_json_expected(cx, from->doc, name, "a number or [height, width]", value);
}

/* What null means: false for a switch; "none" where the table's default lies outside the
 * range (n_inner, cross_attention_hidden_size) and for the ids of tokens; else a fault,
 * for Transformers would go down on it. True if the field is done with. */
static bool read_null(oc_context *cx, const oci_config_source *from, const oci_field *f,
                      const char *name, void *at)
{
    const json_t *value = json_object_get(from->object, f->key);
    if (!json_is_null(value)) return false;
    size_t n = strlen(f->key);
    bool id = n > 9 && !strcmp(f->key + n - 9, "_token_id");
    bool number = f->type == OCI_FIELD_INT || f->type == OCI_FIELD_REAL;
    if (f->type == OCI_FIELD_BOOL) *(bool *)at = false;
    else if (!number || (!id && f->fallback >= f->low && f->fallback <= f->high))
        oci_json_expected(cx, from->doc, name, "a value", value);
    return f->type == OCI_FIELD_BOOL || oci_failed(cx);
}

int64_t oci_config_list(oc_context *cx, const oci_config_source *from, const char *key,
                        int64_t low, int64_t high, int64_t *out, int64_t count,
                        int64_t most)
{
    char name[OCI_MAX_NAME];
    snprintf(name, sizeof name, "%s%s", from->path, key);
    const json_t *list = oci_json_array(cx, from->doc, from->object, name);
    if (!list || oci_failed(cx)) return count;
    int64_t n = (int64_t)json_array_size(list);
    if (n < 1 || n > most) {
        oci_config_fail(cx, from, key, "expected 1 to %lld numbers, found %lld",
                        (long long)most, (long long)n);
        return count;
    }
    for (int64_t i = 0; i < n && !oci_failed(cx); i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        out[i] = json_integer_value(item);
        if (!json_is_integer(item) || out[i] < low || out[i] > high)
            oci_json_expected(cx, from->doc, name, "integers of a sensible size", item);
    }
    return n;
}

/* One loop over the table: every field is read, ranged and named in messages alike, and
 * a model file has no line of it. */
bool oci_config_read(oc_context *cx, const oci_config_source *from,
                     const oci_field *fields, void *config)
{
    char name[OCI_MAX_NAME];
    for (const oci_field *f = fields; f->key && !oci_failed(cx); f++) {
        void *at = (char *)config + f->offset;
        snprintf(name, sizeof name, "%s%s", from->path, f->key);
        if (read_null(cx, from, f, name, at)) continue;
        switch (f->type) {
        case OCI_FIELD_INT:
            *(int64_t *)at = oci_json_int(cx, from->doc, from->object, name,
                                          (int64_t)f->fallback, (int64_t)f->low,
                                          (int64_t)f->high);
            break;
        case OCI_FIELD_REAL:
            *(double *)at = oci_json_real(cx, from->doc, from->object, name, f->fallback,
                                          f->low, f->high);
            break;
        case OCI_FIELD_BOOL:
            *(bool *)at = oci_json_bool(cx, from->doc, from->object, name,
                                        f->fallback != 0);
            break;
        case OCI_FIELD_ACT: read_act(cx, from, f, name, at); break;
        case OCI_FIELD_PAIR: read_pair(cx, from, f, name, at); break;
        }
    }
    return !oci_failed(cx);
}

bool oci_config_sub(oc_context *cx, const oci_config_source *from, const char *key,
                    oci_role role, oci_sub_config *sub)
{
    snprintf(sub->path, sizeof sub->path, "%s%s", from->path, key);
    json_t *object = oci_json_object(cx, from->doc, from->object, sub->path);
    if (oci_failed(cx)) return false;
    if (!object) {
        oci_config_fail(cx, from, key, "required, but missing");
        return false;
    }
    /* Without the dot it names the object itself, with it what is in front of its
     * fields. */
    snprintf(sub->path, sizeof sub->path, "%s%s.", from->path, key);
    sub->source = (oci_config_source){
        .doc = from->doc, .object = object, .path = sub->path, .role = role
    };
    const json_t *type = json_object_get(object, "model_type");
    sub->model_type = json_string_value(type);
    if (!type)
        oci_config_fail(cx, &sub->source, "model_type", "required, but missing");
    char field[OCI_MAX_NAME + 16];
    snprintf(field, sizeof field, "%smodel_type", sub->path);
    if (type && !sub->model_type) oci_json_expected(cx, from->doc, field, "a text", type);
    return !oci_failed(cx);
}

const char *oci_config_class(const oci_config_source *from)
{
    const json_t *names = json_object_get(from->object, "architectures");
    return json_string_value(json_array_get(names, 0));
}

int64_t oci_config_labels(oc_context *cx, const oci_config_source *from)
{
    enum { MOST_LABELS = 1 << 24 };
    char name[OCI_MAX_NAME];
    const json_t *labels = json_object_get(from->object, "id2label");
    bool named = labels && !json_is_null(labels);
    snprintf(name, sizeof name, "%s%s", from->path, named ? "id2label" : "num_labels");
    if (!named)
        return oci_json_int(cx, from->doc, from->object, name, 2, 1, MOST_LABELS);
    int64_t count = (int64_t)json_object_size(labels);
    if (count < 1 || count > MOST_LABELS)
        oci_json_expected(cx, from->doc, name, "an object that names labels", labels);
    return count;
}

/* As a part a decoder is always the class with the head, an encoder or a tower never;
 * alone the file says it, and without a word it is the base class. */
bool oci_config_has_head(const oci_config_source *from, const char *base_class)
{
    if (from->role != OCI_ROLE_ALONE) return from->role == OCI_ROLE_DECODER;
    const char *name = oci_config_class(from);
    return name && strcmp(name, base_class) != 0;
}

/* For keys of which 4.37.2 knows several values and we one. */
void oci_config_only(oc_context *cx, const oci_config_source *from, const char *field,
                     const char *value)
{
    char name[OCI_MAX_NAME];
    snprintf(name, sizeof name, "%s%s", from->path, field);
    const char *found = oci_json_text(cx, from->doc, from->object, name, value);
    if (!oci_failed(cx) && strcmp(found, value) != 0)
        oci_fail(cx, OC_E_UNSUPPORTED, "%s: %s: expected \"%s\", found \"%.40s\"",
                 from->doc->name, name, value, found);
}

/* torch makes an embedding only if its padding_idx is one of its rows. */
int64_t oci_config_pad(oc_context *cx, const oci_config_source *from, int64_t fallback,
                       int64_t vocab_size)
{
    char name[OCI_MAX_NAME];
    snprintf(name, sizeof name, "%spad_token_id", from->path);
    if (json_is_null(json_object_get(from->object, "pad_token_id"))) return -1;
    int64_t pad = oci_json_int(cx, from->doc, from->object, name, fallback, 0, 1 << 24);
    if (!oci_failed(cx) && pad >= vocab_size)
        oci_config_fail(cx, from, "pad_token_id",
                        "expected less than vocab_size %lld, found %lld",
                        (long long)vocab_size, (long long)pad);
    return pad;
}
