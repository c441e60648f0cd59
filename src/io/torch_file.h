/* pytorch_model.bin: what torch.save makes of a state dict, as a zip (torch 1.6
 * and later: data.pkl, and data/KEY for each storage) or as pickles in a row
 * with the storages behind them (before 1.6). Tensors may share storages and lie
 * in them with any strides. */
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
    uint64_t expanded;              /* bytes of tensors larger than their storages */
    oci_zip zip;                    /* the newer form … */
    char *folder;                   /* … and its one folder, with the '/' */
    oci_buffer *bytes;              /* the older form, mapped … */
    oci_file *source;               /* … or open */
    struct oci_torch_storage { const char *key; uint64_t offset, bytes; } *storages;
    size_t storage_count;           /* … and where its storages lie */
    const char *held;               /* key of what `storage` holds: the last one that some
                                       tensor has only a part of */
    oci_buffer *storage;
} oci_torch;

/* Reads what names the tensors, or maps the file. False: error set, *file empty; else it
 * stays where it is until it is closed. */
bool oci_torch_open(oc_context *cx, oci_torch *file, const char *path, bool map);
void oci_torch_close(oci_torch *file);
/* A tensor's elements, in C order, to `to` [entry->bytes]; straight out of
 * the file, or, if it is not the whole of its storage in one piece, through
 * that. One thread at a time. */
bool oci_torch_read(oc_context *cx, oci_torch *file, const oci_entry *entry, void *to);

/* Writes the tensors into a save begun for `path`, in the newer form; second names share
 * the storages of the first. */
oc_status oci_torch_write(oc_context *cx, oci_save *save, const char *path,
                          const oci_save_tensor *const *tensors, size_t count,
                          const oci_save_source *source);

#endif
