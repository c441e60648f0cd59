/* Keras' HDF5 files against what h5py says is in them, what other writers may do and we
 * refuse, damage of every structure, and the writer's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/dtype.h"
#include "formats.h"

static void good_files(void **state)
{
    (void)state;
    expect_tensors(FORMATS "keras.h5", FORMATS "keras.safetensors", 23);
    const float three[] = { 1, 2, 3 }, two[] = { 1, 2 };
    oc_tensor_view a = { .dtype = OC_F32, .rank = 1, .shape = (const int64_t[]){ 3 },
                         .data = three, .bytes = sizeof three };
    oc_tensor_view b = { .dtype = OC_F32, .rank = 2, .shape = (const int64_t[]){ 1, 2 },
                         .data = two, .bytes = sizeof two };
    oci_weight_file file;
    assert_true(oci_weight_file_open(cx, &file, oci_weight_format_of("x.h5"),
                                     FORMATS "keras-plain.h5", false, false));
    expect_tensor(&file, "compact", &a);
    expect_tensor(&file, "x", &b);
    expect_tensor(&file, "y", &b);
    oci_weight_file_close(&file);
    expect_clean();
}

/* Element i of each array is i, but for some bytes that do not deflate. */
static void expect_counted(const char *path, size_t count)
{
    for (int map = 0; map < 2; map++) {
        oci_weight_file file;
        assert_true(oci_weight_file_open(cx, &file, oci_weight_format_of("x.h5"), path,
                                         false, map != 0));
        assert_int_equal(file.count, count);
        for (size_t k = 0; k < file.count; k++) {
            const oci_entry *e = &file.entries[k];
            const size_t n = e->bytes / oci_dtype_size(e->dtype);
            unsigned char *bytes = malloc(e->bytes + 1);
            float *numbers = malloc((n + 1) * sizeof *numbers);
            assert_true(file.format->read(cx, &file, e, bytes));
            for (size_t i = 0; i < n; i++)
                numbers[i] = e->dtype == OC_I16 ? (float)((int16_t *)bytes)[i]
                             : e->dtype == OC_I32 ? (float)((int32_t *)bytes)[i] : 0;
            if (e->dtype == OC_F32 || e->dtype == OC_F16 || e->dtype == OC_F64)
                oci_dtype_to_f32(e->dtype, bytes, numbers, n);
            for (size_t i = 0; i < n && e->dtype != OC_U8; i++)
                if (numbers[i] != (float)i)
                    fail_msg("%s: %s[%zu] is %g", path, e->name, i, (double)numbers[i]);
            free(numbers);
            free(bytes);
        }
        oci_weight_file_close(&file);
    }
    expect_clean();
}

/* Python's random.Random(1).randbytes(256) begins and ends so. */
static void chunks(void **state)
{
    (void)state;
    static const unsigned char noise[] = {
        0xf5, 0xb1, 0x65, 0x22, 0x3d, 0xf2, 0x45, 0xad
    };
    expect_counted(FORMATS "keras-chunks.h5", 7);
    expect_counted(FORMATS "keras-latest.h5", 6);
    oci_weight_file file;
    assert_true(oci_weight_file_open(cx, &file, oci_weight_format_of("x.h5"),
                                     FORMATS "keras-chunks.h5", false, false));
    for (size_t k = 0; k < file.count; k++) {
        unsigned char bytes[256];
        if (strcmp(file.entries[k].name, "noise")) continue;
        assert_true(file.format->read(cx, &file, &file.entries[k], bytes));
        assert_memory_equal(bytes, noise, 4);
        assert_memory_equal(bytes + 252, noise + 4, 4);
    }
    oci_weight_file_close(&file);
    expect_clean();
}

/* What libhdf5 makes, and has no place in a file of weights. */
static void foreign_features(void **state)
{
    (void)state;
    static const struct {
        const char *name; oc_status status; const char *message;
    } files[] = {
        { "lzf", OC_E_UNSUPPORTED, "x: filters: expected shuffle, deflate or both" },
        { "checksum", OC_E_UNSUPPORTED, "x: filters: expected shuffle, deflate or both" },
        { "some-chunks", OC_E_MALFORMED, "x: expected all chunks in the file" },
        { "growing", OC_E_UNSUPPORTED, "x: layout: expected an array of one size" },
        { "soft", OC_E_UNSUPPORTED, "found a soft or an external one" },
        { "external", OC_E_UNSUPPORTED, "found a soft or an external one" },
        { "external-data", OC_E_UNSUPPORTED, "x: expected the bytes in this file" },
        { "big-endian", OC_E_UNSUPPORTED, "x: datatype: expected little-endian numbers" },
        { "text", OC_E_UNSUPPORTED, "x: datatype" },
        { "complex", OC_E_UNSUPPORTED, "x: datatype" },
        { "null", OC_E_UNSUPPORTED, "x: expected a simple dataspace" },
        { "unwritten", OC_E_MALFORMED, "x: expected the bytes of its shape" },
        { "rank-9", OC_E_LIMIT, "x: expected at most 8 dimensions" },
        { "latest", OC_E_UNSUPPORTED, "found a heap of them" },
        { "circle", OC_E_MALFORMED, "a circle of them" },
    };
    for (size_t i = 0; i < COUNT_OF_ROWS(files); i++) {
        char path[256];
        size_t size;
        snprintf(path, sizeof path, FORMATS "bad-%s.h5", files[i].name);
        unsigned char *bytes = read_bytes(path, &size);
        expect_bad_file(files[i].name, "tf_model.h5", bytes, size, files[i].status,
                        files[i].message);
        free(bytes);
    }
}

/* A structure is found by its signature, and bytes of it overwritten. */
static const struct patch {
    const char *what, *find;
    size_t find_size;
    ptrdiff_t at;
    const char *put;
    size_t size;
    oc_status status;
    const char *message;
} patches[] = {
#define PATCH(what, find, at, put, status, message)                                      \
    { what, find, sizeof(find) - 1, at, put, sizeof(put) - 1, OC_E_##status, message }
#define AFAR "\377\377\377\377\377\377\377\177"
#define NOWHERE "\377\377\377\377\377\377\377\377"
    PATCH("signature", "\211HDF", 0, "x", MALFORMED, "expected an HDF5 file"),
    PATCH("superblock 4", "\211HDF", 8, "\4", UNSUPPORTED, "superblock 0 to 3"),
    PATCH("addresses of 4", "\211HDF", 13, "\4", UNSUPPORTED, "8 bytes"),
    PATCH("lengths of 4", "\211HDF", 14, "\4", UNSUPPORTED, "8 bytes"),
    PATCH("root far", "\211HDF", 64, AFAR, MALFORMED, "one that reaches out"),
    PATCH("root nowhere", "\211HDF", 64, NOWHERE, MALFORMED, "one that reaches out"),
    PATCH("root is the file", "\211HDF", 64, "\0\0\0\0\0\0\0\0", MALFORMED,
          "expected an object's header"),
    PATCH("tree's signature", "TREE", 0, "x", MALFORMED, "the signature"),
    PATCH("tree of chunks", "TREE", 4, "\1", MALFORMED, "a tree of a group's names"),
    PATCH("tree too high", "TREE", 5, "\100", MALFORMED, "a tree of a group's names"),
    PATCH("tree of trees", "TREE", 5, "\1", MALFORMED, "the signature"),
    PATCH("tree with more", "TREE", 6, "\377\377", MALFORMED, "reaches out"),
    PATCH("tree's child far", "TREE", 32, AFAR, MALFORMED, "reaches out"),
    PATCH("tree's child nowhere", "TREE", 32, NOWHERE, MALFORMED, "reaches out"),
    PATCH("heap's signature", "HEAP", 0, "x", MALFORMED, "the signature"),
    PATCH("heap's size", "HEAP", 8, AFAR, MALFORMED, "reaches out"),
    PATCH("heap's data far", "HEAP", 24, AFAR, MALFORMED, "reaches out"),
    PATCH("heap of nothing", "HEAP", 8, "\0\0\0\0\0\0\0\0", MALFORMED,
          "outside of the group's names"),
    PATCH("node's signature", "SNOD", 0, "x", MALFORMED, "the signature"),
    PATCH("node with more", "SNOD", 6, "\377\377", MALFORMED, "reaches out"),
    PATCH("link's name far", "SNOD", 8, AFAR, MALFORMED, "outside of the group's names"),
    PATCH("link without name", "SNOD", 8, "\0\0\0\0\0\0\0\0", MALFORMED,
          "a link's name without '/'"),
    PATCH("link's object far", "SNOD", 16, AFAR, MALFORMED, "reaches out"),
    PATCH("soft link", "SNOD", 24, "\2", UNSUPPORTED, "a soft or an external one"),
    PATCH("type's class", "\21\40\37\0\4\0\0\0", 0, "\31", UNSUPPORTED, "datatype"),
    PATCH("type's order", "\21\40\37\0\4\0\0\0", 1, "\41", UNSUPPORTED, "datatype"),
    PATCH("type's sign", "\21\40\37\0\4\0\0\0", 2, "\7", UNSUPPORTED, "datatype"),
    PATCH("type's size", "\21\40\37\0\4\0\0\0", 4, "\3", UNSUPPORTED, "datatype"),
    PATCH("type's exponent", "\21\40\37\0\4\0\0\0", 13, "\7", UNSUPPORTED, "datatype"),
    PATCH("message too long", "\21\40\37\0\4\0\0\0", -6, "\377\377", MALFORMED,
          "cut short"),
    PATCH("message shared", "\21\40\37\0\4\0\0\0", -4, "\3", UNSUPPORTED, "not shared"),
};

/* Arrays in chunks: "edges" [5, 7] in chunks of [2, 3], "gzip" [9, 9] in [4, 9]. */
static const struct patch chunk_patches[] = {
#define EDGES "\2\0\0\0\3\0\0\0\4\0\0\0"
#define GZIP "\1\1\0\0\0\0\0\0\1\0"
    PATCH("a side of 0", EDGES, 0, "\0", LIMIT, "chunks of at most 64 MiB"),
    PATCH("a side of 2^30", EDGES, 3, "\100", LIMIT, "chunks of at most 64 MiB"),
    PATCH("sides of 2^24", EDGES, 0, "\0\0\0\1\0\0\0\1", MALFORMED, "chunks that fit"),
    PATCH("chunks of rank 1", EDGES, -9, "\2", MALFORMED, "chunks that fit the array"),
    PATCH("chunks of rank 9", EDGES, -9, "\12", MALFORMED, "chunks of no rank"),
    PATCH("chunks of rank 0", EDGES, -9, "\1", MALFORMED, "chunks of no rank"),
    PATCH("tree far", EDGES, -8, AFAR, MALFORMED, "reaches out"),
    PATCH("no tree", EDGES, -8, NOWHERE, MALFORMED, "all chunks in the file"),
    PATCH("layout of version 2", EDGES, -11, "\2", UNSUPPORTED, "version 3 to 5"),
    PATCH("virtual layout", EDGES, -10, "\3", UNSUPPORTED, "virtual storage"),
    PATCH("other sides", EDGES, 0, "\3", MALFORMED, "each chunk of the array once"),
    PATCH("tree of names", "TREE\1", 4, "\0", MALFORMED, "a tree of chunks"),
    PATCH("tree too high", "TREE\1\0", 5, "\10", MALFORMED, "a tree of chunks"),
    PATCH("tree of trees", "TREE\1\0", 5, "\1", MALFORMED, "the signature"),
    PATCH("tree of nothing", "TREE\1\0", 6, "\0\0", MALFORMED, "all chunks in the file"),
    PATCH("tree with more", "TREE\1\0", 6, "\377\377", MALFORMED, ""),
    PATCH("chunk too large", "TREE\1\0", 24, "\377\377\377\177", MALFORMED,
          "chunk's bytes"),
    PATCH("chunk of nothing", "TREE\1\0", 24, "\0\0\0\0", MALFORMED, "chunk's bytes"),
    PATCH("chunk too small", "TREE\1\0", 24, "\3\0\0\0", MALFORMED, "a chunk: expected"),
    PATCH("chunk between others", "TREE\1\0", 32, "\377\377", MALFORMED,
          "each chunk of the array once"),
    PATCH("deflate is another", GZIP, 8, "\40", UNSUPPORTED, "found another"),
    PATCH("filters cut short", GZIP, 1, "\3", MALFORMED, "filters: cut short"),
    PATCH("filter's long name", GZIP, 10, "\377\377", MALFORMED, "filters: cut short"),
    PATCH("deflated bytes", "\170\136", 2, "\377\377", MALFORMED,
          "expected it to inflate"),
};

/* What libver="latest" writes; the last five are of "array" and "a/m/single". */
static const struct patch latest_patches[] = {
#define SINGLE "\4\2\0\3\1\3\3\4\1"
    PATCH("root far", "\211HDF", 36, AFAR, MALFORMED, "reaches out"),
    PATCH("root is the file", "\211HDF", 36, "\0\0\0\0\0\0\0\0", MALFORMED,
          "an object's header"),
    PATCH("addresses of 4", "\211HDF", 9, "\4", UNSUPPORTED, "8 bytes"),
    PATCH("header's signature", "OHDR", 0, "x", MALFORMED, "an object's header"),
    PATCH("header of version 3", "OHDR", 4, "\3", MALFORMED, "an object's header"),
    PATCH("header with a long size", "OHDR", 5, "\3", MALFORMED, ""),
    PATCH("array's signature", "FAHD", 0, "x", MALFORMED, "the signature"),
    PATCH("array's entries", "FAHD", 6, "\7", MALFORMED, "an array of all chunks"),
    PATCH("array's pages", "FAHD", 7, "\1", UNSUPPORTED, "at most 1024 chunks"),
    PATCH("array's count", "FAHD", 8, "\1", MALFORMED, "an array of all chunks"),
    PATCH("array's block far", "FAHD", 16, AFAR, MALFORMED, "reaches out"),
    PATCH("block's signature", "FADB", 0, "x", MALFORMED, "the signature"),
    PATCH("chunk far", "FADB", 14, AFAR, MALFORMED, "chunk's bytes"),
    PATCH("link too long", "array", -1, "\177", MALFORMED, "cut short"),
    PATCH("link with '/'", "array", 1, "/", MALFORMED, "without '/'"),
    PATCH("soft link", "array", -3, "\10\1", MALFORMED, ""),
    PATCH("an index that grows", SINGLE, 8, "\4", UNSUPPORTED, "one that can grow"),
    PATCH("sides of 9 bytes", SINGLE, 4, "\11", MALFORMED, "cut short"),
    PATCH("a rank of 10", SINGLE, 3, "\12", MALFORMED, "layout: "),
};

static void damage_each(const char *path, const struct patch *list, size_t count)
{
    size_t size;
    unsigned char *good = read_bytes(path, &size), *copy = malloc(size);
    for (size_t i = 0; i < count; i++) {
        const struct patch *p = &list[i];
        size_t at = 0;
        memcpy(copy, good, size);
        while (at + p->find_size <= size && memcmp(copy + at, p->find, p->find_size))
            at++;
        if (at + p->find_size > size) fail_msg("%s: is not in the file", p->what);
        memcpy(copy + (ptrdiff_t)at + p->at, p->put, p->size);
        expect_bad_file(p->what, "tf_model.h5", copy, size, p->status, p->message);
    }
    free(copy);
    free(good);
}

/* A chunk of "a/m/whole" that inflates to 60 KB, where its shape has 576 bytes. */
static void bomb(void **state)
{
    (void)state;
    static unsigned char zeros[60000], small[4096];
    uLongf packed = sizeof small;
    size_t size, at = 0;
    assert_int_equal(compress2(small, &packed, zeros, sizeof zeros, 9), Z_OK);
    unsigned char *bytes = read_bytes(FORMATS "keras-chunks.h5", &size);
    for (size_t i = 0; i + 2 < size; i++)  /* the last stream is that of the last array */
        if (bytes[i] == 0x78 && bytes[i + 1] == 0x5e) at = i;
    assert_true(at && at + packed <= size);
    memcpy(bytes + at, small, packed);
    expect_bad_file("bomb", "tf_model.h5", bytes, size, OC_E_MALFORMED,
                    "expected it to inflate");
    free(bytes);
}

static void damage(void **state)
{
    (void)state;
    size_t size;
    unsigned char *good = read_bytes(FORMATS "keras-plain.h5", &size);
    const char *const name = "tf_model.h5";
    damage_each(FORMATS "keras-plain.h5", patches, COUNT_OF_ROWS(patches));
    damage_each(FORMATS "keras-chunks.h5", chunk_patches, COUNT_OF_ROWS(chunk_patches));
    damage_each(FORMATS "keras-latest.h5", latest_patches, COUNT_OF_ROWS(latest_patches));
    expect_bad_file("empty", name, "", 0, OC_E_MALFORMED, "expected an HDF5 file");
    expect_bad_file("text", name, "hello", 5, OC_E_MALFORMED, "expected an HDF5 file");
    for (size_t cut = 100; cut + 16 < size / 2; cut += 97)
        expect_bad_file("cut", name, good, cut, OC_E_MALFORMED, "");
    free(good);
}

/* A group of more names than one node has, names that differ
 * by '.' and '/', every type. */
static void writes(void **state)
{
    (void)state;
    enum { MANY = 600 };
    static float numbers[64];
    static char names[MANY][64];
    static oci_save_tensor tensors[MANY];
    static const oci_save_tensor *refs[MANY];
    const int64_t shape[] = { 2, 3 };
    for (int i = 0; i < 64; i++) numbers[i] = (float)i / 3;
    for (int i = 0; i < MANY; i++) {
        static const oc_dtype dtypes[] = { OC_F32, OC_F16, OC_F64 };
        const oc_dtype dtype = dtypes[i % 3];
        static const char *const forms[] = { "l/m/layer_%d/x:0", "l/m/x.%d:0",
                                             "l/m.%d/y.%d:0", "k%d/m/z.%d:0" };
        const int form = i < 300 ? 1 : i % 4;
        snprintf(names[i], sizeof names[i], forms[form], i, i);
        size_t each = dtype == OC_F64 ? 8 : dtype == OC_F16 ? 2 : 4;
        tensors[i] = (oci_save_tensor){ names[i], dtype, i % 5 == 0 ? 0 : 2, shape,
                                        numbers, (i % 5 == 0 ? 1 : 6) * each, NULL };
        refs[i] = &tensors[i];
    }
    for (int shard = 0; shard < 2; shard++) {
        char path[256];
        snprintf(path, sizeof path, "%s/x.h5", folder);
        oci_save *save = oci_save_begin(cx, path);
        oci_keras_write(cx, save, path, refs, MANY, shard != 0, NULL);
        oci_save_end(cx, save, true);
        oci_weight_file file;
        if (!oci_weight_file_open(cx, &file, oci_weight_format_of(path), path, false,
                                  shard != 0))
            fail_msg("%s", oc_context_message(cx));
        assert_int_equal(file.count, MANY);
        for (int i = 0; i < MANY; i++) {
            oc_tensor_view v = { .dtype = tensors[i].dtype, .rank = tensors[i].rank,
                                 .shape = shape, .data = numbers,
                                 .bytes = tensors[i].bytes };
            const char *rest = strchr(strchr(names[i], '/') + 1, '/');
            expect_tensor(&file,
                          !shard ? names[i]
                          : rest ? rest + 1
                                 : strchr(names[i], '/') + 1,
                          &v);
        }
        oci_weight_file_close(&file);
        unlink(path);
    }
    expect_clean();
}

static void refuses_to_write(void **state)
{
    (void)state;
    const float one = 1;
    const struct { const char *names[2]; oc_dtype dtype; oc_status status; } cases[] = {
        { { "a", "a" }, OC_F32, OC_E_ARGUMENT },
        { { "a/b", "a" }, OC_F32, OC_E_ARGUMENT },
        { { "a//b", "c" }, OC_F32, OC_E_ARGUMENT },
        { { "a/", "c" }, OC_F32, OC_E_ARGUMENT },
        { { "", "c" }, OC_F32, OC_E_ARGUMENT },
        { { "a", "b" }, OC_BF16, OC_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < COUNT_OF_ROWS(cases); i++) {
        char path[256];
        oci_save_tensor t[2];
        for (int k = 0; k < 2; k++)
            t[k] = (oci_save_tensor){ cases[i].names[k], cases[i].dtype, 0, NULL, &one,
                                      cases[i].dtype == OC_F32 ? 4 : 2, NULL };
        const oci_save_tensor *refs[] = { &t[0], &t[1] };
        snprintf(path, sizeof path, "%s/x.h5", folder);
        oci_save *save = oci_save_begin(cx, path);
        oci_keras_write(cx, save, path, refs, 2, false, NULL);
        oci_save_end(cx, save, true);
        assert_int_not_equal(access(path, F_OK), 0);
        expect_refusal(cases[i].names[0], cases[i].status, "x.h5: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(chunks),
        cmocka_unit_test(foreign_features),
        cmocka_unit_test(damage),
        cmocka_unit_test(bomb),
        cmocka_unit_test(writes),
        cmocka_unit_test(refuses_to_write),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
