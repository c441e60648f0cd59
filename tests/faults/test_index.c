/* Every request of memory and files that building, bringing up to date, opening and
 * searching an index makes fails once, and from there on: nothing leaks, the index is
 * whole or as it was, and the next build makes of what is left what it should be. */
#include "../embed/index_support.h"
#include "faults.h"

static char top[512], path[512], part[512], whole[512], before[512];

static int start(void **state)
{
    if (make_folder(state) != 0) return -1;
    oc_context *cx = oc_context_create(NULL);
    char name[600];
    long embedded;
    snprintf(top, sizeof top, "%s/pictures", folder);
    snprintf(path, sizeof path, "%s/index", folder);
    snprintf(part, sizeof part, "%s/index.part", folder);
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(before, sizeof before, "%s/before", folder);
    mkdir(top, 0777);
    for (uint32_t i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s/%u.png", top, i);
        make_picture(cx, name, i + 1);
        if (i == 3) build(cx, before, top, true, 7, &embedded, NULL);
    }
    oc_status status = build(cx, whole, top, true, 7, &embedded, NULL);
    oc_context_free(cx);
    return status == OC_OK ? 0 : -1;
}

/* A picture that could not be opened is left out, so a build with a fault may do less. */
static bool refused_some;

static void build_job(oc_context *cx, void *user)
{
    long embedded;
    oc_index_report r = { 0 };
    (void)user;
    build(cx, path, top, true, 7, &embedded, &r);
    refused_some = r.refused > 0;
}

static void put_back(const char *from)
{
    size_t size = 0;
    unlink(path);
    char *data = from ? read_file(from, &size) : NULL;
    FILE *f = data ? fopen(path, "wb") : NULL;
    if (f) fwrite(data, 1, size, f);
    if (f) fclose(f);
    free(data);
}

static void check_build(oc_status status, void *user)
{
    const char *from = user;
    bool there = access(path, F_OK) == 0;
    if (status == OC_OK && !refused_some) assert_true(there && same_files(path, whole));
    if (there && !refused_some)
        assert_true(same_files(path, whole) || (from && same_files(path, from)));
    /* Whatever is left, the next build goes on with it. */
    long embedded;
    oc_context *cx = oc_context_create(NULL);
    assert_int_equal(build(cx, path, top, true, 7, &embedded, NULL), OC_OK);
    oc_context_free(cx);
    assert_true(same_files(path, whole));
    assert_int_equal(access(part, F_OK), -1);
    put_back(from);
}

static void test_build(void **state)
{
    (void)state;
    put_back(NULL);
    assert_true(fault_loop(&(fault_plan){ .job = build_job, .check = check_build,
                                          .may_recover = true }) > 50);
}

static void test_update(void **state)
{
    (void)state;
    put_back(before);
    assert_true(fault_loop(&(fault_plan){ .job = build_job, .check = check_build,
                                          .may_recover = true, .user = before }) > 50);
}

static void search_job(oc_context *cx, void *user)
{
    oc_hit hits[3];
    float query[WIDTH] = { 1 };
    oc_index *x = oc_index_open(cx, whole, &OC_OPTIONS(oc_index_open_options,
                                                       .map = *(bool *)user));
    size_t found = oc_index_search(cx, x, query, 1, 3, hits);
    if (x && oc_context_status(cx) == OC_OK) assert_int_equal(found, 3);
    oc_index_close(x);
}

static void test_search(void **state)
{
    (void)state;
    for (int map = 0; map < 2; map++) {
        bool mapped = map;
        assert_true(fault_loop(&(fault_plan){ .job = search_job, .user = &mapped }) > 5);
    }
}

static void save_job(oc_context *cx, void *user)
{
    uint8_t rgb[300 * 7 * 3] = { 0 };
    oc_image *image = oc_image_create(cx, 300, 7, rgb),
             *small = oc_image_fit(cx, image, 64);
    oc_image_save(cx, small, user);
    oc_image_free(small);
    oc_image_free(image);
}

static void test_save(void **state)
{
    (void)state;
    char name[600];
    snprintf(name, sizeof name, "%s/picture.png", folder);
    assert_true(fault_loop(&(fault_plan){ .job = save_job, .user = name }) > 10);
    oc_context *cx = oc_context_create(NULL);
    oc_image *image = oc_image_open(cx, name, NULL);
    assert_int_equal(oc_image_width(image), 64);
    assert_int_equal(oc_image_height(image), 1);
    oc_image_free(image);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build), cmocka_unit_test(test_update),
        cmocka_unit_test(test_search), cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, start, remove_folder);
}
