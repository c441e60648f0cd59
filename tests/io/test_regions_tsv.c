/* The .tsv of bottom-up-attention: what Python's csv wrote, found by id, fed in pieces of
 * any size, and broken lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"
#include "io/file.h"
#include "io/regions_tsv.h"
#include "support/check.h"

#define DATA "tests/data/io/npy/"

static oc_context *cx;

static void expect_error(const char *what, oc_status status, const char *part)
{
    check_error(cx, what, status, part);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

/* Text in pieces of `piece` bytes. */
static oc_tensors *search(const char *text, size_t size, const char *id, size_t piece)
{
    oci_tsv_search s;
    oci_tsv_begin(cx, &s, "x.tsv", id);
    for (size_t at = 0; at < size; at += piece)
        if (!oci_tsv_feed(cx, &s, text + at, size - at < piece ? size - at : piece))
            break;
    return oci_tsv_end(cx, &s);
}

static void assert_golden(const oc_tensors *set, const oc_tensors *golden, const char *id)
{
    static const char *const names[] = { "boxes", "visual_embeds" };
    char name[64];
    for (int k = 0; k < 2; k++) {
        oc_tensor_view a, b;
        snprintf(name, sizeof name, "%s.%s", id, names[k]);
        assert_true(oc_tensors_find(golden, name, &a) &&
                    oc_tensors_find(set, names[k], &b));
        assert_true(a.rank == b.rank && a.bytes == b.bytes && b.dtype == OC_F32);
        for (int d = 0; d < a.rank; d++) assert_int_equal(a.shape[d], b.shape[d]);
        assert_memory_equal(a.data, b.data, a.bytes);
    }
}

static void finds_lines_by_id(void **state)
{
    (void)state;
    static const char *const ids[] = { "12", "123", "1234" };
    oc_tensors *golden = oc_tensors_open(cx, DATA "regions.safetensors");
    oci_buffer *file = oci_file_read(cx, DATA "regions.tsv", 10000);
    for (int i = 0; i < 3; i++) {
        oc_tensor_view size;
        oc_tensors *set = oci_tsv_open(cx, DATA "regions.tsv", ids[i]);
        if (!set) fail_msg("%s", oc_context_message(cx));
        assert_golden(set, golden, ids[i]);
        assert_true(oc_tensors_find(set, "image_size", &size));
        assert_int_equal(((const int64_t *)size.data)[0], 640 + i);
        assert_int_equal(((const int64_t *)size.data)[1], 480 + i);
        oc_tensors_free(set);
        for (size_t piece = 1; piece < 40; piece++) {
            set = search((const char *)file->data, file->size, ids[i], piece);
            if (!set) fail_msg("%zu: %s", piece, oc_context_message(cx));
            assert_golden(set, golden, ids[i]);
            oc_tensors_free(set);
        }
    }
    oci_buffer_unref(&file);
    oc_tensors_free(golden);
    static const char *const absent[] = { "1", "12345", "" };
    for (int i = 0; i < 3; i++) {
        assert_null(oci_tsv_open(cx, DATA "regions.tsv", absent[i]));
        expect_error(absent[i], OC_E_ARGUMENT, "expected a line of image_id");
    }
    assert_null(oci_tsv_open(cx, DATA "regions.tsv", NULL));
    expect_error("no id", OC_E_ARGUMENT, "expected the image_id of one of its lines");
    assert_null(oci_tsv_open(cx, DATA "nothing.tsv", "12"));
    expect_error("no file", OC_E_FILE, "no such file");
}

/* 1.0f is AACAPw==, four of them AACAPwAAgD8AAIA/AACAPw==. */
#define ONE "AACAPw=="
#define FOUR "AACAPwAAgD8AAIA/AACAPw=="
#define GOOD "7\t640\t480\t1\t" FOUR "\t" ONE

static void one_line_needs_no_id(void **state)
{
    (void)state;
    static const char *const good[] = { GOOD, GOOD "\n", GOOD "\r\n",
                                        "\r\n\n" GOOD "\n\n\r\n" };
    for (int i = 0; i < 4; i++)
        for (size_t piece = 1; piece < 60; piece += 7) {
            oc_tensor_view v;
            oc_tensors *set = search(good[i], strlen(good[i]), NULL, piece);
            if (!set) fail_msg("%d: %s", i, oc_context_message(cx));
            assert_true(oc_tensors_find(set, "visual_embeds", &v));
            assert_int_equal(v.bytes, 4);
            assert_true(*(const float *)v.data == 1.0f);
            oc_tensors_free(set);
        }
}

static void broken_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text; oc_status status; const char *part;
    } rows[] = {
        { "", OC_E_ARGUMENT, "image_id any, found none" },
        { "\r\n\n", OC_E_ARGUMENT, "found none" },
        { GOOD "\n" GOOD, OC_E_ARGUMENT, "there are several" },
        { "7", OC_E_MALFORMED, "line 1: expected 6 columns" },
        { "\n\n7\t1", OC_E_MALFORMED, "line 3: expected 6 columns parted by tabs "
                                      "(image_id, "
          "image_w, image_h, num_boxes, boxes, features), found 2" },
        { GOOD "\tx", OC_E_MALFORMED, "found 7" },
        { "7\t-640\t480\t1\t" FOUR "\t" ONE, OC_E_MALFORMED, "image_w: expected a number "
                                                             "from 1" },
        { "7\t640\t\t1\t" FOUR "\t" ONE, OC_E_MALFORMED, "image_h: expected a number "
                                                         "from 1" },
        { "7\t640\t480\t0\t" FOUR "\t" ONE, OC_E_MALFORMED,
          "num_boxes: expected a number" },
        { "7\t640\t480\t99999999999999999999\t" FOUR "\t" ONE, OC_E_MALFORMED,
          "num_boxes: expected a number from 1 to 1048576" },
        { "7\t640\t480\t1.0\t" FOUR "\t" ONE, OC_E_MALFORMED,
          "num_boxes: expected a number" },
        { "7\t640\t480\t2\t" FOUR "\t" ONE, OC_E_MALFORMED, "features: expected as many "
                                                            "f32" },
        { "7\t640\t480\t2\t" FOUR "\tAACAPwAAgD8=", OC_E_MALFORMED,
          "boxes: expected as many f32 for each of 2 boxes, four, found 16 bytes" },
        { "7\t640\t480\t1\t" FOUR "\t", OC_E_MALFORMED,
          "features: expected as many f32" },
        { "7\t640\t480\t1\t\t" ONE, OC_E_MALFORMED, "boxes: expected as many f32" },
        { "7\t640\t480\t1\t" FOUR "\tAACAPw=", OC_E_MALFORMED, "features: expected "
                                                               "base64, whole" },
        { "7\t640\t480\t1\t" FOUR "\tAA=APw==", OC_E_MALFORMED,
          "found other characters" },
        { "7\t640\t480\t1\t" FOUR "\tAA-APw==", OC_E_MALFORMED,
          "found other characters" },
        { "7\t640\t480\t1\t" FOUR "\tAACA", OC_E_MALFORMED, "found 3 bytes" },
        { "7\t640\t480\t1\t" FOUR "\t====", OC_E_MALFORMED, "features" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_null(search(rows[i].text, strlen(rows[i].text), NULL, 64));
        assert_memory_equal(oc_context_message(cx), "x.tsv: ", 7);
        expect_error(rows[i].text, rows[i].status, rows[i].part);
    }
    cx->limits.region_bytes = 20;
    assert_null(search(GOOD, strlen(GOOD), NULL, 8));
    expect_error("limit", OC_E_LIMIT, "line 1: expected at most 20 bytes");
    cx->limits = oci_default_limits;
}

static int setup(void **state)
{
    (void)state;
    return (cx = oc_context_create(NULL)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    oc_context_free(cx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_lines_by_id), cmocka_unit_test(one_line_needs_no_id),
        cmocka_unit_test(broken_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
