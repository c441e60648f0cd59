/* A file that only grows, in blocks with checksums: what a long job has done so far, kept
 * through whatever kills it. A block that was written whole is read back; the first one
 * that was not, and all after it, count as never written and are cut off by the next
 * append.
 *
 *     oci_journal *j = oci_journal_open(cx, path);
 *     while (oci_journal_next(cx, j, &block, &size)) …      what is there, in order
 *     oci_journal_append(cx, j, block, size);               only after next() said false
 *     oci_journal_close(cx, j, done);
 *
 * A block is the bytes "OCJ1", its size (u32), XXH64 of its
 * content (u64), the content. */
#ifndef OCI_IO_JOURNAL_H
#define OCI_IO_JOURNAL_H

#include "ocelli.h"

typedef struct oci_journal oci_journal;

enum { OCI_JOURNAL_FRAME = 16 };    /* bytes before a block's content */

/* Opens the file or makes it. Another process that has it open is OC_E_WRITE, and a file
 * that is something else is OC_E_MALFORMED: it is left alone. */
OC_NODISCARD oci_journal *oci_journal_open(oc_context *cx, const char *path);
/* The next block, valid until the next call; *offset, if not NULL, is where its content
 * begins in the file. False at the end or with an error set. */
bool oci_journal_next(oc_context *cx, oci_journal *journal, const unsigned char **block,
                      size_t *size, uint64_t *offset);
/* *offset as above. The bytes are with the system afterwards, safe from a kill; not on
 * the disk, but a power cut cannot do worse than take blocks away. */
oc_status oci_journal_append(oc_context *cx, oci_journal *journal, const void *block,
                             size_t size, uint64_t *offset);
/* Bytes of blocks that were seen whole. */
oc_status oci_journal_read(oc_context *cx, const oci_journal *journal, uint64_t offset,
                           void *data, size_t size);
/* Frees, and with `remove` deletes the file unless an error is set; one without a block
 * goes either way. NULL is fine. */
void oci_journal_close(oc_context *cx, oci_journal *journal, bool remove);

#endif
