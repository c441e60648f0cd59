/* Geometry of the image processors, from image_transforms.py and the processors of Donut
 * and Nougat in Transformers 4.37.2. All of it works on bytes, before rescaling; so what
 * is padded ends up as (0 - mean) / std. */
#include "image/steps.h"

#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

/* int(a * b / c) of Python: the product is exact, the quotient a double. Sides are at
 * most 2^16, so the product is exact in a double as well. */
static int64_t share_of(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((double)(a * b) / (double)c);
}

oc_image *oci_step_shortest_edge(oc_context *cx, const oc_image *image, int64_t shortest,
                                 oci_resample resample)
{
    const int64_t w = image->width, h = image->height;
    if (w <= h)
        return oci_image_resize(cx, image, shortest, share_of(shortest, h, w), resample);
    return oci_image_resize(cx, image, share_of(shortest, w, h), shortest, resample);
}

/* A part of height x width whose first pixel is (left, top) of the picture;
 * black where that is outside. */
static oc_image *cut(oc_context *cx, const oc_image *image, int64_t left, int64_t top,
                     int64_t width, int64_t height)
{
    oc_image *out = oci_image_new(cx, "image", width, height);
    if (!out) return NULL;
    const int64_t first = oci_max(left, 0), end = oci_min(left + width, image->width);
    if (left < 0 || top < 0 || end < left + width || top + height > image->height)
        memset(out->buffer->data, 0, out->buffer->size);
    for (int64_t y = oci_max(0, -top); y < oci_min(height, image->height - top); y++)
        memcpy(out->buffer->data + (y * width + first - left) * 3,
               image->buffer->data + ((top + y) * image->width + first) * 3,
               (size_t)(end - first) * 3);
    return out;
}

/* Half of n, rounded down as Python's // does also below zero. */
static int64_t floor_half(int64_t n) { return n >= 0 ? n / 2 : -((1 - n) / 2); }

/* Where along one axis a centre crop begins, in pixels of the picture, and how much of
 * `crop` comes out: one less where an odd number of pixels is lacking, because 4.37.2
 * lets the crop begin one before its padded canvas and cuts that off. */
static void center(int64_t side, int64_t crop, int64_t *first, int64_t *count)
{
    int64_t canvas = oci_max(side, crop), padding = (canvas - side) / 2;
    int64_t start = floor_half(side - crop) + padding;
    int64_t begin = oci_max(start, 0);
    *count = oci_min(start + crop, canvas) - begin;
    *first = begin - padding;
}

oc_image *oci_step_center_crop(oc_context *cx, const oc_image *image, int64_t height,
                               int64_t width)
{
    int64_t left, top, columns, rows;
    center(image->width, width, &left, &columns);
    center(image->height, height, &top, &rows);
    return cut(cx, image, left, top, columns, rows);
}

oc_image *oci_step_align_long_axis(oc_context *cx, const oc_image *image, int64_t height,
                                   int64_t width)
{
    enum { CLOCKWISE = 6 };         /* of EXIF's numbers for turns */
    bool turn = (width < height && image->width > image->height) ||
                (width > height && image->width < image->height);
    return turn ? oci_image_turn(cx, image, CLOCKWISE) : oci_image_share(cx, image);
}

/* Bicubic whatever `resample` says, and where only the shorter side is too long, not at
 * all: both as in 4.37.2, which leaves it to pad_image to object to the latter. */
oc_image *oci_step_thumbnail(oc_context *cx, const oc_image *image, int64_t height,
                             int64_t width)
{
    int64_t h = oci_min(image->height, height), w = oci_min(image->width, width);
    if (h == image->height && w == image->width) return oci_image_share(cx, image);
    if (image->height > image->width) w = share_of(image->width, h, image->height);
    else if (image->width > image->height) h = share_of(image->height, w, image->width);
    if (w < 1 || h < 1) {
        oci_fail(cx, OC_E_IMAGE,
                 "image: expected proportions that leave a pixel of each side within "
                 "%lld x %lld, found %lld x %lld",
                 (long long)width, (long long)height, (long long)image->width,
                 (long long)image->height);
        return NULL;
    }
    return oci_image_resize_reduced(cx, image, w, h, OCI_BICUBIC, 2.0);
}

oc_image *oci_step_pad(oc_context *cx, const oc_image *image, int64_t height,
                       int64_t width)
{
    int64_t above = height - image->height, before = width - image->width;
    if (above < 0 || before < 0) {
        oci_fail(cx, OC_E_IMAGE,
                 "image: expected at most %lld x %lld pixels to pad, found %lld x %lld",
                 (long long)width, (long long)height, (long long)image->width,
                 (long long)image->height);
        return NULL;
    }
    if (above == 0 && before == 0) return oci_image_share(cx, image);
    return cut(cx, image, -(before / 2), -(above / 2), width, height);
}

/* Image.convert("L"): ITU-R 601 in 16 bits of fraction. */
static uint8_t grey_of(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >>
                     16);
}

/* Which greys are ink, once the darkest counts as 0 and the lightest as 255. False where
 * all are the same. */
static bool find_ink(const oc_image *image, bool ink[256])
{
    const int64_t pixels = image->width * image->height;
    int least = 255, most = 0;
    for (int64_t i = 0; i < pixels; i++) {
        int grey = grey_of(image->buffer->data + 3 * i);
        if (grey < least) least = grey;
        if (grey > most) most = grey;
    }
    for (int grey = least; grey <= most && least < most; grey++)
        ink[grey] = (double)(grey - least) / (double)(most - least) * 255.0 < 200.0;
    return least < most;
}

oc_image *oci_step_crop_margin(oc_context *cx, const oc_image *image)
{
    bool ink[256] = { false };
    if (!find_ink(image, ink)) return oci_image_share(cx, image);
    int64_t left = image->width, right = -1, top = -1, bottom = -1;
    const uint8_t *at = image->buffer->data;
    for (int64_t y = 0; y < image->height; y++) {
        for (int64_t x = 0; x < image->width; x++, at += 3) {
            if (!ink[grey_of(at)]) continue;
            left = oci_min(left, x);
            right = oci_max(right, x);
            if (top < 0) top = y;
            bottom = y;
        }
    }
    /* The darkest pixel is always ink, so there is a box. */
    return cut(cx, image, left, top, right - left + 1, bottom - top + 1);
}
