/* What a tensor of a Keras or Flax file is called in PyTorch, and how its dimensions
 * lie there: the rules of Transformers 4.37.2, modeling_tf_pytorch_utils.py and
 * modeling_flax_pytorch_utils.py, read from the file's side, since no model of
 * theirs is at hand to ask. */
#ifndef OCI_IO_LAYOUT_H
#define OCI_IO_LAYOUT_H

#include "io/safetensors.h"

typedef enum oci_layout {
    OCI_LAYOUT_TORCH,
    OCI_LAYOUT_KERAS,           /* tf_model.h5:
                                   "vit/tf_vi_t_model/vit/embeddings/cls_token:0" */
    OCI_LAYOUT_KERAS_FLAT,      /* its shards, and TensorFlow's safetensors, which leave
                                   out the layer and the model:
                                   "vit/embeddings/cls_token" */
    OCI_LAYOUT_FLAX             /* "params.vit.embeddings.cls_token" */
} oci_layout;

/* Fills *torch with the stored tensor's name (in `name`), shape, dtype and bytes as
 * PyTorch has them, and order[rank]: dimension i of it is dimension order[i] of the
 * stored one. False: too long a name, or none at all. */
bool oci_layout_entry(oci_layout layout, const oci_entry *stored, oci_entry *torch,
                      char name[OCI_MAX_NAME], int order[OCI_MAX_RANK]);

/* Whether the order changes anything about where elements lie. */
bool oci_layout_moves(const oci_entry *torch, const int *order);

/* Copies the elements of `stored` (C order, at `from`) to `to`, dimension i of which is
 * dimension order[i] of them: an order that moves something. */
void oci_layout_permute(const oci_entry *stored, const int *order, const void *from,
                        void *to);

/* `count` elements of `size` bytes that lie `step` bytes apart, side by side. */
void oci_gather(unsigned char *out, const unsigned char *in, size_t step, size_t size,
                int64_t count);

#endif
