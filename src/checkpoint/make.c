/* The public side of making and changing models (models/make.h). */
#include <stdio.h>
#include <string.h>

#include "checkpoint/folder.h"
#include "io/locate.h"
#include "models/make.h"
#include "models/prune.h"
#include "nn/param.h"
#include "base/size.h"

static oc_make_options read_options(const oc_make_options *options)
{
    oc_make_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    return o;
}

/* ---- the config of a pair ---- */

static json_t *put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? NULL : object;
}

/* from_encoder_decoder_pretrained's and from_vision_text_pretrained's routing: the prefix
 * says whose option it is. Only decoder_start_token_id, which its users have to set on
 * the whole afterwards, goes there. */
static void route(const oci_joint *joint, json_t *whole, json_t *const parts[2],
                  const json_t *options)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, key, value) {
        json_t *to = whole;
        size_t skip = 0;
        for (int i = 0; i < 2 && strcmp(key, "decoder_start_token_id") != 0; i++) {
            size_t n = strlen(joint->options[i]);
            if (strncmp(key, joint->options[i], n) != 0) continue;
            to = parts[i];
            skip = n;
        }
        json_object_set(to, key + skip, value);
    }
}

/* What an encoder and a decoder must be to be joined, whatever their configs say; the
 * decoder's options may not say otherwise. */
static bool begin_encoder(json_t *whole, json_t *encoder)
{
    bool good = put(whole, "is_encoder_decoder", json_true()) &&
                put(whole, "tie_word_embeddings", json_false());
    if (good && json_is_true(json_object_get(encoder, "is_decoder")))
        good = put(encoder, "is_decoder", json_false());
    if (good && json_is_true(json_object_get(encoder, "add_cross_attention")))
        good = put(encoder, "add_cross_attention", json_false());
    return good;
}

static bool end_decoder(json_t *decoder)
{
    return put(decoder, "is_decoder", json_true()) &&
           put(decoder, "add_cross_attention", json_true());
}

/* A whole CLIP stands for its vision tower. A new reference. */
static json_t *vision_part(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    if (!type || strcmp(type, "clip") != 0) return json_deep_copy(config);
    const json_t *part = json_object_get(config, "vision_config_dict");
    if (!json_is_object(part)) part = json_object_get(config, "vision_config");
    json_t *own = json_is_object(part) ? json_deep_copy(part) : json_object();
    if (own) json_object_set_new(own, "model_type", json_string("clip_vision_model"));
    return own;
}

/* The composite that `options` asks for by its model_type; NULL: error set. */
static const oci_joint *joint_of(oc_context *cx, const json_t *options)
{
    const json_t *asked = json_object_get(options, "model_type");
    const char *type = asked ? json_string_value(asked) : "vision-encoder-decoder";
    const oci_joint *joint = type ? oci_joint_find(type) : NULL;
    if (!joint)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "options: model_type: expected vision-encoder-decoder or "
                 "vision-text-dual-encoder, found %.40s",
                 type ? type : "no text");
    return joint;
}

/* A new reference. */
static json_t *join_configs(oc_context *cx, const json_t *first, const json_t *second,
                            const json_t *options)
{
    const oci_joint *joint = joint_of(cx, options);
    if (!joint) return NULL;
    bool decodes = strcmp(joint->configs[1], "decoder") == 0;
    json_t *parts[2] = { decodes ? json_deep_copy(first) : vision_part(first),
                         json_deep_copy(second) };
    json_t *whole = json_pack("{s:s, s:[s]}", "model_type", joint->model_type,
                              "architectures", joint->class_name);
    bool good = parts[0] && parts[1] && whole &&
                (!decodes || begin_encoder(whole, parts[0]));
    if (good) route(joint, whole, parts, options);
    good = good && (!decodes || end_decoder(parts[1]));
    for (int i = 0; i < 2; i++) {
        good = good && !json_object_set(whole, joint->configs[i], parts[i]);
        json_decref(parts[i]);
    }
    if (good) return whole;
    json_decref(whole);
    oci_fail(cx, OC_E_MEMORY, "no memory for a config");
    return NULL;
}

static bool parse(oc_context *cx, oci_json *doc, const char *name, const char *text)
{
    *doc = (oci_json){ 0 };
    if (!text) text = "{}";
    if (!oci_json_parse(cx, doc, name, text, strlen(text))) return false;
    if (json_is_object(doc->root)) return true;
    oci_json_expected(cx, doc, "config", "an object", doc->root);
    oci_json_close(doc);
    return false;
}

/* The joined config as text; NULL: error set. */
static char *joined_text(oc_context *cx, const oci_json *encoder, const oci_json *decoder,
                         const char *options)
{
    oci_json o = { 0 };
    char *text = NULL;
    if (!parse(cx, &o, "options", options)) return NULL;
    json_t *whole = join_configs(cx, encoder->root, decoder->root, o.root);
    if (whole) text = oci_json_text_of(cx, whole);
    json_decref(whole);
    oci_json_close(&o);
    return text;
}

char *oc_config_join(oc_context *cx, const char *encoder, const char *decoder,
                     const char *options)
{
    oci_json e = { 0 }, d = { 0 };
    if (!cx || oci_failed(cx)) return NULL;
    if (!encoder || !decoder) oci_fail(cx, OC_E_ARGUMENT, "a pair needs two configs");
    char *text = NULL;
    if (!oci_failed(cx) && parse(cx, &e, "encoder", encoder) &&
        parse(cx, &d, "decoder", decoder))
        text = joined_text(cx, &e, &d, options);
    oci_json_close(&e);
    oci_json_close(&d);
    return text;
}

/* ---- making ---- */

static oc_model *empty_model(oc_context *cx, const char *name)
{
    oc_model *model = oci_calloc(cx, 1, sizeof *model);
    if (model) model->folder = oci_strdup(cx, name);
    return model;
}

static oc_model *unless_failed(oc_context *cx, oc_model *model)
{
    if (!oci_failed(cx)) return model;
    oc_model_close(model);
    return NULL;
}

oc_model *oc_model_create(oc_context *cx, const char *config,
                          const oc_make_options *options)
{
    oc_make_options o = read_options(options);
    if (!cx || oci_failed(cx)) return NULL;
    oc_model *model = empty_model(cx, "a new model");
    if (model && parse(cx, &model->core.config, "config", config))
        oci_model_make(cx, &model->core, o.seed, o.trainable);
    return unless_failed(cx, model);
}

static bool open_config(oc_context *cx, oci_json *doc, const char *folder)
{
    char path[OCI_MAX_PATH];
    if (!folder) return false;
    snprintf(path, sizeof path, "%s/config.json", folder);
    return oci_json_open(cx, doc, path);
}

oc_model *oc_model_join(oc_context *cx, const char *encoder, const char *decoder,
                        const oc_make_options *options)
{
    oc_make_options o = read_options(options);
    if (!cx || oci_failed(cx)) return NULL;
    oc_model *model = empty_model(cx, "a new pair");
    char *folders[2] = { oci_model_locate(cx, encoder, NULL),
                         oci_model_locate(cx, decoder, NULL) };
    char *text = NULL;
    oci_json e = { 0 }, d = { 0 };
    if (model && open_config(cx, &e, folders[0]) && open_config(cx, &d, folders[1]))
        text = joined_text(cx, &e, &d, o.options);
    if (text && parse(cx, &model->core.config, "config of the pair", text))
        oci_model_join(cx, &model->core, (const char *const *)folders, o.seed,
                       o.trainable);
    oci_json_close(&e);
    oci_json_close(&d);
    oci_free(text);
    oci_free(folders[0]);
    oci_free(folders[1]);
    return unless_failed(cx, model);
}

const char *oc_model_fresh(const oc_model *model, size_t index)
{
    return model && index < model->core.fresh_count ? model->core.fresh[index] : NULL;
}

/* ---- counting, resizing ---- */

int64_t oc_model_parameters(oc_context *cx, const oc_model *model)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return -1;
    return oci_model_count(cx, &model->core);
}

oc_status oc_model_resize_tokens(oc_context *cx, oc_model *model, int64_t tokens,
                                 int64_t multiple_of, uint64_t seed)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    int64_t now = oci_model_tokens(&model->core), most = (int64_t)cx->limits.vocab_size;
    if (tokens == 0) tokens = now;
    if (multiple_of == 0) multiple_of = 1;
    if (now == 0)
        return oci_fail(cx, OC_E_UNSUPPORTED, "%s: a %s has no tokens to resize",
                        model->folder, model->core.arch->model_type);
    if (tokens < 1 || tokens > most || multiple_of < 1 || multiple_of > most)
        return oci_fail(cx, OC_E_ARGUMENT, "%s: expected 1 to %lld tokens and as much a "
                        "multiple, found %lld and %lld", model->folder, (long long)most,
                        (long long)tokens, (long long)multiple_of);
    tokens = (tokens + multiple_of - 1) / multiple_of * multiple_of;
    if (tokens != now) oci_model_resize_tokens(cx, &model->core, tokens, seed);
    return cx->status;
}

oc_status oc_model_prune_heads(oc_context *cx, oc_model *model, const char *heads)
{
    oci_json doc = { 0 };
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    if (!oci_given(cx, heads, __func__, "heads to prune") ||
        !parse(cx, &doc, "heads to prune", heads))
        return cx->status;
    oci_model_prune(cx, &model->core, doc.root);
    oci_json_close(&doc);
    return cx->status;
}

/* ---- parameters by name ---- */

typedef struct selection {
    const oci_model *model;
    const char *prefix;
    oc_tensors *out;            /* oc_model_get */
    const oc_tensors *in;       /* oc_model_set */
    size_t found;
    bool write;                 /* the second pass of oc_model_set */
} selection;

static bool selected(const selection *s, const oci_param *p)
{
    return !p->tied && *p->slot && !strncmp(p->name, s->prefix, strlen(s->prefix));
}

static void visit_freeze(oci_walker *walker, const oci_param *p)
{
    selection *s = walker->user;
    if (!selected(s, p)) return;
    (*p->slot)->requires_grad = false;
    s->found++;
}

oc_status oc_model_freeze(oc_context *cx, oc_model *model, const char *prefix)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    selection s = { .model = &model->core, .prefix = prefix ? prefix : "" };
    oci_model_walk(cx, &model->core, visit_freeze, &s);
    if (!s.found)
        oci_fail(cx, OC_E_ARGUMENT, "%s: no parameter's name begins with \"%.80s\"",
                 model->folder, s.prefix);
    return cx->status;
}

static void visit_get(oci_walker *walker, const oci_param *p)
{
    selection *s = walker->user;
    if (oci_failed(walker->cx) || !selected(s, p)) return;
    float *values = oci_param_values(walker->cx, p);
    if (values)
        oc_tensors_add(walker->cx, s->out, p->name, OC_F32, p->rank, p->shape, values);
    oci_free(values);
}

oc_tensors *oc_model_get(oc_context *cx, const oc_model *model, const char *prefix)
{
    if (!oci_given(cx, model, __func__, "a model") || !oci_model_has_weights(cx, model))
        return NULL;
    selection s = { .prefix = prefix ? prefix : "", .out = oc_tensors_create(cx) };
    if (s.out) oci_model_walk(cx, &model->core, visit_get, &s);
    if (!oci_failed(cx)) return s.out;
    oc_tensors_free(s.out);
    return NULL;
}

/* First pass: counts what fits, complains of what does not. Second pass: writes. */
static void visit_set(oci_walker *walker, const oci_param *p)
{
    oc_context *cx = walker->cx;
    selection *s = walker->user;
    oc_tensor_view v;
    if (oci_failed(cx) || p->tied || !*p->slot || !oc_tensors_find(s->in, p->name, &v))
        return;
    bool fits = v.rank == p->rank && (v.dtype == OC_F32 || v.dtype == OC_BF16 ||
                                      v.dtype == OC_F16 || v.dtype == OC_F64);
    for (int i = 0; fits && i < v.rank; i++) fits = v.shape[i] == p->shape[i];
    s->found++;
    if (!fits) {
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected floats in the shape of the parameter",
                 p->name);
    } else if (s->write) {
        bool wanted = (*p->slot)->requires_grad;        /* frozen ones stay frozen */
        oci_param_set(cx, p, v.dtype, v.data, s->model->trainable);
        (*p->slot)->requires_grad = wanted;
    }
}

oc_status oc_model_set(oc_context *cx, oc_model *model, const oc_tensors *values)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, values, __func__, "named tensors") ||
        !oci_model_has_weights(cx, model))
        return oc_context_status(cx);
    selection s = { .model = &model->core, .prefix = "", .in = values };
    oci_model_walk(cx, &model->core, visit_set, &s);
    if (!oci_failed(cx) && s.found != oc_tensors_count(values))
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected names of parameters, found %zu tensors of "
                 "which %zu are",
                 model->folder, oc_tensors_count(values), s.found);
    s.write = true;
    if (!oci_failed(cx)) oci_model_walk(cx, &model->core, visit_set, &s);
    return cx->status;
}
