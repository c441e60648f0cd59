/* Keys and values of a decoder that are kept between steps: its own, which grow by a
 * position a step, and those of the encoder's output, which are made once. Belongs to one
 * session.
 *
 * Nothing in it is ever moved. Addresses are taken for all the positions that there may
 * be, and memory comes as they are used (base/reserve.h). Batch row b of a step writes to
 * row rows[b], so that finished rows can leave the batch; it reads cross_rows[b] of the
 * encoder's output, which all beams of a picture share; and where an origin table is set,
 * position j of its own past lies in row origin[b * origin_row + j], so that beams which
 * fork share what they have in common. */
#ifndef OCI_NN_CACHE_H
#define OCI_NN_CACHE_H

#include "backend/backend.h"
#include "base/reserve.h"
#include "tensor/tensor.h"

typedef struct oci_cache {
    int64_t layers, rows_room;
    oci_kv *self, *cross;           /* [layers] */
    int64_t length;                 /* positions kept in self; oci_cache_advance moves
                                       it */
    int64_t cross_length;           /* positions kept in cross; 0: not made yet */
    int64_t *rows;                  /* [rows_room]; batch row b is row rows[b] of self */
    int64_t *cross_rows;            /* [rows_room]; … and row cross_rows[b] of cross */
    const int64_t *origin;          /* [rows_room, origin_row], or NULL: rows
                                       alone; borrowed */
    int64_t origin_row;
    oci_reserve *memory;
    int64_t used;                   /* positions of self that count as held */
    uint64_t position_bytes, cross_bytes;    /* of a position in all rows; of all cross */

    /* A step of several sessions, each with a cache of its own: batch row b continues row
     * 0 of members[b], by one position. Then all above but `length`, the longest, is
     * empty. */
    struct oci_cache *const *members;
    int64_t member_count;
} oci_cache;

typedef struct oci_cache_spec {
    int64_t layers, rows, heads, head_dim;
    int64_t length;                 /* most positions of a row */
    int64_t cross_length;           /* of encoder outputs; 0: none */
    int64_t sources;                /* pictures that the rows share in equal numbers and
                                       in order; 0: one each */
    oc_dtype dtype;                 /* of keys and values: OC_F32, OC_BF16 or OC_INT8 */
} oci_cache_spec;

OC_NODISCARD oci_cache *oci_cache_create(oc_context *cx, oci_cache_spec spec);
void oci_cache_free(oci_cache *cache);
/* Before `length` positions of self are written: they will be held. OC_E_LIMIT where
 * there is no room, OC_E_MEMORY over the budget. */
bool oci_cache_use(oc_context *cx, oci_cache *cache, int64_t length);
/* After a forward pass over T new positions and N encoder outputs. */
void oci_cache_advance(oci_cache *cache, int64_t T, int64_t N);
/* The cache of a step of `count` sessions; members are borrowed. */
oci_cache oci_cache_join(oci_cache *const *members, int64_t count);

/* Transformers' form [B, H, T, head_dim], in the arena: out of, and into, the first
 * `length` positions. which: 0 keys, 1 values. */
OC_NODISCARD oci_tensor *oci_kv_export(oc_context *cx, const oci_kv *kv, int64_t B,
                                       int64_t length, int which);
oc_status oci_kv_import(oc_context *cx, const oci_kv *kv, const oci_tensor *keys,
                        const oci_tensor *values);
/* Whether the elements of a key add up to 0, as those of a slot without a word or a
 * picture do. Of narrow keys, whose rounded elements might by chance, whether all of them
 * are 0. */
bool oci_kv_key_is_zero(oc_context *cx, const oci_kv *kv, int64_t row, int64_t head,
                        int64_t position);
/* [B, T, H * head_dim] → [B, H, T, head_dim], or back. */
OC_NODISCARD oci_tensor *oci_split_heads(oc_context *cx, const oci_tensor *x,
                                         int64_t heads);
OC_NODISCARD oci_tensor *oci_merge_heads(oc_context *cx, const oci_tensor *x);

#endif
