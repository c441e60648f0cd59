/* Pixel values against Transformers 4.37.2, bit for bit, and every field of the config
 * file that can be wrong. */
#include "support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "image/processor.h"

/* The values for noise(width, height, seed), malloced; *size in bytes. */
static float *run(oc_context *cx, const oci_processor *processor, int64_t width,
                  int64_t height, unsigned seed, int64_t *out_height, int64_t *out_width)
{
    oc_image *image = picture_noise(cx, width, height, seed);
    oc_image *shaped = oci_processor_shape(cx, processor, image);
    if (!shaped) fail_msg("%s", oc_context_message(cx));
    *out_height = oc_image_height(shaped);
    *out_width = oc_image_width(shaped);
    size_t size = (size_t)(*out_height * *out_width * 3) * sizeof(float);
    float *values = malloc(size);
    assert_non_null(values);
    memset(values, 0xff, size);             /* NaN: what is not written is seen */
    oci_processor_values(processor, shaped, values);
    oc_image_free(shaped);
    oc_image_free(image);
    return values;
}

static void test_values_equal_transformers(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    FILE *manifest = open_manifest("processor.txt");
    char name[64], folder[128];
    long long in_w, in_h, want_h, want_w;
    unsigned seed, crc;
    int count = 0;
    while (fscanf(manifest, "%63s %lld %lld %u %lld %lld %x", name, &in_w, &in_h, &seed,
                  &want_h, &want_w, &crc) == 7) {
        snprintf(folder, sizeof folder, DATA "processor/%s", name);
        oci_processor *processor = oci_processor_open(cx, folder);
        if (!processor) fail_msg("%s", oc_context_message(cx));
        int64_t h, w;
        float *values = run(cx, processor, in_w, in_h, seed, &h, &w);
        assert_int_equal(h, want_h);
        assert_int_equal(w, want_w);
        if (crc32_of(values, (size_t)(h * w * 3) * sizeof(float)) != crc)
            fail_msg("%s, %lld x %lld: other values than Transformers'", name, in_w,
                     in_h);
        free(values);
        oci_processor_close(processor);
        count++;
    }
    assert_true(feof(manifest));
    fclose(manifest);
    assert_int_equal(count, 36);
    free_context(cx);
}

static void test_whole_values(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oci_buffer *want = read_data(cx, "no-rescale-61x37-0.f32");
    oci_processor *processor = oci_processor_open(cx, DATA "processor/no-rescale");
    int64_t h, w;
    float *values = run(cx, processor, 61, 37, 0, &h, &w);
    assert_int_equal(want->size, (size_t)(h * w * 3) * sizeof(float));
    for (size_t i = 0; i < want->size / sizeof(float); i++) {
        float x;
        memcpy(&x, want->data + i * sizeof x, sizeof x);
        if (x != values[i])
            fail_msg("value %zu: expected %.9g, found %.9g", i, x, values[i]);
    }
    free(values);
    oci_processor_close(processor);
    oci_buffer_unref(&want);
    free_context(cx);
}

/* Opens a folder whose preprocessor_config.json is `text`; the
 * message must hold `part`. */
static void expect(const char *text, oc_status status, const char *part)
{
    char folder[] = "/tmp/ocelli-processor-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/preprocessor_config.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    oc_context *cx = one_thread();
    oci_processor *processor = oci_processor_open(cx, folder);
    unlink(path);
    rmdir(folder);
    if (oc_context_status(cx) != status || (status == OC_OK) != (processor != NULL))
        fail_msg("%s: expected %s, found %s: %s", text, oc_status_name(status),
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    if (part && (!strstr(oc_context_message(cx), part) ||
                 !strstr(oc_context_message(cx), "preprocessor_config.json")))
        fail_msg("%s: the message lacks %s: %s", text, part, oc_context_message(cx));
    oci_processor_close(processor);
    free_context(cx);
}

#define VIT "{\"image_processor_type\": \"ViTImageProcessor\", "
#define CLIP "{\"feature_extractor_type\": \"CLIPFeatureExtractor\", "

static void test_configs(void **state)
{
    static const struct { const char *text, *part; } malformed[] = {
        { "{", NULL }, { "[]", NULL },
        { "{}", "image_processor_type" },
        { "{\"image_processor_type\": 3}", "image_processor_type" },
        { VIT "\"size\": \"large\"}", "size" },
        { VIT "\"size\": 0}", "size" },
        { VIT "\"size\": 1e3}", "size" },
        { VIT "\"size\": 65501}", "size" },
        { VIT "\"size\": [224]}", "size" },
        { VIT "\"size\": [224, 224.5]}", "size" },
        { VIT "\"size\": {\"shortest_edge\": 224}}", "size" },
        { VIT "\"size\": {\"height\": 224}}", "size" },
        { VIT "\"size\": {\"height\": 224, \"width\": -1}}", "size.width" },
        { VIT "\"size\": {\"height\": 9000000000000000000, \"width\": 2}}",
          "size.height" },
        { VIT "\"resample\": 6}", "resample" },
        { VIT "\"resample\": -1}", "resample" },
        { VIT "\"resample\": \"bicubic\"}", "resample" },
        { VIT "\"do_resize\": 1}", "do_resize" },
        { VIT "\"do_rescale\": \"no\"}", "do_rescale" },
        { VIT "\"do_normalize\": []}", "do_normalize" },
        { VIT "\"rescale_factor\": \"1/255\"}", "rescale_factor" },
        { VIT "\"image_mean\": [0.5, 0.5]}", "image_mean" },
        { VIT "\"image_mean\": [0.5, 0.5, null]}", "image_mean" },
        { VIT "\"image_mean\": \"half\"}", "image_mean" },
        { VIT "\"image_std\": [0.5, 0, 0.5]}", "image_std" },
        { VIT "\"image_std\": 1e-60}", "image_std" },
        { CLIP "\"size\": {\"shortest_edge\": 0}}", "size.shortest_edge" },
        { CLIP "\"size\": {\"longest_edge\": 30}}", "size" },
        { CLIP "\"size\": {\"shortest_edge\": 30, \"height\": 30}}", "size" },
        { CLIP "\"size\": {\"height\": 30, \"width\": 30, \"longest_edge\": 3}}",
          "size" },
        { CLIP "\"size\": {\"height\": 30}}", "size" },
        { CLIP "\"size\": {}}", "size" },
        { CLIP "\"size\": [224]}", "size" },
        { CLIP "\"size\": \"224\"}", "size" },
        { CLIP "\"size\": [224, 224], \"use_square_size\": true}", "size" },
        { CLIP "\"crop_size\": {\"shortest_edge\": 30}}", "crop_size" },
        { CLIP "\"crop_size\": 0}", "crop_size" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect(malformed[i].text, OC_E_MALFORMED, malformed[i].part);
    expect("{\"image_processor_type\": \"SegformerImageProcessor\"}", OC_E_UNSUPPORTED,
           "SegformerImageProcessor");
    expect("{\"image_processor_type\": \"ViTHybridImageProcessor\"}", OC_E_UNSUPPORTED,
           "image_processor_type");
    expect("{\"feature_extractor_type\": \"WhisperFeatureExtractor\"}", OC_E_UNSUPPORTED,
           "feature_extractor_type");
    expect(VIT "\"size\": null, \"image_mean\": null, \"resample\": null}", OC_OK, NULL);
    expect(VIT "\"image_std\": 2, \"size\": [3, 65500]}", OC_OK, NULL);
}

static void test_missing_folder(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    assert_null(oci_processor_open(cx, DATA "processor/none"));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    assert_non_null(strstr(oc_context_message(cx), "none/preprocessor_config.json"));
    oci_processor_close(NULL);
    free_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_equal_transformers),
        cmocka_unit_test(test_whole_values),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_missing_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
