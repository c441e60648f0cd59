/* What a download does to files, beyond io/file.h: folders, a lock between
 * processes, a file that grows until it is whole and then gets its name,
 * links. Part of the gateway. */
#ifndef OCI_IO_HUB_STORE_H
#define OCI_IO_HUB_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "ocelli.h"

/* Makes a folder and those above it. */
oc_status oci_store_folders(oc_context *cx, const char *path);
/* The same for all but the last part of a path. */
oc_status oci_store_folders_of(oc_context *cx, const char *path);

/* An exclusive lock that ends with its process (flock, as huggingface_hub takes it);
 * waits for others, telling of it once. NULL: error set, or cancelled. */
typedef struct oci_store_lock oci_store_lock;
OC_NODISCARD oci_store_lock *oci_store_lock_take(oc_context *cx, const char *path);
void oci_store_lock_free(oci_store_lock *lock);

/* A file that is not whole yet, at `path`: made, or opened with
 * what an earlier try left. */
typedef struct oci_store_part {
    char *path;
    int descriptor;
    uint64_t size;
} oci_store_part;
OC_NODISCARD oci_store_part *oci_store_part_open(oc_context *cx, const char *path);
oc_status oci_store_part_append(oc_context *cx, oci_store_part *part, const void *data,
                                size_t size);
/* Up to `room` bytes of what is there, from `offset` on. */
bool oci_store_part_read(oc_context *cx, const oci_store_part *part, uint64_t offset,
                         void *data, size_t room, size_t *got);
/* Throws away what is there. */
oc_status oci_store_part_restart(oc_context *cx, oci_store_part *part);
/* On the disk, and then, whole, at `path`. */
oc_status oci_store_part_finish(oc_context *cx, oci_store_part *part, const char *path);
void oci_store_part_close(oci_store_part *part);        /* accepts NULL; keeps the file */

/* A symbolic link that is there whole or not, in place of what was at `path`. */
oc_status oci_store_link(oc_context *cx, const char *target, const char *path);
/* Renames a folder to a name that nothing has. */
oc_status oci_store_rename(oc_context *cx, const char *from, const char *to);
/* Removes a folder of links, and of folders of links; nothing else, and none is fine. */
oc_status oci_store_drop_links(oc_context *cx, const char *folder);
/* True if every link in `folder` leads to somewhere below `cache`;
 * else OC_E_FILE names it. */
bool oci_store_links_stay(oc_context *cx, const char *folder, const char *cache);
/* Size of a regular file, false if there is none. */
bool oci_store_size(const char *path, uint64_t *size);

#endif
