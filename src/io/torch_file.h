/* pytorch_model.bin: what torch.save makes of a state dict, as a zip (torch 1.6 and later:
 * data.pkl, and data/KEY for each storage) or as pickles in a row with the storages behind
 * them (before 1.6). Tensors may share storages and lie in them with any strides. */
#ifndef OCI_IO_TORCH_FILE_H
#define OCI_IO_TORCH_FILE_H

#include "io/pickle.h"
#include "io/safetensors.h"
#include "io/zip.h"

typedef struct oci_torch {
    char *path;
    oci_pickle pickle;
    oci_entry *entries;             /* sorted by name; offset: index into tensors */
    const oci_pickle_tensor **tensors;
    size_t count;
    oci_zip zip;                    /* the newer form … */
    char *folder;                   /* … and its one folder, with the '/' */
    oci_buffer *bytes;              /* the older form … */
    struct oci_torch_storage { const char *key; size_t offset, bytes; } *storages;
    size_t storage_count;           /* … and where its storages lie */
    const oci_zip_entry *held;      /* what `storage` holds: the last one unpacked */
    oci_buffer *storage;
} oci_torch;

/* Reads (map false) or maps the file. False: error set, *file empty. */
bool oci_torch_open(oc_context *cx, oci_torch *file, const char *path, bool map);
void oci_torch_close(oci_torch *file);
/* A tensor's elements, in C order, to `to` [entry->bytes]. Unpacks a storage at a time. One
 * thread at a time. */
bool oci_torch_read(oc_context *cx, oci_torch *file, const oci_entry *entry, void *to);

#endif
