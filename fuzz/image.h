/* The body of the three image targets: decode with EXIF, resize, and hold nothing at the
 * end. Limits are low so that a run tests parsers, not memory. */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "image/image.h"

static inline int fuzz_image(const uint8_t *data, size_t size, const char *magic,
                             size_t magic_size, size_t magic_at)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1);
    oc_image_options turn = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    /* Other formats have targets of their own. */
    if (size < magic_at + magic_size || memcmp(data + magic_at, magic, magic_size) != 0)
        return 0;
    oc_context *cx = oc_context_create(&o);
    if (!cx) return 0;
    cx->limits.image_pixels = 1 << 18;
    cx->limits.image_side = 4096;
    cx->limits.image_scans = 12;
    cx->limits.image_chunk_bytes = 1 << 16;
    oc_image *image = oc_image_decode(cx, "fuzz", data, size, &turn);
    if ((image == NULL) != (oc_context_status(cx) != OC_OK)) abort();
    oc_image *small = oci_image_resize(cx, image, 8, 8, (oci_resample)(size % 6));
    oc_image_free(small);
    oc_image_free(image);
    if (oc_context_memory(cx).live_count != 0 || oc_context_memory(cx).live_bytes != 0)
        abort();
    oc_context_free(cx);
    return 0;
}

#endif
