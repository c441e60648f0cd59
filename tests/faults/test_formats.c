/* Every request of the readers and writers of weight files (src/io/torch_file.c, keras.c,
 * flax.c, zip.c, pickle.c, weight_save.c) fails once, and from there on. */
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

#include "faults.h"
#include "io/weight_save.h"

#define FORMATS "tests/data/io/formats/"

static char folder[] = "/tmp/ocelli-test-XXXXXX";

typedef struct reading {
    const char *path;
    bool map;
} reading;

static void read_job(oc_context *cx, void *user)
{
    const reading *r = user;
    oci_weight_file file;
    if (!oci_weight_file_open(cx, &file, oci_weight_format_of(r->path), r->path, false,
                              r->map))
        return;
    for (size_t i = 0; i < file.count; i++) {
        void *to = oci_alloc(cx, file.entries[i].bytes);
        if (to) file.format->read(cx, &file, &file.entries[i], to);
        oci_free(to);
    }
    oci_weight_file_close(&file);
}

static void reading_all(void **state)
{
    (void)state;
    static const char *const paths[] = { FORMATS "zip.bin", FORMATS "legacy.bin",
                                         FORMATS "keras-plain.h5",
                                         FORMATS "flax.msgpack" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (int map = 0; map < 2; map++) {
            reading r = { paths[i], map != 0 };
            assert_true(fault_loop(&(fault_plan){ .job = read_job, .user = &r }) >= 10);
        }
}

static void save_job(oc_context *cx, void *user)
{
    static const float numbers[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    static const int64_t shape[] = { 2, 2 };
    const oci_save_tensor tensors[] = {
        { "a/m/kernel", OC_F32, 2, shape, numbers, 16, NULL },
        { "b/m/kernel", OC_F16, 2, shape, numbers, 8, NULL },
        { "c/m/kernel", OC_F32, 2, shape, numbers + 4, 16, NULL },
    };
    oci_weights_save(cx, folder, oci_weight_format_by(user), tensors, 3, 20, NULL);
    oci_weights_save(cx, folder, oci_weight_format_by(user), tensors, 3, 1000, NULL);
}

/* What is there can be opened; nothing temporary is left. */
static void check_saved(oc_status status, void *user)
{
    oc_context *cx = oc_context_create(NULL);
    char path[512];
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const oci_weight_format *format = oci_weight_format_of(e->d_name);
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (e->d_name[0] == '.') fail_msg("%s is left", e->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        oci_weight_file file;
        if (format) {
            if (!oci_weight_file_open(cx, &file, format, path, true, false))
                fail_msg("%s", oc_context_message(cx));
            oci_weight_file_close(&file);
        }
        unlink(path);
    }
    closedir(d);
    (void)status;
    (void)user;
    oc_context_free(cx);
}

static void saving_all(void **state)
{
    (void)state;
    static char formats[][16] = { ".safetensors", ".bin", ".h5", ".msgpack" };
    for (size_t i = 0; i < 4; i++)
        assert_true(fault_loop(&(fault_plan){ .job = save_job, .user = formats[i],
                                              .check = check_saved, .step = 3,
                                              .dense = 60 }) >= 30);
}

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(folder);
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_all),
        cmocka_unit_test(saving_all),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
