/* Keys and values of a decoder that are kept between steps: its own, which grow by a position
 * a step, and those of the encoder's output, which are made once. Belongs to one session.
 *
 * Nothing in it is ever moved. Batch row b of a step writes to row rows[b], so that finished
 * rows can leave the batch; it reads cross_rows[b] of the encoder's output, which all beams of
 * a picture share; and where an origin table is set, position j of its own past lies in row
 * origin[b * origin_row + j], so that beams which fork share what they have in common. */
#ifndef OCI_NN_CACHE_H
#define OCI_NN_CACHE_H

#include "backend/backend.h"
#include "tensor/tensor.h"

typedef struct oci_cache {
    int64_t layers, rows_room;
    oci_kv *self, *cross;           /* [layers] */
    int64_t length;                 /* positions kept in self; oci_cache_advance moves it */
    int64_t cross_length;           /* positions kept in cross; 0: not made yet */
    int64_t *rows;                  /* [rows_room]; batch row b is row rows[b] of self */
    int64_t *cross_rows;            /* [rows_room]; … and row cross_rows[b] of cross */
    const int64_t *origin;          /* [rows_room, origin_row], or NULL: rows alone; borrowed */
    int64_t origin_row;
    oci_buffer *memory;
} oci_cache;

/* Room for `rows` sequences of `length` and encoder outputs of `cross_length` (0: none), each
 * row its own. */
OC_NODISCARD oci_cache *oci_cache_create(oc_context *cx, int64_t layers, int64_t rows,
                                         int64_t heads, int64_t head_dim, int64_t length,
                                         int64_t cross_length);
/* The same where `rows` share the encoder outputs of `sources` pictures, in equal numbers and
 * in order. */
OC_NODISCARD oci_cache *oci_cache_create_shared(oc_context *cx, int64_t layers, int64_t rows,
                                                int64_t heads, int64_t head_dim,
                                                int64_t length, int64_t sources,
                                                int64_t cross_length);
void oci_cache_free(oci_cache *cache);
/* After a forward pass over T new positions and N encoder outputs. */
void oci_cache_advance(oci_cache *cache, int64_t T, int64_t N);

/* Transformers' form [B, H, T, head_dim], in the arena: out of, and into, the first `length`
 * positions. which: 0 keys, 1 values. */
OC_NODISCARD oci_tensor *oci_kv_export(oc_context *cx, const oci_kv *kv, int64_t B,
                                       int64_t length, int which);
oc_status oci_kv_import(oc_context *cx, const oci_kv *kv, const oci_tensor *keys,
                        const oci_tensor *values);
/* Sum of the elements of one key. */
float oci_kv_key_sum(oc_context *cx, const oci_kv *kv, int64_t row, int64_t head,
                     int64_t position);
/* [B, T, H * head_dim] → [B, H, T, head_dim], or back. */
OC_NODISCARD oci_tensor *oci_split_heads(oc_context *cx, const oci_tensor *x, int64_t heads);
OC_NODISCARD oci_tensor *oci_merge_heads(oc_context *cx, const oci_tensor *x);

#endif
