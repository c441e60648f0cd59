/* A SentencePiece model file: a ModelProto in Protocol Buffers' wire format, of which we
 * read what Transformers' converters use. */
#ifndef OCI_TEXT_SENTENCEPIECE_H
#define OCI_TEXT_SENTENCEPIECE_H

#include "text/unigram.h"

typedef enum oci_spm_type { OCI_SPM_UNIGRAM = 1, OCI_SPM_BPE, OCI_SPM_WORD, OCI_SPM_CHAR }
    oci_spm_type;

typedef struct oci_spm {
    oci_piece *pieces;          /* [count]; their texts, as the charsmap, lie in the
                                   file */
    size_t count;
    uint64_t model_type;
    size_t unknowns;            /* pieces of type UNKNOWN */
    const char *unknown;        /* unk_piece */
    size_t unknown_size;
    const uint8_t *charsmap;
    size_t charsmap_size;
} oci_spm;

/* `bytes` must outlive *spm. `name` is for messages. */
bool oci_spm_parse(oc_context *cx, oci_spm *spm, const char *name, const uint8_t *bytes,
                   size_t size);
void oci_spm_deinit(oci_spm *spm);

#endif
