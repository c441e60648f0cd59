/* Twenty steps of SGD and of AdamW follow PyTorch's losses and end at its parameters
 * (tests/data/models/train_*). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cpu.h"
#include "ocelli.h"

enum { BATCHES = 3 };

static oc_tensors *batch_of(oc_context *cx, const oc_tensors *all, int index)
{
    oc_tensors *batch = oc_tensors_create(cx);
    static const char *const names[] = { "pixel_values", "labels" };
    for (int i = 0; i < 2; i++) {
        char name[64];
        oc_tensor_view v;
        snprintf(name, sizeof name, "%s.%d", names[i], index);
        assert_true(oc_tensors_find(all, name, &v));
        oc_tensors_add(cx, batch, names[i], v.dtype, v.rank, v.shape, v.data);
    }
    return batch;
}

static double hyper(const json_t *golden, const char *name)
{
    return json_number_value(json_object_get(json_object_get(golden, "hyper"), name));
}

/* The keys' biases have no gradient but rounding noise, which
 * AdamW makes full steps of. */
static bool is_noise(const char *name)
{
    return strstr(name, "key.bias") || strstr(name, "k_proj.bias");
}

static void check_final(oc_context *cx, const oc_model *model, const char *path)
{
    char folder[] = "/tmp/ocelli-train-XXXXXX", file[128];
    assert_non_null(mkdtemp(folder));
    oc_model_save(cx, model, folder, NULL);
    snprintf(file, sizeof file, "%s/model.safetensors", folder);
    oc_tensors *want = oc_tensors_open(cx, path), *got = oc_tensors_open(cx, file);
    assert_int_equal(oc_context_status(cx), OC_OK);
    for (size_t i = 0; i < oc_tensors_count(want); i++) {
        oc_tensor_view a = oc_tensors_get(want, i), b;
        assert_true(oc_tensors_find(got, a.name, &b));
        for (size_t k = 0; k < a.bytes / 4 && !is_noise(a.name); k++)
            if (fabs((double)((const float *)a.data)[k] -
                     (double)((const float *)b.data)[k]) > 2e-5)
                fail_msg("%s[%zu]", a.name, k);
    }
    oc_tensors_free(want);
    oc_tensors_free(got);
    static const char *const written[] = { "model.safetensors", "config.json",
                                           "generation_config.json" };
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, written[i]);
        remove(file);
    }
    assert_int_equal(remove(folder), 0);        /* nothing else was left there */
}

static void check(const char *folder, oc_optimizer optimizer, oc_isa isa, int threads)
{
    char path[256];
    const char *name = optimizer == OC_ADAMW ? "adamw" : "sgd";
    if (!oci_cpu_has_isa(isa)) return;
    snprintf(path, sizeof path, "%s/train_%s.json", folder, name);
    json_t *golden = json_load_file(path, 0, NULL);
    oc_context_options co = OC_OPTIONS(oc_context_options, .isa = isa,
                                       .threads = threads);
    oc_context *cx = oc_context_create(&co);
    snprintf(path, sizeof path, "%s/train.batches.safetensors", folder);
    oc_tensors *all = oc_tensors_open(cx, path), *batch[BATCHES];
    for (int i = 0; i < BATCHES; i++) batch[i] = batch_of(cx, all, i);
    oc_model_options mo = OC_OPTIONS(oc_model_options, .trainable = true,
                                     .weights_only = true);
    oc_model *model = oc_model_open(cx, folder, &mo);
    oc_trainer_options to = OC_OPTIONS(oc_trainer_options, .optimizer = optimizer,
                                       .learning_rate = hyper(golden, "lr"),
                                       .weight_decay = hyper(golden, "weight_decay"));
    oc_trainer *trainer = oc_trainer_create(cx, model, &to);
    const json_t *losses = json_object_get(golden, "losses");
    assert_true(json_array_size(losses) == 20);
    for (size_t i = 0; i < json_array_size(losses); i++) {
        float loss = 0;
        double want = json_number_value(json_array_get(losses, i));
        assert_int_equal(oc_trainer_step(cx, trainer, batch[i % BATCHES], &loss), OC_OK);
        if (fabs((double)loss - want) > 1e-5 * want)
            fail_msg("%s %s step %zu: %.9g, PyTorch %.9g", folder, name, i, (double)loss,
                     want);
    }
    snprintf(path, sizeof path, "%s/train_%s.final.safetensors", folder, name);
    FILE *final = fopen(path, "rb");
    if (final) {
        fclose(final);
        check_final(cx, model, path);
    }
    oc_trainer_free(trainer);
    oc_model_close(model);
    for (int i = 0; i < BATCHES; i++) oc_tensors_free(batch[i]);
    oc_tensors_free(all);
    oc_context_free(cx);
    json_decref(golden);
}

static void check_everywhere(oc_optimizer optimizer)
{
    static const char *const folders[] = { "tests/data/models/train_learned",
                                           "tests/data/models/train_sinusoidal" };
    for (int i = 0; i < 2; i++) {
        check(folders[i], optimizer, OC_ISA_GENERIC, 1);
        check(folders[i], optimizer, OC_ISA_AVX2, 2);
        check(folders[i], optimizer, OC_ISA_AVX512, 3);
    }
}

static void test_sgd(void **state) { (void)state; check_everywhere(OC_SGD); }
static void test_adamw(void **state) { (void)state; check_everywhere(OC_ADAMW); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sgd),
                                        cmocka_unit_test(test_adamw) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
