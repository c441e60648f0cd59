#include "text/prompt.h"

#include <string.h>

#include "base/context.h"
#include "io/file.h"
#include "io/json.h"

/* ViP-LLaVA's model card; LLaVA's conversation.py (vicuna_v1, plain, llama_2). "llava" is
 * Vicuna's as llava-hf's chat templates write it: no system text, and a space
 * in place of the end token. */
static const oci_prompt_style styles[] = {
    { .name = "vipllava",
      .system = "A chat between a curious human and an artificial intelligence "
                "assistant. The assistant gives helpful, detailed, and polite answers to "
                "the human's questions.",
      .after_system = "", .first = "###Human: ", .again = "###Human: ",
      .answer = "###Assistant:", .before_text = " ", .after_text = "", .stop = "###" },
    { .name = "vicuna",
      .system = "A chat between a curious user and an artificial intelligence assistant. "
                "The assistant gives helpful, detailed, and polite answers to the user's "
                "questions.",
      .after_system = " ", .first = "USER: ", .again = "USER: ", .answer = " ASSISTANT:",
      .before_text = " ", .after_text = "</s>" },
    { .name = "llava", .system = "", .after_system = " ", .first = "USER: ",
      .again = "USER: ", .answer = " ASSISTANT:", .before_text = " ", .after_text = " " },
    { .name = "llama", .system = "", .after_system = "", .first = "[INST] ",
      .again = "<s>[INST] ", .answer = " [/INST]", .before_text = " ",
      .after_text = " </s>" },
    { .name = "plain", .system = "", .after_system = "\n", .first = "", .again = "",
      .answer = "\n", .before_text = "", .after_text = "\n" },
};

enum { STYLES = sizeof styles / sizeof *styles, LLAVA = 2, LLAMA = 3, VIPLLAVA = 0 };

const oci_prompt_style *oci_prompt_style_find(oc_context *cx, const char *name)
{
    if (!name) return &styles[VIPLLAVA];
    for (size_t i = 0; i < STYLES; i++)
        if (!strcmp(styles[i].name, name)) return &styles[i];
    oci_fail(cx, OC_E_ARGUMENT,
             "template: expected vipllava, vicuna, llava, llama or plain, found "
             "\"%.50s\"",
             name);
    return NULL;
}

/* ---- chat templates ---------------------------------------------------------------- */

#define EACH "{% for message in messages %}"
#define IMAGES                                                                           \
    "{# Render all images first #}{% for content in message['content'] | "               \
    "selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"            \
    "{# Render all text next #}"
#define TEXTS                                                                            \
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"

/* As llava-hf publishes them with its models, and as Llama's class has had by itself. */
static const struct {
    const char *text;
    int style;
} templates[] = {
    { EACH "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}{% "
           "elif "
      "message['role'] == 'user' %}{{ '###Human: '}}{% else %}{{ '###' + "
      "message['role'].title() + ': '}}{% endif %}" IMAGES TEXTS
      "{{ content['text'] }}{% endfor %}{% endfor %}{% if add_generation_prompt %}"
      "{{ '###Assistant:' }}{% endif %}", VIPLLAVA },
    { EACH "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}{% "
           "else %}"
      "{{ message['role'].upper() + ': '}}{% endif %}" IMAGES TEXTS
      "{{ content['text'] + ' '}}{% endfor %}{% endfor %}{% if add_generation_prompt %}"
      "{{ 'ASSISTANT:' }}{% endif %}", LLAVA },
    { EACH "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% "
           "endif %}"
      IMAGES "{% if message['role'] != 'assistant' %}" TEXTS "{{ content['text'] + ' '}}"
      "{% endfor %}{% else %}" TEXTS "{% generation %}{{ content['text'] + ' '}}"
      "{% endgeneration %}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt "
      "%}{{ 'ASSISTANT:' }}{% endif %}", LLAVA },
    { "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% "
      "set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = "
      "messages %}{% set system_message = false %}{% endif %}{% for message in "
      "loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "
      "raise_exception('Conversation roles must alternate "
      "user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and "
      "system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
      "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = "
      "message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + "
      "'[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' "
      "%}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}", LLAMA },
};

/* Without white space at both ends: files end with a line end or not. A line end within a
 * text may stand there itself, or as Jinja writes it; ours do the latter. */
static bool same_text(const char *given, const char *own)
{
    static const char blanks[] = " \t\r\n";
    given += strspn(given, blanks);
    for (; *own; given++, own++) {
        if (own[0] == '\\' && own[1] == 'n' && *given == '\n') own++;
        else if (*given != *own) return false;
    }
    return !given[strspn(given, blanks)];
}

const oci_prompt_style *oci_prompt_style_of(oc_context *cx, const char *where,
                                            const char *template)
{
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        if (same_text(template, templates[i].text)) return &styles[templates[i].style];
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: chat_template: not one that is known here, and templates are not run: "
             "expected a template by name (vipllava, vicuna, llava, llama, plain), found "
             "\"%.60s…\"",
             where, template);
    return NULL;
}

/* The style that a JSON file asks for; NULL without an error where it does not. */
static const oci_prompt_style *style_of_file(oc_context *cx, const char *folder,
                                             const char *name)
{
    const oci_prompt_style *style = NULL;
    char *path = oci_path_join(cx, folder, name);
    oci_json doc = { 0 };
    if (path && oci_file_exists(cx, path) && oci_json_open(cx, &doc, path)) {
        const char *text = oci_json_text(cx, &doc, doc.root, "chat_template", NULL);
        if (text && !oci_failed(cx)) style = oci_prompt_style_of(cx, path, text);
        oci_json_close(&doc);
    }
    oci_free(path);
    return style;
}

const oci_prompt_style *oci_prompt_style_open(oc_context *cx, const char *folder)
{
    const oci_prompt_style *style = style_of_file(cx, folder, "chat_template.json");
    if (!style && !oci_failed(cx))
        style = style_of_file(cx, folder, "tokenizer_config.json");
    return style || oci_failed(cx) ? style : &styles[VIPLLAVA];
}

/* ---- texts ------------------------------------------------------------------------- */

oc_status oci_prompt_begin(oc_context *cx, const oci_prompt_style *style,
                           const char *system, oci_bytes *out)
{
    if (!system) system = style->system;
    if (!*system) return cx->status;
    oci_bytes_append_text(cx, out, system);
    return oci_bytes_append_text(cx, out, style->after_system);
}

static size_t count_placeholders(const char *text)
{
    size_t count = 0;
    while ((text = strstr(text, OCI_IMAGE_TOKEN))) {
        count++;
        text += sizeof OCI_IMAGE_TOKEN - 1;
    }
    return count;
}

oc_status oci_prompt_ask(oc_context *cx, const oci_prompt_style *style, bool first,
                         const char *question, size_t images, oci_bytes *out)
{
    size_t own = count_placeholders(question);
    if (own && own != images)
        return oci_fail(cx, OC_E_ARGUMENT,
                        "question: expected %zu times " OCI_IMAGE_TOKEN
                        ", one for each new picture, or none, found %zu",
                        images, own);
    oci_bytes_append_text(cx, out, first ? style->first : style->again);
    for (size_t i = 0; i < images && !own; i++)
        oci_bytes_append_text(cx, out, OCI_IMAGE_TOKEN "\n");
    oci_bytes_append_text(cx, out, question);
    return oci_bytes_append_text(cx, out, style->answer);
}

oc_status oci_prompt_answer(oc_context *cx, const oci_prompt_style *style,
                            const char *text, oci_bytes *out)
{
    oci_bytes_append_text(cx, out, style->before_text);
    oci_bytes_append_text(cx, out, text);
    return oci_bytes_append_text(cx, out, style->after_text);
}
