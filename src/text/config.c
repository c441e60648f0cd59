/* tokenizer_config.json: the class, which decides about defaults, and the settings. */
#include <string.h>

#include "base/size.h"
#include "io/file.h"
#include "text/bytelevel.h"
#include "text/loader.h"
#include "text/normalize.h"

#define ROBERTA_ROLES { "<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>" }
#define BERT_ROLES { NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]" }

static const oci_class classes[] = {
    { .name = "GPT2Tokenizer", .model_type = "gpt2", .family = OCI_GPT2,
      .roles = { "<|endoftext|>", "<|endoftext|>", "<|endoftext|>" } },
    { .name = "RobertaTokenizer", .model_type = "roberta", .family = OCI_ROBERTA,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_RAW },
    { .name = "BartTokenizer", .model_type = "bart", .family = OCI_ROBERTA,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_NORMALIZED },
    { .name = "LongformerTokenizer", .model_type = "longformer", .family = OCI_ROBERTA,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_RAW },
    { .name = "LEDTokenizer", .model_type = "led", .family = OCI_ROBERTA,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_NORMALIZED },
    { .name = "BertTokenizer", .model_type = "bert", .family = OCI_BERT,
      .roles = BERT_ROLES, .token_types = true },
    { .name = "BertTokenizer", .model_type = "visual_bert", .family = OCI_BERT,
      .roles = BERT_ROLES, .token_types = true },
    { .name = "DistilBertTokenizer", .model_type = "distilbert", .family = OCI_BERT,
      .roles = BERT_ROLES },
    { .name = "ElectraTokenizer", .model_type = "electra", .family = OCI_BERT,
      .roles = BERT_ROLES, .token_types = true },
    { .name = "XLMRobertaTokenizer", .model_type = "xlm-roberta", .family = OCI_XLMR,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_UNSAID },
    { .name = "MBartTokenizer", .model_type = "mbart", .family = OCI_MBART,
      .roles = ROBERTA_ROLES, .mask = OCI_MASK_UNSAID, .more = oci_mbart_languages },
    { .name = "CLIPTokenizer", .model_type = "clip", .family = OCI_CLIP,
      .roles = { "<|startoftext|>", "<|endoftext|>", "<|endoftext|>", NULL,
                 "<|endoftext|>" } },
    { .name = "LlamaTokenizer", .model_type = "llama", .family = OCI_LLAMA,
      .roles = { "<s>", "</s>", "<unk>" }, .pad_left = true, .no_clean_up = true },
    { .name = "LlamaTokenizer", .model_type = "vipllava", .family = OCI_LLAMA,
      .roles = { "<s>", "</s>", "<unk>" }, .pad_left = true, .no_clean_up = true },
    { .name = "LlamaTokenizer", .model_type = "llava", .family = OCI_LLAMA,
      .roles = { "<s>", "</s>", "<unk>" }, .pad_left = true, .no_clean_up = true },
    { .name = "NougatTokenizer", .model_type = "nougat", .family = OCI_PLAIN,
      .roles = { "<s>", "</s>", "<unk>", NULL, "<pad>" }, .no_clean_up = true },
};

/* ---- opening ----------------------------------------------------------------------- */

/* False only on error: a file that is not there leaves doc->root NULL. */
static bool open_if_there(oci_loader *in, oci_json *doc, const char *name)
{
    char *path = oci_path_join(in->cx, in->folder, name);
    bool ok = path &&
              (!oci_file_exists(in->cx, path) || oci_json_open(in->cx, doc, path));
    if (ok && doc->root && !json_is_object(doc->root)) {
        oci_json_expected(in->cx, doc, "(top)", "an object", doc->root);
        ok = false;
    }
    oci_free(path);
    return ok && !oci_failed(in->cx);
}

static const oci_class *find_class(const char *name, bool by_model_type)
{
    size_t size = strlen(name);
    if (!by_model_type && size > 4 && !strcmp(name + size - 4, "Fast")) size -= 4;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const char *is = by_model_type ? classes[i].model_type : classes[i].name;
        if (strlen(is) == size && !memcmp(is, name, size)) return &classes[i];
    }
    return NULL;
}

/* tokenizer_config.json names the class, else config.json, else its model_type does. */
static bool choose_class(oci_loader *in)
{
    oc_context *cx = in->cx;
    const char *name =
        oci_json_text(cx, &in->config, in->config.root, "tokenizer_class", NULL);
    oci_json model = { 0 };
    if (oci_failed(cx) || (!name && !open_if_there(in, &model, "config.json")))
        return false;
    bool by_type = false;
    if (!name) name = oci_json_text(cx, &model, model.root, "tokenizer_class", NULL);
    if (!name) {
        by_type = true;
        name = oci_json_text(cx, &model, model.root, "model_type", NULL);
    }
    if (name) in->class = find_class(name, by_type);
    oci_json_close(&model);
    return !oci_failed(cx);
}

bool oci_config_open(oci_loader *in)
{
    return open_if_there(in, &in->config, "tokenizer_config.json") &&
           open_if_there(in, &in->map, "special_tokens_map.json") &&
           open_if_there(in, &in->added, "added_tokens.json") && choose_class(in);
}

void oci_config_close(oci_loader *in)
{
    oci_json_close(&in->json);
    oci_json_close(&in->config);
    oci_json_close(&in->map);
    oci_json_close(&in->added);
}

/* ---- settings ---------------------------------------------------------------------- */

/* "left" or "right" in tokenizer_config.json, "Left" or "Right" in tokenizer.json. */
static bool read_side(oci_loader *in, const char *key, const char *object)
{
    const json_t *own = json_object_get(in->json.root, object);
    bool left = in->class && in->class->pad_left && !strcmp(key, "padding_side");
    if (json_is_object(own)) {
        const char *text = json_string_value(json_object_get(own, "direction"));
        left = text && !strcmp(text, "Left");
    }
    const char *side = oci_json_text(in->cx, &in->config, in->config.root, key,
                                     left ? "left" : "right");
    if (!oci_failed(in->cx) && strcmp(side, "left") && strcmp(side, "right"))
        oci_fail(in->cx, OC_E_MALFORMED,
                 "%s: %s: expected left or right, found \"%.50s\"", in->config.name, key,
                 side);
    return !oci_failed(in->cx) && !strcmp(side, "left");
}

static bool read_token_types(oci_loader *in)
{
    const json_t *names = oci_json_array(in->cx, &in->config, in->config.root,
                                         "model_input_names");
    if (!names) return in->class ? in->class->token_types : true;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name && !strcmp(name, "token_type_ids")) return true;
    }
    return false;
}

/* Defaults of GPT-2's and RoBERTa's classes win over tokenizer.json. */
static void override_offsets(oci_loader *in)
{
    oc_tokenizer *t = in->t;
    const json_t *root = in->config.root;
    bool prefix = oci_json_bool(in->cx, &in->config, root, "add_prefix_space", false);
    bool trim = oci_json_bool(in->cx, &in->config, root, "trim_offsets", true);
    if (t->pre_count == 1 && t->pre[0].kind == &oci_bytelevel_pre) {
        oci_bytelevel *pre = t->pre[0].self;
        pre->add_prefix_space = prefix;
    }
    oci_post *post = &t->post;
    if (in->class->family != OCI_ROBERTA || !post->has_offsets) return;
    /* The constructor of processors.ByteLevel does not hear of add_prefix_space: made
     * anew, it has the default. */
    if (post->bytelevel)
        prefix = post->add_prefix_space == prefix && post->trim_offsets == trim ? prefix
                                                                                : true;
    post->add_prefix_space = prefix;
    post->trim_offsets = trim;
}

/* So do BERT's. The reference has built what it finds added tokens with by then. */
static bool override_normalizer(oci_loader *in)
{
    oc_tokenizer *t = in->t;
    oc_context *cx = in->cx;
    const json_t *root = in->config.root;
    if (!in->class || in->class->family != OCI_BERT) return true;
    if (t->normalizer_count != 1 || t->normalizers[0].kind != &oci_bert_normalizer_kind)
        return true;
    oci_bert_normalizer *b = t->normalizers[0].self;
    b->lowercase = oci_json_bool(cx, &in->config, root, "do_lower_case", true);
    b->strip_accents =
        oci_json_bool(cx, &in->config, root, "strip_accents", b->lowercase);
    b->handle_chinese_chars =
        oci_json_bool(cx, &in->config, root, "tokenize_chinese_chars", true);
    return !oci_failed(cx);
}

/* CLIPTokenizerFast wants files of 4.17 or later, and changes how ids become text. */
static bool override_clip(oci_loader *in)
{
    const json_t *pre = json_object_get(in->json.root, "pre_tokenizer");
    const char *type = json_string_value(json_object_get(pre, "type"));
    in->t->word_ends = true;
    if (!pre || (type && !strcmp(type, "Sequence"))) return true;
    oci_fail(in->cx, OC_E_UNSUPPORTED,
             "%s: pre_tokenizer: expected a Sequence, as CLIP's has been since "
             "Transformers 4.17, found %.50s",
             in->json.name, type ? type : "none");
    return false;
}

static bool override_class(oci_loader *in)
{
    switch (in->class->family) {
    case OCI_GPT2: case OCI_ROBERTA: override_offsets(in); break;
    case OCI_MBART: return oci_load_mbart_post(in);
    case OCI_CLIP: return override_clip(in);
    case OCI_LLAMA: return oci_load_llama_post(in);
    case OCI_BERT: case OCI_XLMR: case OCI_PLAIN: break;
    }
    return !oci_failed(in->cx);
}

static int64_t find_role(const oci_loader *in, oci_role role)
{
    const oci_added *token = &in->roles[role];
    return token->content ? oci_vocab_find(&in->t->vocab, token->content, token->size)
                          : OCI_NO_ID;
}

static bool read_settings(oci_loader *in)
{
    oc_context *cx = in->cx;
    oc_tokenizer *t = in->t;
    const json_t *root = in->config.root;
    t->clean_up = oci_json_bool(cx, &in->config, root, "clean_up_tokenization_spaces",
                                !in->class || !in->class->no_clean_up);
    t->pad_left = read_side(in, "padding_side", "padding");
    t->truncate_left = read_side(in, "truncation_side", "truncation");
    t->token_types = read_token_types(in);
    /* Transformers writes 10^30 for "none". */
    double length =
        oci_json_real(cx, &in->config, root, "model_max_length", 0, -1e300, 1e300);
    t->max_length = length >= 1 && length < 1e18 ? (int64_t)length : 0;
    if (in->class && !override_class(in)) return false;
    t->pad_id = find_role(in, OCI_PAD);
    t->eos_id = find_role(in, OCI_EOS);
    t->unk_id = find_role(in, OCI_UNK);
    return !oci_failed(cx);
}

bool oci_config_apply(oci_loader *in, bool converted)
{
    return oci_special_add(in, converted) && read_settings(in) &&
           oci_added_finish(in->cx, in->t) && override_normalizer(in);
}
