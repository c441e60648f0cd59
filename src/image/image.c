/* The picture object, and turning it as EXIF asks. */
#include "image/image.h"

#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

bool oci_image_check_size(oc_context *cx, const char *name, int64_t width, int64_t height)
{
    const oci_limits *limits = &cx->limits;
    const char *limit = NULL;
    uint64_t most = 0;
    if (width < 1 || height < 1) {
        oci_fail(cx, OC_E_IMAGE, "%s: a picture of %lld x %lld pixels", name,
                 (long long)width, (long long)height);
        return false;
    }
    if ((uint64_t)width > limits->image_side || (uint64_t)height > limits->image_side) {
        limit = "image_side";
        most = limits->image_side;
    } else if ((uint64_t)(width * height) > limits->image_pixels) {
        /* Sides are at most 65500 here, so the product is far from 2^63. */
        limit = "image_pixels";
        most = limits->image_pixels;
    }
    if (limit)
        oci_fail(cx, OC_E_LIMIT, "%s: %lld x %lld pixels, more than %s %llu allows", name,
                 (long long)width, (long long)height, limit, (unsigned long long)most);
    return !limit;
}

/* Pixels are not cleared: every reader fills all of them or fails. */
oc_image *oci_image_new(oc_context *cx, const char *name, int64_t width, int64_t height)
{
    size_t bytes;
    if (oci_failed(cx) || !oci_image_check_size(cx, name, width, height)) return NULL;
    if (!oci_mul((size_t)(width * height), 3, &bytes)) {
        oci_fail(cx, OC_E_MEMORY, "%s: %lld x %lld pixels", name, (long long)width,
                 (long long)height);
        return NULL;
    }
    oc_image *image = oci_alloc(cx, sizeof *image);
    if (!image) return NULL;
    *image = (oc_image){ .width = width, .height = height,
                         .buffer = oci_buffer_create(cx, bytes) };
    if (image->buffer) return image;
    oci_free(image);
    return NULL;
}

oc_image *oc_image_create(oc_context *cx, int64_t width, int64_t height,
                          const uint8_t *rgb)
{
    if (!cx || oci_failed(cx)) return NULL;
    if (!rgb || width < 1 || height < 1) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "oc_image_create: expected pixels and a size of at least 1 x 1, found "
                 "%s, %lld x %lld",
                 rgb ? "pixels" : "NULL", (long long)width, (long long)height);
        return NULL;
    }
    oc_image *image = oci_image_new(cx, "oc_image_create", width, height);
    if (image) memcpy(image->buffer->data, rgb, image->buffer->size);
    return image;
}

oc_image *oci_image_crop(oc_context *cx, const oc_image *image, int64_t left, int64_t top,
                         int64_t width, int64_t height)
{
    oc_image *part = oci_image_new(cx, "a part of a picture", width, height);
    for (int64_t y = 0; part && y < height; y++)
        memcpy(part->buffer->data + 3 * width * y,
               image->buffer->data + 3 * (image->width * (top + y) + left),
               (size_t)(3 * width));
    return part;
}

/* Pixels are shared, not copied: nobody writes to a picture once it is made. */
oc_image *oci_image_share(oc_context *cx, const oc_image *image)
{
    oc_image *other = oci_alloc(cx, sizeof *other);
    if (other)
        *other = (oc_image){ .width = image->width, .height = image->height,
                             .buffer = oci_buffer_ref(image->buffer) };
    return other;
}

void oc_image_free(oc_image *image)
{
    if (!image) return;
    oci_buffer_unref(&image->buffer);
    oci_free(image);
}

int64_t oc_image_width(const oc_image *image) { return image ? image->width : 0; }
int64_t oc_image_height(const oc_image *image) { return image ? image->height : 0; }

const uint8_t *oc_image_pixels(const oc_image *image)
{
    return image ? image->buffer->data : NULL;
}

/* Where the turned picture's first pixel comes from, and which way its rows run through
 * the stored one. EXIF 2.32, tag 0x0112; the same as PIL.ImageOps.exif_transpose. */
static const struct turn {
    bool from_right, from_bottom;
    bool swapped;               /* rows of the result are columns of the source */
} turns[9] = {
    [1] = { false, false, false }, [2] = { true,  false, false },
    [3] = { true,  true,  false }, [4] = { false, true,  false },
    [5] = { false, false, true  }, [6] = { false, true,  true  },
    [7] = { true,  true,  true  }, [8] = { true,  false, true  },
};

/* Walks the result in order and the source by two strides. */
oc_image *oci_image_turn(oc_context *cx, const oc_image *image, int orientation)
{
    const struct turn *turn = &turns[orientation];
    int64_t w = image->width, h = image->height;
    oc_image *out = oci_image_new(cx, "turned image", turn->swapped ? h : w,
                                  turn->swapped ? w : h);
    if (!out) return NULL;
    int64_t right = turn->from_right ? -3 : 3;              /* one source pixel onwards */
    int64_t down = turn->from_bottom ? -3 * w : 3 * w;      /* one source row onwards */
    int64_t dx = turn->swapped ? down : right, dy = turn->swapped ? right : down;
    const uint8_t *start = image->buffer->data;
    if (turn->from_right) start += 3 * (w - 1);
    if (turn->from_bottom) start += 3 * w * (h - 1);
    uint8_t *to = out->buffer->data;
    for (int64_t y = 0; y < out->height; y++) {
        for (int64_t x = 0; x < out->width; x++, to += 3)
            memcpy(to, start + x * dx + y * dy, 3);
    }
    return out;
}
