/* Every bound on untrusted input, in one table. A context starts with these values; they
 * can be lowered (oc_context_limit), never raised: the sizes below are what the code was
 * tested with. Structural bounds, which size arrays, follow as constants. */
#ifndef OCI_BASE_LIMITS_H
#define OCI_BASE_LIMITS_H

#include <stdint.h>

#define OCI_LIMITS_MAP(X)                                                                \
    /* name               largest            what it bounds */                           \
    X(file_bytes,         UINT64_C(1) << 42, "a file that is read or mapped whole")      \
    X(json_bytes,         UINT64_C(1) << 28, "a JSON text")                              \
    X(json_depth,         64,                "nesting in a JSON text")                   \
    X(header_bytes,       100000000,         "a safetensors header")                     \
    X(pickle_bytes,       UINT64_C(1) << 24,                                             \
      "a pickle of torch.save, its tensors apart")                                       \
    X(tensors,            1000000,           "tensors in a file")                        \
    X(config_bytes,       UINT64_C(1) << 24, "a config.json")                            \
    X(image_bytes,        UINT64_C(1) << 28, "an encoded image")                         \
    X(image_pixels,       UINT64_C(1) << 27, "width times height of an image")           \
    X(image_side,         65500,             "width or height of an image")              \
    X(image_scans,        100,               "scans of a progressive JPEG")              \
    X(image_chunk_bytes,  UINT64_C(1) << 26, "an ancillary chunk of a PNG or WebP")      \
    X(zip_entries,        1 << 17,           "entries of a zip archive (.npz, .bin)")    \
    X(zip_bytes,          UINT64_C(1) << 40, "those entries unpacked, together")         \
    X(zip_ratio,          200,                                                           \
      "unpacked to packed, of an entry over 1 MiB")                                      \
    X(region_bytes,       UINT64_C(1) << 28, "a line of a .tsv of region features")      \
    X(regions,            4096,              "boxes of a regions.json")                  \
    X(vocab_size,         UINT64_C(1) << 22, "tokens in a vocabulary")                   \
    X(token_bytes,        1024,              "bytes of one token")                       \
    X(text_bytes,         UINT64_C(1) << 26, "a text to be tokenized")                   \
    X(batch,              4096,              "rows in a batch")                          \
    X(sequence,           UINT64_C(1) << 20, "positions in a sequence")

typedef struct oci_limits {
#define OCI_LIMIT_FIELD(name, largest, what) uint64_t name;
    OCI_LIMITS_MAP(OCI_LIMIT_FIELD)
#undef OCI_LIMIT_FIELD
} oci_limits;

enum {
    OCI_MAX_RANK = 8,           /* dimensions of a tensor */
    OCI_MAX_WIDTH = 1 << 20,    /* hidden_size and the like in a config */
    OCI_MAX_LAYERS = 4096,
    OCI_MAX_THREADS = 256,
    OCI_MAX_NAME = 512,         /* bytes of a tensor's name, with its NUL */
    OCI_MAX_PATH = 4096,
    OCI_MAX_MESSAGE = 1024
};

extern const oci_limits oci_default_limits;

#endif
