/* Flax' msgpack files against what flax says is in them,
 * broken ones, and the writer's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats.h"

static void good_files(void **state)
{
    (void)state;
    /* uint16, uint32 and uint64 are not in the .safetensors, which PyTorch wrote. */
    expect_tensors(FORMATS "flax.msgpack", FORMATS "flax.safetensors", 17);
    const float ones[] = { 1, 1, 1, 1 };
    oc_tensor_view v = { .dtype = OC_F32, .rank = 2, .shape = (const int64_t[]){ 2, 2 },
                         .data = ones, .bytes = sizeof ones };
    oci_weight_file file;
    assert_true(oci_weight_file_open(cx, &file, oci_weight_format_of("x.msgpack"),
                                     FORMATS "flax-shard.msgpack", true, true));
    assert_int_equal(file.count, 2);
    expect_tensor(&file, "a.kernel", &v);
    oci_weight_file_close(&file);
    expect_clean();
}

/* {"w": ext(1, [shape, dtype, bytes])}: the extension's size is counted by hand. */
#define ARRAY(size, inner) "\201\241w\307" size "\1" inner
#define F32 "\247float32"
#define CHUNKED "\201\241w\203\271__msgpack_chunked_array__\303"

static const struct broken {
    const char *name, *bytes;
    size_t size;
    oc_status status;
    const char *message;
} broken[] = {
#define ROW(name, text, status, message) \
    { name, text, sizeof(text) - 1, OC_E_##status, message }
    ROW("empty", "", MALFORMED, "byte 0: expected more"),
    ROW("no map", "\1", MALFORMED, "a map of parameters"),
    ROW("list", "\221\1", MALFORMED, "a map of parameters"),
    ROW("more behind", "\200\1", MALFORMED, "the end of the file, found more"),
    ROW("fewer pairs", "\202\241a\1", MALFORMED, "expected more"),
    ROW("pairs without end", "\337\377\377\377\377", MALFORMED, "expected more"),
    ROW("reserved byte", "\201\241a\301", MALFORMED, "0xc1 begins no msgpack item"),
    ROW("key a number", "\201\1\1", MALFORMED, "a text as a key"),
    ROW("key with NUL", "\201\242a\0\1", MALFORMED, "a text as a key"),
    ROW("key of nothing, and no value", "\201\240", MALFORMED, "expected more"),
    ROW("key cut", "\201\244ab", MALFORMED, "expected 4 more bytes, found 2"),
    ROW("key too far", "\201\333\377\377\377\377a", MALFORMED, "expected 4294967295 more "
                                                               "bytes"),
    ROW("list as a leaf", "\201\241a\221\1", MALFORMED, "an array of numbers or a map"),
    ROW("other extension", "\201\241a\324\7x", MALFORMED, "an array of numbers or a map"),
    ROW("extension cut", "\201\241w\311\377\377\377\377\1", MALFORMED,
        "more bytes, found 0"),
    ROW("extension of nothing", ARRAY("\0", ""), MALFORMED, "expected more"),
    ROW("no triple", ARRAY("\1", "\1"), MALFORMED, "shape, dtype and bytes"),
    ROW("a pair", ARRAY("\2", "\222\220"), MALFORMED, "shape, dtype and bytes"),
    ROW("no shape", ARRAY("\2", "\223\1"), MALFORMED, "expected a shape"),
    ROW("shape of texts", ARRAY("\4", "\223\221\241a"), MALFORMED,
        "integer of 0 or more"),
    ROW("shape negative", ARRAY("\3", "\223\221\377"), MALFORMED, "integer of 0 or more"),
    ROW("rank 9", ARRAY("\13", "\223\231\1\1\1\1\1\1\1\1\1"), MALFORMED,
        "at most 8 dimensions"),
    ROW("dtype unknown", ARRAY("\13", "\223\221\1\247complex"), MALFORMED,
        "dtype: expected one of"),
    ROW("dtype a number", ARRAY("\4", "\223\221\1\1"), MALFORMED, "the name of a dtype"),
    ROW("bytes a number", ARRAY("\14", "\223\221\1" F32 "\1"), MALFORMED,
        "an array's bytes"),
    ROW("bytes fewer", ARRAY("\17", "\223\221\1" F32 "\304\2ab"), MALFORMED,
        "the bytes of the shape and dtype, found 2"),
    ROW("bytes more", ARRAY("\22", "\223\221\1" F32 "\304\5abcde"), MALFORMED, "found 5"),
    ROW("bytes outside", ARRAY("\17", "\223\221\1" F32 "\304\4ab"), MALFORMED,
        "expected 4 more bytes, found 2"),
    ROW("shape overflows", ARRAY("\36", "\223\222\317\177\377\377\377\377\377\377\377"
        "\317\177\377\377\377\377\377\377\377" F32 "\304\0"), MALFORMED, "found 0"),
    ROW("array and more", ARRAY("\22", "\223\221\1" F32 "\304\4abcd\1"), MALFORMED,
        "the end of the array, found more"),
    ROW("chunked without shape", CHUNKED "\241x\1\241y\1", MALFORMED,
        "expected \"shape\""),
    ROW("chunked shape a list", CHUNKED "\245shape\220\246chunks\200", MALFORMED,
        "a map of dimensions"),
    ROW("chunked without chunks", CHUNKED "\245shape\200\241y\1", MALFORMED,
        "expected \"chunks\""),
    ROW("chunked of nothing", CHUNKED "\245shape\201\241" "0\4\246chunks\200", MALFORMED,
        "the bytes of the shape, found 0"),
    ROW("chunk a number", CHUNKED "\245shape\201\241" "0\4\246chunks\201\241" "0\1",
        MALFORMED, "a chunk"),
    ROW("chunks that differ",
        CHUNKED "\245shape\201\241" "0\2\246chunks\202\241" "0\307\21\1\223"
        "\221\1" F32 "\304\4abcd\241" "1\307\17\1\223\221\4\245uint8\304\4abcd",
        MALFORMED, "chunks of different dtypes"),
};

static void breaks_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF_ROWS(broken); i++)
        expect_bad_file(broken[i].name, "flax_model.msgpack", broken[i].bytes,
                        broken[i].size, broken[i].status, broken[i].message);
}

static void depth_and_names(void **state)
{
    (void)state;
    char bytes[4096], *at = bytes;
    for (int i = 0; i < 100; i++, at += 3) memcpy(at, "\201\241a", 3);
    *at++ = 1;
    expect_bad_file("depth", "flax_model.msgpack", bytes, (size_t)(at - bytes),
                    OC_E_MALFORMED, "at most 64 maps in each other");
    at = bytes;
    *at++ = '\201';
    *at++ = '\332';
    *at++ = 2;
    *at++ = 0;
    memset(at, 'a', 512);
    at[512] = 1;
    expect_bad_file("name", "flax_model.msgpack", bytes, 517, OC_E_MALFORMED,
                    "a name of at most 511 bytes");
}

/* What the writer makes is read back, whole and in shards, with arrays cut in pieces. */
static void writes(void **state)
{
    (void)state;
    float numbers[300];
    for (int i = 0; i < 300; i++) numbers[i] = (float)i / 7;
    const int64_t matrix[] = { 20, 15 }, two[] = { 2 };
    const oci_save_tensor tensors[] = {
        { "a/b/kernel", OC_F32, 2, matrix, numbers, 1200, NULL },
        { "a/b/bias", OC_F32, 1, two, numbers, 8, NULL },
        { "a/c", OC_F32, 0, NULL, numbers + 5, 4, NULL },
        { "a/d", OC_BF16, 1, two, numbers, 4, NULL },
    };
    const oci_save_tensor *refs[] = { &tensors[0], &tensors[1], &tensors[2],
                                      &tensors[3] };
    static const size_t chunks[] = { 1 << 20, 256, 8 };
    for (int round = 0; round < 6; round++) {
        char path[256];
        snprintf(path, sizeof path, "%s/x.msgpack", folder);
        oci_save *save = oci_save_begin(cx, path);
        oci_flax_write(cx, save, path, refs, 4, round % 2 != 0, chunks[round / 2], NULL);
        assert_int_equal(oci_save_end(cx, save, true), OC_OK);
        oci_weight_file file;
        if (!oci_weight_file_open(cx, &file, oci_weight_format_of(path), path, false,
                                  false))
            fail_msg("%s", oc_context_message(cx));
        assert_int_equal(file.count, 4);
        for (size_t i = 0; i < 4; i++) {
            char name[64];
            oc_tensor_view v = { .dtype = tensors[i].dtype, .rank = tensors[i].rank,
                                 .shape = tensors[i].shape, .data = tensors[i].data,
                                 .bytes = tensors[i].bytes };
            snprintf(name, sizeof name, "%s", tensors[i].name);
            for (char *p = name; *p; p++) if (*p == '/') *p = '.';
            expect_tensor(&file, name, &v);
        }
        oci_weight_file_close(&file);
        unlink(path);
    }
    expect_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(breaks_are_refused),
        cmocka_unit_test(depth_and_names),
        cmocka_unit_test(writes),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
