/* Every request of the jobs of src/io fails once, and from there on: nothing leaks, no
 * file is left half-written, no error is lost. */
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

#include "base/alloc.h"
#include "faults.h"
#include "io/json.h"
#include "io/weights.h"

static char folder[] = "/tmp/ocelli-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void open_job(oc_context *cx, void *user)
{
    oc_tensors_free(oc_tensors_open(cx, user));
}

static void map_job(oc_context *cx, void *user)
{
    oci_safetensors file;
    (void)oci_safetensors_open(cx, &file, user, true);
    oci_safetensors_close(&file);
}

static void header_job(oc_context *cx, void *user)
{
    oci_safetensors file;
    (void)oci_safetensors_open_header(cx, &file, user);
    oci_safetensors_close(&file);
}

/* A file whose tensors have to be moved to be aligned. */
static void unaligned_job(oc_context *cx, void *user)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}";
    const uint64_t length = sizeof header - 1;
    oci_safetensors file;
    (void)user;
    oci_buffer *bytes = oci_buffer_create(cx, 8 + sizeof header - 1 + 5);
    if (bytes) {
        memcpy(bytes->data, &length, 8);
        memcpy(bytes->data + 8, header, sizeof header - 1);
        memset(bytes->data + 8 + sizeof header - 1, 0, 5);
    }
    (void)oci_safetensors_parse(cx, &file, "x", bytes);
    oci_safetensors_close(&file);
}

static void json_job(oc_context *cx, void *user)
{
    oci_json doc;
    if (oci_json_open(cx, &doc, user)) oci_json_close(&doc);
}

static void weights_job(oc_context *cx, void *user)
{
    for (int map = 0; map < 2; map++) {
        oci_weights w;
        oci_weight_room room = { 0 };
        (void)oci_weights_open(cx, &w, user, NULL, map != 0);
        for (size_t i = 0; i < w.count; i++)
            (void)!oci_weight_bytes(cx, &w.refs[i], &room);
        oci_weight_room_free(&room);
        oci_weights_close(&w);
    }
}

static void save_job(oc_context *cx, void *user)
{
    oc_tensors *set = oc_tensors_create(cx);
    const int64_t shape[] = { 2, 2 };
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "t%d", i);
        oc_tensors_add(cx, set, name, OC_F32, 2, shape, NULL);
    }
    oc_tensors_save(cx, set, user);
    oc_tensors_free(set);
}

/* Beside the file that may be there lies nothing; and the
 * file is whole if it is there. */
static void check_save(oc_status status, void *user)
{
    int files = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) files += e->d_name[0] != '.';
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".tmp")) fail_msg("%s is left", e->d_name);
    closedir(d);
    bool there = access(user, F_OK) == 0;
    assert_int_equal(files, there);
    if (status == OC_OK) assert_true(there);
    if (!there) return;
    oc_context *cx = oc_context_create(NULL);
    oc_tensors *set = oc_tensors_open(cx, user);
    assert_int_equal(oc_tensors_count(set), 20);
    oc_tensors_free(set);
    oc_context_free(cx);
    unlink(user);
}

static void opening(void **state)
{
    (void)state;
    static char golden[] = "tests/data/io/dtypes.safetensors";
    assert_true(fault_loop(&(fault_plan){ .job = open_job, .user = golden }) >= 8);
    assert_true(fault_loop(&(fault_plan){ .job = map_job, .user = golden }) >= 6);
    assert_true(fault_loop(&(fault_plan){ .job = header_job, .user = golden }) >= 8);
    assert_true(fault_loop(&(fault_plan){ .job = unaligned_job }) >= 6);
}

static void parsing(void **state)
{
    (void)state;
    static char softened[] = "models/printed-line-ocr/tokenizer_config.json";
    static char plain[] = "models/printed-line-ocr/config.json";
    assert_true(fault_loop(&(fault_plan){ .job = json_job, .user = softened }) >= 6);
    assert_true(fault_loop(&(fault_plan){ .job = json_job, .user = plain }) >= 5);
}

static void weights(void **state)
{
    (void)state;
    static char model[] = "models/printed-line-ocr";
    assert_true(fault_loop(&(fault_plan){ .job = weights_job, .user = model }) >= 8);
    /* Two shards of one tensor each. */
    oc_context *cx = oc_context_create(NULL);
    FILE *index = fopen(in_folder("model.safetensors.index.json"), "w");
    assert_non_null(index);
    fputs("{\"weight_map\":{\"ln.gamma\":\"a.safetensors\",\"b\":\"b.safetensors\"}}",
          index);
    fclose(index);
    static const char *const names[] = { "ln.gamma", "b" };
    static const char *const files[] = { "a.safetensors", "b.safetensors" };
    for (int i = 0; i < 2; i++) {
        oc_tensors *set = oc_tensors_create(cx);
        oc_tensors_add(cx, set, names[i], OC_F32, 0, NULL, NULL);
        assert_int_equal(oc_tensors_save(cx, set, in_folder(files[i])), OC_OK);
        oc_tensors_free(set);
    }
    oc_context_free(cx);
    assert_true(fault_loop(&(fault_plan){ .job = weights_job, .user = folder }) >= 16);
    unlink(in_folder(files[0]));
    unlink(in_folder(files[1]));
    unlink(in_folder("model.safetensors.index.json"));
}

static void saving(void **state)
{
    (void)state;
    static char path[512];
    snprintf(path, sizeof path, "%s", in_folder("x.st"));
    assert_true(fault_loop(&(fault_plan){ .job = save_job, .check = check_save,
                                          .user = path }) >= 50);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening),
        cmocka_unit_test(parsing),
        cmocka_unit_test(weights),
        cmocka_unit_test(saving),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
