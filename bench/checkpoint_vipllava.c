/* Checkpoints of ViP-LLaVA's shape, several to many gigabytes: written shard by shard, so
 * that memory for one of them is enough. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

/* CLIP ViT-L/14 at 336 px, of which five layers go through the projector. */
enum {
    VISION = 1024,
    VISION_LAYERS = 24,
    VISION_FFN = 4096,
    PATCH = 14,
    SIDE = 336,
    TAPS = 5
};
enum { GROUP = 4 };                     /* layers of the language model in a shard */

const checkpoint_llama checkpoint_llamas[] = {
    { "1b", 2048, 22, 32, 4, 5632, 32064, 2048 },       /* TinyLlama's */
    { "7b", 4096, 32, 32, 32, 11008, 32064, 4096 },     /* Vicuna's */
    { NULL, 0, 0, 0, 0, 0, 0, 0 }
};

const checkpoint_llama *checkpoint_llama_find(const char *name)
{
    const checkpoint_llama *s = checkpoint_llamas;
    while (s->name && strcmp(s->name, name)) s++;
    return s->name ? s : NULL;
}

/* ---- parts ------------------------------------------------------------------------- */

static void add_vision(const tensor_writer *w)
{
    static const char *const attention[] = { "q_proj", "k_proj", "v_proj", "out_proj" };
    const char *at = "vision_tower.vision_model";
    int64_t width = VISION, positions = (SIDE / PATCH) * (SIDE / PATCH) + 1;
    char name[128];
    snprintf(name, sizeof name, "%s.embeddings.class_embedding", at);
    add_tensor(w, name, 1, &width);
    snprintf(name, sizeof name, "%s.embeddings.patch_embedding.weight", at);
    add_tensor(w, name, 4, (int64_t[]){ VISION, 3, PATCH, PATCH });
    add_layer(w, positions, VISION, false, "%s.embeddings.position_embedding", at);
    add_layer(w, VISION, 0, true, "%s.pre_layrnorm", at);       /* Transformers' name */
    for (int i = 0; i < VISION_LAYERS; i++) {
        char layer[96];
        snprintf(layer, sizeof layer, "%s.encoder.layers.%d", at, i);
        for (int j = 0; j < 4; j++)
            add_layer(w, VISION, VISION, true, "%s.self_attn.%s", layer, attention[j]);
        add_layer(w, VISION_FFN, VISION, true, "%s.mlp.fc1", layer);
        add_layer(w, VISION, VISION_FFN, true, "%s.mlp.fc2", layer);
        add_layer(w, VISION, 0, true, "%s.layer_norm1", layer);
        add_layer(w, VISION, 0, true, "%s.layer_norm2", layer);
    }
    add_layer(w, VISION, 0, true, "%s.post_layernorm", at);
}

static void add_projector(const tensor_writer *w, const checkpoint_llama *s)
{
    const char *at = "multi_modal_projector";
    add_layer(w, TAPS * VISION, 0, true, "%s.projector_layernorm", at);
    add_layer(w, s->width, TAPS * VISION, true, "%s.linear_1", at);
    add_layer(w, s->width, s->width, true, "%s.linear_2", at);
}

static void add_block(const tensor_writer *w, const checkpoint_llama *s, int i)
{
    char at[96];
    int64_t keys = s->width / s->heads * s->key_heads;
    snprintf(at, sizeof at, "language_model.model.layers.%d", i);
    add_layer(w, s->width, s->width, false, "%s.self_attn.q_proj", at);
    add_layer(w, keys, s->width, false, "%s.self_attn.k_proj", at);
    add_layer(w, keys, s->width, false, "%s.self_attn.v_proj", at);
    add_layer(w, s->width, s->width, false, "%s.self_attn.o_proj", at);
    add_layer(w, s->ffn, s->width, false, "%s.mlp.gate_proj", at);
    add_layer(w, s->ffn, s->width, false, "%s.mlp.up_proj", at);
    add_layer(w, s->width, s->ffn, false, "%s.mlp.down_proj", at);
    add_layer(w, s->width, 0, false, "%s.input_layernorm", at);
    add_layer(w, s->width, 0, false, "%s.post_attention_layernorm", at);
}

double checkpoint_llama_weights(const checkpoint_llama *s)
{
    double width = s->width, keys = width / s->heads * s->key_heads;
    double layer = 2 * width * width + 2 * width * keys + 3 * width * s->ffn;
    return s->layers * layer + width * s->vocab;
}

/* ---- files ------------------------------------------------------------------------- */

static const char config[] =
    "{\"architectures\": [\"VipLlavaForConditionalGeneration\"], \"model_type\": "
    "\"vipllava\",\n"
    "\"image_token_index\": 32000, \"pad_token_id\": 32001,\n"
    "\"text_config\": {\"model_type\": \"llama\", \"vocab_size\": %d, \"hidden_size\": "
    "%d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
    "\"num_key_value_heads\": %d, \"intermediate_size\": %d, "
    "\"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-05},\n"
    "\"vision_config\": {\"model_type\": \"clip_vision_model\", \"hidden_size\": 1024, "
    "\"intermediate_size\": 4096, \"num_hidden_layers\": 24, \"num_attention_heads\": "
    "16, \"image_size\": 336, \"patch_size\": 14, \"projection_dim\": 768},\n"
    "\"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.37.2\"}\n";
static const char generation_config[] =
    "{\"bos_token_id\": 1, \"eos_token_id\": 2, \"pad_token_id\": 32001, "
    "\"transformers_version\": \"4.37.2\"}\n";
static const char processor_config[] =
    "{\"image_processor_type\": \"CLIPImageProcessor\", \"crop_size\": {\"height\": 336, "
    "\"width\": 336}, \"size\": {\"shortest_edge\": 336}, \"do_center_crop\": true, "
    "\"do_convert_rgb\": true, \"do_normalize\": true, \"do_rescale\": true, "
    "\"do_resize\": true, \"resample\": 3,\n"
    "\"rescale_factor\": 0.00392156862745098, \"image_mean\": [0.48145466, 0.4578275, "
    "0.40821073], \"image_std\": [0.26862954, 0.26130258, 0.27577711]}\n";

static bool write_configs(const checkpoint_llama *s, const char *folder)
{
    char text[sizeof config + 64];
    snprintf(text, sizeof text, config, s->vocab, s->width, s->layers, s->heads,
             s->key_heads, s->ffn, s->positions);
    return write_text(folder, "generation_config.json", generation_config) &&
           write_text(folder, "preprocessor_config.json", processor_config) &&
           write_text(folder, "config.json", text);
}

/* Shard 0 has what comes before the layers, the last one what comes after. */
static void add_shard(const tensor_writer *w, const checkpoint_llama *s, int shard,
                      int shards)
{
    if (shard == 0) {
        add_vision(w);
        add_projector(w, s);
        add_layer(w, s->vocab, s->width, false, "language_model.model.embed_tokens");
    } else if (shard < shards - 1) {
        for (int i = (shard - 1) * GROUP; i < shard * GROUP && i < s->layers; i++)
            add_block(w, s, i);
    } else {
        add_layer(w, s->width, 0, false, "language_model.model.norm");
        add_layer(w, s->vocab, s->width, false, "language_model.lm_head");
    }
}

/* Writes the shard, and its names into the index. */
static bool write_shard(oc_context *cx, const checkpoint_llama *s, int shard, int shards,
                        const char *folder, FILE *index)
{
    char file[64], path[4096];
    tensor_writer w = { cx, oc_tensors_create(cx), OC_BF16 };
    add_shard(&w, s, shard, shards);
    snprintf(file, sizeof file, "model-%05d-of-%05d.safetensors", shard + 1, shards);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    oc_tensors_save(cx, w.set, path);
    for (size_t i = 0; i < oc_tensors_count(w.set); i++)
        fprintf(index, "%s\"%s\": \"%s\"", shard || i ? ",\n" : "",
                oc_tensors_get(w.set, i).name, file);
    oc_tensors_free(w.set);
    return oc_context_status(cx) == OC_OK;
}

bool checkpoint_make_vipllava(oc_context *cx, const checkpoint_llama *s,
                              const char *folder)
{
    char path[4096];
    int shards = (s->layers + GROUP - 1) / GROUP + 2;
    if (is_there(folder, "model.safetensors.index.json")) return true;
    if (!make_folders(folder)) return false;
    fprintf(stderr, "writing %s\n", folder);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json.part", folder);
    FILE *index = fopen(path, "w");
    bool good = index && fputs("{\"metadata\": {}, \"weight_map\": {\n", index) >= 0;
    for (int i = 0; good && i < shards; i++)
        good = write_shard(cx, s, i, shards, folder, index);
    good = good && fputs("}}\n", index) >= 0;
    if (index && fclose(index) != 0) good = false;
    char whole[4096];
    snprintf(whole, sizeof whole, "%s/model.safetensors.index.json", folder);
    good = good && write_configs(s, folder) && rename(path, whole) == 0;
    if (oc_context_status(cx) != OC_OK) fprintf(stderr, "%s\n", oc_context_message(cx));
    else if (!good) perror(folder);
    return good;
}
