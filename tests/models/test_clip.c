/* A whole CLIP's folder opened as one of its parts, configs
 * that are wrong, and faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define CASE "tests/data/models/clip_model"

static void must(oc_context *cx, const char *what)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s: %s", what, oc_context_message(cx));
}

static oc_model *open_as(oc_context *cx, const char *name, const char *class_name)
{
    oc_model_options o = OC_OPTIONS(oc_model_options, .class_name = class_name,
                                    .weights_only = true);
    oc_model *model = oc_model_open(cx, name, &o);
    must(cx, class_name ? class_name : name);
    return model;
}

static int64_t parameters(oc_context *cx, const char *class_name)
{
    oc_model *model = open_as(cx, work_folder, class_name);
    int64_t count = oc_model_parameters(cx, model);
    oc_model_close(model);
    return count;
}

/* One part's parameters, and with it the projection that its class has. */
static void parts_load_alone(void **state)
{
    (void)state;
    enum { E = 7, VISION = 18, TEXT = 20 };
    oc_context *cx = oc_context_create(NULL);
    int64_t whole = parameters(cx, NULL), vision = parameters(cx, "CLIPVisionModel");
    int64_t text = parameters(cx, "CLIPTextModel");
    assert_int_equal(parameters(cx, "CLIPModel"), whole);
    assert_int_equal(vision + text + E * VISION + E * TEXT + 1, whole);  /* logit_scale */
    assert_int_equal(parameters(cx, "CLIPVisionModelWithProjection"),
                     vision + E * VISION);
    assert_int_equal(parameters(cx, "CLIPTextModelWithProjection"), text + E * TEXT);
    oc_context_free(cx);
}

static void same(const oc_tensors *a, const oc_tensors *b, const char *name)
{
    oc_tensor_view x, y;
    assert_true(oc_tensors_find(a, name, &x) && oc_tensors_find(b, name, &y));
    assert_int_equal(x.bytes, y.bytes);
    assert_memory_equal(x.data, y.data, x.bytes);
}

/* As the whole answers for it; saved and opened again, too; and no other class runs. */
static void a_part_answers_as_the_whole(void **state)
{
    (void)state;
    char copy[128];
    oc_context *cx = oc_context_create(NULL);
    oc_tensors *in = oc_tensors_open(cx, CASE "/vision.in.safetensors");
    oc_forward_options o = OC_OPTIONS(oc_forward_options,
                                      .class_name = "CLIPVisionModel");
    oc_model *whole = open_as(cx, work_folder, NULL);
    oc_model *part = open_as(cx, work_folder, "CLIPVisionModel");
    oc_tensors *want = oc_forward(cx, whole, in, &o),
               *got = oc_forward(cx, part, in, NULL);
    must(cx, "forward");
    same(want, got, "pooler_output");
    oc_tensors_free(got);
    snprintf(copy, sizeof copy, "%s/part", work_folder);
    oc_model_save(cx, part, copy, NULL);
    oc_model_close(part);
    part = open_as(cx, copy, NULL);
    got = oc_forward(cx, part, in, NULL);
    must(cx, "saved part");
    same(want, got, "pooler_output");
    o.class_name = "CLIPVisionModelWithProjection";
    assert_null(oc_forward(cx, part, in, &o));
    assert_non_null(strstr(oc_context_message(cx), "visual_projection"));
    oc_context_clear(cx);
    oc_tensors *ids = oc_tensors_open(cx, CASE "/text.in.safetensors");
    o.class_name = "CLIPTextModel";
    assert_null(oc_forward(cx, part, ids, &o));
    assert_int_equal(oc_context_status(cx), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_tensors_free(ids);
    oc_tensors_free(got);
    oc_tensors_free(want);
    oc_tensors_free(in);
    oc_model_close(part);
    oc_model_close(whole);
    oc_context_free(cx);
}

static void wrong_configs(void **state)
{
    (void)state;
    static const struct { const char *config, *words; oc_status status; } wrong[] = {
        { "{\"model_type\":\"clip_vision_model\",\"patch_size\":300}", "patch_size",
          OC_E_MALFORMED },
        { "{\"model_type\":\"clip_vision_model\",\"image_size\":[224,224]}", "image_size",
          OC_E_MALFORMED },
        { "{\"model_type\":\"clip_vision_model\",\"num_attention_heads\":7}",
          "num_attention_heads", OC_E_MALFORMED },
        { "{\"model_type\":\"clip_text_model\",\"eos_token_id\":null}", "eos_token_id",
          OC_E_MALFORMED },
        { "{\"model_type\":\"clip_text_model\",\"hidden_act\":\"square\"}", "hidden_act",
          OC_E_UNSUPPORTED },
        { "{\"model_type\":\"clip\",\"text_config\":3}", "text_config", OC_E_MALFORMED },
        { "{\"model_type\":\"clip\",\"vision_config\":{\"patch_size\":9}, "
          "\"vision_config_dict\":{\"patch_size\":0}}", "vision_config_dict.patch_size",
          OC_E_MALFORMED },
        { "{\"model_type\":\"clip\",\"projection_dim\":0}", "projection_dim",
          OC_E_MALFORMED },
        { "{\"model_type\":\"vision-encoder-decoder\","
          "\"encoder\":{\"model_type\":\"clip\"},\"decoder\":{\"model_type\":\"trocr\"}}",
          "encoder.model_type", OC_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        oc_context *cx = oc_context_create(NULL);
        oc_model *model = oc_model_create(cx, wrong[i].config, NULL);
        if (model || oc_context_status(cx) != wrong[i].status ||
            !strstr(oc_context_message(cx), wrong[i].words))
            fail_msg("%s: %s", wrong[i].config, oc_context_message(cx));
        assert_true(oc_context_memory(cx).live_count <= 8);     /* the arena's blocks */
        oc_context_free(cx);
    }
}

/* Opening, the loss and its gradients. */
static void job(oc_context *cx, void *user)
{
    oc_model_options open = OC_OPTIONS(oc_model_options, .trainable = true,
                                       .weights_only = true);
    oc_forward_options o = OC_OPTIONS(oc_forward_options, .gradients = true);
    oc_tensors *in = oc_tensors_open(cx, CASE "/loss_grad.in.safetensors");
    oc_model *model = oc_model_open(cx, user, &open);
    oc_tensors_free(oc_forward(cx, model, in, &o));
    oc_model_close(model);
    oc_tensors_free(in);
}

static void faults_leave_nothing(void **state)
{
    (void)state;
    long asked = fault_loop(&(fault_plan){ .job = job, .user = work_folder, .step = 11,
                                           .dense = 60 });
    assert_true(asked > 200);
}

static int set_up(void **state)
{
    if (make_work_folder(state)) return -1;
    oc_context *cx = oc_context_create(NULL);
    bool made = seeded_save(cx, CASE, work_folder);
    oc_context_free(cx);
    return made ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_load_alone), cmocka_unit_test(a_part_answers_as_the_whole),
        cmocka_unit_test(wrong_configs), cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, remove_work_folder);
}
