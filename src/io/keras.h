/* tf_model.h5: Keras' weights in HDF5, a group a layer with the weights' paths below it, or in
 * a shard the paths alone. Names come out as the datasets' paths ("vit/tf_vi_t_model/vit/
 * embeddings/cls_token:0"); nothing is renamed or transposed here (io/layout.h does that).
 *
 * libhdf5 reads the file itself, a tensor at a time. What it may follow is decided here: hard
 * links only, no filters, no external or virtual storage, numbers only. */
#ifndef OCI_IO_KERAS_H
#define OCI_IO_KERAS_H

#include "base/arena.h"
#include "io/safetensors.h"

typedef struct oci_keras {
    char *path;
    int64_t file;                   /* libhdf5's handle + 1; 0: none */
    oci_arena arena;                /* names */
    oci_entry *entries;             /* sorted by name */
    size_t count, room;
} oci_keras;

/* False: error set, *file empty. A build without HDF5 answers OC_E_UNSUPPORTED. */
bool oci_keras_open(oc_context *cx, oci_keras *file, const char *path);
void oci_keras_close(oci_keras *file);
/* A tensor's elements, in C order, to `to` [entry->bytes]. libhdf5 is not for two threads at
 * once: a lock of ours keeps others out meanwhile. */
bool oci_keras_read(oc_context *cx, oci_keras *file, const oci_entry *entry, void *to);

#endif
