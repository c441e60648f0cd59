/* Zip archives, as numpy (.npz) and PyTorch (.bin) write them: entries stored or
 * deflated. libzip reads; what it may be asked to do is decided here. It takes
 * its memory by itself, outside of the heap's budget: some hundred bytes an
 * entry, and a window to inflate. */
#ifndef OCI_IO_ZIP_H
#define OCI_IO_ZIP_H

#include "base/buffer.h"
#include "io/file.h"

typedef struct oci_zip_entry {
    const char *name;           /* relative, without "..", and no other entry's */
    uint64_t size;              /* unpacked, as the archive says; oci_zip_read checks
                                   it */
    uint64_t index;             /* libzip's number */
} oci_zip_entry;

typedef struct oci_zip {       /* stays where it was opened: libzip has its address */
    char *path;                 /* for messages */
    oci_buffer *bytes;          /* the archive, or NULL: */
    oci_file *file;             /* the open file, of which libzip reads what it needs */
    uint64_t size;              /* of the archive */
    struct oci_zip_source *source;      /* what libzip reads from, and its archive … */
    void *archive;              /* … a zip_t */
    oci_zip_entry *entries;     /* sorted by name; folders are left out */
    size_t count;
} oci_zip;

/* `bytes` becomes the zip's (on failure too). Names, sizes, methods and the
 * limits zip_entries, zip_bytes and zip_ratio are checked for all entries
 * before the first is unpacked. False: error set, *zip empty. One thread at a
 * time may read from one archive. */
bool oci_zip_parse(oc_context *cx, oci_zip *zip, const char *path, oci_buffer *bytes);
/* The same of a file, which stays open: only the entries that are asked for are read. */
bool oci_zip_open(oc_context *cx, oci_zip *zip, const char *path);
void oci_zip_close(oci_zip *zip);
/* NULL if there is none of that name. */
const oci_zip_entry *oci_zip_find(const oci_zip *zip, const char *name);
/* An entry unpacked into a buffer of its own, checksum verified;
 * it ends where its size says. */
OC_NODISCARD oci_buffer *oci_zip_read(oc_context *cx, const oci_zip *zip,
                                      const oci_zip_entry *entry);

/* The same to `to` [entry->size]. */
bool oci_zip_read_to(oc_context *cx, const oci_zip *zip, const oci_zip_entry *entry,
                     void *to);

#endif
