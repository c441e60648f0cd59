/* The only door to files: whole reads, private mappings, and saves that are either complete
 * or absent. Asks the fault hooks (base/fault.h) before each operation. */
#ifndef OCI_IO_FILE_H
#define OCI_IO_FILE_H

#include "base/buffer.h"
#include "ocelli.h"

/* The whole file, `-` being standard input; more than `max` bytes is OC_E_LIMIT. The buffer
 * holds a NUL after its last byte (not counted in size), for parsers of text. A folder, a
 * missing file or one without permission is OC_E_FILE with the system's reason; so is
 * whatever else is not a regular file (a pipe would hang, a device would not end). */
OC_NODISCARD oci_buffer *oci_file_read(oc_context *cx, const char *path, uint64_t max);
/* The first `max` bytes, or fewer if the file is shorter, and its whole size in *file_size. */
OC_NODISCARD oci_buffer *oci_file_read_head(oc_context *cx, const char *path, uint64_t max,
                                            uint64_t *file_size);
/* A file from its start to its end in pieces, for those too large to hold. `*got` is less than
 * `room` only at the end; close takes NULL. */
typedef struct oci_reader oci_reader;
OC_NODISCARD oci_reader *oci_reader_open(oc_context *cx, const char *path);
bool oci_reader_read(oc_context *cx, oci_reader *reader, void *data, size_t room, size_t *got);
void oci_reader_close(oci_reader *reader);
/* The file as a private, read-only mapping, charged to the heap's budget. Its size is taken
 * at open; a file that shrinks later faults, so callers choose this only where
 * oc_model_options.map says so. */
OC_NODISCARD oci_buffer *oci_file_map(oc_context *cx, const char *path);
/* True if something that is no folder goes by that name, or may: what permissions hide counts
 * as there, so that opening it says why it cannot be read. Sets no error. */
bool oci_file_exists(oc_context *cx, const char *path);
bool oci_folder_exists(oc_context *cx, const char *path);
/* "folder/name" in a new string (oci_free). */
OC_NODISCARD char *oci_path_join(oc_context *cx, const char *folder, const char *name);

/* Makes a folder (its parent must be there); one that exists is fine. */
oc_status oci_folder_make(oc_context *cx, const char *path);
/* True if both names lead to the same file or folder. */
bool oci_same_file(const char *a, const char *b);

/* A save writes to a temporary file beside `path`, and commit makes it appear there: flush,
 * fsync, rename, fsync of the folder. Until then, and after any failure or kill, `path` is as
 * it was (but see below). oci_save_end with commit false, or with an error in the context,
 * removes the temporary file; it always frees `save`, which may be NULL after a begin that
 * failed. Errors are OC_E_WRITE with path and step. What is there already must be a regular
 * file; a symbolic link is replaced, not followed.
 *
 * When only the last step fails, the folder's fsync, the new file is in place and whole, but
 * would not surely survive a power cut; the message says so. */
typedef struct oci_save oci_save;
OC_NODISCARD oci_save *oci_save_begin(oc_context *cx, const char *path);
oc_status oci_save_write(oc_context *cx, oci_save *save, const void *data, size_t size);
oc_status oci_save_end(oc_context *cx, oci_save *save, bool commit);

#endif
