#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"

void oci_bytes_init(oci_bytes *bytes, size_t max)
{
    *bytes = (oci_bytes){ .max = max };
}

void oci_bytes_deinit(oci_bytes *bytes)
{
    oci_free(bytes->data);
    *bytes = (oci_bytes){ .max = bytes->max };
}

/* Room for n more bytes and a NUL. */
static oc_status reserve(oc_context *cx, oci_bytes *bytes, size_t n)
{
    if (oci_failed(cx)) return cx->status;
    if (n > bytes->max || bytes->size > bytes->max - n)
        return oci_fail(cx, OC_E_LIMIT, "a string grew over %zu bytes", bytes->max);
    size_t need;
    if (!oci_add(bytes->size + n, 1, &need))
        return oci_fail(cx, OC_E_MEMORY, "a string of %zu bytes", bytes->size + n);
    if (need <= bytes->room) return OC_OK;
    size_t room = bytes->room ? bytes->room : 64;
    if (!oci_add(room, room / 2, &room) || room < need) room = need;
    char *data = oci_realloc(cx, bytes->data, room);
    if (!data) return cx->status;
    bytes->data = data;
    bytes->room = room;
    return OC_OK;
}

oc_status oci_bytes_append(oc_context *cx, oci_bytes *bytes, const void *data, size_t n)
{
    if (reserve(cx, bytes, n) != OC_OK) {
        oci_bytes_deinit(bytes);
        return cx->status;
    }
    if (n) memcpy(bytes->data + bytes->size, data, n);
    bytes->size += n;
    bytes->data[bytes->size] = '\0';
    return OC_OK;
}

oc_status oci_bytes_append_text(oc_context *cx, oci_bytes *bytes, const char *text)
{
    return oci_bytes_append(cx, bytes, text, strlen(text));
}

oc_status oci_bytes_printf(oc_context *cx, oci_bytes *bytes, const char *format, ...)
{
    char text[OCI_MAX_MESSAGE * 4];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) {
        oci_bytes_deinit(bytes);
        return oci_fail(cx, OC_E_LIMIT, "a formatted string of %d bytes", n);
    }
    return oci_bytes_append(cx, bytes, text, (size_t)n);
}

char *oci_bytes_take(oc_context *cx, oci_bytes *bytes)
{
    if (oci_failed(cx)) {
        oci_bytes_deinit(bytes);
        return NULL;
    }
    char *text = bytes->data ? bytes->data : oci_strdup(cx, "");
    *bytes = (oci_bytes){ .max = bytes->max };
    return text;
}
