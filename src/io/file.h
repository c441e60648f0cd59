/* The only door to files: whole reads, reads of parts, private mappings, and
 * saves that are either complete or absent. Asks the fault hooks
 * (base/fault.h) before each operation. */
#ifndef OCI_IO_FILE_H
#define OCI_IO_FILE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "ocelli.h"

/* The whole file, `-` being standard input; more than `max` bytes is OC_E_LIMIT.
 * The buffer holds a NUL after its last byte (not counted in size), for parsers
 * of text. A folder, a missing file or one without permission is OC_E_FILE with
 * the system's reason; so is whatever else is not a regular file (a pipe would
 * hang, a device would not end). */
OC_NODISCARD oci_buffer *oci_file_read(oc_context *cx, const char *path, uint64_t max);
/* A file from its start to its end in pieces, for those too large to hold. `*got` is less
 * than `room` only at the end; close takes NULL. */
typedef struct oci_reader oci_reader;
OC_NODISCARD oci_reader *oci_reader_open(oc_context *cx, const char *path);
bool oci_reader_read(oc_context *cx, oci_reader *reader, void *data, size_t room,
                     size_t *got);
void oci_reader_close(oci_reader *reader);

/* The file as a private, read-only mapping, charged to the heap's budget. Its size is
 * taken at open; a file that shrinks later faults, so callers choose this only where
 * oc_model_options.map says so. */
OC_NODISCARD oci_buffer *oci_file_map(oc_context *cx, const char *path);

/* A regular file kept open, for parts of it to be read when they are wanted. What its
 * size was at open is in `size`. Several threads may read from one at a time. */
typedef struct oci_file {
    int descriptor;
    uint64_t size;
    char *path;
} oci_file;
OC_NODISCARD oci_file *oci_file_open(oc_context *cx, const char *path);
/* Exactly `size` bytes from `offset` on, to `to`. A file that has
 * become shorter is OC_E_FILE. */
bool oci_file_read_at(oc_context *cx, const oci_file *file, uint64_t offset, void *to,
                      size_t size);
/* The whole of it as by oci_file_map; lasts longer than the open file. */
OC_NODISCARD oci_buffer *oci_file_map_open(oc_context *cx, const oci_file *file);
void oci_file_close(oci_file *file);            /* accepts NULL */

/* True if something that is no folder goes by that name, or may: what permissions hide
 * counts as there, so that opening it says why it cannot be read. Sets no error. */
bool oci_file_exists(oc_context *cx, const char *path);
bool oci_folder_exists(oc_context *cx, const char *path);
/* "folder/name" in a new string (oci_free). */
OC_NODISCARD char *oci_path_join(oc_context *cx, const char *folder, const char *name);

/* Makes a folder (its parent must be there); one that exists is fine. */
oc_status oci_folder_make(oc_context *cx, const char *path);
/* True if both names lead to the same file or folder. */
bool oci_same_file(const char *a, const char *b);

/* A save writes to a temporary file beside `path`, and commit makes it appear there:
 * flush, fsync, rename, fsync of the folder. Until then, and after any failure or kill,
 * `path` is as it was (but see below). oci_save_end with commit false, or with an error
 * in the context, removes the temporary file; it always frees `save`, which may be NULL
 * after a begin that failed. Errors are OC_E_WRITE with path and step. What is there
 * already must be a regular file; a symbolic link is replaced, not followed.
 *
 * When only the last step fails, the folder's fsync, the new file is in place and whole,
 * but would not surely survive a power cut; the message says so. */
typedef struct oci_save oci_save;
OC_NODISCARD oci_save *oci_save_begin(oc_context *cx, const char *path);
oc_status oci_save_write(oc_context *cx, oci_save *save, const void *data, size_t size);
oc_status oci_save_end(oc_context *cx, oci_save *save, bool commit);
/* All is written: flushes and closes, so that only the rename is left to oci_save_end.
 * For saves of several files, which appear one right after the other. */
oc_status oci_save_flush(oc_context *cx, oci_save *save);
/* Removes a file that may be there, or sets OC_E_WRITE. */
oc_status oci_file_remove(oc_context *cx, const char *path);

/* For the other halves of the gateway (journal.c, listing.c). The first is true when a
 * test wants this operation to fail; errno then says what it "was". The second fails with
 * "PATH: STEP: reason"; `error` is passed rather than read from errno, because a caller
 * may have had to close or free something in between. */
bool oci_file_fault(oc_context *cx, oci_fault what);
oc_status oci_file_error(oc_context *cx, oc_status status, const char *path,
                         const char *step, int error);

#endif
