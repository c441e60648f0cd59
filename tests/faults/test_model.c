/* Memory and file faults at every point of opening, generating, training and saving a
 * model, and of reading a picture with the bundled one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"

#define TINY "tests/data/models/ved_base"

static void job_generate(oc_context *cx, void *user)
{
    (void)user;
    /* A tokenizer that cannot be opened is kept as the
     * tokenizer's error: no ids need it. */
    oc_model_options mo = OC_OPTIONS(oc_model_options, .weights_only = true);
    oc_model *model = oc_model_open(cx, TINY, &mo);
    oc_tensors *in =
        oc_tensors_open(cx, "tests/data/models/ved_base/ids_b1_t1.in.safetensors");
    oc_tensor_view v;
    oc_tensors *pixels = oc_tensors_create(cx);
    if (in && pixels && oc_tensors_find(in, "pixel_values", &v))
        oc_tensors_add(cx, pixels, v.name, v.dtype, v.rank, v.shape, v.data);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .output_scores = true,
                                       .config = "{\"max_new_tokens\":3}");
    oc_tensors_free(oc_generate(cx, model, pixels, &o));
    oc_tensors_free(pixels);
    oc_tensors_free(in);
    oc_model_close(model);
}

/* From a page to JSON, prompt and all. */
static void job_parse(oc_context *cx, void *user)
{
    (void)user;
    oc_model *model = oc_model_open(cx, "tests/data/documents/donut-tiny", NULL);
    oc_image *image = oc_image_open(cx, "examples/lines/fox.png", NULL);
    oc_parse_options o = OC_OPTIONS(oc_parse_options, .question = "What is the total?",
                                    .config = "{\"max_new_tokens\":3}");
    oc_texts_free(oc_parse(cx, model, &image, 1, &o));
    oc_image_free(image);
    oc_model_close(model);
}

static void job_train_and_save(oc_context *cx, void *user)
{
    oc_model_options mo = OC_OPTIONS(oc_model_options, .trainable = true,
                                     .weights_only = true);
    oc_model *model = oc_model_open(cx, TINY, &mo);
    oc_tensors *in = oc_tensors_open(cx,
                                     "tests/data/models/ved_base/labels.in.safetensors");
    oc_trainer_options to = OC_OPTIONS(oc_trainer_options, .optimizer = OC_ADAMW);
    oc_trainer *trainer = oc_trainer_create(cx, model, &to);
    float loss;
    oc_trainer_step(cx, trainer, in, &loss);
    oc_forward_options fo = OC_OPTIONS(oc_forward_options, .gradients = true,
                                       .output_hidden_states = true, .use_cache = true);
    oc_tensors_free(oc_forward(cx, model, in, &fo));
    oc_model_save(cx, model, user, NULL);
    oc_trainer_free(trainer);
    oc_tensors_free(in);
    oc_model_close(model);
}

/* A folder is whole once it has a config; the files in it never are half. */
static void check_saved(oc_status status, void *user)
{
    char path[256], stray[256];
    oc_context *cx = oc_context_create(NULL);
    snprintf(path, sizeof path, "%s/model.safetensors", (const char *)user);
    if (access(path, F_OK) == 0) {
        oc_tensors *set = oc_tensors_open(cx, path);
        if (!set) fail_msg("%s", oc_context_message(cx));
        oc_tensors_free(set);
    } else {
        assert_int_not_equal(status, OC_OK);
    }
    oc_context_free(cx);
    snprintf(stray, sizeof stray, "ls -A %s 2>/dev/null | grep -qvxE "
             "'(generation_)?config[.]json|model[.]safetensors'", (const char *)user);
    assert_int_not_equal(system(stray), 0);
    snprintf(stray, sizeof stray, "rm -rf %s", (const char *)user);
    assert_int_equal(system(stray), 0);
}

static void job_read(oc_context *cx, void *user)
{
    (void)user;
    oc_model *model = oc_model_open(cx, "models/printed-line-ocr", NULL);
    oc_image *image = oc_image_open(cx, "tests/data/lines/line.png", NULL);
    oc_read_options o = OC_OPTIONS(oc_read_options, .config = "{\"max_new_tokens\":4}");
    oc_texts_free(oc_read(cx, model, &image, 1, &o));
    oc_image_free(image);
    oc_model_close(model);
}

static void test_generate(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job_generate, .step = 7, .dense = 60 });
}

static void test_train_and_save(void **state)
{
    (void)state;
    char folder[] = "/tmp/ocelli-faults-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(rmdir(folder), 0);
    fault_loop(&(fault_plan){ .job = job_train_and_save, .check = check_saved,
                              .user = folder, .step = 11, .dense = 40 });
    fault_loop(&(fault_plan){ .job = job_train_and_save, .check = check_saved,
                              .user = folder, .file_only = true });
}

static void test_read(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job_read, .step = 97, .dense = 12 });
    fault_loop(&(fault_plan){ .job = job_read, .file_only = true });
}

static void test_parse(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job_parse, .step = 7, .dense = 12 });
    fault_loop(&(fault_plan){ .job = job_parse, .file_only = true });
}

/* A budget is a fault like any other. */
static void test_budget(void **state)
{
    (void)state;
    for (uint64_t budget = 1 << 20; budget <= 64 << 20; budget *= 2) {
        oc_context_options o = OC_OPTIONS(oc_context_options, .memory_budget = budget);
        oc_context *cx = oc_context_create(&o);
        job_read(cx, NULL);
        oc_status status = oc_context_status(cx);
        assert_true(status == OC_OK || status == OC_E_MEMORY);
        if (budget == 64 << 20) assert_int_equal(status, OC_OK);
        assert_true(oc_context_memory(cx).peak_bytes <= budget);
        oc_context_free(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generate), cmocka_unit_test(test_train_and_save),
        cmocka_unit_test(test_read), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
