/* One file of weights, whatever its format: a list of tensors,
 * and their bytes when asked. */
#ifndef OCI_IO_WEIGHT_FILE_H
#define OCI_IO_WEIGHT_FILE_H

#include "io/flax.h"
#include "io/keras.h"
#include "io/layout.h"
#include "io/safetensors.h"
#include "io/torch_file.h"

typedef struct oci_weight_file {
    const struct oci_weight_format *format;
    oci_layout layout;              /* whose names and orders of dimensions it has */
    const char *path;               /* these three belong to the file below */
    const oci_entry *entries;       /* sorted by name */
    size_t count;
    size_t blocks;                  /* of them: weights in blocks */
    union {
        oci_safetensors safetensors;
        oci_torch torch;
        oci_keras keras;
        oci_flax flax;
    } as;
} oci_weight_file;

typedef struct oci_weight_format {
    const char *suffix;
    const char *single, *index;     /* what from_pretrained looks for in a folder */
    bool keeps_ties;                /* has second names of tensors too */
    bool keeps_blocks;              /* can be written with weights in blocks
                                       (io/blocks.h) */
    bool shared_reads;              /* several threads may call `read` at once */
    oci_layout layout;              /* of what is written */
    bool (*open)(oc_context *cx, oci_weight_file *file, const char *path, bool map);
    void (*close)(oci_weight_file *file);
    bool (*read)(oc_context *cx, oci_weight_file *file, const oci_entry *entry, void *to);
    /* Where the bytes lie, aligned to their element; NULL: they must be read. */
    const void *(*peek)(const oci_weight_file *file, const oci_entry *entry);
    /* `size` bytes of a tensor from `at` on; NULL: it is read as a whole. */
    bool (*read_part)(oc_context *cx, oci_weight_file *file, const oci_entry *entry,
                      size_t at, size_t size, void *to);
    /* The bytes where they lie in the mapped file, which lasts as long as this part of
     * it; NULL: nothing can be mapped. */
    oci_buffer *(*map)(oc_context *cx, oci_weight_file *file, const oci_entry *entry);
    /* Writes a file of these tensors, in the format's names and shapes, into a save begun
     * for `path`; `shard`: one of several. */
    oc_status (*save)(oc_context *cx, oci_save *save, const char *path,
                      const oci_save_tensor *const *tensors, size_t count, bool shard,
                      const oci_save_source *source);
} oci_weight_format;

/* In the order in which a folder is searched; the last has no suffix. */
extern const oci_weight_format oci_weight_formats[];
/* By its suffix, or by the end of a file's name; NULL: none. */
const oci_weight_format *oci_weight_format_by(const char *suffix);
const oci_weight_format *oci_weight_format_of(const char *name);

/* `shard`: one of several, which some formats name differently. False: error set. */
bool oci_weight_file_open(oc_context *cx, oci_weight_file *file,
                          const oci_weight_format *format, const char *path, bool shard,
                          bool map);
void oci_weight_file_close(oci_weight_file *file);

#endif
