/* What the tests of the index share: a folder of small pictures, and vectors for them
 * that need no model. */
#ifndef OCELLI_TESTS_INDEX_SUPPORT_H
#define OCELLI_TESTS_INDEX_SUPPORT_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "embed/index.h"
#include "image/image.h"

enum { WIDTH = 24 };

static char folder[] = "/tmp/ocelli-index-XXXXXX";

static inline void remove_tree(const char *path)
{
    char name[1024];
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        int n = snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (n < 0 || (size_t)n >= sizeof name) continue;
        if (unlink(name) != 0) remove_tree(name);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

static inline int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

/* FOLDER/name, in one of a few places that take turns. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 512, "%s/%s", folder, name);
    return path;
}

/* A small picture whose pixels `seed` fixes, as a .png. */
static inline void make_picture(oc_context *cx, const char *path, uint32_t seed)
{
    uint8_t rgb[4 * 3 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) {
        seed = seed * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(seed >> 24);
    }
    oc_image *image = oc_image_create(cx, 4, 3, rgb);
    assert_int_equal(oc_image_save(cx, image, path), OC_OK);
    oc_image_free(image);
}

/* Numbers that its pixels fix, of length 1. A picture whose
 * first pixel is black has NaN. */
static inline void vector_of(const oc_image *image, float *vector)
{
    const uint8_t *p = oc_image_pixels(image);
    size_t n = (size_t)(oc_image_width(image) * oc_image_height(image) * 3);
    double square = 0;
    for (size_t i = 0; i < WIDTH; i++) {
        vector[i] = (float)p[i % n] - 127.5f + (float)i / 64;
        square += (double)vector[i] * (double)vector[i];
    }
    for (size_t i = 0; i < WIDTH; i++) vector[i] = vector[i] / (float)sqrt(square);
    if (p[0] + p[1] + p[2] == 0) vector[0] = NAN;
}

/* oci_index_embed; *user counts the pictures. */
static inline float *embed_pixels(oc_context *cx, void *user, oc_image *const *images,
                                  size_t count, size_t *width)
{
    float *rows = oci_alloc(cx, count * WIDTH * sizeof *rows);
    for (size_t i = 0; rows && i < count; i++) vector_of(images[i], rows + i * WIDTH);
    *(long *)user += (long)count;
    *width = WIDTH;
    return rows;
}

static inline oc_status build(oc_context *cx, const char *path, const char *pictures,
                              bool int8, uint64_t fingerprint, long *embedded,
                              oc_index_report *report)
{
    oci_index_maker maker = { fingerprint, "some-model", embed_pixels, embedded };
    oc_index_options o = OC_OPTIONS(oc_index_options, .folder = pictures, .int8 = int8,
                                    .batch = 3);
    *embedded = 0;
    return oci_index_make(cx, &maker, path, &o, report);
}

static inline char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*size + 1);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

static inline bool same_files(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *x = read_file(a, &n), *y = read_file(b, &m);
    bool same = x && y && n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

#endif
