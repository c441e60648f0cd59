/* A growable byte string that is born with its largest size. An append
 * that fails releases what was there and leaves an error in the context,
 * so only the end needs a check. */
#ifndef OCI_BASE_BYTES_H
#define OCI_BASE_BYTES_H

#include <stddef.h>

#include "ocelli.h"

typedef struct oci_bytes {
    char *data;             /* always NUL-terminated once something was appended */
    size_t size, room, max;
} oci_bytes;

void oci_bytes_init(oci_bytes *bytes, size_t max);
void oci_bytes_deinit(oci_bytes *bytes);
oc_status oci_bytes_append(oc_context *cx, oci_bytes *bytes, const void *data, size_t n);
oc_status oci_bytes_append_text(oc_context *cx, oci_bytes *bytes, const char *text);
OC_PRINTF(3, 4) oc_status oci_bytes_printf(oc_context *cx, oci_bytes *bytes,
                                           const char *format, ...);
/* The string, now the caller's (oci_free); "" if nothing was appended; NULL on error. */
OC_NODISCARD char *oci_bytes_take(oc_context *cx, oci_bytes *bytes);

#endif
