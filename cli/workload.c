/* What a model has to do, counted from oc_inspect's JSON. */
#include "workload.h"

#include <string.h>

static double product(const json_t *shape)
{
    double product = 1;
    size_t i;
    const json_t *n;
    json_array_foreach(shape, i, n) product *= json_number_value(n);
    return product;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Multiply-adds of an encoder of the ViT kind: each weight matrix meets every token (the
 * patch projection counts as one), and attention takes 4 T² D a layer, products and sums
 * counted apart. 0 where the config does not say. */
static double encoder_gflop(const json_t *encoder, const json_t *tensors)
{
    const json_t *size = json_object_get(encoder, "image_size"), *tensor;
    double patch = number(encoder, "patch_size"),
           layers = number(encoder, "num_hidden_layers");
    double width = number(encoder, "hidden_size"), pixels = product(size), weights = 0;
    size_t i;
    if (json_is_integer(size))
        pixels = number(encoder, "image_size") * number(encoder, "image_size");
    if (pixels <= 1 || patch <= 0 || layers <= 0 || width <= 0) return 0;
    json_array_foreach(tensors, i, tensor) {
        const char *name = json_string_value(json_object_get(tensor, "name"));
        const json_t *shape = json_object_get(tensor, "shape");
        bool matrix = json_array_size(shape) == 2 || json_array_size(shape) == 4;
        if (name && matrix && !strncmp(name, "encoder.", 8) && !strstr(name, "pooler"))
            weights += product(shape);
    }
    double positions = pixels / (patch * patch) + 1;
    return 1e-9 * (2 * weights * positions + 4 * positions * positions * width * layers);
}

/* What a step leaves alone: position tables, of which it reads a row, and keys and values
 * of the encoder's states, computed once. Names of TrOCR, mBART, BERT and GPT-2. */
static bool is_read_each_step(const char *name)
{
    static const char *const others[] = { "position",
                                          "encoder_attn.k_proj",
                                          "encoder_attn.v_proj",
                                          "crossattention.self.key",
                                          "crossattention.self.value",
                                          "crossattention.c_attn",
                                          "token_type" };
    if (strncmp(name, "decoder.", 8) != 0) return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(name, others[i])) return false;
    return true;
}

workload cli_count_work(const json_t *about)
{
    workload w = { 0 };
    const json_t *tensors = json_object_get(about, "tensors"), *tensor;
    size_t i;
    json_array_foreach(tensors, i, tensor) {
        const char *name = json_string_value(json_object_get(tensor, "name"));
        if (name && is_read_each_step(name))
            w.decoder_gb += 1e-9 * number(tensor, "bytes");
    }
    w.encoder_gflop = encoder_gflop(json_object_get(about, "encoder"), tensors);
    return w;
}
