/* Weights in blocks as a safetensors file has them (docs/FORMAT-weights.md): a
 * tensor of bytes, which lie as the kernels read them, and an entry of
 * __metadata__ that says what they are.
 *
 *     "ocelli_version": "1"
 *     "ocelli:NAME": "INT4 BF16 4096 11008"       type, what it was made of, shape
 *     "ocelli:NAME": "INT8 F32 768 2304 turned"   the matrix's outputs are the columns
 */
#ifndef OCI_IO_BLOCKS_H
#define OCI_IO_BLOCKS_H

#include "io/safetensors.h"

enum {
    OCI_BLOCKS_VERSION = 1,
    OCI_BLOCKS_ALIGN = 64,          /* where such a tensor begins in its file: a line */
    OCI_BLOCKS_LEAST = 32,          /* weights of one output; narrower matrices stay as
                                       they are */
    OCI_BLOCKS_TEXT = 96            /* room for the metadata's text */
};

#define OCI_BLOCKS_VERSION_KEY "ocelli_version"
#define OCI_BLOCKS_VERSION_TEXT "1"
#define OCI_BLOCKS_PREFIX "ocelli:"

/* Makes weights in blocks of the tensors that the metadata says are some: their dtype,
 * shape and `original` become those of the matrix. False: error set. */
bool oci_blocks_read(oc_context *cx, oci_safetensors *file);
/* The metadata's text for one. */
void oci_blocks_text(oc_dtype dtype, oc_dtype original, const int64_t shape[2],
                     bool turned, char text[OCI_BLOCKS_TEXT]);
/* "INT4" and the like; OC_DTYPE_COUNT: none of that name. */
oc_dtype oci_blocks_find(const char *name);
/* Whether the scales and minima in `groups` groups of 16 outputs,
 * K weights each, are finite. */
bool oci_blocks_finite(oc_dtype dtype, int64_t K, const void *bytes, int64_t groups);
/* What the index of shards has of one, so that another model's is noticed: the sum over
 * its weights in blocks of this, of each name, size and first line. */
uint64_t oci_blocks_print(const char *name, size_t bytes, const void *first_line);
#define OCI_BLOCKS_PRINTS_KEY "ocelli_shards"

/* Bytes of such a group, and how many of them N outputs have. */
int64_t oci_blocks_group_bytes(oc_dtype dtype, int64_t K);
int64_t oci_blocks_groups(int64_t N);

#endif
