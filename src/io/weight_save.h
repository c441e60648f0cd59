/* Weights into a folder: one file, or shards with an index,
 * of any format that we write. */
#ifndef OCI_IO_WEIGHT_SAVE_H
#define OCI_IO_WEIGHT_SAVE_H

#include "io/weight_file.h"

/* Writes `tensors` [count], whose names and shapes are the format's own already, and
 * which are in the order in which shards are to be filled. `shard_bytes` bounds the
 * tensors of a shard; a larger one has a shard to itself. What an earlier save left of
 * this format (shards, an index, the file alone) is removed.
 *
 * All files are complete on the disk before the first one appears, and a kill
 * leaves what was there or what is new: shards show themselves by the index, and
 * take names that no file has. */
oc_status oci_weights_save(oc_context *cx, const char *folder,
                           const oci_weight_format *format,
                           const oci_save_tensor *tensors, size_t count,
                           uint64_t shard_bytes, const oci_save_source *source);

#endif
