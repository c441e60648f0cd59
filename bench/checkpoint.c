#include "checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ViT-B/16 both times; the decoder is the one of microsoft/trocr-base-*. */
enum {
    WIDTH = 768, LAYERS = 12, FFN = 3072, PATCH = 16,
    TEXT_WIDTH = 1024, TEXT_LAYERS = 12, TEXT_FFN = 4096, VOCAB = 50265, POSITIONS = 512,
    TROCR_SIDE = 384
};

/* ---- values ------------------------------------------------------------------------ */

static uint64_t hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u;         /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Even in ±0.035, which has the standard deviation 0.02 of fresh weights; around 1 where
 * a norm multiplies. */
static void fill(const char *name, oc_dtype dtype, size_t n, void *data)
{
    uint64_t x = hash_of(name);
    float middle = strstr(name, "norm") && strstr(name, "weight") ? 1.0f : 0.0f;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;    /* Knuth's MMIX */
        float v = middle + 0.035f * (float)(int32_t)(x >> 32) * 0x1p-31f;
        if (dtype == OC_BF16) ((uint16_t *)data)[i] = to_bf16(v);
        else ((float *)data)[i] = v;
    }
}

void add_tensor(const tensor_writer *w, const char *name, int rank, const int64_t *shape)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)shape[i];
    void *data = malloc(n * sizeof(float));
    if (!data) {
        fprintf(stderr, "%s: no memory for it\n", name);
        exit(1);
    }
    fill(name, w->dtype, n, data);
    oc_tensors_add(w->cx, w->set, name, w->dtype, rank, shape, data);
    free(data);
}

void add_layer(const tensor_writer *w, int64_t out, int64_t in, bool bias,
               const char *format, ...)
{
    char base[128], name[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(base, sizeof base, format, arguments);
    va_end(arguments);
    snprintf(name, sizeof name, "%s.weight", base);
    add_tensor(w, name, in ? 2 : 1, (int64_t[]){ out, in });
    snprintf(name, sizeof name, "%s.bias", base);
    if (bias) add_tensor(w, name, 1, &out);
}

/* ---- the parts --------------------------------------------------------------------- */

static void add_vit(const tensor_writer *w, const char *prefix, int side, bool qkv_bias)
{
    static const char *const qkv[] = { "query", "key", "value" };
    char name[128];
    int64_t patches = (side / PATCH) * (side / PATCH), width = WIDTH;
    snprintf(name, sizeof name, "%sembeddings.cls_token", prefix);
    add_tensor(w, name, 3, (int64_t[]){ 1, 1, WIDTH });
    snprintf(name, sizeof name, "%sembeddings.position_embeddings", prefix);
    add_tensor(w, name, 3, (int64_t[]){ 1, patches + 1, WIDTH });
    snprintf(name, sizeof name, "%sembeddings.patch_embeddings.projection.weight",
             prefix);
    add_tensor(w, name, 4, (int64_t[]){ WIDTH, 3, PATCH, PATCH });
    snprintf(name, sizeof name, "%sembeddings.patch_embeddings.projection.bias", prefix);
    add_tensor(w, name, 1, &width);
    for (int i = 0; i < LAYERS; i++) {
        char at[96];
        snprintf(at, sizeof at, "%sencoder.layer.%d", prefix, i);
        for (int j = 0; j < 3; j++)
            add_layer(w, WIDTH, WIDTH, qkv_bias, "%s.attention.attention.%s", at, qkv[j]);
        add_layer(w, WIDTH, WIDTH, true, "%s.attention.output.dense", at);
        add_layer(w, FFN, WIDTH, true, "%s.intermediate.dense", at);
        add_layer(w, WIDTH, FFN, true, "%s.output.dense", at);
        add_layer(w, WIDTH, 0, true, "%s.layernorm_before", at);
        add_layer(w, WIDTH, 0, true, "%s.layernorm_after", at);
    }
    add_layer(w, WIDTH, 0, true, "%slayernorm", prefix);
}

/* The head is tied to embed_tokens and so not in the file. */
static void add_trocr_decoder(const tensor_writer *w, const char *prefix)
{
    add_layer(w, VOCAB, TEXT_WIDTH, false, "%sembed_tokens", prefix);
    add_layer(w, POSITIONS + 2, TEXT_WIDTH, false, "%sembed_positions", prefix);
    add_layer(w, TEXT_WIDTH, 0, true, "%slayernorm_embedding", prefix);
    for (int i = 0; i < TEXT_LAYERS; i++) {
        static const char *const parts[] = { "self_attn", "encoder_attn" };
        char at[96];
        snprintf(at, sizeof at, "%slayers.%d", prefix, i);
        for (int j = 0; j < 2; j++) {
            int64_t source = j == 1 ? WIDTH : TEXT_WIDTH;
            add_layer(w, TEXT_WIDTH, source, true, "%s.%s.k_proj", at, parts[j]);
            add_layer(w, TEXT_WIDTH, source, true, "%s.%s.v_proj", at, parts[j]);
            add_layer(w, TEXT_WIDTH, TEXT_WIDTH, true, "%s.%s.q_proj", at, parts[j]);
            add_layer(w, TEXT_WIDTH, TEXT_WIDTH, true, "%s.%s.out_proj", at, parts[j]);
            add_layer(w, TEXT_WIDTH, 0, true, "%s.%s_layer_norm", at, parts[j]);
        }
        add_layer(w, TEXT_FFN, TEXT_WIDTH, true, "%s.fc1", at);
        add_layer(w, TEXT_WIDTH, TEXT_FFN, true, "%s.fc2", at);
        add_layer(w, TEXT_WIDTH, 0, true, "%s.final_layer_norm", at);
    }
}

double checkpoint_step_gb(oc_dtype dtype)
{
    /* Self-attention's four matrices, cross-attention's query and output,
     * feed-forward. */
    double layer = 6.0 * TEXT_WIDTH * TEXT_WIDTH + 2.0 * TEXT_WIDTH * TEXT_FFN;
    double head = (double)VOCAB * TEXT_WIDTH;
    return 1e-9 * (TEXT_LAYERS * layer + head) * (dtype == OC_BF16 ? 2 : 4);
}

double checkpoint_cross_gb(void)
{
    int tokens = (TROCR_SIDE / PATCH) * (TROCR_SIDE / PATCH) + 1;
    return 1e-9 * 4 * 2 * tokens * TEXT_WIDTH * TEXT_LAYERS;
}

/* ---- files ------------------------------------------------------------------------- */

#define VIT_FIELDS                                                                       \
    "\"model_type\": \"vit\", \"hidden_size\": 768, \"num_hidden_layers\": 12, "         \
    "\"num_attention_heads\": 12, \"intermediate_size\": 3072, \"hidden_act\": \"gelu\", " \
    "\"layer_norm_eps\": 1e-12, \"patch_size\": 16, \"num_channels\": 3"
#define IDS "\"decoder_start_token_id\": 2, \"pad_token_id\": 1, \"eos_token_id\": 2, "  \
            "\"bos_token_id\": 0"

static const char vit_config[] = "{\"architectures\": [\"ViTModel\"], " VIT_FIELDS
                                 ", \"image_size\": 224, \"qkv_bias\": true, "
                                 "\"torch_dtype\": \"%s\", \"transformers_version\": "
                                 "\"4.37.2\"}\n";

static const char trocr_config[] =
    "{\"architectures\": [\"VisionEncoderDecoderModel\"], "
    "\"model_type\": \"vision-encoder-decoder\", \"is_encoder_decoder\": true, "
    "\"tie_word_embeddings\": false, " IDS ",\n"
    "\"encoder\": {" VIT_FIELDS ", \"image_size\": 384, \"qkv_bias\": false},\n"
    "\"decoder\": {\"model_type\": \"trocr\", \"is_decoder\": true, "
    "\"add_cross_attention\": true, \"vocab_size\": 50265, \"d_model\": 1024, "
    "\"decoder_layers\": 12, \"decoder_attention_heads\": 16, \"decoder_ffn_dim\": 4096, "
    "\"cross_attention_hidden_size\": 768, \"max_position_embeddings\": 512, "
    "\"activation_function\": \"gelu\", \"layernorm_embedding\": true, "
    "\"scale_embedding\": false, \"use_learned_position_embeddings\": true, "
    "\"tie_word_embeddings\": true, \"use_cache\": true, " IDS "},\n"
    "\"torch_dtype\": \"%s\", \"transformers_version\": \"4.37.2\"}\n";

static const char swin_config[] =
    "{\"architectures\": [\"DonutSwinModel\"], \"model_type\": \"donut-swin\", "
    "\"image_size\": [1280, 960], \"patch_size\": 4, \"embed_dim\": 128, "
    "\"depths\": [2, 2, 14, 2], \"num_heads\": [4, 8, 16, 32], \"window_size\": 10}\n";
static const char bert_config[] =
    "{\"architectures\": [\"BertModel\"], \"model_type\": \"bert\"}\n";
static const char visual_bert_config[] = "{\"architectures\": "
                                         "[\"VisualBertForQuestionAnswering\"], "
                                         "\"model_type\": \"visual_bert\", "
                                         "\"visual_embedding_dim\": 2048, \"id2label\": "
                                         "{%s}}\n";
static const char dual_config[] =
    "{\"architectures\": [\"VisionTextDualEncoderModel\"], "
    "\"model_type\": \"vision-text-dual-encoder\", \"projection_dim\": 512, "
    "\"vision_config\": {\"model_type\": \"vit\"}, "
    "\"text_config\": {\"model_type\": \"bert\"}}\n";
static const char clip_config[] =
    "{\"architectures\": [\"CLIPVisionModel\"], \"model_type\": \"clip_vision_model\", "
    "\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "
    "\"num_attention_heads\": 16, \"image_size\": 336, \"patch_size\": 14, "
    "\"projection_dim\": 768}\n";
static const char bert_tokenizer_config[] =
    "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": true, "
    "\"model_max_length\": 512}\n";

static const char generation_config[] =
    "{" IDS ", \"max_length\": 33, \"transformers_version\": \"4.37.2\"}\n";

bool write_text(const char *folder, const char *file, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *out = fopen(path, "w");
    bool ok = out && fputs(text, out) >= 0;
    ok = out && fclose(out) == 0 && ok;
    if (!ok) perror(path);
    return ok;
}

bool make_folders(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777);      /* what matters is whether the last one is there */
        *slash = '/';
    }
    mkdir(path, 0777);
    struct stat about;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return true;
    perror(path);
    return false;
}

enum { ANSWERS = 3129 };

/* {"0": "LABEL_0", …}: how many answers a VisualBERT has is told by their names alone. */
static char *visual_bert_text(void)
{
    char *labels = malloc(ANSWERS * 32),
         *text = malloc(ANSWERS * 32 + sizeof visual_bert_config);
    int n = 0;
    for (int i = 0; labels && i < ANSWERS; i++)
        n += snprintf(labels + n, 32, "%s\"%d\": \"LABEL_%d\"", i ? ", " : "", i, i);
    if (labels && text)
        snprintf(text, ANSWERS * 32 + sizeof visual_bert_config, visual_bert_config,
                 labels);
    free(labels);
    return text;
}

/* A vocabulary of BERT's size with its special tokens where BERT has them. */
static bool write_vocab(const char *folder)
{
    enum { ROOM = 16 };
    static const struct { int id; const char *token; } special[] = {
        { 0, "[PAD]" }, { 100, "[UNK]" }, { 101, "[CLS]" }, { 102, "[SEP]" },
        { 103, "[MASK]" }
    };
    char *text = malloc((CHECKPOINT_LAST_WORD + 1) * ROOM);
    size_t n = 0, next = 0;
    for (int i = 0; text && i <= CHECKPOINT_LAST_WORD; i++) {
        bool is = next < sizeof special / sizeof *special && special[next].id == i;
        n += (size_t)(is ? snprintf(text + n, ROOM, "%s\n", special[next].token)
                         : snprintf(text + n, ROOM, "w%d\n", i));
        next += is;
    }
    bool good = text && write_text(folder, "vocab.txt", text) &&
                write_text(folder, "tokenizer_config.json", bert_tokenizer_config);
    free(text);
    return good;
}

/* A model as the library makes it from a config. */
static bool make_drawn(oc_context *cx, const char *config, oc_dtype dtype,
                       const char *folder)
{
    oc_model *model = oc_model_create(cx, config, NULL);
    oc_model_save(cx, model, folder, &OC_OPTIONS(oc_save_options, .dtype = dtype));
    oc_model_close(model);
    return oc_context_status(cx) == OC_OK;
}

/* From names, in either dtype. */
static bool make_named(oc_context *cx, checkpoint_kind kind, oc_dtype dtype,
                       const char *folder)
{
    char path[4096], config[4096];
    tensor_writer w = { cx, oc_tensors_create(cx), dtype };
    if (kind == CHECKPOINT_VIT) {
        add_vit(&w, "", 224, true);
    } else {
        add_vit(&w, "encoder.", TROCR_SIDE, false);
        add_trocr_decoder(&w, "decoder.model.decoder.");
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    oc_tensors_save(cx, w.set, path);
    oc_tensors_free(w.set);
    if (oc_context_status(cx) != OC_OK) return false;
    const char *type = dtype == OC_BF16 ? "bfloat16" : "float32";
    if (kind == CHECKPOINT_VIT) snprintf(config, sizeof config, vit_config, type);
    else snprintf(config, sizeof config, trocr_config, type);
    return (kind == CHECKPOINT_VIT ||
            write_text(folder, "generation_config.json", generation_config)) &&
           write_text(folder, "config.json", config);
}

bool is_there(const char *folder, const char *file)
{
    char path[4096];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return stat(path, &about) == 0;
}

bool checkpoint_make(oc_context *cx, checkpoint_kind kind, oc_dtype dtype,
                     const char *folder)
{
    if (is_there(folder, "config.json") && is_there(folder, "model.safetensors"))
        return true;
    if (!make_folders(folder)) return false;
    fprintf(stderr, "writing %s\n", folder);
    bool good = false;
    char *text = NULL;
    switch (kind) {
    case CHECKPOINT_VIT: case CHECKPOINT_TROCR:
        good = make_named(cx, kind, dtype, folder);
        break;
    case CHECKPOINT_SWIN: good = make_drawn(cx, swin_config, dtype, folder); break;
    case CHECKPOINT_BERT: good = make_drawn(cx, bert_config, dtype, folder); break;
    case CHECKPOINT_CLIP: good = make_drawn(cx, clip_config, dtype, folder); break;
    case CHECKPOINT_VISUAL_BERT:
        text = visual_bert_text();
        good = text && make_drawn(cx, text, dtype, folder);
        free(text);
        break;
    case CHECKPOINT_DUAL:
        good = write_vocab(folder) && make_drawn(cx, dual_config, dtype, folder);
        break;
    }
    if (oc_context_status(cx) != OC_OK) fprintf(stderr, "%s\n", oc_context_message(cx));
    return good;
}
