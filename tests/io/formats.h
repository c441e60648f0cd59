/* What the tests of weight files share: bytes as a file, what a file holds against a
 * .safetensors, and what a refused one leaves. Include after cmocka.h. */
#ifndef OCELLI_TESTS_FORMATS_H
#define OCELLI_TESTS_FORMATS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "io/weight_file.h"

#define FORMATS "tests/data/io/formats/"
#define COUNT_OF_ROWS(array) (sizeof(array) / sizeof *(array))

static oc_context *cx;                         /* each test program is one file */
static char folder[] = "/tmp/ocelli-test-XXXXXX";

/* A small budget: what a broken file claims must not be taken. */
static inline int formats_setup(void **state)
{
    (void)state;
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 1,
                                      .memory_budget = 4 << 20);
    cx = oc_context_create(&o);
    return !cx || !mkdtemp(folder);
}

static inline int formats_teardown(void **state)
{
    (void)state;
    oc_context_free(cx);
    return rmdir(folder);
}

static inline void expect_clean(void)
{
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    assert_int_equal(oc_context_memory(cx).live_bytes, 0);
}

static inline void expect_refusal(const char *what, oc_status status, const char *part)
{
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
        fail_msg("%s: expected %s with \"%s\", found %s: %s", what,
                 oc_status_name(status), part, oc_status_name(oc_context_status(cx)),
                 oc_context_message(cx));
    oc_context_clear(cx);
    expect_clean();
}

static inline unsigned char *read_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s", path);
    unsigned char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static inline const char *put_file(const char *name, const void *bytes, size_t size)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* Opens the bytes as NAME and reads all of it, mapped and not: refused, in the words of
 * `part`, which may come as late as with the tensor. */
static inline void expect_bad_file(const char *what, const char *name, const void *bytes,
                                   size_t size, oc_status status, const char *part)
{
    const char *path = put_file(name, bytes, size);
    for (int map = 0; map < 2; map++) {
        oci_weight_file file;
        if (oci_weight_file_open(cx, &file, oci_weight_format_of(name), path, false,
                                 map != 0)) {
            for (size_t i = 0; i < file.count && !oci_failed(cx); i++) {
                void *to = oci_alloc(cx, file.entries[i].bytes);
                if (to) file.format->read(cx, &file, &file.entries[i], to);
                oci_free(to);
            }
            oci_weight_file_close(&file);
        }
        if (!strstr(oc_context_message(cx), name) && oc_context_status(cx) != OC_E_MEMORY)
            fail_msg("%s: the message does not name the file: %s", what,
                     oc_context_message(cx));
        expect_refusal(what, status, part);
    }
    unlink(path);
}

/* Tensor `name` of the file is `want`. */
static inline void expect_tensor(oci_weight_file *file, const char *name,
                                 const oc_tensor_view *want)
{
    for (size_t i = 0; i < file->count; i++) {
        const oci_entry *e = &file->entries[i];
        if (strcmp(e->name, name)) continue;
        if (e->dtype != want->dtype || e->rank != want->rank || e->bytes != want->bytes ||
            (e->rank &&
             memcmp(e->shape, want->shape, (size_t)e->rank * sizeof *e->shape)))
            fail_msg("%s: %s: another type or shape", file->path, name);
        unsigned char *bytes = malloc(e->bytes + 1);
        bytes[e->bytes] = 0xa5;
        assert_true(file->format->read(cx, file, e, bytes));
        if (e->bytes && memcmp(bytes, want->data, e->bytes))
            fail_msg("%s: %s differs", file->path, name);
        assert_int_equal(bytes[e->bytes], 0xa5);
        const void *at = file->format->peek(file, e);
        if (at && e->bytes) assert_memory_equal(at, bytes, e->bytes);
        free(bytes);
        return;
    }
    fail_msg("%s: %s is not there", file->path, name);
}

/* The file has what the .safetensors has; names that begin with `prefix` alone count. */
static inline void expect_tensors(const char *path, const char *expected, size_t count)
{
    oc_tensors *want = oc_tensors_open(cx, expected);
    if (!want) fail_msg("%s", oc_context_message(cx));
    for (int map = 0; map < 2; map++) {
        oci_weight_file file;
        if (!oci_weight_file_open(cx, &file, oci_weight_format_of(path), path, false,
                                  map != 0))
            fail_msg("%s", oc_context_message(cx));
        if (count) assert_int_equal(file.count, count);
        for (size_t i = 0; count && i < oc_tensors_count(want); i++) {
            oc_tensor_view v = oc_tensors_get(want, i);
            if (!strncmp(v.name, "plain/", 6) || !strcmp(v.name, "compact")) continue;
            expect_tensor(&file, v.name, &v);
        }
        oci_weight_file_close(&file);
    }
    oc_tensors_free(want);
    expect_clean();
}

#endif
