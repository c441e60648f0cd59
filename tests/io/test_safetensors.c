/* Reader and writer of safetensors: one broken file for each rule, odd but good ones,
 * random round trips, and equality with the reference writer, byte for byte. */
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
#include "base/dtype.h"
#include "base/rng.h"
#include "base/size.h"
#include "broken_safetensors.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "support/check.h"

static oc_context *cx;
static char folder[] = "/tmp/ocelli-test-XXXXXX";
static char path[64];

static void write_bytes(const char *to, const void *data, size_t size)
{
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static oci_buffer *to_buffer(const void *data, size_t size)
{
    oci_buffer *buffer = oci_buffer_create(cx, size);
    assert_non_null(buffer);
    if (size) memcpy(buffer->data, data, size);
    return buffer;
}

static void expect_ok(bool ok)
{
    if (!ok) fail_msg("%s", oc_context_message(cx));
}

static void expect_error(const char *what, oc_status status, const char *part)
{
    check_error(cx, what, status, part);
}

/* ---- reading ----------------------------------------------------------------------- */

static void every_rule_is_checked(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    assert_true(BROKEN_COUNT >= 30);
    for (int i = 0; i < BROKEN_COUNT; i++) {
        const broken_file *row = &broken_files[i];
        oci_safetensors file;
        size_t size = broken_build(row, bytes);
        assert_false(oci_safetensors_parse(cx, &file, "x.st", to_buffer(bytes, size)));
        assert_null(file.entries);
        assert_memory_equal(oc_context_message(cx), "x.st: ", 6);
        expect_error(row->name, row->status, row->message);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
        assert_int_equal(oc_context_memory(cx).live_bytes, 0);
    }
}

/* From a file, read, mapped, and with its header alone: the same verdict. */
static void every_way_to_open_checks(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    oci_safetensors file;
    for (int i = 0; i < BROKEN_COUNT; i++) {
        const broken_file *row = &broken_files[i];
        write_bytes(path, bytes, broken_build(row, bytes));
        for (int way = 0; way < 3; way++) {
            bool ok = way == 2 ? oci_safetensors_open_header(cx, &file, path)
                               : oci_safetensors_open(cx, &file, path, way == 1);
            assert_false(ok);
            expect_error(row->name, row->status, row->message);
            assert_int_equal(oc_context_memory(cx).live_count, 0);
        }
    }
}

static void check_data(const oci_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++) {
        const oci_entry *e = &file->entries[i];
        assert_int_equal(e->offset % oci_dtype_size(e->dtype), 0);
        assert_ptr_equal(oci_safetensors_find(file, e->name), e);
        for (size_t k = 1; k < e->bytes; k++)       /* 1, 2, 3 … from somewhere */
            assert_int_equal(file->bytes->data[e->offset + k],
                             file->bytes->data[e->offset + k - 1] + 1);
    }
}

static void odd_files_are_good(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    for (int i = 0; i < ODD_COUNT; i++) {
        const broken_file *row = &odd_files[i];
        oci_safetensors file;
        size_t size = broken_build(row, bytes);
        expect_ok(oci_safetensors_parse(cx, &file, row->name, to_buffer(bytes, size)));
        assert_int_equal(file.count, row->tensors);
        assert_int_equal(file.metadata_count, row->pairs);
        check_data(&file);
        assert_null(oci_safetensors_find(&file, "absent"));
        assert_null(oci_safetensors_metadata(&file, "absent"));
        oci_safetensors_close(&file);
        write_bytes(path, bytes, size);
        for (int map = 0; map < 2; map++) {
            expect_ok(oci_safetensors_open(cx, &file, path, map != 0));
            assert_int_equal(file.count, row->tensors);
            check_data(&file);
            oci_safetensors_close(&file);
        }
        expect_ok(oci_safetensors_open_header(cx, &file, path));
        assert_int_equal(file.count, row->tensors);
        assert_null(file.bytes);
        oci_safetensors_close(&file);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    unsigned char bytes[BROKEN_ROOM];
    oci_safetensors file;
    const broken_file two = {
        "TWO",
        "{" T("a", "\"U8\"", "[4]", 0, 4) "," T("b", "\"U8\"", "[4]", 4, 8) "}",
        105,
        8,
        TRUE_LENGTH,
        WHOLE,
        OC_OK,
        "",
        2,
        0
    };
    assert_int_equal(strlen(two.header), two.header_size);
    size_t size = broken_build(&two, bytes);
    cx->limits.tensors = 1;
    assert_false(oci_safetensors_parse(cx, &file, "x", to_buffer(bytes, size)));
    expect_error("tensors", OC_E_LIMIT, "expected at most 1 tensors, found 2");
    cx->limits.tensors = 2;
    expect_ok(oci_safetensors_parse(cx, &file, "x", to_buffer(bytes, size)));
    oci_safetensors_close(&file);
    cx->limits.header_bytes = 104;
    assert_false(oci_safetensors_parse(cx, &file, "x", to_buffer(bytes, size)));
    expect_error("header", OC_E_LIMIT, "expected at most 104, found 105");
    write_bytes(path, bytes, size);
    cx->limits = oci_default_limits;
    cx->limits.file_bytes = size - 1;
    for (int map = 0; map < 2; map++) {
        assert_false(oci_safetensors_open(cx, &file, path, map != 0));
        expect_error("file", OC_E_LIMIT, "found more");
    }
    cx->limits = oci_default_limits;
}

/* A name that could steer a terminal does not reach the message as it is. */
static void messages_are_clean(void **state)
{
    (void)state;
    const broken_file row = {
        "ESC", "{\"\\u001b[2J\\n\":1}", 17, 0, TRUE_LENGTH, WHOLE, OC_OK, "", 0, 0
    };
    unsigned char bytes[BROKEN_ROOM];
    oci_safetensors file;
    size_t size = broken_build(&row, bytes);
    assert_false(oci_safetensors_parse(cx, &file, "x", to_buffer(bytes, size)));
    assert_null(strchr(oc_context_message(cx), 0x1b));
    assert_null(strchr(oc_context_message(cx), '\n'));
    expect_error("escape", OC_E_MALFORMED, "x: ?[2J?: expected an object, found 1");
}

/* ---- writing ----------------------------------------------------------------------- */

enum { MOST = 12 };

static void compare_files(const char *a, const char *b)
{
    oci_buffer *x = oci_file_read(cx, a, 1 << 20), *y = oci_file_read(cx, b, 1 << 20);
    expect_ok(x && y);
    assert_int_equal(x->size, y->size);
    assert_memory_equal(x->data, y->data, x->size);
    oci_buffer_unref(&x);
    oci_buffer_unref(&y);
}

static const char *const golden_names[] = { "plain", "dtypes", "shapes", "names", "empty",
                                            "empty_metadata" };

/* Golden files: read, handed to the writer in another order,
 * and the same bytes come out. */
static void same_bytes_as_reference(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof golden_names / sizeof *golden_names; g++) {
        char golden[80];
        snprintf(golden, sizeof golden, "tests/data/io/%s.safetensors", golden_names[g]);
        oci_safetensors file;
        oci_save_tensor tensors[16];
        expect_ok(oci_safetensors_open(cx, &file, golden, false));
        assert_true(file.count <= 16);
        for (size_t i = 0; i < file.count; i++) {
            const oci_entry *e = &file.entries[file.count - 1 - i];
            tensors[i] = (oci_save_tensor){ e->name, e->dtype, e->rank, e->shape,
                                            file.bytes->data + e->offset, e->bytes,
                                            NULL };
        }
        oc_status status = oci_safetensors_save(cx, path, tensors, file.count,
                                                file.metadata, file.metadata_count);
        expect_ok(status == OC_OK);
        compare_files(path, golden);
        oci_safetensors_close(&file);
    }
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

/* The golden of all dtypes has the bytes that its maker says. */
static void reads_reference(void **state)
{
    (void)state;
    oci_safetensors file;
    expect_ok(oci_safetensors_open(cx, &file, "tests/data/io/dtypes.safetensors", true));
    assert_int_equal(file.count, OC_DTYPE_COUNT);
    assert_string_equal(oci_safetensors_metadata(&file, "format"), "pt");
    for (size_t k = 0; k < file.count; k++) {
        char name[8];
        snprintf(name, sizeof name, "t%02u", (unsigned)k);
        const oci_entry *e = oci_safetensors_find(&file, name);
        assert_non_null(e);
        assert_int_equal(e->dtype, k);      /* the maker lists them in our order */
        assert_int_equal(e->rank, 1);
        assert_int_equal(e->shape[0], 3);
        for (size_t i = 0; i < e->bytes; i++)
            assert_int_equal(file.bytes->data[e->offset + i], (7 * i + k) % 251);
    }
    oci_safetensors_close(&file);
}

/* Random sets of tensors survive a round trip. */
static void round_trips(void **state)
{
    (void)state;
    static unsigned char data[MOST][4096];
    for (uint64_t seed = 0; seed < 200; seed++) {
        oci_rng rng;
        oci_rng_init(&rng, seed, 0);
        oci_save_tensor tensors[MOST];
        int64_t shapes[MOST][OCI_MAX_RANK];
        char names[MOST][32];
        size_t count = oci_rng_u32(&rng) % (MOST + 1);
        for (size_t i = 0; i < count; i++) {
            oci_save_tensor *t = &tensors[i];
            snprintf(names[i], sizeof names[i], "%x.%zu",
                     (unsigned)oci_rng_u32(&rng) % 4096, i);
            *t = (oci_save_tensor){ .name = names[i], .shape = shapes[i], .data = data[i],
                                    .dtype = (oc_dtype)(oci_rng_u32(&rng) %
                                                        OC_DTYPE_COUNT),
                                    .rank = (int)(oci_rng_u32(&rng) % 5) };
            for (int d = 0; d < t->rank; d++) shapes[i][d] = oci_rng_u32(&rng) % 5;
            assert_true(oci_shape_bytes(t->dtype, t->rank, t->shape, &t->bytes));
            assert_true(t->bytes <= sizeof data[i]);
            for (size_t k = 0; k < t->bytes; k++)
                data[i][k] = (unsigned char)oci_rng_u32(&rng);
        }
        const char *const metadata[] = { "format", "pt", "k\"\n", "\xc3\xbc" };
        expect_ok(oci_safetensors_save(cx, path, tensors, count, metadata, seed % 3) ==
                  OC_OK);
        oci_safetensors file;
        expect_ok(oci_safetensors_open(cx, &file, path, seed % 2 != 0));
        assert_int_equal(file.count, count);
        assert_int_equal(file.metadata_count, seed % 3);
        if (seed % 3 == 2)
            assert_string_equal(oci_safetensors_metadata(&file, "k\"\n"), "\xc3\xbc");
        for (size_t i = 0; i < count; i++) {
            const oci_save_tensor *t = &tensors[i];
            const oci_entry *e = oci_safetensors_find(&file, t->name);
            assert_non_null(e);
            assert_int_equal(e->dtype, t->dtype);
            assert_int_equal(e->rank, t->rank);
            assert_int_equal(e->bytes, t->bytes);
            if (t->rank) assert_memory_equal(e->shape, t->shape, (size_t)t->rank * 8);
            if (t->bytes)
                assert_memory_equal(file.bytes->data + e->offset, t->data, t->bytes);
        }
        oci_safetensors_close(&file);
    }
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static void writer_refuses_nonsense(void **state)
{
    (void)state;
    const int64_t two[] = { 2 }, negative[] = { -2 };
    const float data[2] = { 1, 2 };
    const oci_save_tensor good = { "a", OC_F32, 1, two, data, 8, NULL };
    oci_save_tensor bad[2] = { good, good };
    write_bytes(path, "old", 3);
    struct { oci_save_tensor tensor; const char *message; } cases[] = {
        { good, "a: two tensors of this name" },
        { { "a", OC_F64, 1, two, data, 16, NULL }, "a: two tensors of this name" },
        { { NULL, OC_F32, 1, two, data, 8, NULL }, "not a name" },
        { { "\xff", OC_F32, 1, two, data, 8, NULL }, "not a name" },
        { { "__metadata__", OC_F32, 1, two, data, 8, NULL }, "not a name" },
        { { LONG_512, OC_F32, 1, two, data, 8, NULL }, "not a name" },
        { { "b", OC_DTYPE_COUNT, 1, two, data, 8, NULL }, "not a dtype and shape" },
        { { "b", OC_F32, 9, two, data, 8, NULL }, "not a dtype and shape" },
        { { "b", OC_F32, -1, two, data, 8, NULL }, "not a dtype and shape" },
        { { "b", OC_F32, 1, negative, data, 8, NULL }, "not a dtype and shape" },
        { { "b", OC_F32, 1, two, data, 4, NULL }, "b: expected 8 bytes, found 4" },
        { { "b", OC_F32, 1, two, NULL, 8, NULL }, "b: expected 8 bytes, found 0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad[1] = cases[i].tensor;
        oci_safetensors_save(cx, path, bad, 2, NULL, 0);
        expect_error(cases[i].message, OC_E_ARGUMENT, cases[i].message);
    }
    const char *const metadata[] = { "k", "\xc3" };
    oci_safetensors_save(cx, path, &good, 1, metadata, 1);
    expect_error("metadata", OC_E_ARGUMENT, "not UTF-8");
    cx->limits.header_bytes = 10;
    oci_safetensors_save(cx, path, &good, 1, NULL, 0);
    expect_error("header", OC_E_LIMIT, "10 bytes");
    cx->limits = oci_default_limits;
    oci_buffer *left = oci_file_read(cx, path, 100);
    assert_string_equal(left->data, "old");
    oci_buffer_unref(&left);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

/* ---- frame ------------------------------------------------------------------------- */

static int clear(void **state)
{
    (void)state;
    oc_context_clear(cx);
    cx->limits = oci_default_limits;
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
    return rmdir(folder);     /* fails, and so does the group, if a save left something */
}

/* `test_safetensors FOLDER` writes the files of the tables there:
 * fuzz/corpus/safetensors. */
static int write_corpus(const char *to)
{
    unsigned char bytes[BROKEN_ROOM];
    for (int i = 0; i < BROKEN_COUNT + ODD_COUNT; i++) {
        const broken_file *row = i < BROKEN_COUNT ? &broken_files[i]
                                                  : &odd_files[i - BROKEN_COUNT];
        char name[256];
        snprintf(name, sizeof name, "%s/%s-%s", to, i < BROKEN_COUNT ? "broken" : "odd",
                 row->name);
        FILE *f = fopen(name, "wb");
        if (!f) return 1;
        size_t size = broken_build(row, bytes);
        if (fwrite(bytes, 1, size, f) != size) return 1;
        fclose(f);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2) return write_corpus(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_rule_is_checked, clear),
        cmocka_unit_test_setup(every_way_to_open_checks, clear),
        cmocka_unit_test_setup(odd_files_are_good, clear),
        cmocka_unit_test_setup(limits_hold, clear),
        cmocka_unit_test_setup(messages_are_clean, clear),
        cmocka_unit_test_setup(same_bytes_as_reference, clear),
        cmocka_unit_test_setup(reads_reference, clear),
        cmocka_unit_test_setup(round_trips, clear),
        cmocka_unit_test_setup(writer_refuses_nonsense, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
