/* Faults on the way from a regions.json, or a file of features, to an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/regions.h"
#include "faults.h"

static const char regions_json[] = "models/emoji-vqa/regions.json";

static void file_job(oc_context *cx, void *user)
{
    oci_regions regions;
    if (oci_regions_open(cx, &regions, user, NULL)) oci_regions_close(&regions);
}

static void features_job(oc_context *cx, void *user)
{
    oc_tensors_free(oc_regions_open(cx, user, "1"));
}

static void answer_job(oc_context *cx, void *user)
{
    const oc_answer_options how = { .size = sizeof how, .top = 3 };
    oc_model *model = oc_model_open(cx, "emoji-vqa", NULL);
    oc_image *image = oc_image_open(cx, user, NULL);
    oc_answers *answers = oc_answer_image(cx, model, "Where is the pig?", image, &how);
    oc_answers_free(answers);
    oc_image_free(image);
    oc_model_close(model);
}

static void files(void **state)
{
    (void)state;
    static char npy[] = "tests/data/io/npy/version-1.npy";
    assert_true(fault_loop(&(fault_plan){
                    .job = file_job, .user = (void *)(uintptr_t)regions_json }) >= 5);
    assert_true(fault_loop(&(fault_plan){ .job = features_job, .user = npy }) >= 10);
}

/* Thousands of requests: some of them, from the first file to the last name. A VisualBERT
 * has no image processor, so that a fault while one is looked for harms nobody. */
static void answers(void **state)
{
    (void)state;
    static char scene[] = "examples/scenes/scene-01.png";
    assert_true(fault_loop(&(fault_plan){ .job = answer_job, .user = scene, .dense = 5,
                                          .step = 97, .may_recover = true }) >= 500);
    assert_true(
        fault_loop(&(fault_plan){
            .job = answer_job, .user = scene, .file_only = true, .may_recover = true }) >=
        10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(files),
                                        cmocka_unit_test(answers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
