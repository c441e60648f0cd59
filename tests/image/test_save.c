/* Pictures out: a PNG gives the same pixels back, and what is made to fit keeps its
 * proportions. Failing memory and files: tests/faults/test_index.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ocelli.h"

static oc_image *noise(oc_context *cx, int64_t width, int64_t height)
{
    size_t bytes = (size_t)(width * height * 3);
    uint8_t *rgb = malloc(bytes);
    uint32_t x = 7;
    assert_non_null(rgb);
    for (size_t i = 0; i < bytes; i++)
        rgb[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    oc_image *image = oc_image_create(cx, width, height, rgb);
    free(rgb);
    assert_non_null(image);
    return image;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 1, 9 }, { 250, 3 }, { 64, 65 } };
    oc_context *cx = oc_context_create(NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t w = sizes[i][0], h = sizes[i][1];
        oc_image *image = noise(cx, w, h);
        size_t size = 0;
        char *png = oc_image_png(cx, image, &size);
        assert_non_null(png);
        oc_image *back = oc_image_decode(cx, "back", png, size, NULL);
        assert_non_null(back);
        assert_int_equal(oc_image_width(back), w);
        assert_int_equal(oc_image_height(back), h);
        assert_memory_equal(oc_image_pixels(back), oc_image_pixels(image),
                            (size_t)(w * h * 3));
        oc_string_free(png);
        oc_image_free(back);
        oc_image_free(image);
    }
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    oc_context_free(cx);
}

static void test_fit(void **state)
{
    (void)state;
    static const int64_t cases[][5] = {         /* width, height, side, width, height */
        { 400, 300, 100, 100, 75 }, { 300, 400, 100, 75, 100 }, { 5, 7, 100, 5, 7 },
        { 1000, 1, 10, 10, 1 }, { 333, 100, 64, 64, 19 }, { 64, 64, 64, 64, 64 },
    };
    oc_context *cx = oc_context_create(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        oc_image *image = noise(cx, cases[i][0], cases[i][1]);
        oc_image *small = oc_image_fit(cx, image, cases[i][2]);
        assert_non_null(small);
        assert_int_equal(oc_image_width(small), cases[i][3]);
        assert_int_equal(oc_image_height(small), cases[i][4]);
        oc_image_free(image);
        oc_image_free(small);
    }
    oc_image *image = noise(cx, 4, 4);
    assert_null(oc_image_fit(cx, image, 0));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_image_save(cx, image, "no/such/folder/x.png"), OC_E_WRITE);
    oc_image_free(image);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
