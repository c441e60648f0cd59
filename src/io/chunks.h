/* Arrays of HDF5 that are stored in chunks: blocks of one shape, anywhere in the file,
 * each perhaps shuffled (first bytes of all elements, then second bytes, …) and
 * deflated. What h5py writes for `chunks=` and `compression="gzip"`. */
#ifndef OCI_IO_CHUNKS_H
#define OCI_IO_CHUNKS_H

#include "io/safetensors.h"

typedef struct oci_chunk {
    uint64_t address;
    uint32_t bytes;             /* as stored; 0: not in the file */
    uint32_t skipped;           /* bit i: filter i was not applied to this one */
} oci_chunk;

typedef struct oci_chunks {
    int64_t side[OCI_MAX_RANK]; /* of a chunk, in elements; at the end it reaches over */
    int64_t grid[OCI_MAX_RANK]; /* chunks along each dimension */
    size_t bytes;               /* of a chunk unpacked */
    int shuffle, deflate;       /* their places among the filters; -1: are none */
    oci_chunk *list;            /* [count], C order of the grid */
    size_t count;
} oci_chunks;

/* The most that one may hold: Keras' and h5py's own choices stay below 2^20. */
enum { OCI_CHUNK_BYTES = 1 << 26 };

/* From side and the array: grid, bytes and count. False: no chunk has that shape, or
 * it is too large. */
bool oci_chunks_measure(oci_chunks *chunks, const oci_entry *array);
/* Where in the list the chunk is that begins at these elements; SIZE_MAX: none does. */
size_t oci_chunks_place(const oci_chunks *chunks, int rank, const uint64_t *first);

/* `size` bytes of the file at an address. False: error set. */
typedef bool oci_chunk_fetch(oc_context *cx, const void *user, uint64_t address, void *to,
                             size_t size);
/* The array's elements in C order, to `to` [array->bytes]. Any number of threads at
 * once. */
bool oci_chunks_read(oc_context *cx, const oci_chunks *chunks, const oci_entry *array,
                     const char *path, oci_chunk_fetch *fetch, const void *user,
                     void *to);

#endif
