/* Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over bytes. */
#ifndef OCI_TEXT_BPE_H
#define OCI_TEXT_BPE_H

#include "text/pipeline.h"

/* What CLIP's vocabulary writes behind the last character of a word. */
#define OCI_WORD_END "</w>"

typedef struct oci_bpe {
    oci_pairs merges;           /* left id << 32 | right id → rank, merged id */
    int64_t byte_ids[256];      /* OCI_NO_ID where the vocabulary lacks the byte's
                                   character */
    int64_t last_ids[256];      /* of a word's last byte: the same, or those with
                                   OCI_WORD_END */
    int64_t unknown;            /* unk_token, or OCI_NO_ID */
    bool fuse_unknown;
    bool complete;              /* all 256 bytes have ids, in all places */
} oci_bpe;

/* For `merges` merges; the vocabulary is complete. `word_ends`: it has OCI_WORD_END. */
OC_NODISCARD oci_bpe *oci_bpe_create(oc_context *cx, const oci_vocab *vocab,
                                     size_t merges, bool word_ends);
void oci_bpe_free(void *bpe);
/* Merge number `rank` of the tokens a and b. `where` is for messages. */
bool oci_bpe_add_merge(oc_context *cx, oci_bpe *bpe, const oci_vocab *vocab,
                       const char *a, size_t a_size, const char *b, size_t b_size,
                       uint32_t rank, const char *where);

extern const oci_model_kind oci_bpe_model;

#endif
