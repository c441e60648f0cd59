/* oc_parse: documents to data, as the model cards of Donut and
 * Nougat do it with Transformers.
 *
 *   picture + prompt → generate, up to the decoder's last position → text
 *     → JSON or markup
 *
 * The prompt is text of the tokenizer's own tags, taken without special tokens around it:
 * <s_cord-v2>, or <s_docvqa><s_question>…</s_question><s_answer>. */
#include <string.h>

#include "base/bytes.h"
#include "base/size.h"
#include "generate/document.h"
#include "checkpoint/folder.h"
#include "io/json.h"
#include "models/vision_encoder_decoder.h"

/* A task is a tag that the tokenizer must have, or every
 * letter of it would be a token. */
static void check_task(oc_context *cx, const oc_model *model, const char *tag)
{
    const oc_tokenizer *tokenizer = oc_model_tokenizer(cx, model);
    if (tokenizer && !oci_tokenizer_adds(tokenizer, tag, strlen(tag)))
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected a task whose tag is in the tokenizer, found %s",
                 model->folder, tag);
}

/* The prompt in a new string; NULL for none or with an error set. */
static char *make_prompt(oc_context *cx, const oc_model *model, const oc_parse_options *o)
{
    const char *task = o->task ? o->task : o->question ? "docvqa" : NULL;
    oci_bytes text;
    if (!task) return NULL;
    oci_bytes_init(&text, cx->limits.text_bytes);
    if (oci_bytes_printf(cx, &text, "<s_%s>", task) == OC_OK)
        check_task(cx, model, text.data);
    if (o->question)
        oci_bytes_printf(cx, &text, "<s_question>%s</s_question><s_answer>", o->question);
    return oci_bytes_take(cx, &text);
}

/* ---- how it is generated ---- */

static void set_id(json_t *config, const char *key, int64_t id)
{
    if (id >= 0) json_object_set_new(config, key, json_integer(id));
}

/* The model cards' arguments of generate(), under those of the caller. */
static json_t *defaults_of(oc_context *cx, const oc_model *model, bool markup)
{
    const oc_tokenizer *tokenizer = oc_model_tokenizer(cx, model);
    const oci_ved *ved = model->core.root;
    json_t *config = json_object();
    if (!tokenizer || !config) return config;
    int64_t unk = oci_tokenizer_unk(tokenizer);
    if (ved->shape.max_positions > 0)
        set_id(config, "max_length", ved->shape.max_positions);
    if (unk >= 0)
        json_object_set_new(config, "bad_words_ids", json_pack("[[I]]", (json_int_t)unk));
    if (markup) {
        set_id(config, "min_length", 1);
    } else {
        set_id(config, "pad_token_id", oci_tokenizer_pad(tokenizer));
        set_id(config, "eos_token_id", oci_tokenizer_eos(tokenizer));
    }
    return config;
}

static char *make_config(oc_context *cx, const oc_model *model, const char *own,
                         bool markup)
{
    oci_json doc = { 0 };
    json_t *config = defaults_of(cx, model, markup);
    if (own && oci_json_parse(cx, &doc, "generation options", own, strlen(own))) {
        if (!json_is_object(doc.root))
            oci_fail(cx, OC_E_ARGUMENT, "%s: expected a JSON object", doc.name);
        /* Both together would be a contradiction, and not the caller's. */
        if (json_object_get(doc.root, "max_new_tokens"))
            json_object_del(config, "max_length");
        json_object_update(config, doc.root);
        oci_json_close(&doc);
    }
    char *text = config && !oci_failed(cx) ? oci_json_text_of(cx, config) : NULL;
    if (!config) oci_fail(cx, OC_E_MEMORY, "parse: options");
    json_decref(config);
    return text;
}

/* ---- what comes out ---- */

/* Puts what the text means in the place of what the model wrote. */
static void make_document(oc_context *cx, const oc_model *model, bool markup,
                          oc_text *text)
{
    const oc_tokenizer *tokenizer = oc_model_tokenizer(cx, model);
    char *made = markup
                     ? oc_document_markup(cx, text->text, strlen(text->text), true, NULL)
                     : oci_document_of_sequence(cx, text->text, tokenizer);
    if (!made) return;
    oc_string_free((char *)(uintptr_t)text->text);    /* ours: the texts were just made */
    text->text = made;
    text->is_json = !markup;
}

oc_texts *oc_parse(oc_context *cx, const oc_model *model, oc_image *const *images,
                   size_t count, const oc_parse_options *options)
{
    if (!oci_given(cx, model, __func__, "a model") ||
        !oci_given(cx, count ? images : NULL, __func__, "pictures") ||
        !oci_model_has_weights(cx, model))
        return NULL;
    oc_parse_options o = { .size = sizeof o };
    oci_take_options(&o, sizeof o, options);
    const oci_processor *processor = oci_model_processor(cx, model);
    if (model->core.arch != &oci_vision_encoder_decoder)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "%s: expected a vision-encoder-decoder to parse with, found %s",
                 model->folder, model->core.arch->model_type);
    if (oci_failed(cx)) return NULL;
    const bool markup = strcmp(oci_processor_class(processor), "Nougat") == 0;
    char *prompt = make_prompt(cx, model, &o);
    char *config = oci_failed(cx) ? NULL : make_config(cx, model, o.config, markup);
    oc_read_options how = { .size = sizeof how, .config = config, .prompt = prompt,
                            .whole = !markup, .callback = o.callback,
                            .callback_user = o.callback_user, .timings = o.timings,
                            .first_picture = o.first_picture,
                            .kv_dtype = o.kv_dtype };
    oc_texts *texts = oc_read(cx, model, images, count, &how);
    for (size_t i = 0; i < oc_texts_count(texts) && !oci_failed(cx); i++)
        make_document(cx, model, markup, (oc_text *)(uintptr_t)oc_texts_get(texts, i));
    oci_free(prompt);
    oci_free(config);
    if (!oci_failed(cx)) return texts;
    oc_texts_free(texts);
    return NULL;
}

/* ---- prompts of any model ---- */

void oci_prompt_add(oc_context *cx, const oc_model *model, const char *prompt,
                    size_t rows, oc_tensors *in)
{
    const oc_encode_options plain = { .size = sizeof plain, .no_special_tokens = true };
    oc_tensor_view view;
    oc_encoding *ids = oc_encode(cx, oc_model_tokenizer(cx, model), prompt,
                                 strlen(prompt), NULL, 0, &plain);
    const int64_t shape[] = { (int64_t)rows, (int64_t)oc_encoding_count(ids) };
    if (ids) oc_tensors_add(cx, in, "decoder_input_ids", OC_I64, 2, shape, NULL);
    if (!oci_failed(cx) && oc_tensors_find(in, "decoder_input_ids", &view))
        for (size_t i = 0; i < rows; i++)
            memcpy((int64_t *)(uintptr_t)view.data + (int64_t)i * shape[1],
                   oc_encoding_ids(ids), (size_t)shape[1] * sizeof(int64_t));
    oc_encoding_free(ids);
}
