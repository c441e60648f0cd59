/* Every request of the readers of arrays (src/io/npy.c, zip.c, regions_tsv.c) and of the
 * writer fails once, and from there on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults.h"
#include "io/npy.h"
#include "io/regions_tsv.h"

#define DATA "tests/data/io/npy/"

static char folder[] = "/tmp/ocelli-test-XXXXXX";

static void npy_job(oc_context *cx, void *user)
{
    oc_tensors_free(oci_npy_open(cx, user, "x"));
}

static void npz_job(oc_context *cx, void *user)
{
    oc_tensors_free(oci_npz_open(cx, user));
}

static void tsv_job(oc_context *cx, void *user)
{
    oc_tensors_free(oci_tsv_open(cx, user, "123"));
}

static void save_job(oc_context *cx, void *user)
{
    oc_tensors *set = oc_tensors_create(cx);
    oc_tensors_add(cx, set, "x", OC_F32, 1, (const int64_t[]){ 7 }, NULL);
    oc_npy_save(cx, set, "x", user);
    oc_tensors_free(set);
}

static void check_save(oc_status status, void *user)
{
    if (status == OC_OK) assert_int_equal(access(user, F_OK), 0);
    unlink(user);
    assert_int_equal(rmdir(folder), 0);         /* nothing else was left in it */
    assert_true(mkdtemp(strcpy(folder, "/tmp/ocelli-test-XXXXXX")) != NULL);
    snprintf(user, 64, "%s/x.npy", folder);
}

static void reading(void **state)
{
    (void)state;
    static char npy[] = DATA "version-1.npy", stored[] = DATA "stored.npz",
                deflated[] = DATA "deflated.npz", tsv[] = DATA "regions.tsv";
    assert_true(fault_loop(&(fault_plan){ .job = npy_job, .user = npy }) >= 6);
    assert_true(fault_loop(&(fault_plan){ .job = npz_job, .user = stored }) >= 150);
    assert_true(fault_loop(&(fault_plan){ .job = npz_job, .user = deflated }) >= 150);
    assert_true(fault_loop(&(fault_plan){ .job = tsv_job, .user = tsv }) >= 10);
}

static void writing(void **state)
{
    (void)state;
    static char path[64];
    assert_true(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/x.npy", folder);
    assert_true(fault_loop(&(fault_plan){ .job = save_job, .check = check_save,
                                          .user = path }) >= 8);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading), cmocka_unit_test(writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
