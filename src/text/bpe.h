/* Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over bytes, or as
 * SentencePiece has it over characters. */
#ifndef OCI_TEXT_BPE_H
#define OCI_TEXT_BPE_H

#include "text/pipeline.h"

/* What CLIP's vocabulary writes behind the last character of a word. */
#define OCI_WORD_END "</w>"

/* What merging starts from. */
typedef enum oci_bpe_units {
    OCI_BPE_BYTES,              /* each is written as its character by ByteLevel */
    OCI_BPE_WORD_ENDS,          /* the same, a word's last one with OCI_WORD_END */
    OCI_BPE_CHARACTERS          /* what the vocabulary lacks may come as its bytes */
} oci_bpe_units;

typedef struct oci_bpe {
    oci_pairs merges;           /* left id << 32 | right id → rank, merged id */
    bool of_characters;
    oci_pairs characters;       /* code point → id; added tokens are none */
    bool byte_fallback;
    int64_t byte_ids[256];      /* OCI_NO_ID where the vocabulary lacks the byte's
                                   character; of characters: its "<0x00>" */
    int64_t last_ids[256];      /* of a word's last byte: the same, or those with
                                   OCI_WORD_END */
    int64_t unknown;            /* unk_token, or OCI_NO_ID */
    bool fuse_unknown;
    bool complete;              /* all 256 bytes have ids, in all places */
} oci_bpe;

/* For `merges` merges; the vocabulary is complete but for added tokens. */
OC_NODISCARD oci_bpe *oci_bpe_create(oc_context *cx, const oci_vocab *vocab,
                                     size_t merges, oci_bpe_units units);
void oci_bpe_free(void *bpe);
/* Merge number `rank` of the tokens a and b. `where` is for messages. */
bool oci_bpe_add_merge(oc_context *cx, oci_bpe *bpe, const oci_vocab *vocab,
                       const char *a, size_t a_size, const char *b, size_t b_size,
                       uint32_t rank, const char *where);

extern const oci_model_kind oci_bpe_model;

#endif
