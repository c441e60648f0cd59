/* Image.resize with reducing_gap of Pillow 13 (src/PIL/Image.py;
 * src/libImaging/Reduce.c): the picture shrinks by whole numbers first, each block of
 * pixels to its mean, and the filter sees what is left. */
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "image/decoder.h"

/* 2^24 / n as Pillow rounds it, through a float. A block's sum with half of n is less
 * than 256 n, so the product stays within 32 bits. */
static uint32_t multiplier_of(int64_t n)
{
    return (uint32_t)(4294967296.0f / (float)(256 * n));
}

/* The mean of the block at `from`, rounded. */
static void average(const uint8_t *from, int64_t stride, int64_t columns, int64_t rows,
                    uint8_t *to)
{
    const int64_t n = columns * rows;
    const uint32_t multiplier = multiplier_of(n);
    uint32_t sum[3] = { (uint32_t)(n / 2), (uint32_t)(n / 2), (uint32_t)(n / 2) };
    for (int64_t y = 0; y < rows; y++, from += stride) {
        for (int64_t x = 0; x < columns; x++) {
            sum[0] += from[3 * x];
            sum[1] += from[3 * x + 1];
            sum[2] += from[3 * x + 2];
        }
    }
    for (int c = 0; c < 3; c++) to[c] = (uint8_t)(sum[c] * multiplier >> 24);
}

/* Image.reduce((across, down)): blocks at the right and bottom edge
 * take what pixels there are. */
static oc_image *reduce(oc_context *cx, const oc_image *image, int64_t across,
                        int64_t down)
{
    const int64_t width = oci_ceil_div(image->width, across);
    const int64_t height = oci_ceil_div(image->height, down);
    const int64_t stride = image->width * 3;
    oc_image *out = oci_image_new(cx, "reduced image", width, height);
    if (!out) return NULL;
    uint8_t *to = out->buffer->data;
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *row = image->buffer->data + y * down * stride;
        const int64_t rows = oci_min(down, image->height - y * down);
        for (int64_t x = 0; x < width; x++, to += 3)
            average(row + 3 * x * across, stride,
                    oci_min(across, image->width - x * across), rows, to);
    }
    return out;
}

oc_image *oci_image_resize_reduced(oc_context *cx, const oc_image *image, int64_t width,
                                   int64_t height, oci_resample resample, double gap)
{
    if (oci_failed(cx) || !image) return NULL;
    int64_t across = 1, down = 1;
    if (width > 0 && height > 0 && resample != OCI_NEAREST) {
        across = oci_max((int64_t)((double)image->width / (double)width / gap), 1);
        down = oci_max((int64_t)((double)image->height / (double)height / gap), 1);
    }
    if (across == 1 && down == 1)
        return oci_image_resize(cx, image, width, height, resample);
    oc_image *reduced = reduce(cx, image, across, down);
    if (!reduced) return NULL;
    /* The last block may be cut short: the original picture ends within it. */
    float right = (float)((double)image->width / (double)across);
    float bottom = (float)((double)image->height / (double)down);
    oc_image *out = oci_image_resample(cx, reduced, right, bottom, width, height,
                                       resample);
    oc_image_free(reduced);
    return out;
}
