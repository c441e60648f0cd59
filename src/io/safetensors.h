/* safetensors, the format of https://github.com/huggingface/safetensors (README,
 * "Format"). Reader: every rule is checked before a tensor is handed out. Data is
 * not copied, but for a file in which some tensor does not lie at a multiple of its
 * element's size (legal; no common writer makes one): that one's tensors are moved
 * to a buffer where all do. */
#ifndef OCI_IO_SAFETENSORS_H
#define OCI_IO_SAFETENSORS_H

#include "base/buffer.h"
#include "base/limits.h"
#include "io/file.h"
#include "ocelli.h"

typedef struct oci_entry {          /* one tensor of a file */
    const char *name;               /* owned by the file; shorter than OCI_MAX_NAME */
    oc_dtype dtype;
    int rank;
    int64_t shape[OCI_MAX_RANK];
    size_t offset, bytes;           /* in file->bytes->data, there a multiple of the
                                       dtype's size; or, without it, in the file */
    oc_dtype original;              /* of weights in blocks (io/blocks.h): what they were
                                       made from, … */
    bool turned;                    /* … and whether its shape is [K, N] */
} oci_entry;

typedef struct oci_safetensors {
    char *path;
    oci_buffer *bytes;              /* what entries point into: the whole file, or its
                                       tensors moved apart; or NULL: */
    oci_file *source;               /* the open file, of which the header was read;
                                       or NULL */
    size_t blocks;                  /* entries that are weights in blocks (io/blocks.h) */
    oci_entry *entries;             /* sorted by name, for oci_safetensors_find */
    size_t count;
    const char **metadata;          /* key, value, key, value, … */
    size_t metadata_count;          /* pairs */
} oci_safetensors;

/* `bytes` becomes the file's (on failure too). False: error set, *file empty. */
bool oci_safetensors_parse(oc_context *cx, oci_safetensors *file, const char *path,
                           oci_buffer *bytes);
/* Reads (map false) or maps the file. */
bool oci_safetensors_open(oc_context *cx, oci_safetensors *file, const char *path,
                          bool map);
/* Reads and checks the header alone, against the file's size: bytes stays NULL, and
 * tensors are read one by one when they are wanted. */
bool oci_safetensors_open_header(oc_context *cx, oci_safetensors *file, const char *path);
/* Copies `size` of a tensor's bytes, from `at` on, however the file was opened. */
bool oci_safetensors_read(oc_context *cx, const oci_safetensors *file,
                          const oci_entry *entry, size_t at, size_t size, void *to);
/* Maps a file of which the header was read: then bytes is there, too. */
bool oci_safetensors_map(oc_context *cx, oci_safetensors *file);
void oci_safetensors_close(oci_safetensors *file);
const oci_entry *oci_safetensors_find(const oci_safetensors *file, const char *name);
const char *oci_safetensors_metadata(const oci_safetensors *file, const char *key);

/* Elements of a shape times the size of one, in *bytes. False when a dimension is
 * negative or the product does not fit. */
bool oci_shape_bytes(oc_dtype dtype, int rank, const int64_t *shape, size_t *bytes);

typedef struct oci_save_tensor {    /* what a writer needs of one tensor */
    const char *name;
    oc_dtype dtype;
    int rank;
    const int64_t *shape;
    const void *data;               /* NULL: the source has it */
    size_t bytes;
    const struct oci_save_tensor *same_as;  /* a second name of that one; NULL: its own
                                               (only pickles know two names of one
                                               tensor) */
} oci_save_tensor;

/* Where elements come from that are not in memory all at once. */
typedef struct oci_save_source {
    /* All elements of a tensor, in C order, of its dtype or another float type (*dtype);
     * valid until the next call. NULL: error set. */
    const void *(*fetch)(oc_context *cx, void *user, const oci_save_tensor *tensor,
                         oc_dtype *dtype);
    void *user;
    /* Of weights in blocks, which are tensors of that dtype here and bytes in the file:
     * what its metadata says of one (io/blocks.h). NULL where there are none. */
    const char *(*blocks)(void *user, const oci_save_tensor *tensor);
} oci_save_source;

/* A tensor's elements in its dtype, cast a piece at a time, to `put`. */
typedef void oci_save_sink(oc_context *cx, void *user, const void *data, size_t size);
void oci_save_elements(oc_context *cx, const oci_save_tensor *tensor,
                       const oci_save_source *source, oci_save_sink *put, void *user);

/* Writes in the order of the reference writer (dtype descending, then name) with the
 * header padded to 8 bytes, through io/file.h's save: complete or absent. Weights in
 * blocks come first, and then at multiples of 64 in the file. `metadata` is pairs of key,
 * value; may be NULL. What no reader would take back (two tensors of one name, bytes that
 * are not shape times dtype, text that is not UTF-8) is OC_E_ARGUMENT. */
oc_status oci_safetensors_save(oc_context *cx, const char *path,
                               const oci_save_tensor *tensors, size_t count,
                               const char *const *metadata, size_t pairs);
/* The same into a save that the caller began for `path`, of tensors anywhere. */
oc_status oci_safetensors_write(oc_context *cx, oci_save *save, const char *path,
                                const oci_save_tensor *const *tensors, size_t count,
                                const char *const *metadata, size_t pairs,
                                const oci_save_source *source);

#endif
