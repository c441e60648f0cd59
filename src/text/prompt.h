/* Prompts of models that talk: what stands around a question, its pictures and the
 * answers before. A few styles by name; a chat template of a folder is one of those, or
 * refused: it is never run. */
#ifndef OCI_TEXT_PROMPT_H
#define OCI_TEXT_PROMPT_H

#include "base/bytes.h"
#include "ocelli.h"

typedef struct oci_prompt_style {
    const char *name;
    const char *system;             /* what a conversation begins with if nobody says
                                       else */
    const char *after_system;
    const char *first, *again;      /* before the first question, and before later ones */
    const char *answer;             /* behind a question: what the model goes on from */
    const char *before_text, *after_text;   /* around an answer that is past */
    const char *stop;               /* ends an answer; NULL: the end token alone does */
} oci_prompt_style;

/* The placeholder of a picture. */
#define OCI_IMAGE_TOKEN "<image>"

/* NULL: "vipllava". OC_E_ARGUMENT lists the names. */
const oci_prompt_style *oci_prompt_style_find(oc_context *cx, const char *name);
/* Of a Jinja template; `where` it is from is for messages.
 * OC_E_UNSUPPORTED: not one of ours. */
const oci_prompt_style *oci_prompt_style_of(oc_context *cx, const char *where,
                                            const char *template);
/* Of a folder: its chat_template.json, else tokenizer_config.json's chat_template;
 * without either the default. */
const oci_prompt_style *oci_prompt_style_open(oc_context *cx, const char *folder);

/* What a conversation begins with; `system` NULL: the style's own. */
oc_status oci_prompt_begin(oc_context *cx, const oci_prompt_style *style,
                           const char *system, oci_bytes *out);
/* A question about `images` new pictures, up to where the answer begins.
 * Where the question has placeholders of its own, there must be one for
 * each; else they go before it. */
oc_status oci_prompt_ask(oc_context *cx, const oci_prompt_style *style, bool first,
                         const char *question, size_t images, oci_bytes *out);
/* The answer to it, which is past. */
oc_status oci_prompt_answer(oc_context *cx, const oci_prompt_style *style,
                            const char *text, oci_bytes *out);

#endif
