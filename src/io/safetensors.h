/* safetensors, the format of https://github.com/huggingface/safetensors (README, "Format").
 * Reader: every rule is checked before a tensor is handed out; no data is copied. */
#ifndef OCI_IO_SAFETENSORS_H
#define OCI_IO_SAFETENSORS_H

#include "base/buffer.h"
#include "base/limits.h"
#include "ocelli.h"

typedef struct oci_entry {          /* one tensor of a file */
    char *name;                     /* owned by the file */
    oc_dtype dtype;
    int rank;
    int64_t shape[OCI_MAX_RANK];
    size_t offset, bytes;           /* in file->bytes->data */
} oci_entry;

typedef struct oci_safetensors {
    char *path;
    oci_buffer *bytes;              /* the whole file; entries point into it */
    oci_entry *entries;             /* sorted by name, for oci_safetensors_find */
    size_t count;
    char **metadata;                /* key, value, key, value, … */
    size_t metadata_count;          /* pairs */
} oci_safetensors;

/* `bytes` becomes the file's (on failure too). False: error set, *file empty. */
bool oci_safetensors_parse(oc_context *cx, oci_safetensors *file, const char *path,
                           oci_buffer *bytes);
/* Reads (map false) or maps the file. */
bool oci_safetensors_open(oc_context *cx, oci_safetensors *file, const char *path, bool map);
/* Checks the header alone, as `inspect` does: bytes stays NULL. */
bool oci_safetensors_open_header(oc_context *cx, oci_safetensors *file, const char *path);
void oci_safetensors_close(oci_safetensors *file);
const oci_entry *oci_safetensors_find(const oci_safetensors *file, const char *name);
const char *oci_safetensors_metadata(const oci_safetensors *file, const char *key);

typedef struct oci_save_tensor {    /* what the writer needs of one tensor */
    const char *name;
    oc_dtype dtype;
    int rank;
    const int64_t *shape;
    const void *data;
    size_t bytes;
} oci_save_tensor;

/* Writes in the order of the reference writer (dtype descending, then name) with the header
 * padded to 8 bytes, through io/file.h's save: complete or absent. `metadata` is pairs of
 * key, value; may be NULL. */
oc_status oci_safetensors_save(oc_context *cx, const char *path, const oci_save_tensor *tensors,
                               size_t count, const char *const *metadata, size_t pairs);

#endif
