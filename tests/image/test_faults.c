/* Reading a picture file, turning, resizing and processing it while the n-th allocation
 * or file operation fails, for every n: always an error with a message, never a leak. */
#include "support.h"

#include "image/processor.h"

typedef struct fault_plan {
    int asked, fail_at;         /* fail_at 0: only count */
} fault_plan;

static bool hook(void *user, oci_fault what)
{
    fault_plan *plan = user;
    (void)what;
    return ++plan->asked == plan->fail_at;
}

/* Two processors that have all steps between them. */
static void job(oc_context *cx, const char *path)
{
    static const char *const folders[] = { DATA "processor/deit",
                                           DATA "processor/nougat" };
    oc_image_options o = OC_OPTIONS(oc_image_options, .exif_orientation = true);
    oc_image *image = oc_image_open(cx, path, &o);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        oci_processor *processor = oci_processor_open(cx, folders[i]);
        oc_image_free(processor ? oci_processor_shape(cx, processor, image) : NULL);
        oci_processor_close(processor);
    }
    oc_image_free(image);
}

static void check_file(const char *name)
{
    char path[128];
    fault_plan plan = { 0 };
    snprintf(path, sizeof path, DATA "%s", name);
    oc_context *cx = one_thread();
    cx->heap->fault = hook;
    cx->heap->fault_user = &plan;
    job(cx, path);
    if (oc_context_status(cx) != OC_OK) fail_msg("%s: %s", name, oc_context_message(cx));
    int questions = plan.asked;
    assert_true(questions > 5);
    for (int n = 1; n <= questions; n++) {
        plan = (fault_plan){ .fail_at = n };
        job(cx, path);
        if (oc_context_status(cx) != OC_E_MEMORY && oc_context_status(cx) != OC_E_FILE)
            fail_msg("%s, fault %d of %d: %s %s", name, n, questions,
                     oc_status_name(oc_context_status(cx)), oc_context_message(cx));
        assert_true(oc_context_message(cx)[0] != '\0');
        assert_int_equal(oc_context_memory(cx).live_count, 0);
        assert_int_equal(oc_context_memory(cx).live_bytes, 0);
        oc_context_clear(cx);
    }
    free_context(cx);
}

static void test_every_fault(void **state)
{
    static const char *const files[] = { "exif6.jpg", "progressive.jpg", "cmyk.jpg",
                                         "exif-zprofile7.png", "exif-xmp3.png",
                                         "palette4-interlaced.png", "exif6.webp",
                                         "animated-offset.webp" };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) check_file(files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_fault) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
