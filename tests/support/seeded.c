#include "support/seeded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15);

/* FNV-1a. */
static uint64_t stream_of(uint64_t seed, const char *prefix, const char *name)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (; *prefix; prefix++) h = (h ^ (unsigned char)*prefix) * UINT64_C(0x100000001B3);
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001B3);
    return h ^ seed * golden;
}

/* Output number i of splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195). */
static uint64_t bits(uint64_t stream, uint64_t i)
{
    uint64_t z = stream + (i + 1) * golden;
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* What a product sums over; [1, T, D] is a table of T rows. */
static double fan_in(int rank, const int64_t *shape)
{
    double n = 1;
    for (; rank > 2 && shape[0] == 1; rank--) shape++;
    for (int i = 1; i < rank; i++) n *= (double)shape[i];
    return n;
}

void seeded_values(uint64_t seed, double gain, const char *name, int rank,
                   const int64_t *shape, float *out)
{
    uint64_t stream = stream_of(seed, "", name);
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    bool around_one = rank == 1 &&
                      (!strcmp(last, "weight") || !strncmp(last, "lambda_", 7));
    float scale = rank > 1 ? (float)(gain * sqrt(3 / fan_in(rank, shape))) : 0.2f;
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)shape[i];
    for (size_t i = 0; i < n; i++) {
        /* Every step but the last is exact, so that no compiler's contraction shows. */
        float u = (float)(bits(stream, i) >> 40) * 0x1p-23f - 1.0f;
        out[i] = around_one ? 1.0f + u * 0.25f : u * scale;
    }
}

size_t seeded_pieces(size_t n)
{
    size_t pieces = (n + 1023) / 1024;
    return pieces < 4 ? pieces : 4;
}

void seeded_sketch(const char *name, const float *x, size_t first, size_t n,
                   double out[SKETCH_VECTORS])
{
    uint64_t stream = stream_of(0, "sketch.", name);
    memset(out, 0, SKETCH_VECTORS * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        uint64_t z = bits(stream, first + i);
        for (int j = 0; j < SKETCH_VECTORS; j++)
            out[j] += z >> (63 - j) & 1 ? -(double)x[i] : (double)x[i];
    }
}

bool seeded_find(const char *folder, uint64_t *seed, double *gain)
{
    char path[600];
    snprintf(path, sizeof path, "%s/weights.json", folder);
    json_t *root = json_load_file(path, 0, NULL);
    if (!root) return false;
    *seed = (uint64_t)json_integer_value(json_object_get(root, "seed"));
    *gain = json_number_value(json_object_get(root, "gain"));
    json_decref(root);
    return *gain > 0;
}

/* Whatever a checkpoint may have beside its weights and its config. */
static void copy_companions(const char *folder, const char *to)
{
    static const char *const names[] = {
        "generation_config.json", "preprocessor_config.json", "tokenizer.json",
        "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
        "vocab.txt" };
    char path[700], bytes[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        FILE *in = fopen(path, "rb");
        if (!in) continue;
        snprintf(path, sizeof path, "%s/%s", to, names[i]);
        FILE *out = fopen(path, "wb");
        for (size_t n; out && (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
            fwrite(bytes, 1, n, out);
        fclose(in);
        if (out) fclose(out);
    }
}

/* Scalars (a temperature's logarithm) stay as they were drawn. */
static oc_tensors *filled(oc_context *cx, const oc_model *model, uint64_t seed,
                          double gain)
{
    oc_tensors *values = oc_model_get(cx, model, "");
    for (size_t i = 0; values && i < oc_tensors_count(values); i++) {
        oc_tensor_view v = oc_tensors_get(values, i);
        if (v.rank > 0)
            seeded_values(seed, gain, v.name, v.rank, v.shape,
                          (float *)(uintptr_t)v.data);
    }
    return values;
}

bool seeded_save(oc_context *cx, const char *folder, const char *to)
{
    char path[600];
    uint64_t seed;
    double gain;
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = json_load_file(path, 0, NULL);
    if (!config || !seeded_find(folder, &seed, &gain)) {
        json_decref(config);
        return false;
    }
    char *text = json_dumps(config, 0);
    oc_model *model = oc_model_create(cx, text, NULL);
    oc_tensors *values = filled(cx, model, seed, gain);
    oc_model_set(cx, model, values);
    oc_model_save(cx, model, to, NULL);
    copy_companions(folder, to);
    oc_tensors_free(values);
    oc_model_close(model);
    json_decref(config);
    free(text);
    return oc_context_status(cx) == OC_OK;
}
