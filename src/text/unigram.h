/* Unigram language model (Kudo 2018, arXiv:1804.10959): the pieces whose scores add up to
 * most. */
#ifndef OCI_TEXT_UNIGRAM_H
#define OCI_TEXT_UNIGRAM_H

#include "text/pipeline.h"

typedef struct oci_piece {
    const char *text;           /* borrowed, only while the vocabulary is made */
    size_t size;
    double score;
} oci_piece;

extern const oci_model_kind oci_unigram_model;

/* Makes the tokenizer's vocabulary of `count` pieces, whose places are their ids. */
bool oci_unigram_vocab(oci_loader *in, const oci_piece *pieces, size_t count,
                       int64_t unknown, const char *where);
/* The same of `count` pieces, whose places are their ids, and the
 * model over it. `unknown`: an id, or OCI_NO_ID. `where` is for messages. */
OC_NODISCARD void *oci_unigram_create(oci_loader *in, const oci_piece *pieces,
                                      size_t count, int64_t unknown, bool byte_fallback,
                                      const char *where);

#endif
