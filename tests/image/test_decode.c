/* Every kind of JPEG, PNG and WebP against Pillow, byte for byte, stored and turned. */
#include "support.h"

#include <jpeglib.h>

typedef struct expected {
    char file[64];
    int64_t width, height, turned_width, turned_height;
    uint32_t crc, turned_crc;
} expected;

static bool read_expected(FILE *manifest, expected *e)
{
    long long n[4];
    int got = fscanf(manifest, "%63s %lld %lld %x %lld %lld %x", e->file, &n[0], &n[1],
                     &e->crc, &n[2], &n[3], &e->turned_crc);
    e->width = n[0], e->height = n[1], e->turned_width = n[2], e->turned_height = n[3];
    return got == 7;
}

/* Says where the picture leaves Pillow's, if that was small enough to be kept. */
static void show_difference(oc_context *cx, const expected *e, const oc_image *image)
{
    char name[80];
    snprintf(name, sizeof name, "%s.rgb", e->file);
    oci_buffer *want = read_data(cx, name);
    assert_int_equal(want->size, picture_bytes(image));
    for (size_t i = 0; i < want->size; i++) {
        if (want->data[i] == oc_image_pixels(image)[i]) continue;
        fail_msg("%s: x %lld y %lld channel %zu: expected %d, found %d", e->file,
                 (long long)((int64_t)(i / 3) % e->width),
                 (long long)((int64_t)(i / 3) / e->width), i % 3, want->data[i],
                 oc_image_pixels(image)[i]);
    }
}

static void check_picture(oc_context *cx, const expected *e)
{
    char path[128];
    snprintf(path, sizeof path, DATA "%s", e->file);
    oc_image *image = oc_image_open(cx, path, NULL);
    if (!image) fail_msg("%s", oc_context_message(cx));
    assert_int_equal(oc_image_width(image), e->width);
    assert_int_equal(oc_image_height(image), e->height);
    if (picture_crc(image) != e->crc) {
        show_difference(cx, e, image);
        fail_msg("%s: other pixels than Pillow's", e->file);
    }
    oc_image_free(image);

    oc_image_options o = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    image = oc_image_open(cx, path, &o);
    if (!image) fail_msg("%s", oc_context_message(cx));
    if (oc_image_width(image) != e->turned_width || picture_crc(image) != e->turned_crc)
        fail_msg("%s: turned otherwise than by exif_transpose", e->file);
    assert_int_equal(oc_image_height(image), e->turned_height);
    oc_image_free(image);
}

/* Block smoothing, which fills in for scans that a progressive JPEG lacks, was corrected
 * in libjpeg-turbo 3.0.1 for vertically subsampled pictures (its ChangeLog: "Fixed two
 * minor issues in the interblock smoothing algorithm"). Pillow 13 brings 3.1; with an
 * older library those pictures differ by up to 5, and nothing else does. */
static bool depends_on_library(const expected *e)
{
    return LIBJPEG_TURBO_VERSION_NUMBER < 3000001 && strstr(e->file, "progressive-") &&
           strstr(e->file, "-420");
}

static void test_pictures_equal_pillow(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    FILE *manifest = open_manifest("pictures.txt");
    expected e;
    int count = 0, turned = 0;
    for (; read_expected(manifest, &e); count++) {
        if (depends_on_library(&e)) {
            print_message("%s needs libjpeg-turbo 3.0.1: skipped\n", e.file);
            continue;
        }
        check_picture(cx, &e);
        turned += e.crc != e.turned_crc;
    }
    assert_true(feof(manifest));
    fclose(manifest);
    assert_true(count >= 70);
    assert_true(turned >= 14);
    free_context(cx);
}

static void test_larger_set(void **state)
{
    /* Pillow 13 on the photographs of the shared set. */
    static const struct {
        const char *name; int64_t width, height; uint32_t crc;
    } files[] = {
        { "chelsea.png", 451, 300, 0x0f829d59 },
        { "coffee.png", 600, 400, 0xacf41373 },
        { "horse.png", 400, 328, 0x63cf8694 },
        { "page.png", 384, 191, 0x737a013b },
        { "rocket.jpg", 640, 427, 0x49cf24ab },
        { "text.png", 448, 172, 0xd0148a39 },
        { "emoji/scene-01.png", 384, 384, 0x3f72e9a7 },
        { "emoji/scene-02.png", 384, 384, 0xea2d6fed },
        { "emoji/scene-12.png", 384, 384, 0xe167b951 },
    };
    (void)state;
    const char *root = getenv("OCELLI_SHARED");
    oc_context *cx = one_thread();
    if (!root) root = "../shared";
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/images/%s", root, files[i].name);
        if (!oci_file_exists(cx, path)) {
            print_message("%s is not here: skipped\n", path);
            continue;
        }
        oc_image *image = oc_image_open(cx, path, NULL);
        if (!image) fail_msg("%s", oc_context_message(cx));
        assert_int_equal(oc_image_width(image), files[i].width);
        assert_int_equal(oc_image_height(image), files[i].height);
        if (picture_crc(image) != files[i].crc) fail_msg("%s: other pixels", path);
        oc_image_free(image);
    }
    free_context(cx);
}

static void test_create_copies(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    uint8_t rgb[2 * 1 * 3] = { 1, 2, 3, 4, 5, 6 };
    oc_image *image = oc_image_create(cx, 2, 1, rgb);
    rgb[0] = 9;
    assert_int_equal(oc_image_width(image), 2);
    assert_int_equal(oc_image_height(image), 1);
    assert_int_equal(oc_image_pixels(image)[0], 1);
    assert_int_equal(oc_image_pixels(image)[5], 6);
    oc_image_free(image);

    assert_null(oc_image_create(cx, 0, 1, rgb));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    assert_null(oc_image_create(cx, 2, 1, rgb));    /* an error is set: nothing happens */
    oc_context_clear(cx);
    assert_null(oc_image_create(cx, 1, 1, NULL));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oc_image_create(cx, 65500, 65500, rgb));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    free_context(cx);
}

static void test_null_is_accepted(void **state)
{
    (void)state;
    oc_image_free(NULL);
    assert_int_equal(oc_image_width(NULL), 0);
    assert_int_equal(oc_image_height(NULL), 0);
    assert_null(oc_image_pixels(NULL));
    assert_null(oc_image_open(NULL, "x", NULL));
    assert_null(oc_image_decode(NULL, "x", "", 0, NULL));
    assert_null(oc_image_create(NULL, 1, 1, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_equal_pillow), cmocka_unit_test(test_larger_set),
        cmocka_unit_test(test_create_copies), cmocka_unit_test(test_null_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
