/* Folders with weights in blocks that are not what they say, and conversions that are
 * killed: the first are refused by name, the second leave nothing that looks like a
 * model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "blocks_support.h"
#include "io/file.h"
#include "support/killed.h"

static char plain[64], good[64], bad[64];

/* A VisualBERT: its first matrix in the file, and one that is looked up. */
#define MATRIX "visual_bert.encoder.layer.0.attention.self.query.weight"
#define TABLE "visual_bert.embeddings.word_embeddings.weight"
#define NORM "visual_bert.embeddings.LayerNorm.weight"

static oci_buffer *read_file(oc_context *cx, const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    oci_buffer *bytes = oci_file_read(cx, path, 1 << 24);
    if (!bytes) fail_msg("%s", oc_context_message(cx));
    return bytes;
}

static void write_file(const char *folder, const char *name, const void *data,
                       size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A file with `from` in its header replaced by `to`, the header padded to `pad`. */
static void edit(oc_context *cx, const char *name, const char *from, const char *to,
                 size_t pad)
{
    oci_buffer *b = read_file(cx, good, name);
    uint64_t length;
    memcpy(&length, b->data, 8);
    char *header = calloc(1, (size_t)length + strlen(to) + 128);
    char *file = calloc(1, b->size + strlen(to) + 256);
    memcpy(header, b->data + 8, (size_t)length);
    char *at = strstr(header, from);
    if (!at) fail_msg("%s is not in the header", from);
    size_t n = (size_t)length, whole = n;
    while (whole > 0 && header[whole - 1] == ' ') header[--whole] = '\0';
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
    whole = strlen(header);
    while ((whole + 8) % 64 != pad) header[whole++] = ' ';
    const uint64_t now = whole;
    memcpy(file, &now, 8);
    memcpy(file + 8, header, whole);
    memcpy(file + 8 + whole, b->data + 8 + n, b->size - 8 - n);
    write_file(bad, name, file, 8 + whole + b->size - 8 - n);
    free(header);
    free(file);
    oci_buffer_unref(&b);
}

static void expect(oc_context *cx, const char *what, oc_status status, const char *words)
{
    oc_model *model =
        oc_model_open(cx, bad, &OC_OPTIONS(oc_model_options, .no_map = true));
    if (model) fail_msg("%s: was opened", what);
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), words))
        fail_msg("%s: expected %s, \"%s\", found %s: %s", what, oc_status_name(status),
                 words, oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static const char told[] = "\"ocelli:" MATRIX "\":\"INT4 F32 64 64\"";
static const char version[] = "\"ocelli_version\":\"1\"";
#define TOLD(text) "\"ocelli:" MATRIX "\":\"" text "\""

/* What a header can say that is not so. */
static const struct {
    const char *name, *from, *to;
    oc_status status;
    const char *words;
} headers[] = {
    { "no version", version, "\"other\":\"1\"", OC_E_MALFORMED, "expected the version" },
    { "newer", version, "\"ocelli_version\":\"2\"", OC_E_UNSUPPORTED,
      "written by a newer ocelli" },
    { "far newer", version, "\"ocelli_version\":\"99999999999\"", OC_E_UNSUPPORTED,
      "written by a newer ocelli" },
    { "version 0", version, "\"ocelli_version\":\"0\"", OC_E_MALFORMED, "found \"0\"" },
    { "negative version", version, "\"ocelli_version\":\"-1\"", OC_E_MALFORMED,
      "\"-1\"" },
    { "empty version", version, "\"ocelli_version\":\"\"", OC_E_MALFORMED, "version" },
    { "version and more", version, "\"ocelli_version\":\"1x\"", OC_E_MALFORMED,
      "\"1x\"" },
    { "long version", version, "\"ocelli_version\":\"9999999999999999999999\"",
      OC_E_MALFORMED, "version" },
    { "version as number", version, "\"ocelli_version\":1", OC_E_MALFORMED, "a text" },
    { "unknown type", told, TOLD("INT5 F32 64 64"), OC_E_MALFORMED, "found \"INT5" },
    { "type in lower case", told, TOLD("int4 F32 64 64"), OC_E_MALFORMED,
      "found \"int4" },
    { "long word", told, TOLD("INT4INT4INT4INT4INT4 F32 64 64"), OC_E_MALFORMED,
      "a type" },
    { "made of integers", told, TOLD("INT4 I8 64 64"), OC_E_MALFORMED,
      "what it was made" },
    { "made of blocks", told, TOLD("INT4 INT4 64 64"), OC_E_MALFORMED,
      "what it was made" },
    { "made of nothing", told, TOLD("INT4 64 64"), OC_E_MALFORMED, "found \"INT4 64" },
    { "one dimension", told, TOLD("INT4 F32 64"), OC_E_MALFORMED, "a matrix' shape" },
    { "three dimensions", told, TOLD("INT4 F32 64 64 64"), OC_E_MALFORMED,
      "a matrix' shape" },
    { "no outputs", told, TOLD("INT4 F32 0 64"), OC_E_MALFORMED, "a matrix' shape" },
    { "negative", told, TOLD("INT4 F32 64 -64"), OC_E_MALFORMED, "a matrix' shape" },
    { "too narrow", told, TOLD("INT4 F32 64 31"), OC_E_MALFORMED, "a matrix' shape" },
    { "beyond all bounds", told, TOLD("INT4 F32 999999999999 999999999999"),
      OC_E_MALFORMED, "" },
    { "thirteen digits", told, TOLD("INT4 F32 1000000000000 64"), OC_E_MALFORMED,
      "shape" },
    { "misspelt", told, TOLD("INT4 F32 64 64 turn"), OC_E_MALFORMED, "found \"INT4" },
    { "nothing", told, TOLD(""), OC_E_MALFORMED, "found \"\"" },
    { "turned", told, TOLD("INT4 F32 64 64 turned"), OC_E_MALFORMED, "INT4, turned" },
    { "more outputs", told, TOLD("INT4 F32 128 64"), OC_E_MALFORMED,
      "expected 5120 bytes" },
    { "more inputs", told, TOLD("INT4 F32 64 96"), OC_E_MALFORMED, "bytes for INT4" },
    { "other shape, same bytes", told, TOLD("INT4 F32 33 64"), OC_E_MALFORMED,
      "expected shape [64, 64], found [33, 64]" },
    { "sides exchanged", told, TOLD("INT4 F32 32 128"), OC_E_MALFORMED,
      "expected shape" },
    { "other type", told, TOLD("INT8 F32 64 64"), OC_E_MALFORMED, "bytes for INT8" },
    { "nobody's", told, "\"ocelli:nobody\":\"INT4 F32 64 64\"", OC_E_MALFORMED,
      "expected a tensor of that name" },
    { "numbers", told, "\"ocelli:" NORM "\":\"INT4 F32 64 64\"", OC_E_MALFORMED,
      "expected bytes (U8, one dimension)" },
    { "not told", told, "\"other\":\"INT4 F32 64 64\"", OC_E_MALFORMED, "found [2560]" },
    { "other bytes", MATRIX "\":{\"dtype\":\"U8\"", MATRIX "\":{\"dtype\":\"I8\"",
      OC_E_MALFORMED, "found I8" },
    { "two dimensions", MATRIX "\":{\"dtype\":\"U8\",\"shape\":[2560]",
      MATRIX "\":{\"dtype\":\"U8\",\"shape\":[2560,1]", OC_E_MALFORMED, "2 dimensions" },
};

static void broken_headers(void **state)
{
    (void)state;
    oc_context *cx = blocks_context();
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        edit(cx, "model.safetensors", headers[i].from, headers[i].to, 0);
        expect(cx, headers[i].name, headers[i].status, headers[i].words);
    }
    edit(cx, "model.safetensors", version, version, 8);
    expect(cx, "unaligned", OC_E_MALFORMED, "expected multiples of 64");
    edit(cx, "model.safetensors", version, version, 0);
    oc_model *model = oc_model_open(cx, bad, NULL);
    if (!model) fail_msg("unchanged: %s", oc_context_message(cx));
    oc_model_close(model);
    oc_context_free(cx);
}

/* Bytes of the first tensor's data, `at` of which becomes `word`. */
static void poison(oc_context *cx, size_t at, uint32_t word)
{
    oci_buffer *b = read_file(cx, good, "model.safetensors");
    uint64_t length;
    memcpy(&length, b->data, 8);
    memcpy(b->data + 8 + length + at, &word, 4);
    write_file(bad, "model.safetensors", b->data, b->size);
    oci_buffer_unref(&b);
}

static void broken_data(void **state)
{
    (void)state;
    enum { SCALES = 256, UNIT = 320, GROUP = 640 }; /* of INT4 with 64 inputs */
    static const uint32_t words[] = { 0x7fc0,     0x7f80,     0xff80,
                                      0x7fc00000, 0xff800000, 0xffffffff };
    oc_context *cx = blocks_context();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        poison(cx, SCALES + 4 * i, words[i]);
        expect(cx, "scale of the first block", OC_E_MALFORMED, "expected finite scales");
        poison(cx, 2 * GROUP + UNIT + SCALES + 60, words[i]);
        expect(cx, "scale in the middle", OC_E_MALFORMED, "expected finite scales");
        /* What mapping does not look at, the doctor and convert do. */
        oc_convert(cx, bad, plain, NULL);
        assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
        oc_context_clear(cx);
        char *report = oc_doctor(cx, bad, NULL);
        assert_non_null(strstr(report, "expected finite scales"));
        oc_string_free(report);
    }
    poison(cx, SCALES, 0x7fc0);
    assert_null(oc_model_open(cx, bad, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    oc_context_clear(cx);
    oci_buffer *b = read_file(cx, good, "model.safetensors");
    for (size_t size = 0; size < b->size; size += b->size / 13) {
        write_file(bad, "model.safetensors", b->data, size);
        expect(cx, "cut", OC_E_MALFORMED, "model.safetensors");
    }
    oci_buffer_unref(&b);
    oc_context_free(cx);
}

/* ---- shards ----------------------------------------------------------------------- */

static void make(oc_context *cx, const char *folder, uint64_t seed, uint64_t shard)
{
    oc_model *model = blocks_make(cx, blocks_families[2].config, seed);
    blocks_clear(folder, false);
    oc_save_options o =
        OC_OPTIONS(oc_save_options, .dtype = OC_INT4, .max_shard_size = shard);
    if (oc_model_save(cx, model, folder, &o)) fail_msg("%s", oc_context_message(cx));
    oc_model_close(model);
}

static void first_shard(char name[256])
{
    DIR *d = opendir(bad);
    name[0] = '\0';
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (!strncmp(e->d_name, "model-00001", 11)) snprintf(name, 256, "%s", e->d_name);
    closedir(d);
    assert_true(name[0] != '\0');
}

static void other_shards(void **state)
{
    (void)state;
    char name[256];
    oc_context *cx = blocks_context();
    make(cx, good, 2, 30000);
    make(cx, bad, 1, 30000);
    oc_model *model = oc_model_open(cx, bad, NULL);
    if (!model) fail_msg("%s", oc_context_message(cx));
    oc_model_close(model);
    first_shard(name);
    oci_buffer *theirs = read_file(cx, good, name);
    write_file(bad, name, theirs->data, theirs->size);
    oci_buffer_unref(&theirs);
    expect(cx, "another model's", OC_E_MALFORMED, "another save or model");
    oc_context_free(cx);
}

/* ---- kills ------------------------------------------------------------------------ */

static oc_status convert_plain(oc_context *cx, const void *save)
{
    oc_convert_options o = OC_OPTIONS(oc_convert_options,
                                      .save = *(const oc_save_options *)save);
    return oc_convert(cx, plain, bad, &o);
}

/* Without a config a folder is no model; with one it is the whole of it. */
static void kills(void **state)
{
    (void)state;
    const oc_save_options saves[] = {
        OC_OPTIONS(oc_save_options, .dtype = OC_INT4),
        OC_OPTIONS(oc_save_options, .dtype = OC_INT4, .max_shard_size = 30000),
        OC_OPTIONS(oc_save_options, .format = "bin", .max_shard_size = 60000),
    };
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    oc_model *model = blocks_make(cx, blocks_families[2].config, 1);
    blocks_clear(plain, false);
    oc_model_save(cx, model, plain, NULL);
    write_file(plain, "tokenizer_config.json", "{}", 2);
    oc_model *narrow = blocks_open(cx, plain, OC_INT4);
    for (size_t i = 0; i < sizeof saves / sizeof *saves; i++) {
        bool killed = true, whole = false;
        for (long at = 1; killed; at++) {
            char path[256];
            blocks_clear(bad, false);
            killed = was_killed(at, convert_plain, &saves[i]);
            snprintf(path, sizeof path, "%s/config.json", bad);
            whole = access(path, F_OK) == 0;
            oc_model *found = oc_model_open(cx, bad, NULL);
            if (whole != (found != NULL))
                fail_msg("step %ld: %s", at, oc_context_message(cx));
            if (found)
                blocks_expect_same(cx, i < 2 ? narrow : model, found, "after a kill");
            oc_model_close(found);
            oc_context_clear(cx);
            if (at == 1) assert_true(killed);
        }
        assert_true(whole);
    }
    oc_model_close(narrow);
    oc_model_close(model);
    oc_context_free(cx);
}

static int setup(void **state)
{
    (void)state;
    if (!blocks_folder(plain) || !blocks_folder(good) || !blocks_folder(bad)) return 1;
    oc_context *cx = blocks_context();
    make(cx, good, 1, 0);
    make(cx, bad, 1, 0);
    oc_context_free(cx);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blocks_clear(plain, true);
    blocks_clear(good, true);
    blocks_clear(bad, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_headers),
        cmocka_unit_test(broken_data),
        cmocka_unit_test(other_shards),
        cmocka_unit_test(kills),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
