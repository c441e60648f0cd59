/* The processors of DeiT, BEiT, Donut and Nougat against Transformers 4.37.2, bit for
 * bit, and the resize in two steps behind Donut's thumbnails against Pillow 13. */
#include "support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "image/processor.h"

typedef struct line {
    char folder[64], kind[8];
    long long width, height, out_height, out_width;
    unsigned seed, crc;
} line;

static bool next_line(FILE *manifest, line *l)
{
    return fscanf(manifest, "%63s %7s %lld %lld %u %lld %lld %x", l->folder, l->kind,
                  &l->width, &l->height, &l->seed, &l->out_height, &l->out_width,
                  &l->crc) == 8;
}

/* Where Transformers raises, the picture must be the reason that is given. */
static void check_line(oc_context *cx, const oci_processor *processor, const line *l)
{
    oc_image *image = (l->kind[0] == 'n' ? picture_noise : picture_paper)(
        cx, l->width, l->height, l->seed);
    oc_image *shaped = oci_processor_shape(cx, processor, image);
    oc_image_free(image);
    if (l->out_height == 0) {
        if (shaped || oc_context_status(cx) != OC_E_IMAGE)
            fail_msg("%s, %s %lld x %lld: expected an error, found %s %s", l->folder,
                     l->kind, l->width, l->height, oc_status_name(oc_context_status(cx)),
                     oc_context_message(cx));
        oc_context_clear(cx);
        return;
    }
    if (!shaped) fail_msg("%s %lld x %lld: %s", l->folder, l->width, l->height,
                          oc_context_message(cx));
    if (oc_image_height(shaped) != l->out_height ||
        oc_image_width(shaped) != l->out_width)
        fail_msg("%s, %s %lld x %lld: expected %lld x %lld, found %lld x %lld", l->folder,
                 l->kind, l->width, l->height, l->out_width, l->out_height,
                 (long long)oc_image_width(shaped), (long long)oc_image_height(shaped));
    size_t size = picture_bytes(shaped) * sizeof(float);
    float *values = malloc(size);
    assert_non_null(values);
    memset(values, 0xff, size);             /* NaN: what is not written is seen */
    oci_processor_values(processor, shaped, values);
    if (crc32_of(values, size) != l->crc)
        fail_msg("%s, %s %lld x %lld: other values than Transformers'", l->folder,
                 l->kind, l->width, l->height);
    free(values);
    oc_image_free(shaped);
}

static void test_values_equal_transformers(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    FILE *manifest = open_manifest("documents.txt");
    char opened[64] = "", folder[128];
    oci_processor *processor = NULL;
    int count = 0, errors = 0;
    for (line l; next_line(manifest, &l); count++) {
        if (strcmp(opened, l.folder) != 0) {
            oci_processor_close(processor);
            snprintf(folder, sizeof folder, DATA "processor/%s", l.folder);
            snprintf(opened, sizeof opened, "%s", l.folder);
            processor = oci_processor_open(cx, folder);
            if (!processor) fail_msg("%s", oc_context_message(cx));
        }
        check_line(cx, processor, &l);
        errors += l.out_height == 0;
    }
    assert_true(feof(manifest));
    fclose(manifest);
    oci_processor_close(processor);
    assert_int_equal(count, 428);
    assert_int_equal(errors, 33);
    free_context(cx);
}

static void test_reducing_gap(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    FILE *manifest = open_manifest("reduce.txt");
    long long in_w, in_h, w, h;
    unsigned seed, crc;
    int code, count = 0;
    while (fscanf(manifest, "%lld %lld %u %lld %lld %d %x", &in_w, &in_h, &seed, &w, &h,
                  &code, &crc) == 7) {
        oc_image *source = picture_noise(cx, in_w, in_h, seed);
        oc_image *image = oci_image_resize_reduced(cx, source, w, h, (oci_resample)code,
                                                   2.0);
        if (!image) fail_msg("%s", oc_context_message(cx));
        assert_int_equal(oc_image_width(image), w);
        assert_int_equal(oc_image_height(image), h);
        if (picture_crc(image) != crc)
            fail_msg("%lld x %lld to %lld x %lld: other pixels", in_w, in_h, w, h);
        oc_image_free(image);
        oc_image_free(source);
        count++;
    }
    assert_true(feof(manifest));
    fclose(manifest);
    assert_int_equal(count, 160);
    free_context(cx);
}

/* A processor of a config written for the test. */
static oci_processor *open_text(oc_context *cx, const char *text)
{
    char folder[] = "/tmp/ocelli-documents-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/preprocessor_config.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    oci_processor *processor = oci_processor_open(cx, folder);
    unlink(path);
    rmdir(folder);
    return processor;
}

/* Upstream's own cases for Nougat: white stays, a black square is cut out. */
static void test_margins(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oci_processor *p = open_text(cx, "{\"image_processor_type\": "
                                     "\"NougatImageProcessor\", \"do_resize\": false, "
                                     "\"do_thumbnail\": false, \"do_pad\": false}");
    uint8_t *rgb = malloc(100 * 100 * 3);
    assert_non_null(rgb);
    memset(rgb, 255, 100 * 100 * 3);
    oc_image *white = oc_image_create(cx, 100, 100, rgb);
    for (int y = 45; y < 55; y++) memset(rgb + (y * 100 + 45) * 3, 0, 10 * 3);
    oc_image *square = oc_image_create(cx, 100, 100, rgb);
    free(rgb);
    oc_image *all = oci_processor_shape(cx, p, white),
             *cut = oci_processor_shape(cx, p, square);
    assert_int_equal(oc_image_width(all), 100);
    assert_int_equal(oc_image_height(all), 100);
    assert_int_equal(oc_image_width(cut), 10);
    assert_int_equal(oc_image_height(cut), 10);
    for (size_t i = 0; i < picture_bytes(cut); i++)
        assert_int_equal(oc_image_pixels(cut)[i], 0);
    oc_image_free(all);
    oc_image_free(cut);
    oc_image_free(white);
    oc_image_free(square);
    oci_processor_close(p);
    free_context(cx);
}

static void test_configs(void **state)
{
    static const struct { const char *text, *part; } malformed[] = {
        { "{\"image_processor_type\": \"DeiTImageProcessor\", \"crop_size\": [3]}",
          "crop_size" },
        { "{\"image_processor_type\": \"DeiTImageProcessor\", \"crop_size\": "
          "{\"height\": 0, \"width\": 2}}", "crop_size.height" },
        { "{\"image_processor_type\": \"BeitImageProcessor\", \"do_center_crop\": 3}",
          "do_center_crop" },
        { "{\"image_processor_type\": \"DonutImageProcessor\", "
          "\"size\": {\"longest_edge\": 9}}", "size.height" },
        { "{\"image_processor_type\": \"NougatImageProcessor\", \"do_crop_margin\": "
          "\"no\"}",
          "do_crop_margin" },
    };
    (void)state;
    oc_context *cx = one_thread();
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_null(open_text(cx, malformed[i].text));
        assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
        if (!strstr(oc_context_message(cx), malformed[i].part))
            fail_msg("the message lacks %s: %s", malformed[i].part,
                     oc_context_message(cx));
        oc_context_clear(cx);
    }
    free_context(cx);
}

/* Long and thin pictures would become larger than any limit on the way. */
static void test_large_sizes_are_refused(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oci_processor *p = open_text(cx, "{\"image_processor_type\": "
                                     "\"DonutImageProcessor\"}");
    oc_image *thin = picture_noise(cx, 2, 60000, 1);
    assert_null(oci_processor_shape(cx, p, thin));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    oc_image_free(thin);
    oci_processor_close(p);
    free_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_equal_transformers),
        cmocka_unit_test(test_reducing_gap),
        cmocka_unit_test(test_margins),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_large_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
