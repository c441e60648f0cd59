/* Files of torch.save: both forms against what PyTorch says is
 * in them, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broken_npy.h"
#include "formats.h"

static void good_files(void **state)
{
    (void)state;
    static const char *const files[] = { "zip.bin", "protocol-4.bin", "legacy.bin",
                                         "wrapped.bin" };
    char path[256];
    for (size_t i = 0; i < COUNT_OF_ROWS(files); i++) {
        snprintf(path, sizeof path, FORMATS "%s", files[i]);
        expect_tensors(path, FORMATS "torch.safetensors", 20);
    }
}

/* A state dict with _metadata, which is none of its entries. */
static void module(void **state)
{
    (void)state;
    const float ones[] = { 1, 1, 1, 1 }, twos[] = { 2, 2 };
    oc_tensor_view weight = { .dtype = OC_F32, .rank = 2,
                              .shape = (const int64_t[]){ 2, 2 }, .data = ones,
                              .bytes = sizeof ones };
    oc_tensor_view bias = { .dtype = OC_F32, .rank = 1, .shape = (const int64_t[]){ 2 },
                            .data = twos, .bytes = sizeof twos };
    oci_weight_file file;
    const oci_weight_format *format = oci_weight_format_of("x.bin");
    assert_true(
        oci_weight_file_open(cx, &file, format, FORMATS "module.bin", false, false));
    assert_int_equal(file.count, 2);
    expect_tensor(&file, "weight", &weight);
    expect_tensor(&file, "bias", &bias);
    oci_weight_file_close(&file);
    expect_clean();
}

/* ---- archives ---------------------------------------------------------------------- */

#define KEY "X\1\0\0\0w"
#define VALUE(key, count, where)                                                         \
    "ctorch._utils\n_rebuild_tensor_v2\n"                                               \
    "((X\7\0\0\0storagectorch\nFloatStorage\n" "X\1\0\0\0" key                          \
    "X\3\0\0\0cpu" count "tQ" where "\211ccollections\nOrderedDict\n)RtRs."
#define GOOD "}" KEY VALUE("0", "K\2", "K\0K\2\205K\1\205")
#define DATA8 "\0\0\200?\0\0\0@"

typedef struct archive {
    const char *name;
    const char *pickle;
    size_t pickle_size;
    zip_piece more[3];              /* beside a/data.pkl */
    oc_status status;
    const char *message;
} archive;

#define STORED(name, text) { name, text, sizeof(text) - 1, -1, 0, 0, false }
#define CLAIMS(name, text, size, method) \
    { name, text, sizeof(text) - 1, size, method, 0, false }
#define ROW(name, pickle, status, message, ...)                                          \
    { name, pickle, sizeof(pickle) - 1, { __VA_ARGS__ }, OC_E_##status, message }

static const archive archives[] = {
    ROW("data missing", GOOD, MALFORMED, "data/0: expected 2 elements of 4 bytes", { 0 }),
    ROW("data short", GOOD, MALFORMED, "found 4 bytes", STORED("a/data/0", "abcd")),
    ROW("data long", GOOD, MALFORMED, "found 12 bytes",
        STORED("a/data/0", "abcdefghijkl")),
    ROW("data elsewhere", GOOD, MALFORMED, "data/0: expected", STORED("b/data/0", DATA8)),
    ROW("name twice", GOOD, MALFORMED, "two entries of this name",
        STORED("a/data/0", DATA8), STORED("a/data/0", DATA8)),
    ROW("pickle twice", GOOD, MALFORMED, "two entries of this name",
        STORED("a/data.pkl", GOOD)),
    ROW("absolute name", GOOD, MALFORMED, "a name inside the archive",
        STORED("/etc/passwd", "x")),
    ROW("name above", GOOD, MALFORMED, "a name inside the archive",
        STORED("a/../../x", "x")),
    ROW("backslash", GOOD, MALFORMED, "a name inside the archive", STORED("a\\x", "x")),
    ROW("method", GOOD, UNSUPPORTED, "stored or deflated",
        CLAIMS("a/data/0", DATA8, -1, 12)),
    ROW("stored bomb", GOOD, MALFORMED, "bytes packed",
        CLAIMS("a/data/0", DATA8, 1 << 30, 0)),
    ROW("deflate bomb", GOOD, LIMIT, "times its packed size",
        CLAIMS("a/data/0", DATA8, 1 << 30, 8)),
    ROW("deflate nonsense", GOOD, MALFORMED, "a/data/0", CLAIMS("a/data/0", DATA8, 8, 8)),
    ROW("checksum", GOOD, MALFORMED, "CRC", { "a/data/0", DATA8, 8, -1, 0, 0, true }),
    ROW("encrypted", GOOD, UNSUPPORTED, "is encrypted",
        { "a/data/0", DATA8, 8, -1, 0, 1, false }),
    ROW("big-endian", GOOD, UNSUPPORTED, "byteorder: expected \"little\"",
        STORED("a/byteorder", "big")),
    ROW("pickle cut", "}" KEY, MALFORMED, "data.pkl: byte", { 0 }),
    ROW("global", "cos\nsystem\n.", UNSUPPORTED, "os.system", { 0 }),
    ROW("no dict", "N.", MALFORMED, "expected a dict of tensors", { 0 }),
    ROW("empty dict", "}.", MALFORMED, "found none in it", { 0 }),
    ROW("no tensors", "}" KEY "Ns.", MALFORMED, "found none in it", { 0 }),
    ROW("key no text", "}K\1" VALUE("0", "K\2", "K\0K\2\205K\1\205"), MALFORMED,
        "texts as the names", STORED("a/data/0", DATA8)),
    ROW("key with NUL", "}X\2\0\0\0w\0" VALUE("0", "K\2", "K\0K\2\205K\1\205"), MALFORMED,
        "texts as the names", STORED("a/data/0", DATA8)),
    ROW("expanded", "}" KEY VALUE("0", "K\2", "K\0M\377\377M\377\377\206K\0K\0\206"),
        MALFORMED, "at most the 2 elements of its storage", STORED("a/data/0", DATA8)),
    ROW("reaches beyond", "}" KEY VALUE("0", "K\2", "K\1K\2\205K\1\205"), MALFORMED,
        "reaching beyond", STORED("a/data/0", DATA8)),
    ROW("count overflows", "}" KEY VALUE("0", "\212\10\377\377\377\377\377\377\377\177",
        "K\0K\2\205K\1\205"), MALFORMED, "data/0: expected", STORED("a/data/0", DATA8)),
    ROW("claimed storage", "}" KEY VALUE("0", "J\0\0\0\100", "K\0J\0\0\0\100\205K\1\205"),
        MEMORY, "", STORED("a/data/0", DATA8)),
};

static size_t build(const archive *a, unsigned char *bytes)
{
    zip_piece pieces[4] = { { "a/data.pkl", a->pickle, a->pickle_size, -1, 0, 0,
                              false } };
    size_t count = 1;
    while (count < 4 && a->more[count - 1].name) {
        pieces[count] = a->more[count - 1];
        count++;
    }
    return zip_build(pieces, count, bytes);
}

static void broken_archives(void **state)
{
    (void)state;
    static unsigned char bytes[BROKEN_ROOM];
    for (size_t i = 0; i < COUNT_OF_ROWS(archives); i++)
        expect_bad_file(archives[i].name, "pytorch_model.bin", bytes,
                        build(&archives[i], bytes), archives[i].status,
                        archives[i].message);
    const zip_piece other = STORED("data.pkl", GOOD);
    expect_bad_file("no folder", "pytorch_model.bin", bytes, zip_build(&other, 1, bytes),
                    OC_E_MALFORMED, "expected FOLDER/data.pkl");
}

/* expand() saves one element for many. */
static void expanded(void **state)
{
    (void)state;
    static unsigned char bytes[BROKEN_ROOM];
    static const archive a = {
        "expanded", "}" KEY VALUE("0", "K\2", "K\0K\2K\3\206K\1K\0\206"),
        sizeof("}" KEY VALUE("0", "K\2", "K\0K\2K\3\206K\1K\0\206")) - 1,
        { STORED("a/data/0", DATA8) }, OC_OK, NULL };
    const float want[] = { 1, 1, 1, 2, 2, 2 };
    const oc_tensor_view view = { .dtype = OC_F32, .rank = 2,
                                  .shape = (const int64_t[]){ 2, 3 }, .data = want,
                                  .bytes = sizeof want };
    const char *path = put_file("pytorch_model.bin", bytes, build(&a, bytes));
    oci_weight_file file;
    assert_true(oci_weight_file_open(cx, &file, oci_weight_format_of(path), path, false,
                                     true));
    expect_tensor(&file, "w", &view);
    oci_weight_file_close(&file);
    unlink(path);
    expect_clean();
}

/* ---- the older form, and what is neither ------------------------------------------- */

static void broken_legacy(void **state)
{
    (void)state;
    size_t size;
    unsigned char *good = read_bytes(FORMATS "legacy.bin", &size), *copy = malloc(size);
    const char *const name = "pytorch_model.bin";
    expect_bad_file("empty", name, "", 0, OC_E_MALFORMED, "a file of torch.save");
    expect_bad_file("text", name, "hello, world", 12, OC_E_MALFORMED,
                    "a file of torch.save");
    expect_bad_file("magic alone", name, good, 21, OC_E_MALFORMED,
                    "expected 1 more bytes");
    expect_bad_file("half a magic", name, good, 12, OC_E_MALFORMED,
                    "a file of torch.save");
    /* Cut anywhere: refused, in whatever words. */
    for (size_t cut = 22; cut < size; cut += 97)
        expect_bad_file("cut", name, good, cut, OC_E_MALFORMED, "");
    const struct {
        const char *what, *find, *put; size_t size; oc_status status;
    } patches[] = {
        { "little_endian", "little_endianq\2\210", "little_endianq\2\211", 16,
          OC_E_UNSUPPORTED },
        { "storage", "FloatStorage", "OtherStorage", 12, OC_E_UNSUPPORTED },
        { "function", "_rebuild_tensor_v2", "_rebuild_tensor_v3", 18, OC_E_UNSUPPORTED },
        { "module", "ctorch._utils", "ctorch._other", 13, OC_E_UNSUPPORTED },
        { "class", "OrderedDict", "OtherededDi", 11, OC_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < COUNT_OF_ROWS(patches); i++) {
        size_t at = 0;
        memcpy(copy, good, size);
        while (at + patches[i].size <= size &&
               memcmp(copy + at, patches[i].find, patches[i].size))
            at++;
        if (at + patches[i].size > size)
            fail_msg("%s: is not in the file", patches[i].what);
        memcpy(copy + at, patches[i].put, patches[i].size);
        expect_bad_file(patches[i].what, name, copy, size, patches[i].status, "");
    }
    free(copy);
    free(good);
}

/* The older form in protocol 4, where a length stands before what is pickled. */
static void framed_legacy(void **state)
{
    (void)state;
    static const char head[] = "\200\4\225\15\0\0\0\0\0\0\0"
                               "\212\12\154\374\234\106\371\40\152\250\120\31."
                               "\200\4\225\4\0\0\0\0\0\0\0M\351\3.";
    enum { PLAIN = 21, FRAMED = sizeof head - 1 };      /* bytes of the two numbers */
    size_t size;
    unsigned char *good = read_bytes(FORMATS "legacy.bin", &size);
    unsigned char *bytes = malloc(size + FRAMED);
    memcpy(bytes, head, FRAMED);
    memcpy(bytes + FRAMED, good + PLAIN, size - PLAIN);
    const char *path = put_file("pytorch_model.bin", bytes, size - PLAIN + FRAMED);
    expect_tensors(path, FORMATS "torch.safetensors", 20);
    unlink(path);
    for (size_t cut = 0; cut <= FRAMED; cut++)
        expect_bad_file("cut", "pytorch_model.bin", bytes, cut, OC_E_MALFORMED,
                        "expected");
    free(bytes);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(module),
        cmocka_unit_test(broken_archives),
        cmocka_unit_test(broken_legacy),
        cmocka_unit_test(expanded),
        cmocka_unit_test(framed_legacy),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
