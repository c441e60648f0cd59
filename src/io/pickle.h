/* A closed machine for the pickles that torch.save writes. It builds plain data,
 * storages and tensors; it imports nothing, calls nothing, and a global that is not
 * in its table is an error that names it. No recursion: a value that holds itself
 * is as harmless as any other.
 *
 * The opcodes are those of pickle protocols 2 to 4 (CPython, Lib/pickletools.py) which
 * CPython emits for state dicts; the text opcodes of protocol 0 are not among them. */
#ifndef OCI_IO_PICKLE_H
#define OCI_IO_PICKLE_H

#include "base/arena.h"
#include "base/limits.h"
#include "ocelli.h"

typedef enum oci_pickle_kind {
    OCI_PICKLE_NONE, OCI_PICKLE_BOOL, OCI_PICKLE_INT, OCI_PICKLE_REAL, OCI_PICKLE_TEXT,
    OCI_PICKLE_BYTES, OCI_PICKLE_TUPLE, OCI_PICKLE_LIST, OCI_PICKLE_DICT,
    OCI_PICKLE_GLOBAL, OCI_PICKLE_STORAGE, OCI_PICKLE_TENSOR
} oci_pickle_kind;

typedef struct oci_pickle_value oci_pickle_value;

typedef struct oci_pickle_storage {
    oc_dtype dtype;
    const char *key;                /* NUL-terminated; names the bytes in the file */
    int64_t count;                  /* elements of the storage that has the bytes */
    const char *view_key;           /* legacy files: a part of that storage under a
                                       name of */
    int64_t view_offset, view_count;    /* its own, from this element; NULL: all of it */
} oci_pickle_storage;

typedef struct oci_pickle_tensor {
    const oci_pickle_storage *storage;
    int64_t offset;                 /* first element, in the storage (its view) */
    int rank;
    int64_t shape[OCI_MAX_RANK], stride[OCI_MAX_RANK];      /* in elements */
} oci_pickle_tensor;

struct oci_pickle_value {
    oci_pickle_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct { const char *data; size_t size; } text;   /* TEXT, BYTES; a NUL follows */
        /* TUPLE, LIST; DICT: key, value, key, value, … in the order of the file */
        struct { oci_pickle_value **items; size_t count, room; } list;
        int global;                                       /* row of the machine's table */
        const oci_pickle_storage *storage;
        const oci_pickle_tensor *tensor;
    } as;
};

typedef struct oci_pickle {
    oci_arena arena;                /* holds every value */
    const oci_pickle_value *root;
    const oci_pickle_storage **storages;    /* all that were named, in their order; one */
    size_t storage_count, storage_room;         /* that was named twice is here twice */
} oci_pickle;

/* Runs one pickle at the start of `data` up to its STOP and sets pickle->root;
 * *used, if not NULL, gets its bytes. `name` (a file, and where in it) leads
 * messages. Memory is at most a fixed multiple of `size`. False: error set;
 * OC_E_UNSUPPORTED for globals and opcodes that are real but not ours,
 * OC_E_MALFORMED for the rest. Deinit in both cases. */
bool oci_pickle_run(oc_context *cx, oci_pickle *pickle, const char *name,
                    const unsigned char *data, size_t size, size_t *used);
void oci_pickle_deinit(oci_pickle *pickle);

/* The value of a text key; NULL if the dict (or whatever else it is) has none. */
const oci_pickle_value *oci_pickle_get(const oci_pickle_value *dict, const char *key);

#endif
