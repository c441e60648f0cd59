/* Shared by the image tests: files, hashes, and sources that make_image.py knows too. */
#ifndef TESTS_IMAGE_SUPPORT_H
#define TESTS_IMAGE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"
#include "image/image.h"
#include "io/file.h"

#define DATA "tests/data/image/"

/* CRC-32 of zlib and PNG, so that Python's zlib.crc32 gives the same. */
static inline uint32_t crc32_more(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static inline uint32_t crc32_of(const void *data, size_t size)
{
    return crc32_more(0, data, size);
}

/* noise() of tools/goldens/make_image.py. */
static inline oc_image *picture_noise(oc_context *cx, int64_t width, int64_t height,
                                      uint32_t seed)
{
    size_t size = (size_t)(width * height * 3);
    uint8_t *rgb = malloc(size);
    assert_non_null(rgb);
    for (size_t i = 0; i < size; i++) {
        uint32_t x = (uint32_t)i + seed * 7919;
        x ^= x >> 15;
        x *= 0x2c1b3c6du;
        x ^= x >> 12;
        x *= 0x297a2d39u;
        x ^= x >> 15;
        rgb[i] = (uint8_t)x;
    }
    oc_image *image = oc_image_create(cx, width, height, rgb);
    free(rgb);
    assert_non_null(image);
    return image;
}

/* paper() of tools/goldens/make_image.py. */
static inline oc_image *picture_paper(oc_context *cx, int64_t width, int64_t height,
                                      uint32_t seed)
{
    int64_t top = height / 5, left = width / 4;
    int64_t rows = height / 2 > 1 ? height / 2 : 1,
            columns = width / 3 > 1 ? width / 3 : 1;
    oc_image *patch = picture_noise(cx, columns, rows, seed);
    uint8_t *rgb = malloc((size_t)(width * height * 3));
    assert_non_null(rgb);
    memset(rgb, 250, (size_t)(width * height * 3));
    for (int64_t y = 0; y < rows; y++)
        for (int64_t i = 0; i < columns * 3; i++)
            rgb[((top + y) * width + left) * 3 + i] =
                oc_image_pixels(patch)[y * columns * 3 + i] / 2;
    oc_image *image = oc_image_create(cx, width, height, rgb);
    oc_image_free(patch);
    free(rgb);
    assert_non_null(image);
    return image;
}

static inline size_t picture_bytes(const oc_image *image)
{
    return (size_t)(oc_image_width(image) * oc_image_height(image) * 3);
}

static inline uint32_t picture_crc(const oc_image *image)
{
    return crc32_of(oc_image_pixels(image), picture_bytes(image));
}

/* A test file; the test fails when it is missing. */
static inline oci_buffer *read_data(oc_context *cx, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, DATA "%s", name);
    oci_buffer *bytes = oci_file_read(cx, path, UINT64_C(1) << 28);
    if (!bytes) fail_msg("%s", oc_context_message(cx));
    return bytes;
}

static inline FILE *open_manifest(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, DATA "%s", name);
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("%s is missing; run the tests in the top folder", path);
    return file;
}

static inline oc_context *one_thread(void)
{
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1);
    oc_context *cx = oc_context_create(&o);
    assert_non_null(cx);
    assert_int_equal(oc_context_status(cx), OC_OK);
    return cx;
}

/* Nothing may be held any more, inside or outside of the count. */
static inline void free_context(oc_context *cx)
{
    oc_memory_usage usage = oc_context_memory(cx);
    assert_int_equal(usage.live_bytes, 0);
    assert_int_equal(usage.live_count, 0);
    oc_context_free(cx);
}

#endif
