/* Small models of all four families, wide enough for weights in blocks, and their
 * folders. */
#ifndef OCELLI_TESTS_BLOCKS_SUPPORT_H
#define OCELLI_TESTS_BLOCKS_SUPPORT_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "ocelli.h"

#define VISION                                                                           \
    "\"hidden_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":2,"              \
    "\"intermediate_size\":96,\"image_size\":8,\"patch_size\":4"
#define WORDS                                                                            \
    "\"vocab_size\":70,\"hidden_size\":64,\"num_hidden_layers\":1,"                      \
    "\"num_attention_heads\":2,\"intermediate_size\":96"

/* GPT-2's matrices are turned in their files, and its head is its table of words. */
static const struct blocks_family {
    const char *name, *config;
} blocks_families[] = {
    { "vision-encoder-decoder",
      "{\"model_type\":\"vision-encoder-decoder\",\"encoder\":{\"model_type\":"
      "\"vit\"," VISION "},\"decoder\":{\"model_type\":\"gpt2\",\"vocab_size\":70,\"n_"
                        "embd\":64,\"n_layer\":1,"
      "\"n_head\":2,\"n_positions\":16,\"is_decoder\":true,\"add_cross_attention\":true}"
      "}" },
    { "vision-text-dual-encoder",
      "{\"model_type\":\"vision-text-dual-encoder\",\"projection_dim\":40,"
      "\"vision_config\":{\"model_type\":\"vit\"," VISION "},"
      "\"text_config\":{\"model_type\":\"bert\"," WORDS "}}" },
    { "visual_bert",
      "{\"model_type\":\"visual_bert\",\"architectures\":[\"VisualBertForPreTraining\"]"
      "," WORDS ",\"visual_embedding_dim\":32}" },
    { "vipllava",
      "{\"model_type\":\"vipllava\",\"architectures\":["
      "\"VipLlavaForConditionalGeneration\"],"
      "\"image_token_index\":69,\"vision_feature_layers\":[-1,-2],"
      "\"vision_config\":{\"model_type\":\"clip_vision_model\"," VISION "},"
      "\"text_config\":{\"model_type\":\"llama\"," WORDS ",\"num_key_value_heads\":1,"
      "\"max_position_embeddings\":64}}" },
};
enum { BLOCKS_FAMILIES = sizeof blocks_families / sizeof *blocks_families };

static inline oc_context *blocks_context(void)
{
    return oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 2));
}

static inline oc_model *blocks_make(oc_context *cx, const char *config, uint64_t seed)
{
    oc_model *model =
        oc_model_create(cx, config, &OC_OPTIONS(oc_make_options, .seed = seed));
    if (!model) fail_msg("%s", oc_context_message(cx));
    return model;
}

static inline oc_model *blocks_open(oc_context *cx, const char *folder, oc_dtype dtype)
{
    oc_model *m =
        oc_model_open(cx, folder, &OC_OPTIONS(oc_model_options, .weights_dtype = dtype));
    if (!m) fail_msg("%s", oc_context_message(cx));
    return m;
}

static inline void blocks_convert(oc_context *cx, const char *from, const char *to,
                                  oc_save_options save)
{
    oc_convert_options o = OC_OPTIONS(oc_convert_options, .save = save);
    o.save.size = sizeof o.save;
    if (oc_convert(cx, from, to, &o)) fail_msg("%s", oc_context_message(cx));
}

/* Makes the folder of that name empty, or removes it. */
static inline void blocks_clear(const char *folder, bool remove_it)
{
    char path[512];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    if (remove_it) rmdir(folder);
}

/* "/dev/shm/ocelli-test-XXXXXX", or in /tmp: some of these tests save hundreds of times.
 */
static inline bool blocks_folder(char folder[64])
{
    snprintf(folder, 64, "%s/ocelli-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) != NULL;
}

/* Largest difference of the two models' parameters, and the largest parameter. */
static inline double blocks_difference(oc_context *cx, const oc_model *a,
                                       const oc_model *b, double *largest)
{
    oc_tensors *x = oc_model_get(cx, a, ""), *y = oc_model_get(cx, b, "");
    double most = 0;
    *largest = 0;
    if (!x || !y || oc_tensors_count(x) != oc_tensors_count(y))
        fail_msg("other parameters: %s", oc_context_message(cx));
    for (size_t i = 0; i < oc_tensors_count(x); i++) {
        oc_tensor_view v = oc_tensors_get(x, i), w;
        if (!oc_tensors_find(y, v.name, &w) || v.bytes != w.bytes) fail_msg("%s", v.name);
        for (size_t k = 0; k < v.bytes / sizeof(float); k++) {
            const double p = ((const float *)v.data)[k], q = ((const float *)w.data)[k];
            const double far = p > q ? p - q : q - p;
            if (far > most) most = far;
            if (p > *largest) *largest = p;
        }
    }
    oc_tensors_free(x);
    oc_tensors_free(y);
    return most;
}

static inline void blocks_expect_same(oc_context *cx, const oc_model *a,
                                      const oc_model *b, const char *what)
{
    double largest, most = blocks_difference(cx, a, b, &largest);
    if (most > 0) fail_msg("%s: differs by %g", what, most);
}

#endif
