/* oc_inspect: what a folder holds, from its headers alone. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "checkpoint/folder.h"
#include "io/file.h"
#include "io/locate.h"
#include "io/weights.h"
#include "models/memory.h"

typedef struct inspection {
    oc_context *cx;
    oci_model model;
    oci_weights weights;
    bool *used;                     /* [weights.count] */
    json_t *missing;                /* names that the model needs and the files lack */
    int64_t parameters;
} inspection;

static void visit(oci_walker *walker, const oci_param *p)
{
    inspection *i = walker->user;
    const oci_weight_ref *ref = oci_model_weight(i->model.arch, &i->weights, p->name);
    if (ref) i->used[ref - i->weights.refs] = true;
    if (!ref && !p->optional && !p->tied)
        json_array_append_new(i->missing, json_string(p->name));
    if (p->tied || !ref) return;
    int64_t n = 1;
    for (int d = 0; d < p->rank; d++) n *= p->shape[d];
    i->parameters += n;
}

static json_t *shape_json(const oci_entry *e)
{
    json_t *shape = json_array();
    for (int d = 0; d < e->rank; d++)
        json_array_append_new(shape, json_integer(e->shape[d]));
    return shape;
}

static json_t *tensor_list(const inspection *i)
{
    json_t *list = json_array();
    for (size_t k = 0; k < i->weights.count; k++) {
        const oci_entry *e = i->weights.refs[k].entry;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:I}", "name",
                                        i->weights.refs[k].name, "dtype",
                                        oci_dtype_name(e->dtype), "shape", shape_json(e),
                                        "bytes", (json_int_t)e->bytes));
    }
    return list;
}

static void put_weights(const inspection *i, json_t *out)
{
    json_int_t bytes = 0, of[OC_INT4 + 1] = { 0 };
    json_t *unused = json_array(), *dtypes = json_object(), *files = json_array();
    for (size_t k = 0; k < i->weights.count; k++) {
        const oci_weight_ref *ref = &i->weights.refs[k];
        bytes += (json_int_t)ref->entry->bytes;
        of[ref->entry->dtype]++;
        if (!i->used[k] && !oci_key_ignored(ref->name))
            json_array_append_new(unused, json_string(ref->name));
    }
    for (int t = 0; t <= OC_INT4; t++)
        if (of[t])
            json_object_set_new(dtypes, oci_dtype_name((oc_dtype)t), json_integer(of[t]));
    for (size_t k = 0; k < i->weights.file_count; k++) {
        const oci_weight_file *f = &i->weights.files[k];
        const char *slash = strrchr(f->path, '/');
        json_int_t size = 0;
        for (size_t n = 0; n < f->count; n++) size += (json_int_t)f->entries[n].bytes;
        json_array_append_new(files,
                              json_pack("{s:s, s:I}", "name", slash ? slash + 1 : f->path,
                                        "bytes", size));
    }
    json_object_set_new(out, "bytes", json_integer(bytes));
    json_object_set_new(out, "dtype", dtypes);
    json_object_set_new(out, "files", files);
    json_object_set_new(out, "unused", unused);
}

/* The scalars and short lists of a config: what a reader wants of it. */
static json_t *summary(const json_t *config)
{
    static const char *const keys[] = { "model_type",
                                        "hidden_size",
                                        "d_model",
                                        "num_hidden_layers",
                                        "decoder_layers",
                                        "num_attention_heads",
                                        "decoder_attention_heads",
                                        "intermediate_size",
                                        "decoder_ffn_dim",
                                        "image_size",
                                        "patch_size",
                                        "num_channels",
                                        "vocab_size",
                                        "max_position_embeddings",
                                        "hidden_act",
                                        "activation_function",
                                        "cross_attention_hidden_size",
                                        "dim",
                                        "n_layers",
                                        "n_heads",
                                        "projection_dim" };
    json_t *out = json_object();
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        json_t *value = json_object_get(config, keys[k]);
        if (value && !json_is_null(value)) json_object_set(out, keys[k], value);
    }
    return out;
}

/* The part of a composite's config under one of two keys; NULL: it has none. */
static const json_t *part_of(const json_t *config, const char *a, const char *b)
{
    const json_t *part = json_object_get(config, a);
    if (!part) part = json_object_get(config, b);
    return json_is_object(part) ? part : NULL;
}

static void put_config(const inspection *i, json_t *out)
{
    const json_t *config = i->model.config.root;
    const json_t *encoder = part_of(config, "encoder", "vision_config");
    const json_t *decoder = part_of(config, "decoder", "text_config");
    bool dual = encoder && !json_object_get(config, "encoder");
    json_t *names = json_object_get(config, "architectures");
    json_t *vocab = json_object_get(decoder ? decoder : config, "vocab_size");
    json_t *size = json_object_get(encoder ? encoder : config, "image_size");
    const char *class_name = json_string_value(json_array_get(names, 0));
    json_object_set_new(out, "architecture",
                        json_string(class_name ? class_name
                                               : i->model.arch->classes[0].name));
    json_object_set_new(out, "model_type", json_string(i->model.arch->model_type));
    if (vocab) json_object_set(out, "vocab_size", vocab);
    if (json_is_integer(size))
        json_object_set_new(out, "image_size", json_pack("[O, O]", size, size));
    else if (size) json_object_set(out, "image_size", size);
    if (encoder)
        json_object_set_new(out, dual ? "vision_config" : "encoder", summary(encoder));
    if (decoder)
        json_object_set_new(out, dual ? "text_config" : "decoder", summary(decoder));
    if (!encoder && !decoder) json_object_set_new(out, "config", summary(config));
}

/* What a user of this kind of model will miss. */
static json_t *lacking(oc_context *cx, const oci_model *model, const char *folder)
{
    static const char *const wanted[] = { "preprocessor_config.json",
                                          "tokenizer_config.json",
                                          "generation_config.json" };
    /* The last is for what generates: a decoder, or a composite with one. */
    bool generates = model->arch->decode ||
                     json_object_get(model->config.root, "decoder");
    size_t count = sizeof wanted / sizeof *wanted - !generates;
    char path[OCI_MAX_PATH];
    json_t *list = json_array();
    for (size_t k = 0; k < count; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, wanted[k]);
        if (!oci_file_exists(cx, path))
            json_array_append_new(list, json_string(wanted[k]));
    }
    bool have = false;
    static const char *const tokenizers[] = { "tokenizer.json", "vocab.json", "vocab.txt",
                                              "sentencepiece.bpe.model",
                                              "tokenizer.model" };
    for (size_t k = 0; k < sizeof tokenizers / sizeof *tokenizers; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, tokenizers[k]);
        have = have || oci_file_exists(cx, path);
    }
    if (!have) json_array_append_new(list, json_string("tokenizer.json"));
    return list;
}

/* What the model would take in memory in each weights_dtype,
 * and a position of its cache. */
static void put_memory(const inspection *i, json_t *out)
{
    json_t *memory = json_object();
    const oc_dtype *t = oci_weights_dtypes;
    json_object_set_new(memory, "as-is", json_integer((json_int_t)oci_memory_weights(
        i->cx, &i->model, &i->weights, (oc_dtype)0, false)));
    for (; *t; t++)
        json_object_set_new(memory, oci_weights_dtype_name(*t), json_integer(
            (json_int_t)oci_memory_weights(i->cx, &i->model, &i->weights, *t, false)));
    json_object_set_new(out, "memory", memory);
    const uint64_t position = oci_memory_position(&i->model);
    if (position)
        json_object_set_new(out, "memory_per_position",
                            json_integer((json_int_t)position));
}

static json_t *describe(inspection *i, const char *folder, bool tensors)
{
    json_t *out = json_object();
    i->used = oci_calloc(i->cx, i->weights.count, sizeof *i->used);
    if (!i->used) return out;
    i->missing = json_array();
    oci_model_walk(i->cx, &i->model, visit, i);
    json_object_set_new(out, "folder", json_string(folder));
    put_config(i, out);
    json_object_set_new(out, "parameters", json_integer(i->parameters));
    put_weights(i, out);
    json_object_set_new(out, "missing", i->missing);
    put_memory(i, out);
    json_object_set_new(out, "lacks", lacking(i->cx, &i->model, folder));
    if (tensors) json_object_set_new(out, "tensors", tensor_list(i));
    return out;
}

char *oc_inspect(oc_context *cx, const char *name, const oc_inspect_options *options)
{
    if (!cx || oci_failed(cx)) return NULL;
    oc_inspect_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    inspection i = { .cx = cx };
    char *text = NULL, *folder = oci_model_locate(cx, name, o.revision);
    if (folder && oci_model_load_config(cx, &i.model, folder, o.class_name)) {
        if (oci_weights_open(cx, &i.weights, folder, o.weights, false)) {
            json_t *out = describe(&i, folder, o.tensors);
            text = oci_json_text_of(cx, out);
            json_decref(out);
            oci_free(i.used);
            oci_weights_close(&i.weights);
        }
        oci_model_unload(&i.model);
    }
    oci_free(folder);
    return text;
}
