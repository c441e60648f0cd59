/* What document models write, as data. */
#ifndef OCI_GENERATE_DOCUMENT_H
#define OCI_GENERATE_DOCUMENT_H

#include "io/json.h"

/* Donut's tokens as a tree: an object, or a list of them; the caller's (json_decref). The
 * tokenizer, which may be NULL, says which tokens are added ones. */
OC_NODISCARD json_t *oci_document_tree(oc_context *cx, const char *text, size_t size,
                                       const oc_tokenizer *tokenizer);

/* The same as JSON text, from what a model wrote, prompt and special tokens included: end
 * and padding are left out, and the first tag, which is the task's. A new string. */
OC_NODISCARD char *oci_document_of_sequence(oc_context *cx, const char *text,
                                            const oc_tokenizer *tokenizer);

/* Adds decoder_input_ids [rows, T] to `in`: the prompt without
 * special tokens in each row. */
void oci_prompt_add(oc_context *cx, const oc_model *model, const char *prompt,
                    size_t rows, oc_tensors *in);

#endif
