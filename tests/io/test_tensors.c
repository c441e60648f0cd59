/* The public set of named tensors, through ocelli.h alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "ocelli.h"

static oc_context *cx;
static char folder[] = "/tmp/ocelli-test-XXXXXX";
static char path[64];

static void expect_error(oc_status status, const char *part)
{
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
        fail_msg("expected %s with \"%s\", found %s: %s", oc_status_name(status), part,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static void adds_and_finds(void **state)
{
    (void)state;
    oc_tensors *set = oc_tensors_create(cx);
    oc_tensor_view view;
    char name[16];
    for (int i = 0; i < 500; i++) {
        const int64_t shape[] = { 1, 2 }, data[] = { i, -i };
        snprintf(name, sizeof name, "t%d", i * 7919 % 500);
        assert_int_equal(oc_tensors_add(cx, set, name, OC_I64, 2, shape, data), OC_OK);
    }
    assert_int_equal(oc_tensors_count(set), 500);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "t%d", i * 7919 % 500);
        oc_tensor_view at = oc_tensors_get(set, (size_t)i);   /* in the order of adding */
        assert_string_equal(at.name, name);
        assert_true(oc_tensors_find(set, name, &view));
        assert_memory_equal(&view, &at, sizeof view);
        assert_int_equal((uintptr_t)at.data % 64, 0);
        assert_int_equal(((const int64_t *)at.data)[1], -i);
        assert_int_equal(at.shape[1], 2);
        assert_int_equal(at.bytes, 16);
    }
    assert_false(oc_tensors_find(set, "t500", &view));
    assert_null(view.name);
    assert_null(oc_tensors_get(set, 500).name);
    assert_int_equal(oc_tensors_add(cx, set, "zero", OC_F32, 1, (int64_t[]){ 3 }, NULL),
                     OC_OK);
    assert_true(oc_tensors_find(set, "zero", &view));
    assert_memory_equal(view.data, ((const float[]){ 0, 0, 0 }), 12);
    oc_tensors_free(set);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static void refuses(void **state)
{
    (void)state;
    oc_tensors *set = oc_tensors_create(cx);
    const int64_t two[] = { 2 }, negative[] = { -1 }, huge[] = { INT64_MAX, 3 };
    oc_tensors_add(cx, set, "a", OC_F32, 1, two, NULL);
    oc_tensors_add(cx, set, "a", OC_U8, 0, NULL, NULL);
    expect_error(OC_E_ARGUMENT, "a: there is a tensor of this name already");
    oc_tensors_add(cx, set, NULL, OC_F32, 1, two, NULL);
    expect_error(OC_E_ARGUMENT, "not a name");
    oc_tensors_add(cx, set, "\xc3", OC_F32, 1, two, NULL);
    expect_error(OC_E_ARGUMENT, "not a name");
    oc_tensors_add(cx, set, "__metadata__", OC_F32, 1, two, NULL);
    expect_error(OC_E_ARGUMENT, "not a name");
    oc_tensors_add(cx, set, "b", OC_DTYPE_COUNT, 1, two, NULL);
    expect_error(OC_E_ARGUMENT, "b: dtype");
    oc_tensors_add(cx, set, "b", OC_F32, 9, two, NULL);
    expect_error(OC_E_ARGUMENT, "b: rank: expected 0..8");
    oc_tensors_add(cx, set, "b", OC_F32, -1, two, NULL);
    expect_error(OC_E_ARGUMENT, "b: rank");
    oc_tensors_add(cx, set, "b", OC_F32, 1, NULL, NULL);
    expect_error(OC_E_ARGUMENT, "b: rank");
    oc_tensors_add(cx, set, "b", OC_F32, 1, negative, NULL);
    expect_error(OC_E_ARGUMENT, "b: shape");
    oc_tensors_add(cx, set, "b", OC_U8, 2, huge, NULL);
    expect_error(OC_E_ARGUMENT, "b: shape");
    assert_int_equal(oc_tensors_count(set), 1);
    /* NULL for what an earlier call did not deliver */
    oc_tensors_add(cx, NULL, "b", OC_F32, 1, two, NULL);
    expect_error(OC_E_ARGUMENT, "no set");
    oc_tensors_save(cx, NULL, path);
    expect_error(OC_E_ARGUMENT, "no tensors");
    assert_null(oc_tensors_open(cx, "tests/data/io/absent"));
    assert_int_equal(oc_tensors_add(cx, NULL, "b", OC_F32, 1, two, NULL), OC_E_FILE);
    assert_int_equal(oc_tensors_save(cx, NULL, path), OC_E_FILE);
    expect_error(OC_E_FILE, "absent: open: no such file");
    assert_int_equal(oc_tensors_count(NULL), 0);
    assert_null(oc_tensors_get(NULL, 0).name);
    assert_false(oc_tensors_find(NULL, "a", &(oc_tensor_view){ 0 }));
    assert_false(oc_tensors_find(NULL, "a", NULL));
    assert_null(oc_tensors_metadata(NULL, "format"));
    oc_tensors_free(NULL);
    oc_tensors_free(set);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static void *slurp(const char *from, long *size)
{
    FILE *f = fopen(from, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    void *data = malloc((size_t)*size);
    assert_int_equal(fread(data, 1, (size_t)*size, f), *size);
    fclose(f);
    return data;
}

/* The golden of the reference writer, made again from parts. */
static void same_bytes_as_reference(void **state)
{
    (void)state;
    unsigned char weight[24], bias[12];
    for (int i = 0; i < 24; i++) weight[i] = (unsigned char)(7 * i % 251);
    for (int i = 0; i < 12; i++) bias[i] = (unsigned char)((7 * i + 1) % 251);
    oc_tensors *set = oc_tensors_create(cx);
    oc_tensors_add(cx, set, "weight", OC_F32, 2, (int64_t[]){ 2, 3 }, weight);
    oc_tensors_add(cx, set, "bias", OC_F32, 1, (int64_t[]){ 3 }, bias);
    assert_int_equal(oc_tensors_save(cx, set, path), OC_OK);
    oc_tensors_free(set);
    long a, b;
    void *ours = slurp(path, &a), *theirs = slurp("tests/data/io/plain.safetensors", &b);
    assert_int_equal(a, b);
    assert_memory_equal(ours, theirs, (size_t)a);
    free(ours);
    free(theirs);
}

static void opened_sets_grow(void **state)
{
    (void)state;
    oc_tensors *set = oc_tensors_open(cx, "tests/data/io/dtypes.safetensors");
    assert_non_null(set);
    assert_string_equal(oc_tensors_metadata(set, "format"), "pt");
    assert_null(oc_tensors_metadata(set, "other"));
    assert_int_equal(oc_tensors_count(set), OC_DTYPE_COUNT);
    assert_string_equal(oc_tensors_get(set, 0).name, "t00");
    assert_int_equal(oc_tensors_add(cx, set, "more", OC_BF16, 0, NULL, "xy"), OC_OK);
    oc_tensors_add(cx, set, "t03", OC_BF16, 0, NULL, "xy");
    expect_error(OC_E_ARGUMENT, "t03");
    assert_int_equal(oc_tensors_save(cx, set, path), OC_OK);
    oc_tensors_free(set);
    set = oc_tensors_open(cx, path);
    oc_tensor_view view;
    assert_true(oc_tensors_find(set, "more", &view));
    assert_int_equal(view.dtype, OC_BF16);
    assert_memory_equal(view.data, "xy", 2);
    assert_int_equal(oc_tensors_count(set), OC_DTYPE_COUNT + 1);
    oc_tensors_free(set);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static int clear(void **state)
{
    (void)state;
    oc_context_clear(cx);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(&(oc_context_options){ .size = sizeof(oc_context_options),
                                                  .threads = 1 });
    if (!cx || !mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.st", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    oc_context_free(cx);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(adds_and_finds, clear),
        cmocka_unit_test_setup(refuses, clear),
        cmocka_unit_test_setup(same_bytes_as_reference, clear),
        cmocka_unit_test_setup(opened_sets_grow, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
