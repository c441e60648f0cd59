/* What the readers of tokenizer files share. */
#ifndef OCI_TEXT_LOADER_H
#define OCI_TEXT_LOADER_H

#include "text/pipeline.h"

enum { OCI_ROLES = 7, OCI_MAX_FIELD = 256 };

/* Special tokens by what they are for, in the order in which Transformers adds them. */
typedef enum oci_role {
    OCI_BOS, OCI_EOS, OCI_UNK, OCI_SEP, OCI_PAD, OCI_CLS, OCI_MASK
} oci_role;

/* Classes that Transformers puts together and changes alike. */
typedef enum oci_family {
    OCI_GPT2, OCI_ROBERTA,      /* byte-level BPE: vocab.json and merges.txt */
    OCI_CLIP,                   /* the same, with ends of words */
    OCI_BERT,                   /* WordPiece: vocab.txt */
    OCI_XLMR, OCI_MBART,        /* Unigram: sentencepiece.bpe.model */
    OCI_LLAMA,                  /* BPE with byte fallback: tokenizer.model */
    OCI_PLAIN                   /* tokenizer.json alone */
} oci_family;

/* What a class makes of the mask token's string: an AddedToken that eats the space before
 * it, with or without saying whether it is normalized. */
typedef enum oci_mask_kind {
    OCI_MASK_TEXT, OCI_MASK_UNSAID, OCI_MASK_RAW, OCI_MASK_NORMALIZED
} oci_mask_kind;

/* What Transformers' tokenizer classes know without a file. */
typedef struct oci_class {
    const char *name;           /* without "Fast" */
    const char *model_type;     /* of config.json, where tokenizer_config.json names no
                                   class */
    const char *roles[OCI_ROLES];
    oci_family family;
    oci_mask_kind mask;
    bool token_types;
    bool pad_left;              /* the default of padding_side */
    bool no_clean_up;           /* the default of clean_up_tokenization_spaces is false */
    const char *const *more;    /* additional_special_tokens, up to a NULL; NULL: none */
} oci_class;

struct oci_loader {
    oc_context *cx;
    oc_tokenizer *t;
    const char *folder;
    oci_json json;              /* tokenizer.json, or vocab.json */
    oci_json config;            /* tokenizer_config.json */
    oci_json map;               /* special_tokens_map.json */
    oci_json added;             /* added_tokens.json */
    const oci_class *class;     /* NULL: PreTrainedTokenizerFast, or one not known here */
    oci_added roles[OCI_ROLES];     /* content NULL: none */
    bool role_is_text[OCI_ROLES];   /* a plain string, not an AddedToken */
    char field[OCI_MAX_FIELD];
};

/* "path.key" in in->field. */
const char *oci_field(oci_loader *in, const char *path, const char *key);
/* A token's content and flags from an AddedToken object; false with an error set.
 * `special` is the flag's value where the object is silent. */
bool oci_read_added(oci_loader *in, const oci_json *doc, const json_t *object,
                    const char *field, bool special, oci_added *token);

/* tokenizer.json, which is open as in->json: everything in it. */
bool oci_load_tokenizer_json(oci_loader *in);
/* The strings of a model: an object of token → id. */
bool oci_load_vocab(oci_loader *in, const oci_json *doc, const json_t *object,
                    const char *field);
/* The same of tokenizer.json's model, which must have them. */
bool oci_load_model_vocab(oci_loader *in, const json_t *model, const char *field);
/* vocab.json and merges.txt, put together as Transformers' converters do; the second is
 * for CLIP. */
bool oci_load_vocab_merges(oci_loader *in, const char *vocab_path,
                           const char *merges_path);
bool oci_load_clip(oci_loader *in, const char *vocab_path, const char *merges_path);
/* vocab.txt of BERT, and sentencepiece.bpe.model or tokenizer.model, likewise. */
bool oci_load_vocab_txt(oci_loader *in, const char *path);
bool oci_load_sentencepiece(oci_loader *in, const char *path);
bool oci_load_spm(oci_loader *in, const char *path, const uint8_t *bytes, size_t size);
/* Llama's post-processor, which replaces any other. */
bool oci_load_llama_post(oci_loader *in);
/* The post-processor of the class; after all tokens have ids. */
bool oci_load_class_post(oci_loader *in);
/* mBART's, which replaces any other: it ends with the language that a text is in. */
bool oci_load_mbart_post(oci_loader *in);

/* The id of a special token that a post-processor sets; an error where there is none. */
uint32_t oci_role_id(oci_loader *in, oci_role role);

/* The languages of mBART, up to a NULL. */
extern const char *const oci_mbart_languages[];

/* tokenizer_config.json and the files beside it: opens them, finds class and special
 * tokens. */
bool oci_config_open(oci_loader *in);
/* Adds the tokens that they name and applies their settings. `converted`: the tokenizer
 * comes from vocab.json. */
bool oci_config_apply(oci_loader *in, bool converted);
void oci_config_close(oci_loader *in);
/* The tokens alone, a step of oci_config_apply. */
bool oci_special_add(oci_loader *in, bool converted);

/* A template of `count` items, owned by the post-processor. */
bool oci_template_set(oc_context *cx, oci_template *out, const oci_template_item *items,
                      size_t count);
/* The post-processor of tokenizer.json; NULL or null: none. */
bool oci_post_load(oci_loader *in, const json_t *object);
bool oci_post_none(oc_context *cx, oci_post *post);
bool oci_post_roberta(oc_context *cx, oci_post *post, uint32_t cls, uint32_t sep);
void oci_post_deinit(oci_post *post);

#endif
