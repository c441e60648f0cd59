/* WordPiece (Wu et al. 2016, arXiv:1609.08144) as BERT has it: the longest piece
 * first. */
#ifndef OCI_TEXT_WORDPIECE_H
#define OCI_TEXT_WORDPIECE_H

#include "text/pipeline.h"

extern const oci_model_kind oci_wordpiece_model;
extern const oci_decoder_kind oci_wordpiece_decoder;

/* Over the tokenizer's vocabulary, which is complete but for added tokens. `unknown` may
 * be missing there, which is an error only where it is needed. */
OC_NODISCARD void *oci_wordpiece_create(oc_context *cx, const oci_vocab *vocab,
                                        const char *unknown, const char *prefix,
                                        int64_t longest);
/* The decoder's settings: the prefix of pieces that continue a word, and clean-up. */
OC_NODISCARD void *oci_wordpiece_decoder_create(oc_context *cx, const char *prefix,
                                                bool clean_up);

#endif
