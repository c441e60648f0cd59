/* Dual encoders that no folder has: joined of two towers, a CLIP's among them, saved and
 * opened again; the locked-image form; what has no answer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "faults/faults.h"
#include "ocelli.h"
#include "support/folder.h"

#define DATA "tests/data/models/"
#define KIND "\"model_type\":\"vision-text-dual-encoder\""

static void must(oc_context *cx, const char *what)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s: %s", what, oc_context_message(cx));
}

static void refused(oc_context *cx, const void *result, oc_status status,
                    const char *words)
{
    assert_null(result);
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), words))
        fail_msg("expected %s with '%s', found %s: %s", oc_status_name(status), words,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

/* ---- configs ---- */

static int64_t number(const json_t *config, const char *part, const char *key)
{
    const json_t *from = part ? json_object_get(config, part) : config;
    return json_integer_value(json_object_get(from, key));
}

static void options_are_routed(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    char *text = oc_config_join(cx, "{\"model_type\":\"clip\",\"projection_dim\":9,"
        "\"vision_config\":{\"hidden_size\":8},\"text_config\":{\"hidden_size\":7}}",
        "{\"model_type\":\"bert\"}", "{" KIND ",\"vision_image_size\":12,"
        "\"text_vocab_size\":7,\"projection_dim\":5,\"logit_scale_init_value\":1.5}");
    must(cx, "join");
    json_t *config = json_loads(text, 0, NULL);
    const json_t *vision = json_object_get(config, "vision_config");
    assert_string_equal(json_string_value(json_object_get(vision, "model_type")),
                        "clip_vision_model");
    assert_int_equal(number(config, "vision_config", "hidden_size"), 8);
    assert_int_equal(number(config, "vision_config", "image_size"), 12);
    assert_int_equal(number(config, "text_config", "vocab_size"), 7);
    assert_int_equal(number(config, NULL, "projection_dim"), 5);
    assert_true(json_real_value(json_object_get(config, "logit_scale_init_value")) ==
                1.5);
    assert_null(json_object_get(config, "is_encoder_decoder"));
    assert_null(json_object_get(json_object_get(config, "text_config"), "is_decoder"));
    json_decref(config);
    oc_string_free(text);
    refused(cx, oc_config_join(cx, "{}", "{}", "{\"model_type\":\"clip\"}"),
            OC_E_UNSUPPORTED, "vision-text-dual-encoder, found clip");
    oc_context_free(cx);
}

static void configs_are_checked(void **state)
{
    (void)state;
    static const struct { const char *config, *words; oc_status status; } cases[] = {
        { "{" KIND "}", "vision_config: required", OC_E_MALFORMED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"vit\"}}",
          "text_config: required", OC_E_MALFORMED },
        { "{" KIND ",\"vision_config\":{}}", "vision_config.model_type: required",
          OC_E_MALFORMED },
        { "{" KIND ",\"vision_config\":7}", "vision_config: expected an object",
          OC_E_MALFORMED },
        { "{" KIND ",\"projection_dim\":0}", "projection_dim", OC_E_MALFORMED },
        { "{" KIND ",\"logit_scale_init_value\":\"x\"}", "logit_scale_init_value",
          OC_E_MALFORMED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"gpt2\"}}", "as the vision tower",
          OC_E_UNSUPPORTED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"vit\"},"
          "\"text_config\":{\"model_type\":\"clip\"}}", "as the text tower",
          OC_E_UNSUPPORTED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"vit\"},"
          "\"text_config\":{\"model_type\":\"gpt2\"}}", "camembert, distilbert, found "
                                                        "\"gpt2\"",
          OC_E_UNSUPPORTED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"vit\",\"hidden_size\":-1}}",
          "vision_config.hidden_size", OC_E_MALFORMED },
        { "{" KIND ",\"vision_config\":{\"model_type\":\"clip\",\"vision_config\":"
          "{\"hidden_size\":-1}}}", "vision_config.vision_config.hidden_size",
          OC_E_MALFORMED },
    };
    oc_context *cx = oc_context_create(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cx, oc_model_create(cx, cases[i].config, NULL), cases[i].status,
                cases[i].words);
    oc_context_free(cx);
}

/* ---- joining ---- */

/* A folder with a whole CLIP's config, and of its weights the vision tower. */
static void make_clip(oc_context *cx, char path[128])
{
    static const char tower[] =
        "{\"model_type\":\"clip_vision_model\",\"hidden_size\":12,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":3,"
        "\"intermediate_size\":9,\"image_size\":12,\"patch_size\":4}";
    char file[160];
    snprintf(path, 128, "%s/clip", work_folder);
    oc_model *model = oc_model_create(cx, tower, NULL);
    oc_model_save(cx, model, path, NULL);
    oc_model_close(model);
    must(cx, "a CLIP");
    snprintf(file, sizeof file, "%s/config.json", path);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fprintf(out, "{\"model_type\":\"clip\",\"vision_config\":%s}", tower);
    assert_int_equal(fclose(out), 0);
}

/* Every parameter of `part` has the bits that it has in the tower's folder. */
static void expect_tower(oc_context *cx, const oc_model *model, const char *part,
                         const char *path)
{
    oc_tensors *whole = oc_model_get(cx, model, part);
    oc_tensors *file = NULL;
    char name[160];
    snprintf(name, sizeof name, "%s/model.safetensors", path);
    file = oc_tensors_open(cx, name);
    must(cx, name);
    assert_true(oc_tensors_count(whole) > 10);
    for (size_t i = 0; i < oc_tensors_count(whole); i++) {
        oc_tensor_view a = oc_tensors_get(whole, i), b;
        if (!oc_tensors_find(file, a.name + strlen(part), &b))
            fail_msg("%s is not in %s", a.name, path);
        assert_int_equal(a.bytes, b.bytes);
        assert_memory_equal(a.data, b.data, a.bytes);
    }
    oc_tensors_free(whole);
    oc_tensors_free(file);
}

static void expect_fresh(const oc_model *model)
{
    static const char *const names[] = { "logit_scale", "visual_projection.weight",
                                         "text_projection.weight" };
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(oc_model_fresh(model, i), names[i]);
    assert_null(oc_model_fresh(model, 3));
}

/* torch's nn.Linear: uniform within 1 / sqrt(K); the scale is the config's. */
static void expect_drawn(oc_context *cx, const oc_model *model, const char *name)
{
    oc_tensors *set = oc_model_get(cx, model, name);
    must(cx, name);
    oc_tensor_view v = oc_tensors_get(set, 0);
    const float *x = v.data;
    size_t n = v.bytes / sizeof *x;
    double most = 0, sum = 0, bound = 1 / sqrt((double)v.shape[1]);
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i]));
        sum += (double)x[i] * (double)x[i];
    }
    assert_true(most <= bound && most > 0.9 * bound);
    assert_true(fabs(sqrt(sum / (double)n) / bound - 1 / sqrt(3)) < 0.1);
    oc_tensors_free(set);
}

static void join_towers(oc_context *cx, const char *vision, const char *text)
{
    char path[128];
    oc_make_options o = OC_OPTIONS(oc_make_options, .seed = 3, .options =
        "{" KIND ",\"projection_dim\":40,\"logit_scale_init_value\":0.25}");
    oc_model *model = oc_model_join(cx, vision, text, &o);
    must(cx, vision);
    expect_fresh(model);
    expect_tower(cx, model, "vision_model.", vision);
    expect_tower(cx, model, "text_model.", text);
    expect_drawn(cx, model, "visual_projection.weight");
    expect_drawn(cx, model, "text_projection.weight");
    snprintf(path, sizeof path, "%s/joined", work_folder);
    oc_model_save(cx, model, path, NULL);
    oc_model *again = oc_model_open(cx, path, NULL);
    oc_tensors *a = oc_model_get(cx, model, ""), *b = oc_model_get(cx, again, "");
    must(cx, path);
    assert_int_equal(oc_tensors_count(a), oc_tensors_count(b));
    for (size_t i = 0; i < oc_tensors_count(a); i++) {
        oc_tensor_view x = oc_tensors_get(a, i), y = oc_tensors_get(b, i);
        assert_string_equal(x.name, y.name);
        assert_int_equal(x.rank, y.rank);
        assert_memory_equal(x.data, y.data, x.bytes);
        if (!strcmp(x.name, "logit_scale")) {
            assert_int_equal(x.rank, 0);
            assert_true(*(const float *)x.data == 0.25f);
        }
    }
    oc_tensors_free(a);
    oc_tensors_free(b);
    oc_model_close(again);
    oc_model_close(model);
}

static void towers_are_joined(void **state)
{
    (void)state;
    char clip[128];
    oc_context *cx = oc_context_create(NULL);
    make_clip(cx, clip);
    join_towers(cx, DATA "vit_plain", DATA "bert_base");
    join_towers(cx, clip, DATA "bert_base");
    oc_make_options o = OC_OPTIONS(oc_make_options, .options = "{" KIND "}");
    refused(cx, oc_model_join(cx, DATA "vit_plain", clip, &o), OC_E_UNSUPPORTED,
            "text_config.model_type");
    refused(cx, oc_model_join(cx, DATA "bert_base", DATA "vit_plain", &o),
            OC_E_UNSUPPORTED, "vision_config.model_type");
    refused(cx, oc_model_join(cx, NULL, DATA "bert_base", &o), OC_E_ARGUMENT, "");
    oc_context_free(cx);
}

/* ---- training ---- */

enum { PAIRS = 3, TOKENS = 5, SIDE = 16 };

static void add_flag(oc_context *cx, oc_tensors *set, const char *name)
{
    const uint8_t yes = 1;
    oc_tensors_add(cx, set, name, OC_U8, 0, NULL, &yes);
}

/* Pictures and texts that go together, for towers of vit_plain and bert_base. */
static oc_tensors *make_batch(oc_context *cx, bool loss)
{
    float pixels[PAIRS * 3 * SIDE * SIDE];
    int64_t ids[PAIRS * TOKENS];
    const int64_t shape[] = { PAIRS, 3, SIDE, SIDE }, texts[] = { PAIRS, TOKENS };
    for (int i = 0; i < PAIRS * 3 * SIDE * SIDE; i++)
        pixels[i] = (float)(i * i % 31) / 15 - 1;
    for (int i = 0; i < PAIRS * TOKENS; i++) ids[i] = 2 + i * i % 17;
    oc_tensors *batch = oc_tensors_create(cx);
    oc_tensors_add(cx, batch, "pixel_values", OC_F32, 4, shape, pixels);
    oc_tensors_add(cx, batch, "input_ids", OC_I64, 2, texts, ids);
    if (loss) add_flag(cx, batch, "return_loss");
    must(cx, "batch");
    return batch;
}

/* LiT: the vision tower stays, bit for bit; the rest learns
 * which text goes with which. */
static void locked_images(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_make_options o = OC_OPTIONS(oc_make_options, .trainable = true, .options =
                                   "{" KIND ",\"projection_dim\":8}");
    oc_model *model = oc_model_join(cx, DATA "vit_plain", DATA "bert_base", &o);
    assert_int_equal(oc_model_freeze(cx, model, "vision_model."), OC_OK);
    oc_tensors *batch = make_batch(cx, true);
    oc_tensors *out = oc_forward(cx, model, batch, &OC_OPTIONS(oc_forward_options,
                                                               .gradients = true));
    must(cx, "gradients");
    size_t text = 0;
    for (size_t i = 0; i < oc_tensors_count(out); i++) {
        const char *name = oc_tensors_get(out, i).name;
        assert_null(strstr(name, "grad.vision_model."));
        text += !strncmp(name, "grad.text_model.", 16);
    }
    assert_true(text > 10);
    oc_trainer_options how = OC_OPTIONS(oc_trainer_options, .optimizer = OC_ADAMW,
                                        .learning_rate = 3e-3);
    oc_trainer *trainer = oc_trainer_create(cx, model, &how);
    float first = 0, loss = 0;
    for (int step = 0; step < 20; step++) {
        assert_int_equal(oc_trainer_step(cx, trainer, batch, &loss), OC_OK);
        if (step == 0) first = loss;
    }
    assert_true(loss < 0.5f * first);
    expect_tower(cx, model, "vision_model.", DATA "vit_plain");
    oc_trainer_free(trainer);
    oc_tensors_free(out);
    oc_tensors_free(batch);
    oc_model_close(model);
    oc_context_free(cx);
}

/* ---- no answer ---- */

/* A picture whose features are all zeros has no direction: NaN, as 4.37.2 gives, and no
 * more than its own row. */
static void zeros_have_no_direction(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_make_options o = OC_OPTIONS(oc_make_options, .options = "{" KIND "}");
    oc_model *model = oc_model_join(cx, DATA "vit_plain", DATA "bert_base", &o);
    oc_tensors *zeros = oc_tensors_create(cx), *batch = make_batch(cx, false);
    oc_tensor_view v;
    oc_tensors *old = oc_model_get(cx, model, "visual_projection.weight");
    v = oc_tensors_get(old, 0);
    oc_tensors_add(cx, zeros, v.name, OC_F32, 2, v.shape, NULL);
    assert_int_equal(oc_model_set(cx, model, zeros), OC_OK);
    oc_tensors *out = oc_forward(cx, model, batch, NULL);
    must(cx, "forward");
    assert_true(oc_tensors_find(out, "image_embeds", &v));
    assert_true(isnan(((const float *)v.data)[0]));
    assert_true(oc_tensors_find(out, "logits_per_text", &v));
    assert_true(isnan(((const float *)v.data)[0]));
    assert_true(oc_tensors_find(out, "text_embeds", &v));
    for (size_t i = 0; i < v.bytes / 4; i++)
        assert_false(isnan(((const float *)v.data)[i]));
    oc_tensors_free(out);
    oc_tensors_free(old);
    oc_tensors_free(zeros);
    oc_tensors_free(batch);
    oc_model_close(model);
    oc_context_free(cx);
}

/* ---- faults ---- */

static void job(oc_context *cx, void *user)
{
    (void)user;
    oc_make_options o = OC_OPTIONS(oc_make_options, .trainable = true, .options =
                                   "{" KIND ",\"projection_dim\":8}");
    oc_model *model = oc_model_join(cx, DATA "vit_plain", DATA "bert_base", &o);
    oc_tensors *batch = oc_tensors_create(cx);
    const int64_t pixels[] = { 2, 3, SIDE, SIDE }, ids[] = { 2, TOKENS };
    oc_tensors_add(cx, batch, "pixel_values", OC_F32, 4, pixels, NULL);
    oc_tensors_add(cx, batch, "input_ids", OC_I64, 2, ids, NULL);
    add_flag(cx, batch, "return_loss");
    oc_tensors_free(oc_forward(cx, model, batch, &OC_OPTIONS(oc_forward_options,
        .gradients = true, .output_hidden_states = true)));
    oc_tensors_free(batch);
    oc_model_close(model);
}

static void faults_leave_nothing(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job, .step = 11, .dense = 30 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_routed), cmocka_unit_test(configs_are_checked),
        cmocka_unit_test(towers_are_joined), cmocka_unit_test(locked_images),
        cmocka_unit_test(zeros_have_no_direction), cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests_name("dual", tests, make_work_folder,
                                       remove_work_folder);
}
