/* .npy and .npz: every type, byte order and order of elements against numpy's own files,
 * what is written against numpy.save byte for byte, and one broken file for each rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/context.h"
#include "broken_npy.h"
#include "io/file.h"
#include "io/npy.h"
#include "io/zip.h"
#include "support/check.h"

#define DATA "tests/data/io/npy/"

static oc_context *cx;
static char folder[] = "/tmp/ocelli-test-XXXXXX";

static void expect_ok(const void *made)
{
    if (!made) fail_msg("%s", oc_context_message(cx));
}

static void expect_error(const char *what, oc_status status, const char *part)
{
    check_error(cx, what, status, part);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    assert_int_equal(oc_context_memory(cx).live_bytes, 0);
}

static void assert_same(const oc_tensor_view *a, const oc_tensor_view *b,
                        const char *name)
{
    if (a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes)
        fail_msg("%s: dtype %d, rank %d, %zu bytes", name, (int)a->dtype, a->rank,
                 a->bytes);
    for (int k = 0; k < a->rank; k++) assert_int_equal(a->shape[k], b->shape[k]);
    if (memcmp(a->data, b->data, a->bytes)) fail_msg("%s: other data", name);
}

static void reads_what_numpy_wrote(void **state)
{
    (void)state;
    static const char *const files[] = { DATA "stored.npz", DATA "deflated.npz" };
    oc_tensors *wanted = oc_tensors_open(cx, DATA "expected.safetensors");
    expect_ok(wanted);
    assert_true(oc_tensors_count(wanted) == 12 * 4 + 3);
    for (int f = 0; f < 2; f++) {
        oc_tensors *found = oci_npz_open(cx, files[f]);
        expect_ok(found);
        assert_int_equal(oc_tensors_count(found), oc_tensors_count(wanted));
        for (size_t i = 0; i < oc_tensors_count(wanted); i++) {
            oc_tensor_view a = oc_tensors_get(wanted, i), b;
            assert_true(oc_tensors_find(found, a.name, &b));
            assert_same(&a, &b, a.name);
        }
        oc_tensors_free(found);
    }
    oc_tensors_free(wanted);
}

static void reads_all_versions(void **state)
{
    (void)state;
    oc_tensors *wanted = oc_tensors_open(cx, DATA "expected.safetensors");
    oc_tensor_view a, b;
    assert_true(oc_tensors_find(wanted, "float32_le_C", &a));
    for (int version = 1; version <= 3; version++) {
        char path[64];
        snprintf(path, sizeof path, DATA "version-%d.npy", version);
        oc_tensors *set = oci_npy_open(cx, path, "it");
        expect_ok(set);
        assert_true(oc_tensors_find(set, "it", &b));
        assert_same(&a, &b, path);
        oc_tensors_free(set);
    }
    oc_tensors_free(wanted);
}

static void writes_as_numpy_does(void **state)
{
    (void)state;
    static const struct { const char *tensor, *file; } rows[] = {
        { "float32_le_C", "version-1.npy" }, { "scalar", "scalar.npy" },
        { "row", "row.npy" }, { "bool_le_C", "bool.npy" },
    };
    char path[64], golden[64];
    oc_tensors *set = oc_tensors_open(cx, DATA "expected.safetensors");
    for (int i = 0; i < COUNT_OF(rows); i++) {
        snprintf(path, sizeof path, "%s/a.npy", folder);
        snprintf(golden, sizeof golden, DATA "%s", rows[i].file);
        assert_int_equal(oc_npy_save(cx, set, rows[i].tensor, path), OC_OK);
        oci_buffer *a = oci_file_read(cx, path, 10000),
                   *b = oci_file_read(cx, golden, 10000);
        expect_ok(a && b ? a : NULL);
        if (a->size != b->size || memcmp(a->data, b->data, a->size))
            fail_msg("%s: not numpy's bytes", golden);
        oci_buffer_unref(&a);
        oci_buffer_unref(&b);
    }
    /* All of them come back. */
    for (size_t i = 0; i < oc_tensors_count(set); i++) {
        oc_tensor_view v = oc_tensors_get(set, i), w;
        assert_int_equal(oc_npy_save(cx, set, v.name, path), OC_OK);
        oc_tensors *again = oci_npy_open(cx, path, "again");
        assert_true(oc_tensors_find(again, "again", &w));
        assert_same(&v, &w, v.name);
        oc_tensors_free(again);
    }
    unlink(path);
    assert_int_equal(oc_npy_save(cx, set, "absent", path), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_tensors_add(cx, set, "bf16", OC_BF16, 0, NULL, NULL);
    assert_int_equal(oc_npy_save(cx, set, "bf16", path), OC_E_UNSUPPORTED);
    assert_int_not_equal(access(path, F_OK), 0);
    oc_tensors_free(set);
    expect_error("bf16", OC_E_UNSUPPORTED, "bf16: numpy has no BF16");
}

static void every_rule_of_npy_is_checked(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    for (int i = 0; i < COUNT_OF(broken_npys); i++) {
        const broken_npy *row = &broken_npys[i];
        oc_tensors *set = oc_tensors_create(cx);
        const size_t size = broken_npy_build(row, bytes);
        unsigned char *exact = malloc(size ? size : 1);     /* for AddressSanitizer */
        memcpy(exact, bytes, size);
        assert_int_not_equal(oci_npy_parse(cx, set, "x", "x.npy", exact, size), OC_OK);
        assert_int_equal(oc_tensors_count(set), 0);
        assert_memory_equal(oc_context_message(cx), "x.npy: ", 7);
        free(exact);
        oc_tensors_free(set);
        expect_error(row->name, row->status, row->message);
    }
    for (int i = 0; i < COUNT_OF(odd_npys); i++) {
        oc_tensors *set = oc_tensors_create(cx);
        const size_t size = broken_npy_build(&odd_npys[i], bytes);
        if (oci_npy_parse(cx, set, "x", "x.npy", bytes, size) != OC_OK)
            fail_msg("%s: %s", odd_npys[i].name, oc_context_message(cx));
        assert_int_equal(oc_tensors_get(set, 0).dtype, OC_F32);
        assert_int_equal(oc_tensors_get(set, 0).bytes, odd_npys[i].data);
        oc_tensors_free(set);
    }
}

/* ---- archives ---- */

static oci_buffer *to_buffer(const void *data, size_t size)
{
    oci_buffer *buffer = oci_buffer_create(cx, size);
    assert_non_null(buffer);
    if (size) memcpy(buffer->data, data, size);
    return buffer;
}

static void expect_bad_archive(const char *what, const unsigned char *bytes, size_t size,
                               oc_status status, const char *part)
{
    assert_null(oci_npz_parse(cx, "x.npz", to_buffer(bytes, size)));
    assert_memory_equal(oc_context_message(cx), "x.npz: ", 7);
    expect_error(what, status, part);
}

static void every_rule_of_npz_is_checked(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM], npy[256];
    const size_t n = broken_npy_build(&odd_npys[0], npy);
    const zip_piece good = { "a.npy", npy, n, -1, 0, 0, false };
    const struct {
        const char *what;
        zip_piece first, second;        /* second.name NULL: one entry */
        oc_status status;
        const char *part;
    } rows[] = {
        { "name twice", good, good, OC_E_MALFORMED, "a.npy: two entries of this name" },
        { "absolute", { "/a.npy", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          "expected a name inside the archive" },
        { "upwards", { "x/../../a.npy", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          "expected a name inside" },
        { "ends upwards", { "x/..", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          "expected a name inside" },
        { "backslash", { "..\\a.npy", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          "expected a name inside" },
        { "no name", { "", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED, "name" },
        { "not npy", { "a.pkl", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          "a.pkl: expected the name of a .npy file" },
        { "only npy", { ".npy", npy, n, -1, 0, 0, false }, good, OC_E_MALFORMED,
          ".npy: expected the name" },
        { "method", { "a.npy", npy, n, -1, 12, 0, false }, { 0 }, OC_E_UNSUPPORTED,
          "expected it stored or deflated, found method 12" },
        { "encrypted", { "a.npy", npy, n, -1, 0, 1, false }, { 0 }, OC_E_UNSUPPORTED,
          "encrypted" },
        { "says more", { "a.npy", npy, n, (int64_t)n + 1, 0, 0, false }, { 0 },
          OC_E_MALFORMED, "packed" },
        { "says 4 GB", { "a.npy", npy, n, 0xfffffffe, 8, 0, false }, { 0 }, OC_E_LIMIT,
          "expected at most 200 times its packed size" },
        { "no deflate", { "a.npy", npy, n, (int64_t)n, 8, 0, false }, { 0 },
          OC_E_MALFORMED, "a.npy: " },
        { "sum", { "a.npy", npy, n, -1, 0, 0, true }, { 0 }, OC_E_MALFORMED, "CRC" },
        { "inner", { "a.npy", npy, n - 1, -1, 0, 0, false }, { 0 }, OC_E_MALFORMED,
          "x.npz: a.npy: data: expected 8 bytes" },
    };
    assert_true(COUNT_OF(rows) + COUNT_OF(broken_npys) >= 25);
    for (int i = 0; i < COUNT_OF(rows); i++) {
        const zip_piece pieces[] = { rows[i].first, rows[i].second };
        const size_t size = zip_build(pieces, pieces[1].name ? 2 : 1, bytes);
        expect_bad_archive(rows[i].what, bytes, size, rows[i].status, rows[i].part);
    }
    const size_t size = zip_build(&good, 1, bytes);
    for (size_t cut = 0; cut < size; cut++)
        if (cut > 0) expect_bad_archive("cut", bytes, cut, OC_E_MALFORMED, "");
    oc_tensors *set = oci_npz_parse(cx, "x.npz", to_buffer(bytes, size));
    expect_ok(set);
    oc_tensors_free(set);
}

/* A zip64 record that claims 2^40 entries must not make
 * libzip ask for memory for them. */
static void claimed_entries_cost_nothing(void **state)
{
    (void)state;
    unsigned char bytes[200], *to = bytes;
    to = put(put(to, 0x06064b50, 4), 44, 8);
    to = put(put(put(to, 45, 2), 45, 2), 0, 8);
    to = put(put(to, UINT64_C(1) << 40, 8), UINT64_C(1) << 40, 8);
    to = put(put(to, UINT64_C(46) << 40, 8), 0, 8);
    to = put(put(put(put(to, 0x07064b50, 4), 0, 4), 0, 8), 1, 4);
    to = put(put(put(to, 0x06054b50, 4), 0, 4), UINT64_MAX, 8);
    to = put(put(to, 0xffffffff, 4), 0, 2);
    expect_bad_archive("zip64", bytes, (size_t)(to - bytes), OC_E_MALFORMED,
                       "zip64 directory: expected at most 2 entries");
}

static void limits_hold(void **state)
{
    (void)state;
    assert_null(oci_npz_open(cx, DATA "bomb.npz"));
    expect_error("bomb", OC_E_LIMIT, "times its packed size");
    static const struct {
        const char *limit; uint64_t value; const char *part;
    } rows[] = {
        { "zip_entries", 50, "expected at most 50 entries, found 51" },
        { "zip_bytes", 5000, "expected entries of at most 5000 bytes together" },
        { "file_bytes", 1000, "expected at most 1000 bytes" },
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        oci_limits before = cx->limits;
        assert_int_equal(oc_context_limit(cx, rows[i].limit, rows[i].value), OC_OK);
        assert_null(oci_npz_open(cx, DATA "stored.npz"));
        expect_error(rows[i].limit, OC_E_LIMIT, rows[i].part);
        cx->limits = before;
    }
}

/* A folder inside an archive is no array; one whose entries are found by name. */
static void folders_are_left_out(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    const zip_piece pieces[] = {
        { "x/", "", 0, -1, 0, 0, false }, { "x/b", "second", 6, -1, 0, 0, false },
        { "x/a", "first", 5, -1, 0, 0, false }
    };
    oci_zip zip;
    assert_true(
        oci_zip_parse(cx, &zip, "x", to_buffer(bytes, zip_build(pieces, 3, bytes))));
    assert_int_equal(zip.count, 2);
    assert_null(oci_zip_find(&zip, "x/"));
    const oci_zip_entry *entry = oci_zip_find(&zip, "x/a");
    assert_ptr_equal(entry, &zip.entries[0]);
    oci_buffer *data = oci_zip_read(cx, &zip, entry);
    assert_int_equal(data->size, 5);
    assert_memory_equal(data->data, "first", 5);
    oci_buffer_unref(&data);
    oci_zip_close(&zip);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static int setup(void **state)
{
    (void)state;
    cx = oc_context_create(NULL);
    return cx && mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    oc_context_free(cx);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_numpy_wrote),
        cmocka_unit_test(reads_all_versions),
        cmocka_unit_test(writes_as_numpy_does),
        cmocka_unit_test(every_rule_of_npy_is_checked),
        cmocka_unit_test(every_rule_of_npz_is_checked),
        cmocka_unit_test(claimed_entries_cost_nothing),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(folders_are_left_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
