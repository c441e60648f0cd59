/* The files of a folder and of the folders in it. */
#ifndef OCI_IO_LISTING_H
#define OCI_IO_LISTING_H

#include "ocelli.h"

typedef struct oci_listed {
    char *path;                 /* owned by the listing */
    uint64_t size;
    int64_t mtime;              /* nanoseconds since 1970 */
} oci_listed;

typedef struct oci_listing {
    oci_listed *files;          /* sorted by path, byte by byte; no path twice */
    size_t count, room;
} oci_listing;

/* Adds what lies below `folder` and whose name `wanted` takes, as FOLDER/…/NAME. Names
 * that begin with a dot are passed over, and links to folders are not followed: they can
 * lead round in circles. False: error set; the listing is to be freed all the same. */
bool oci_listing_folder(oc_context *cx, oci_listing *listing, const char *folder,
                        bool (*wanted)(const char *name));
/* The same of the folder itself, without those in it. */
bool oci_listing_flat(oc_context *cx, oci_listing *listing, const char *folder,
                      bool (*wanted)(const char *name));
/* Adds one file; OC_E_FILE if it is not there or is none. */
bool oci_listing_file(oc_context *cx, oci_listing *listing, const char *path);
/* To be called once, after the last was added. */
void oci_listing_sort(oci_listing *listing);
void oci_listing_free(oci_listing *listing);

#endif
