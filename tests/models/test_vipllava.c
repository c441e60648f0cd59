/* ViP-LLaVA beyond the goldens: defaults of its config, three layouts of names, and what
 * is refused before there are weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "models/make.h"
#include "models/vipllava.h"
#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define CASE "tests/data/models/vipllava_base"

/* ---- config ---- */

static json_t *base_config(void)
{
    json_t *config = json_load_file(CASE "/config.json", 0, NULL);
    assert_non_null(config);
    return config;
}

/* Opens the slots of a model with this config; takes the config. */
static bool open_config(oc_context *cx, json_t *config, oci_model *model)
{
    char *text = json_dumps(config, 0);
    *model = (oci_model){ 0 };
    assert_true(oci_json_parse(cx, &model->config, "config.json", text, strlen(text)));
    free(text);
    json_decref(config);
    return oci_model_open_config(cx, model);
}

/* No parts at all: the sizes of the 7B's language model and of
 * CLIP's large tower at 336. */
static void defaults_of_parts(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oci_model model;
    assert_true(open_config(cx, json_pack("{s:s}", "model_type", "vipllava"), &model));
    const oci_vipllava *m = model.root;
    assert_int_equal(m->vision.cfg.hidden_size, 1024);
    assert_int_equal(m->vision.cfg.num_hidden_layers, 24);
    assert_int_equal(m->vision.cfg.patch_size, 14);
    assert_int_equal(m->language.cfg.hidden_size, 4096);
    assert_int_equal(m->language.cfg.num_key_value_heads, 32);
    assert_int_equal(m->cfg.image_token_index, 32000);
    assert_int_equal(m->cfg.pad_token_id, -1);
    assert_int_equal(m->cfg.vision_feature_layers.count, 5);
    assert_int_equal(m->cfg.vision_feature_layers.at[3], -11);
    oci_model_unload(&model);
    /* An empty vision_config is CLIP's own default, a smaller one: 12 layers, no -14. */
    json_t *config = json_pack("{s:s, s:{}, s:[i]}", "model_type", "vipllava",
                               "vision_config", "vision_feature_layers", -13);
    assert_true(open_config(cx, config, &model));
    m = model.root;
    assert_int_equal(m->vision.cfg.hidden_size, 768);
    oci_model_unload(&model);
    oc_context_free(cx);
}

typedef struct fault {
    const char *part, *key, *value;     /* part NULL: the top */
    const char *said;
} fault;

static void faults_of_configs(void **state)
{
    (void)state;
    static const fault faults[] = {
        { NULL, "vision_feature_layers", "[4]", "vision_feature_layers" },
        { NULL, "vision_feature_layers", "[-5]", "vision_feature_layers" },
        { NULL, "vision_feature_layers", "[]", "vision_feature_layers" },
        { NULL, "vision_feature_layers", "-2", "vision_feature_layers" },
        { NULL, "image_token_index", "-1", "image_token_index" },
        { NULL, "projector_hidden_act", "\"gulu\"", "projector_hidden_act" },
        { NULL, "vision_config", "3", "vision_config" },
        { "vision_config", "model_type", "\"vit\"", "vision_config.model_type" },
        { "text_config", "model_type", "\"mistral\"", "text_config.model_type" },
        { "text_config", "num_key_value_heads", "3", "num_key_value_heads" },
        { "text_config", "hidden_size", "12", "hidden_size" },          /* heads of 3 */
        { "text_config", "pad_token_id", "24", "pad_token_id" },
        { "text_config", "rope_scaling", "{\"type\": \"yarn\", \"factor\": 2.0}",
          "rope" },
        { "text_config", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}",
          "rope" },
        { "text_config", "rope_scaling", "{\"type\": \"linear\", \"factor\": 1.0}",
          "rope" },
        { "text_config", "rope_scaling", "{\"type\": \"linear\"}", "rope_scaling" },
        { "text_config", "rope_scaling", "3", "rope_scaling" },
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const fault *f = &faults[i];
        oc_context *cx = oc_context_create(NULL);
        json_t *config = base_config();
        json_t *part = f->part ? json_object_get(config, f->part) : config;
        json_object_set_new(part, f->key, json_loads(f->value, JSON_DECODE_ANY, NULL));
        oci_model model;
        if (open_config(cx, config, &model))
            fail_msg("%s %s was taken", f->key, f->value);
        if (!strstr(oc_context_message(cx), f->said))
            fail_msg("%s %s: %s", f->key, f->value, oc_context_message(cx));
        oc_context_free(cx);
    }
}

/* resize_token_embeddings: table and head follow, the config at both its places. */
static void tokens_are_resized(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    json_t *config = base_config();
    json_object_set_new(config, "vocab_size", json_integer(24));
    char *text = json_dumps(config, 0);
    oc_model *model = oc_model_create(cx, text, NULL);
    assert_non_null(model);
    int64_t before = oc_model_parameters(cx, model);
    assert_int_equal(oc_model_resize_tokens(cx, model, 30, 0, 1), OC_OK);
    assert_int_equal(oc_model_parameters(cx, model), before + 2 * 6 * 16);
    char path[96];
    snprintf(path, sizeof path, "%s/resized", work_folder);
    assert_int_equal(oc_model_save(cx, model, path, NULL), OC_OK);
    strcat(path, "/config.json");
    json_t *found = json_load_file(path, 0, NULL);
    const json_t *part = json_object_get(found, "text_config");
    assert_int_equal(json_integer_value(json_object_get(found, "vocab_size")), 30);
    assert_int_equal(json_integer_value(json_object_get(part, "vocab_size")), 30);
    json_decref(found);
    json_decref(config);
    free(text);
    oc_model_close(model);
    oc_context_free(cx);
}

/* Layers for a call: as many as the projector's width is made for, and of the tower. */
static void layers_of_a_call(void **state)
{
    (void)state;
    static const int64_t layers[] = { -1, -2, -3, -4, -5, -6 };
    static const char want[] = "input vision_feature_layers: expected 5 layers, which "
                               "the projector takes, found ";
    char own[64];
    oc_context *cx = oc_context_create(NULL);
    snprintf(own, sizeof own, "%s/layers", work_folder);
    assert_true(seeded_save(cx, CASE, own));
    oc_model *model = oc_model_open(cx, own, NULL);
    for (int64_t n = 1; n <= 6; n++) {
        oc_tensors *in = oc_tensors_open(cx, CASE "/left.in.safetensors");
        oc_tensors_add(cx, in, "vision_feature_layers", OC_I64, 1, &n,
                       n == 5 ? (const int64_t[]){ 0, 0, 0, 0, 0 } : layers);
        oc_tensors *out = oc_forward(cx, model, in, NULL);
        oc_tensors_free(in);
        if (n == 5 && !out) fail_msg("%s", oc_context_message(cx));
        if (n != 5) {
            assert_null(out);
            assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
            assert_int_equal(strncmp(oc_context_message(cx), want, strlen(want)), 0);
            oc_context_clear(cx);
        }
        oc_tensors_free(out);
    }
    oc_model_close(model);
    oc_context_free(cx);
}

/* ---- layouts ---- */

typedef struct rename_pair { const char *from, *to; } rename_pair;

/* The first that fits. */
static const rename_pair authors[] = {
    { "vision_tower.", "model.vision_tower.vision_tower." },
    { "multi_modal_projector.projector_layernorm.",
      "model.mm_projector.clip_layernorm." },
    { "multi_modal_projector.linear_1.", "model.mm_projector.final_linear.0." },
    { "multi_modal_projector.linear_2.", "model.mm_projector.final_linear.2." },
    { "language_model.model.", "model." }, { "language_model.", "" }, { NULL, NULL }
};
static const rename_pair later[] = {
    { "vision_tower.", "model.vision_tower." },
    { "multi_modal_projector.", "model.multi_modal_projector." },
    { "language_model.model.", "model.language_model." }, { "language_model.", "" },
    { NULL, NULL }
};

static void write_layout(oc_context *cx, const rename_pair *pairs)
{
    char path[128], name[256];
    snprintf(path, sizeof path, "%s/own/model.safetensors", work_folder);
    oc_tensors *own = oc_tensors_open(cx, path), *other = oc_tensors_create(cx);
    assert_non_null(own);
    for (size_t i = 0; i < oc_tensors_count(own); i++) {
        oc_tensor_view v = oc_tensors_get(own, i);
        const rename_pair *p = pairs;
        while (p->from && strncmp(v.name, p->from, strlen(p->from))) p++;
        assert_non_null(p->from);
        snprintf(name, sizeof name, "%s%s", p->to, v.name + strlen(p->from));
        oc_tensors_add(cx, other, name, v.dtype, v.rank, v.shape, v.data);
    }
    snprintf(path, sizeof path, "%s/other/model.safetensors", work_folder);
    assert_int_equal(oc_tensors_save(cx, other, path), OC_OK);
    oc_tensors_free(own);
    oc_tensors_free(other);
}

static oc_tensors *answer(oc_context *cx, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", work_folder, name);
    oc_model *model = oc_model_open(cx, path, NULL);
    if (!model) fail_msg("%s: %s", name, oc_context_message(cx));
    oc_tensors *in = oc_tensors_open(cx, CASE "/left.in.safetensors");
    oc_tensors *out = oc_forward(cx, model, in, NULL);
    oc_tensors_free(in);
    oc_model_close(model);
    assert_non_null(out);
    return out;
}

static void three_layouts(void **state)
{
    (void)state;
    static const rename_pair *const layouts[] = { authors, later };
    char own[64], command[256];
    oc_tensor_view a, b;
    oc_context *cx = oc_context_create(NULL);
    snprintf(own, sizeof own, "%s/own", work_folder);
    assert_true(seeded_save(cx, CASE, own));
    snprintf(command, sizeof command, "mkdir %s/other && cp %s/config.json %s/other",
             work_folder, own, work_folder);
    assert_int_equal(system(command), 0);
    oc_tensors *want = answer(cx, "own");
    for (int i = 0; i < 2; i++) {
        write_layout(cx, layouts[i]);
        oc_tensors *got = answer(cx, "other");
        assert_true(oc_tensors_find(want, "logits", &a) &&
                    oc_tensors_find(got, "logits", &b));
        assert_int_equal(a.bytes, b.bytes);
        assert_memory_equal(a.data, b.data, a.bytes);
        oc_tensors_free(got);
    }
    oc_tensors_free(want);
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_of_parts), cmocka_unit_test(faults_of_configs),
        cmocka_unit_test(tokens_are_resized),
        cmocka_unit_test(layers_of_a_call), cmocka_unit_test(three_layouts),
    };
    return cmocka_run_group_tests(tests, make_work_folder, remove_work_folder);
}
