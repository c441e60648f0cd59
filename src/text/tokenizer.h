/* What the rest of the library needs of text beyond the public calls in ocelli.h. */
#ifndef OCI_TEXT_TOKENIZER_H
#define OCI_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "ocelli.h"

/* Turns ids into text as they come, and never gives out half a code point: the pieces,
 * put together, are byte for byte what oc_decode gives for all ids at once, with clean-up
 * too: a space that it could still take away waits. One stream, one thread. */
typedef struct oci_detokenizer oci_detokenizer;

OC_NODISCARD oci_detokenizer *oci_detokenizer_create(oc_context *cx,
                                                     const oc_tokenizer *t,
                                                     bool skip_special_tokens,
                                                     oc_clean_up clean_up);
void oci_detokenizer_free(oci_detokenizer *stream);
/* The text that is certain after one more id; may be empty; borrowed until the next
 * call. */
const char *oci_detokenizer_push(oc_context *cx, oci_detokenizer *stream, int64_t id,
                                 size_t *size);
/* The same with the last id: what waited comes too, broken bytes as U+FFFD, as in
 * oc_decode. */
const char *oci_detokenizer_push_last(oc_context *cx, oci_detokenizer *stream, int64_t id,
                                      size_t *size);

/* Whether a string is one of the added tokens, special ones among them. */
bool oci_tokenizer_adds(const oc_tokenizer *t, const char *token, size_t size);
/* Ids of the tokens that play these parts; -1: none. */
int64_t oci_tokenizer_pad(const oc_tokenizer *t);
int64_t oci_tokenizer_eos(const oc_tokenizer *t);
int64_t oci_tokenizer_unk(const oc_tokenizer *t);

#endif
