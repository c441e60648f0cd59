/* Keras' HDF5 files against what h5py says is in them, what other writers may do and we
 * refuse, damage of every structure, and the writer's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

/* What libhdf5 makes, and has no place in a file of weights. */
static void foreign_features(void **state)
{
    (void)state;
    static const struct {
        const char *name; oc_status status; const char *message;
    } files[] = {
        { "filters", OC_E_UNSUPPORTED, "x: " },
        { "chunks", OC_E_UNSUPPORTED, "found chunks" },
        { "soft", OC_E_UNSUPPORTED, "found a soft one" },
        { "external", OC_E_UNSUPPORTED, "links that later ones write" },
        { "external-data", OC_E_UNSUPPORTED, "x: expected the bytes in this file" },
        { "big-endian", OC_E_UNSUPPORTED, "x: datatype: expected little-endian numbers" },
        { "text", OC_E_UNSUPPORTED, "x: datatype" },
        { "complex", OC_E_UNSUPPORTED, "x: datatype" },
        { "null", OC_E_UNSUPPORTED, "x: expected a simple dataspace" },
        { "unwritten", OC_E_MALFORMED, "x: expected the bytes of its shape" },
        { "rank-9", OC_E_LIMIT, "x: expected at most 8 dimensions" },
        { "latest", OC_E_UNSUPPORTED, "HDF5 1.8" },
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
    ptrdiff_t at;
    const char *put;
    size_t size;
    oc_status status;
    const char *message;
} patches[] = {
#define PATCH(what, find, at, put, status, message)                                      \
    { what, find, at, put, sizeof(put) - 1, OC_E_##status, message }
#define FAR "\377\377\377\377\377\377\377\177"
#define NOWHERE "\377\377\377\377\377\377\377\377"
    PATCH("signature", "\211HDF", 0, "x", MALFORMED, "expected an HDF5 file"),
    PATCH("superblock 2", "\211HDF", 8, "\2", UNSUPPORTED, "HDF5 1.8"),
    PATCH("addresses of 4", "\211HDF", 13, "\4", UNSUPPORTED, "8 bytes"),
    PATCH("lengths of 4", "\211HDF", 14, "\4", UNSUPPORTED, "8 bytes"),
    PATCH("root far", "\211HDF", 64, FAR, MALFORMED, "one that reaches out"),
    PATCH("root nowhere", "\211HDF", 64, NOWHERE, MALFORMED, "one that reaches out"),
    PATCH("root is the file", "\211HDF", 64, "\0\0\0\0\0\0\0\0", MALFORMED,
          "expected an object's header"),
    PATCH("tree's signature", "TREE", 0, "x", MALFORMED, "the signature"),
    PATCH("tree of chunks", "TREE", 4, "\1", MALFORMED, "a tree of a group's names"),
    PATCH("tree too high", "TREE", 5, "\100", MALFORMED, "a tree of a group's names"),
    PATCH("tree of trees", "TREE", 5, "\1", MALFORMED, "the signature"),
    PATCH("tree with more", "TREE", 6, "\377\377", MALFORMED, "reaches out"),
    PATCH("tree's child far", "TREE", 32, FAR, MALFORMED, "reaches out"),
    PATCH("tree's child nowhere", "TREE", 32, NOWHERE, MALFORMED, "reaches out"),
    PATCH("heap's signature", "HEAP", 0, "x", MALFORMED, "the signature"),
    PATCH("heap's size", "HEAP", 8, FAR, MALFORMED, "reaches out"),
    PATCH("heap's data far", "HEAP", 24, FAR, MALFORMED, "reaches out"),
    PATCH("heap of nothing", "HEAP", 8, "\0\0\0\0\0\0\0\0", MALFORMED,
          "outside of the group's names"),
    PATCH("node's signature", "SNOD", 0, "x", MALFORMED, "the signature"),
    PATCH("node with more", "SNOD", 6, "\377\377", MALFORMED, "reaches out"),
    PATCH("link's name far", "SNOD", 8, FAR, MALFORMED, "outside of the group's names"),
    PATCH("link without name", "SNOD", 8, "\0\0\0\0\0\0\0\0", MALFORMED,
          "a link's name without '/'"),
    PATCH("link's object far", "SNOD", 16, FAR, MALFORMED, "reaches out"),
    PATCH("soft link", "SNOD", 24, "\2", UNSUPPORTED, "a soft one"),
    PATCH("type's class", "\21\40\37\0\4\0\0\0", 0, "\31", UNSUPPORTED, "datatype"),
    PATCH("type's order", "\21\40\37\0\4\0\0\0", 1, "\41", UNSUPPORTED, "datatype"),
    PATCH("type's sign", "\21\40\37\0\4\0\0\0", 2, "\7", UNSUPPORTED, "datatype"),
    PATCH("type's size", "\21\40\37\0\4\0\0\0", 4, "\3", UNSUPPORTED, "datatype"),
    PATCH("type's exponent", "\21\40\37\0\4\0\0\0", 13, "\7", UNSUPPORTED, "datatype"),
    PATCH("message too long", "\21\40\37\0\4\0\0\0", -6, "\377\377", MALFORMED,
          "cut short"),
    PATCH("message shared", "\21\40\37\0\4\0\0\0", -4, "\3", UNSUPPORTED, "not shared"),
#undef PATCH
};

static void damage(void **state)
{
    (void)state;
    size_t size;
    unsigned char *good = read_bytes(FORMATS "keras-plain.h5", &size),
                  *copy = malloc(size);
    const char *const name = "tf_model.h5";
    for (size_t i = 0; i < COUNT_OF_ROWS(patches); i++) {
        const struct patch *p = &patches[i];
        size_t at = 0;
        const size_t wanted = p->find[0] == '\21' ? 8 : 4;
        memcpy(copy, good, size);
        while (at + wanted <= size && memcmp(copy + at, p->find, wanted)) at++;
        if (at + wanted > size) fail_msg("%s: is not in the file", p->what);
        memcpy(copy + (ptrdiff_t)at + p->at, p->put, p->size);
        expect_bad_file(p->what, name, copy, size, p->status, p->message);
    }
    expect_bad_file("empty", name, "", 0, OC_E_MALFORMED, "expected an HDF5 file");
    expect_bad_file("text", name, "hello", 5, OC_E_MALFORMED, "expected an HDF5 file");
    for (size_t cut = 100; cut + 16 < size / 2; cut += 97)
        expect_bad_file("cut", name, good, cut, OC_E_MALFORMED, "");
    free(copy);
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
            oc_tensor_view v = { .dtype = tensors[i].dtype,
                                 .rank = tensors[i].rank,
                                 .shape = shape,
                                 .data = numbers,
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
        cmocka_unit_test(foreign_features),
        cmocka_unit_test(damage),
        cmocka_unit_test(writes),
        cmocka_unit_test(refuses_to_write),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
