/* Zip archives as PyTorch writes them: entries stored,
 * their data at multiples of 64 bytes. */
#ifndef OCI_IO_ZIP_SAVE_H
#define OCI_IO_ZIP_SAVE_H

#include "base/bytes.h"
#include "io/file.h"

typedef struct oci_zip_saver {
    oci_save *save;
    uint64_t at;                    /* bytes written */
    uint64_t count;                 /* entries … */
    oci_bytes directory;            /* … and what the archive's end says of them */
    uint32_t crc, tables[8][256];   /* of the entry that is open */
    uint64_t start;                 /* its header */
    uint64_t size, left;            /* its bytes: all, and to come */
    bool large;
    char name[512];
} oci_zip_saver;

void oci_zip_saver_init(oci_zip_saver *zip, oci_save *save);
/* Entries one after the other: a name, exactly `size` bytes in
 * any number of puts, an end. */
void oci_zip_entry_begin(oc_context *cx, oci_zip_saver *zip, const char *name,
                         uint64_t size);
void oci_zip_entry_put(oc_context *cx, oci_zip_saver *zip, const void *data, size_t size);
void oci_zip_entry_end(oc_context *cx, oci_zip_saver *zip);
/* Writes the directory. The saver is to be deinit in any case. */
oc_status oci_zip_saver_finish(oc_context *cx, oci_zip_saver *zip);
void oci_zip_saver_deinit(oci_zip_saver *zip);

#endif
