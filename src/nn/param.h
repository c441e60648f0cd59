/* The values of one parameter: from a file's order and type to the form that its use
 * wants, and back. */
#ifndef OCI_NN_PARAM_H
#define OCI_NN_PARAM_H

#include "nn/walk.h"

/* Fills *param->slot, making it if need be, with values in the file's order (F32, BF16,
 * F16 or F64): nothing points into `data` afterwards. False: error set. */
bool oci_param_set(oc_context *cx, const oci_param *param, oc_dtype dtype,
                   const void *data, bool trainable);

/* The same a few rows (of the file's first dimension) at a time, and in another type than
 * the file's: rounded to a float type, or quantised to weights in blocks. */
typedef struct oci_param_filling {
    const oci_param *param;
    oc_dtype from, as;
    bool plain;                     /* f32 as it is: trained, or used element by
                                       element */
    bool whole;                     /* all rows must come at once */
    oci_tensor *tensor;             /* what is filled; NULL: error set */
} oci_param_filling;

enum {
    OCI_PARAM_BLOCK = 32,           /* weights of a block */
    OCI_PARAM_ROWS = 64             /* pieces of rows begin at multiples of it */
};

bool oci_param_begin(oc_context *cx, oci_param_filling *filling, const oci_param *param,
                     oc_dtype from, oc_dtype as, bool trainable);
bool oci_param_put(oc_context *cx, oci_param_filling *filling, int64_t first,
                   int64_t rows, const void *data);
/* Must follow a begin, whatever failed: it is now the model's, or freed. */
bool oci_param_end(oc_context *cx, oci_param_filling *filling);

/* Makes the parameter of `memory` itself, which it takes (on failure too): panels of a
 * product, or the rows of a table, both of type `dtype`. */
bool oci_param_adopt(oc_context *cx, const oci_param *param, oc_dtype dtype,
                     oc_dtype stored, oci_buffer *memory);

/* Whether it may be kept as weights in blocks: a matrix of products, wide enough. */
bool oci_param_takes_blocks(const oci_param *param);
/* The type to keep it in, where the file has `stored` and
 * `wanted` was asked for (0: that). */
oc_dtype oci_param_dtype(const oci_param *param, oc_dtype stored, oc_dtype wanted);
/* Bytes that it takes in memory in that type. */
size_t oci_param_bytes(oc_context *cx, const oci_param *param, oc_dtype as,
                       bool trainable);
/* Weights in blocks of all of it, in the file's order and of a float type,
 * into `panels`. */
void oci_param_quantise(oc_context *cx, const oci_param *param, oc_dtype dtype,
                        oc_dtype from, const void *data, void *panels);
/* `rows` outputs of a product's panels from `first` on, widened. */
void oci_param_widen(oc_context *cx, const oci_param *param, oc_dtype dtype,
                     const void *panels, int64_t first, int64_t rows, float *to);
/* The values as f32 in the file's order, in a new block (oci_free); NULL: error set. */
OC_NODISCARD float *oci_param_values(oc_context *cx, const oci_param *param);
void oci_param_free(oci_tensor *tensor);
int64_t oci_param_count(const oci_param *param);
/* True if a NaN is among n numbers. */
bool oci_bits_nan(oc_dtype dtype, const void *data, size_t n);

#endif
