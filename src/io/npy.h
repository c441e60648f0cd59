/* numpy's .npy and .npz (numpy/lib/format.py, versions 1.0 to 3.0): arrays of numbers and
 * truth values. What comes out is in C order and in this machine's byte order. Pickled
 * objects, records, texts and complex numbers are OC_E_UNSUPPORTED, by name. */
#ifndef OCI_IO_NPY_H
#define OCI_IO_NPY_H

#include "base/buffer.h"
#include "ocelli.h"

/* Adds the array of a .npy file's bytes to `set` as `name`; `path` is for messages. */
oc_status oci_npy_parse(oc_context *cx, oc_tensors *set, const char *name,
                        const char *path, const void *data, size_t size);
/* Every array of a .npz, named as numpy.load names it.
 * `bytes` becomes ours (on failure too). */
OC_NODISCARD oc_tensors *oci_npz_parse(oc_context *cx, const char *path,
                                       oci_buffer *bytes);

/* From a file: a .npy's one array gets `name`. */
OC_NODISCARD oc_tensors *oci_npy_open(oc_context *cx, const char *path, const char *name);
OC_NODISCARD oc_tensors *oci_npz_open(oc_context *cx, const char *path);

#endif
