/* tf_model.h5: Keras' weights in HDF5, a group a layer with the weights' paths below it,
 * or in a shard the paths alone. Names come out as the datasets' paths
 * ("vit/tf_vi_t_model/vit/ embeddings/cls_token:0"); nothing is renamed or transposed
 * here (io/layout.h does that).
 *
 * Reader and writer are our own, of that part of HDF5 which Keras uses. libhdf5 takes
 * memory by the counts that a file claims, beside our budget, leaks on broken files, and
 * may not be used by two threads; this reader takes memory by what is in the file, and
 * looks at each byte of its structures once. */
#ifndef OCI_IO_KERAS_H
#define OCI_IO_KERAS_H

#include "base/arena.h"
#include "io/safetensors.h"

typedef struct oci_keras {
    char *path;
    oci_buffer *bytes;              /* the file mapped, or NULL: */
    oci_file *source;               /* the open file */
    oci_arena arena;                /* names */
    oci_entry *entries;             /* sorted by name; offset: in the file, or, beyond its
                                       end, the file's size plus an index into
                                       `chunked` */
    size_t count, room;
    struct oci_chunks **chunked;    /* [chunked_count] arrays in chunks; in the arena */
    size_t chunked_count;
} oci_keras;

/* Reads the structures, or maps the file. False: error set, *file empty. */
bool oci_keras_open(oc_context *cx, oci_keras *file, const char *path, bool map);
void oci_keras_close(oci_keras *file);
/* Copies a tensor's bytes, C order, to `to` [entry->bytes]. */
bool oci_keras_read(oc_context *cx, const oci_keras *file, const oci_entry *entry,
                    void *to);
/* Where they lie, if mapped and at a multiple of the element's size; else NULL. */
const void *oci_keras_peek(const oci_keras *file, const oci_entry *entry);

/* Writes the tensors, whose names are paths as above (also for a shard, which leaves the
 * first parts out), into a save begun for `path`. Groups get the attributes that Keras
 * (layer_names, weight_names) or, of a shard, Transformers (layer_names) looks for. */
oc_status oci_keras_write(oc_context *cx, oci_save *save, const char *path,
                          const oci_save_tensor *const *tensors, size_t count, bool shard,
                          const oci_save_source *source);

#endif
