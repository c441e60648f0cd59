/* Config faults that a model opens in spite of, and what
 * Transformers 4.37.2 makes of each. */
#include <stdio.h>
#include <string.h>

#include "checkpoint/doctor.h"
#include "io/file.h"
#include "io/weights.h"

/* A whole number below a key; `fallback` if there is none. */
static int64_t number(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

/* The part of a composite that has the words, or the whole. */
static const json_t *text_part(const json_t *config)
{
    static const char *const keys[] = { "decoder", "text_config" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_object(json_object_get(config, keys[i])))
            return json_object_get(config, keys[i]);
    return config;
}

static const json_t *vision_part(const json_t *config)
{
    static const char *const keys[] = { "encoder", "vision_config" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_object(json_object_get(config, keys[i])))
            return json_object_get(config, keys[i]);
    return config;
}

/* Opens a companion, silently: what is wrong with it was told already. False: none. */
static bool open_companion(oci_doctor *d, oci_json *doc, const char *name)
{
    char *path = oci_path_join(d->cx, d->folder, name);
    bool ok = path && oci_file_exists(d->cx, path) && oci_json_open(d->cx, doc, path);
    if (oci_failed(d->cx) && d->cx->status != OC_E_MEMORY) oc_context_clear(d->cx);
    oci_free(path);
    return ok;
}

/* ---- classes and versions ---------------------------------------------------------- */

static void check_class(oci_doctor *d, const json_t *config, const oci_arch *arch)
{
    const json_t *names = json_object_get(config, "architectures");
    const char *name = json_string_value(json_array_get(names, 0));
    const char *version = json_string_value(
        json_object_get(config, "transformers_version"));
    bool known = false;
    for (const oci_class *c = arch->classes; c->name; c++)
        known = known || (name && !strcmp(c->name, name));
    if (!name)
        oci_doctor_find(d, "note", "architectures",
                        "names no class: pipelines of Transformers cannot choose one; "
                        "here it is %s",
                        arch->classes[0].name);
    else if (!known)
        oci_doctor_find(d, "warning", "architectures",
                        "%s is no class of %s that is known here; --class chooses "
                        "another",
                        name, arch->model_type);
    if (json_object_get(config, "auto_map"))
        oci_doctor_find(d, "note", "auto_map",
                        "the repository has code of its own, which Transformers runs "
                        "with trust_remote_code=True only; it is never run here");
    if (version && strncmp(version, "4.", 2) != 0)
        oci_doctor_find(d, "note", "transformers_version",
                        "%s wrote it; the numbers here are those of 4.37.2", version);
}

/* ---- types ------------------------------------------------------------------------- */

static const char *torch_name(oc_dtype t)
{
    switch (t) {
    case OC_F32: return "float32";
    case OC_F16: return "float16";
    case OC_BF16: return "bfloat16";
    case OC_F64: return "float64";
    default: return NULL;
    }
}

static void check_dtype(oci_doctor *d, const json_t *config, const oci_weights *weights)
{
    const char *said = json_string_value(json_object_get(config, "torch_dtype"));
    const char *found = NULL;
    /* version 5 */
    if (!said) said = json_string_value(json_object_get(config, "dtype"));
    for (size_t i = 0; i < weights->count && !found; i++)
        found = torch_name(weights->refs[i].entry->dtype);
    if (said && found && strcmp(said, found) != 0)
        oci_doctor_find(d, "note", "torch_dtype",
                        "says %s, but the weights are %s: Transformers casts them to "
                        "float32, or with torch_dtype=\"auto\" to %s; here they stay "
                        "what they are",
                        said, found, said);
}

static void check_metadata(oci_doctor *d, const oci_weights *weights)
{
    for (size_t i = 0; i < weights->file_count; i++) {
        const oci_weight_file *file = &weights->files[i];
        const char *slash = strrchr(file->path, '/');
        if (strcmp(file->format->suffix, ".safetensors") == 0 &&
            !oci_safetensors_metadata(&file->as.safetensors, "format"))
            oci_doctor_find(d, "warning", slash ? slash + 1 : file->path,
                            "its __metadata__ has no \"format\": Transformers refuses to "
                            "load it; here it counts as PyTorch's");
    }
}

/* ---- tokens ------------------------------------------------------------------------ */

static void check_token(oci_doctor *d, const json_t *object, const char *where,
                        const char *key, int64_t vocab)
{
    int64_t id = number(object, key, -1);
    if (id >= vocab)
        oci_doctor_find(d, "error", key,
                        "%s%s is %lld, but the vocabulary has %lld tokens: Transformers "
                        "fails with an IndexError once it is embedded",
                        where, key, (long long)id, (long long)vocab);
}

static void check_tokens(oci_doctor *d, const json_t *config)
{
    static const char *const keys[] = { "pad_token_id", "bos_token_id", "eos_token_id",
                                        "decoder_start_token_id" };
    const json_t *text = text_part(config);
    int64_t vocab = number(text, "vocab_size", number(config, "vocab_size", INT64_MAX));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        check_token(d, config, "", keys[i], vocab);
        if (text != config) check_token(d, text, "the text part's ", keys[i], vocab);
    }
}

/* What generation and training of an encoder-decoder ask for. */
static void check_start(oci_doctor *d, const json_t *config)
{
    oci_json doc;
    const json_t *decoder = json_object_get(config, "decoder");
    if (!json_is_object(decoder)) return;
    bool start = number(config, "decoder_start_token_id", -1) >= 0 ||
                 number(decoder, "decoder_start_token_id", -1) >= 0 ||
                 number(config, "bos_token_id", -1) >= 0 ||
                 number(decoder, "bos_token_id", -1) >= 0;
    if (open_companion(d, &doc, "generation_config.json")) {
        start = start || number(doc.root, "decoder_start_token_id", -1) >= 0 ||
                number(doc.root, "bos_token_id", -1) >= 0;
        oci_json_close(&doc);
    }
    if (!start)
        oci_doctor_find(d, "warning", "decoder_start_token_id",
                        "is given nowhere, nor is bos_token_id: Transformers' generate() "
                        "raises a ValueError");
    if (number(config, "pad_token_id", -1) < 0)
        oci_doctor_find(d, "note", "pad_token_id",
                        "is not in the whole's config: with labels, Transformers raises "
                        "a ValueError (\"Make sure to set the pad_token_id\")");
}

/* ---- the tokenizer and the processor ----------------------------------------------- */

static void check_processor(oci_doctor *d, const json_t *config)
{
    oci_json doc;
    const json_t *side = json_object_get(vision_part(config), "image_size");
    if (!side || !open_companion(d, &doc, "preprocessor_config.json")) return;
    const json_t *size = json_object_get(doc.root, "size");
    const json_t *crop = json_object_get(doc.root, "crop_size");
    if (json_is_true(json_object_get(doc.root, "do_center_crop")) && crop) size = crop;
    int64_t height = json_is_integer(size) ? json_integer_value(size)
                                           : number(size, "height", -1);
    int64_t wanted = json_is_array(side) ? json_integer_value(json_array_get(side, 0))
                                         : json_integer_value(side);
    if (height > 0 && wanted > 0 && height != wanted)
        oci_doctor_find(d, "warning", "preprocessor_config.json",
                        "makes pictures %lld pixels high, but image_size is %lld: "
                        "Transformers' ViT raises a ValueError (\"Input image size "
                        "doesn't match model\"), other encoders interpolate or go wrong",
                        (long long)height, (long long)wanted);
    oci_json_close(&doc);
}

static void check_labels(oci_doctor *d, const json_t *config)
{
    const json_t *names = json_object_get(config, "id2label");
    int64_t count = number(config, "num_labels", -1);
    if (json_is_object(names) && count >= 0 && (size_t)count != json_object_size(names))
        oci_doctor_find(d, "warning", "num_labels",
                        "is %lld, but id2label has %zu: Transformers goes by num_labels, "
                        "and makes the names up anew",
                        (long long)count, json_object_size(names));
}

static void check_lacks(oci_doctor *d, const json_t *config, const oci_arch *arch)
{
    bool generates = arch->decode || json_object_get(config, "decoder");
    bool sees = arch->encode || vision_part(config) != config;
    const struct { const char *name, *text; bool wanted; } files[] = {
        { "preprocessor_config.json", "pictures cannot be prepared; AutoImageProcessor "
                                      "raises an "
          "OSError", sees },
        { "generation_config.json", "generation goes by what config.json says, as in "
                                    "Transformers",
          generates },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = files[i].wanted ? oci_path_join(d->cx, d->folder, files[i].name)
                                     : NULL;
        if (path && !oci_file_exists(d->cx, path))
            oci_doctor_find(d, i == 0 ? "warning" : "note", files[i].name,
                            "is missing: %s", files[i].text);
        oci_free(path);
    }
}

void oci_doctor_config(oci_doctor *d, const json_t *config, const oci_arch *arch,
                       const oci_weights *weights)
{
    check_class(d, config, arch);
    if (weights) check_dtype(d, config, weights);
    if (weights) check_metadata(d, weights);
    check_tokens(d, config);
    check_start(d, config);
    check_labels(d, config);
    check_processor(d, config);
    check_lacks(d, config, arch);
}
