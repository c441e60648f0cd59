/* Saves in every format, whole and in shards: what comes back is what was saved, what an
 * earlier save left is gone, and a kill at any step leaves the old or the new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "base/context.h"
#include "ocelli.h"
#include "support/killed.h"

static char folder[64];

static const struct family { const char *name, *config; bool h5, msgpack; } families[] = {
    { "bert", "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],"
      "\"vocab_size\":20,\"hidden_size\":12,\"num_hidden_layers\":2,"
      "\"num_attention_heads\":3,\"intermediate_size\":16}", true, true },
    { "vit + gpt2", "{\"model_type\":\"vision-encoder-decoder\","
      "\"encoder\":{\"model_type\":\"vit\",\"hidden_size\":12,\"num_hidden_layers\":1,"
      "\"num_attention_heads\":3,\"intermediate_size\":16,\"image_size\":8,"
      "\"patch_size\":4},\"decoder\":{\"model_type\":\"gpt2\",\"vocab_size\":20,"
      "\"n_embd\":12,\"n_layer\":1,\"n_head\":3,\"n_positions\":16,\"is_decoder\":true,"
      "\"add_cross_attention\":true}}", true, true },
    { "dual", "{\"model_type\":\"vision-text-dual-encoder\",\"projection_dim\":8,"
      "\"vision_config\":{\"model_type\":\"vit\",\"hidden_size\":12,"
      "\"num_hidden_layers\":1,\"num_attention_heads\":3,\"intermediate_size\":16,"
      "\"image_size\":8,\"patch_size\":4},\"text_config\":{\"model_type\":\"roberta\","
      "\"vocab_size\":20,\"hidden_size\":12,\"num_hidden_layers\":1,"
      "\"num_attention_heads\":3,\"intermediate_size\":16}}",
      true, true },
    { "swin", "{\"model_type\":\"swin\",\"architectures\":[\"SwinModel\"],"
      "\"embed_dim\":12,\"depths\":[1,1],\"num_heads\":[3,3],\"image_size\":16,"
      "\"patch_size\":2,\"window_size\":2}", true, false },
    { "visual_bert", "{\"model_type\":\"visual_bert\",\"vocab_size\":20,"
      "\"hidden_size\":12,\"num_hidden_layers\":1,\"num_attention_heads\":3,"
      "\"intermediate_size\":16,\"visual_embedding_dim\":8}", false, false },
};

static oc_model *make(oc_context *cx, const char *config, uint64_t seed)
{
    oc_model *model = oc_model_create(cx, config,
                                      &OC_OPTIONS(oc_make_options, .seed = seed));
    if (!model) fail_msg("%s", oc_context_message(cx));
    return model;
}

static void expect_same(oc_context *cx, const oc_model *a, const oc_model *b,
                        const char *what)
{
    oc_tensors *x = oc_model_get(cx, a, ""), *y = oc_model_get(cx, b, "");
    assert_non_null(y);
    assert_int_equal(oc_tensors_count(x), oc_tensors_count(y));
    for (size_t i = 0; i < oc_tensors_count(x); i++) {
        oc_tensor_view v = oc_tensors_get(x, i), w;
        if (!oc_tensors_find(y, v.name, &w) || w.bytes != v.bytes ||
            memcmp(v.data, w.data, v.bytes)) fail_msg("%s: %s differs", what, v.name);
    }
    oc_tensors_free(x);
    oc_tensors_free(y);
}

/* Files of the folder, removed on the way; those whose names end with `end`. */
static int empty_folder(const char *end)
{
    char path[512];
    int found = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name), k = strlen(end);
        if (e->d_name[0] == '.' && n < 3) continue;
        found += n > k && !strcmp(e->d_name + n - k, end);
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    closedir(d);
    return found;
}

static void every_format(void **state)
{
    (void)state;
    static const char *const formats[] = { "safetensors", "bin", "h5", "msgpack" };
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        oc_model *model = make(cx, families[f].config, 3);
        for (int k = 0; k < 8; k++) {
            const char *format = formats[k / 2];
            const bool there = k < 4 || (k < 6 ? families[f].h5 : families[f].msgpack);
            oc_save_options o = OC_OPTIONS(oc_save_options, .format = format,
                                           .max_shard_size = k % 2 ? 3000 : 0);
            char what[64], end[32];
            snprintf(what, sizeof what, "%s as %s", families[f].name, format);
            snprintf(end, sizeof end, ".%s", format);
            oc_model_save(cx, model, folder, &o);
            if (!there) {
                assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
                oc_context_clear(cx);
                assert_int_equal(empty_folder(end), 0);
                continue;
            }
            oc_model *again = oc_model_open(cx, folder, NULL);
            if (!again) fail_msg("%s: %s", what, oc_context_message(cx));
            expect_same(cx, model, again, what);
            oc_model_close(again);
            int files = empty_folder(end);
            if (k % 2 ? files < 3 : files != 1) fail_msg("%s: %d files", what, files);
        }
        oc_model_close(model);
    }
    oc_context_free(cx);
}

static void dtypes(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    oc_model *model = make(cx, families[0].config, 4);
    const struct { const char *format; oc_dtype dtype; double error; } cases[] = {
        { "safetensors", OC_BF16, 1. / 256 }, { "safetensors", OC_F16, 1. / 2048 },
        { "bin", OC_BF16, 1. / 256 },         { "bin", OC_F16, 1. / 2048 },
        { "h5", OC_F16, 1. / 2048 },          { "msgpack", OC_BF16, 1. / 256 },
        { "msgpack", OC_F16, 1. / 2048 },     { "bin", OC_F32, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oc_save_options o = OC_OPTIONS(oc_save_options, .format = cases[i].format,
                                       .dtype = cases[i].dtype);
        assert_int_equal(oc_model_save(cx, model, folder, &o), OC_OK);
        oc_model *again = oc_model_open(cx, folder, NULL);
        if (!again) fail_msg("%s", oc_context_message(cx));
        oc_tensors *x = oc_model_get(cx, model, ""), *y = oc_model_get(cx, again, "");
        bool rounded = false;
        for (size_t t = 0; t < oc_tensors_count(x); t++) {
            oc_tensor_view v = oc_tensors_get(x, t), w;
            assert_true(oc_tensors_find(y, v.name, &w));
            for (size_t n = 0; n < v.bytes / sizeof(float); n++) {
                double a = ((const float *)v.data)[n], b = ((const float *)w.data)[n];
                double far = a > b ? a - b : b - a;
                rounded |= far > 0;
                if (far > cases[i].error * (a < 0 ? -a : a) + 1e-7)
                    fail_msg("%s", v.name);
            }
        }
        assert_int_equal(rounded, cases[i].error > 0);
        oc_tensors_free(x);
        oc_tensors_free(y);
        oc_model_close(again);
        empty_folder("");
    }
    oc_model_save(cx, model, folder, &OC_OPTIONS(oc_save_options, .format = "h5",
                                                 .dtype = OC_BF16));
    assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
    oc_context_clear(cx);
    oc_model_save(cx, model, folder, &OC_OPTIONS(oc_save_options, .format = "onnx"));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_model_save(cx, model, folder, &OC_OPTIONS(oc_save_options, .dtype = OC_I64));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    empty_folder("");
    oc_model_close(model);
    oc_context_free(cx);
}

/* ---- one save over another --------------------------------------------------------- */

enum { WHOLE = 0, SMALL = 3000, SMALLER = 1500 };

static void save(oc_context *cx, uint64_t seed, uint64_t shard_size)
{
    oc_model *model = make(cx, families[0].config, seed);
    oc_save_options o = OC_OPTIONS(oc_save_options, .max_shard_size = shard_size);
    oc_model_save(cx, model, folder, &o);
    oc_model_close(model);
}

/* Which of the two seeds the folder holds. */
static uint64_t seed_of_folder(void)
{
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    oc_model *found = oc_model_open(cx, folder, NULL);
    if (!found) fail_msg("%s", oc_context_message(cx));
    oc_tensors *x = oc_model_get(cx, found, "");
    uint64_t seed = 0;
    for (uint64_t s = 1; s <= 2; s++) {
        oc_model *model = make(cx, families[0].config, s);
        oc_tensors *y = oc_model_get(cx, model, "");
        bool same = true;
        for (size_t i = 0; i < oc_tensors_count(x); i++) {
            oc_tensor_view a = oc_tensors_get(x, i), b = oc_tensors_get(y, i);
            same = same && !memcmp(a.data, b.data, a.bytes);
        }
        if (same) seed = s;
        oc_tensors_free(y);
        oc_model_close(model);
    }
    oc_tensors_free(x);
    oc_model_close(found);
    oc_context_free(cx);
    return seed;
}

static oc_status save_seed_2(oc_context *cx, const void *shard_size)
{
    save(cx, 2, *(const uint64_t *)shard_size);
    return oc_context_status(cx);
}

static void kills(void **state)
{
    (void)state;
    static const uint64_t sizes[][2] = {
        { WHOLE, WHOLE }, { SMALL, SMALL }, { WHOLE, SMALL }, { SMALL, WHOLE },
        { SMALL, SMALLER }
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool killed = true;
        uint64_t last = 1;
        for (long at = 1; killed; at++) {
            oc_context *cx = oc_context_create(
                &OC_OPTIONS(oc_context_options, .threads = 1));
            save(cx, 1, sizes[i][0]);
            if (oc_context_status(cx)) fail_msg("%s", oc_context_message(cx));
            oc_context_free(cx);
            killed = was_killed(at, save_seed_2, &sizes[i][1]);
            uint64_t seed = seed_of_folder();
            if (seed == 0) fail_msg("case %zu, step %ld: a mixture", i, at);
            if (seed < last) fail_msg("case %zu, step %ld: the old one again", i, at);
            last = seed;
            if (!killed) {              /* nothing stale is left */
                assert_int_equal(seed, 2);
                int files = empty_folder(".safetensors");
                if (sizes[i][1] == WHOLE) assert_int_equal(files, 1);
            }
            empty_folder("");
        }
        assert_int_equal(last, 2);
    }
}

static int setup(void **state)
{
    (void)state;
    /* Some hundred saves, each flushed to the disk: memory is quicker. */
    snprintf(folder, sizeof folder, "%s/ocelli-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return !mkdtemp(folder);
}

static int teardown(void **state)
{
    (void)state;
    empty_folder("");
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(dtypes),
        cmocka_unit_test(kills),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
