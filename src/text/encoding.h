/* What oc_encode gives. */
#ifndef OCI_TEXT_ENCODING_H
#define OCI_TEXT_ENCODING_H

#include "ocelli.h"

struct oc_encoding {
    const oc_tokenizer *tokenizer;  /* borrowed */
    size_t count;
    bool token_types;               /* the caller may see `types` */
    int64_t *ids, *mask, *types;    /* [count]; one block, which begins at ids */
    int64_t *sequences;             /* [count] */
    int64_t *offsets;               /* [count, 2] */
    char **surfaces;            /* [count], NULL where the vocabulary's string will do;
                                   NULL itself if that is so everywhere */
    oc_encoding **overflow;         /* [overflow_count] */
    size_t overflow_count;
};

#endif
