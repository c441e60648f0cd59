/* Resizing against Pillow 13, byte for byte. */
#include "support.h"

static void test_whole_pictures(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oc_image *source = picture_noise(cx, 17, 13, 1);
    for (int code = OCI_NEAREST; code <= OCI_HAMMING; code++) {
        char name[64];
        snprintf(name, sizeof name, "resize-17x13-8x20-%d.rgb", code);
        oci_buffer *want = read_data(cx, name);
        oc_image *image = oci_image_resize(cx, source, 8, 20, (oci_resample)code);
        assert_non_null(image);
        assert_int_equal(picture_bytes(image), want->size);
        assert_memory_equal(oc_image_pixels(image), want->data, want->size);
        oc_image_free(image);
        oci_buffer_unref(&want);
    }
    oc_image_free(source);
    free_context(cx);
}

/* All of resize.txt; the result may not depend on threads. */
static void check_manifest(oc_context *cx)
{
    FILE *manifest = open_manifest("resize.txt");
    long long in_w, in_h, w, h;
    unsigned seed, crc;
    int code, count = 0;
    while (fscanf(manifest, "%lld %lld %u %lld %lld %d %x", &in_w, &in_h, &seed, &w, &h,
                  &code, &crc) == 7) {
        oc_image *source = picture_noise(cx, in_w, in_h, seed);
        oc_image *image = oci_image_resize(cx, source, w, h, (oci_resample)code);
        if (!image) fail_msg("%s", oc_context_message(cx));
        assert_int_equal(oc_image_width(image), w);
        assert_int_equal(oc_image_height(image), h);
        if (picture_crc(image) != crc)
            fail_msg("%lld x %lld to %lld x %lld, filter %d: other pixels", in_w, in_h, w,
                     h, code);
        oc_image_free(image);
        oc_image_free(source);
        count++;
    }
    assert_true(feof(manifest));
    fclose(manifest);
    assert_true(count >= 600);
}

static void test_one_thread(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    check_manifest(cx);
    free_context(cx);
}

static void test_three_threads(void **state)
{
    (void)state;
    oc_context_options o = OC_OPTIONS(oc_context_options, .threads = 3);
    oc_context *cx = oc_context_create(&o);
    check_manifest(cx);
    free_context(cx);
}

static void test_sizes_are_checked(void **state)
{
    (void)state;
    oc_context *cx = one_thread();
    oc_image *source = picture_noise(cx, 4, 4, 1);
    assert_null(oci_image_resize(cx, source, 0, 4, OCI_BILINEAR));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_null(oci_image_resize(cx, source, 4, INT64_MAX, OCI_BILINEAR));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oci_image_resize(cx, source, 65500, 65500, OCI_NEAREST));
    assert_int_equal(oc_context_status(cx), OC_E_LIMIT);
    oc_context_clear(cx);
    assert_null(oci_image_resize(cx, NULL, 4, 4, OCI_NEAREST));
    assert_int_equal(oc_context_status(cx), OC_OK);
    oc_image_free(source);
    free_context(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_pictures), cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_three_threads), cmocka_unit_test(test_sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
