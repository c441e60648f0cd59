/* Making and changing models: what Transformers counts, draws and resizes
 * (tools/goldens/make_decoders.py: parameters.json, initialisers.json). */
#include <math.h>
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

#include "faults/faults.h"
#include "ocelli.h"
#include "support/folder.h"

#define DATA "tests/data/models/"

static json_t *parameters, *initialisers;

static json_t *config_of(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, DATA "%s/config.json", name);
    json_t *config = json_load_file(path, 0, NULL);
    if (!config) fail_msg("%s: no config", path);
    return config;
}

static oc_model *create(oc_context *cx, const json_t *config, uint64_t seed)
{
    char *text = json_dumps(config, 0);
    oc_make_options o = OC_OPTIONS(oc_make_options, .seed = seed, .trainable = true);
    oc_model *model = oc_model_create(cx, text, &o);
    free(text);
    return model;
}

static void must(oc_context *cx, const char *what)
{
    if (oc_context_status(cx) != OC_OK) fail_msg("%s: %s", what, oc_context_message(cx));
}

/* ---- counting ---- */

static void counted_as_num_parameters(void **state)
{
    (void)state;
    const char *name;
    json_t *count;
    json_object_foreach(json_object_get(parameters, "configs"), name, count) {
        oc_context *cx = oc_context_create(NULL);
        char path[256];
        json_t *config = config_of(name);
        oc_model *model = create(cx, config, 1);
        must(cx, name);
        assert_int_equal(oc_model_parameters(cx, model), json_integer_value(count));
        oc_model_close(model);
        snprintf(path, sizeof path, DATA "%s", name);
        model = oc_model_open(cx, path, NULL);
        assert_int_equal(oc_model_parameters(cx, model), json_integer_value(count));
        oc_model_close(model);
        json_decref(config);
        oc_context_free(cx);
    }
}

/* ---- drawing ---- */

typedef struct spread {
    double deviation, most, fourth;
    size_t n;
} spread;

/* Without `skip`, a row of zeros. */
static spread spread_of(const char *id, oc_tensor_view v, int64_t skip)
{
    const float *x = v.data;
    size_t width = v.bytes / 4 / (size_t)v.shape[0];
    spread s = { 0 };
    for (size_t i = 0; i < v.bytes / 4; i++) {
        if (skip >= 0 && i / width == (size_t)skip) {
            if (x[i] != 0) fail_msg("%s: row %lld is not zeros", id, (long long)skip);
            continue;
        }
        s.deviation += (double)x[i] * x[i];
        s.fourth += (double)x[i] * x[i] * x[i] * x[i];
        s.most = fmax(s.most, fabs((double)x[i]));
        s.n++;
    }
    s.fourth /= (double)s.n;
    s.deviation = sqrt(s.deviation / (double)s.n);
    return s;
}

static void check_drawn(const char *id, oc_tensor_view v, const json_t *want)
{
    const float *x = v.data;
    const json_t *value = json_object_get(want, "value"),
                 *row = json_object_get(want, "zero_row");
    if (value) {
        for (size_t i = 0; i < v.bytes / 4; i++)
            if (x[i] != (float)json_number_value(value)) fail_msg("%s: not constant", id);
        return;
    }
    spread s = spread_of(id, v, row ? json_integer_value(row) : -1);
    double std = json_number_value(json_object_get(want, "std"));
    /* Both sides are samples: five deviations of the difference. */
    double slack = 5 * std / sqrt((double)s.n);
    if (fabs(s.deviation - std) > slack)
        fail_msg("%s: deviation %g, expected %g ± %g", id, s.deviation, std, slack);
}

static void drawn_as_transformers_draws(void **state)
{
    (void)state;
    const char *name, *parameter;
    json_t *of, *want;
    json_object_foreach(initialisers, name, of) {
        oc_context *cx = oc_context_create(NULL);
        json_t *config = config_of(name);
        json_t *parts[] = { config, json_object_get(config, "encoder"),
                            json_object_get(config, "decoder") };
        static const double stds[] = { 0.04, 0.05, 0.07 };
        for (int i = 0; i < 3 && parts[i]; i++) {
            json_object_set_new(parts[i], "initializer_range", json_real(stds[i]));
            json_object_set_new(parts[i], "init_std", json_real(stds[i]));
        }
        oc_model *model = create(cx, config, 3);
        oc_tensors *all = oc_model_get(cx, model, "");
        must(cx, name);
        assert_int_equal(oc_tensors_count(all), json_object_size(of));
        json_object_foreach(of, parameter, want) {
            oc_tensor_view v;
            char id[640];
            snprintf(id, sizeof id, "%s %s", name, parameter);
            if (!oc_tensors_find(all, parameter, &v)) fail_msg("%s: missing", id);
            check_drawn(id, v, want);
        }
        oc_tensors_free(all);
        oc_model_close(model);
        json_decref(config);
        oc_context_free(cx);
    }
}

/* A large table is normal in its fourth moment too, and a linear
 * map of torch's is uniform. */
static void shapes_of_the_distributions(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    json_t *config = config_of("ved_gpt2");
    json_t *decoder = json_object_get(config, "decoder");
    json_object_set_new(decoder, "vocab_size", json_integer(2000));
    json_object_set_new(decoder, "n_embd", json_integer(60));
    oc_model *model = create(cx, config, 5), *same = create(cx, config, 5);
    oc_tensors *a = oc_model_get(cx, model, ""), *b = oc_model_get(cx, same, "");
    oc_tensor_view v, w;
    must(cx, "create");
    assert_true(oc_tensors_find(a, "decoder.transformer.wte.weight", &v));
    spread s = spread_of("wte", v, -1);
    assert_true(fabs(s.deviation / 0.02 - 1) < 0.01);
    assert_true(fabs(s.fourth / pow(s.deviation, 4) - 3) < 0.1);
    assert_true(oc_tensors_find(b, v.name, &w));
    assert_memory_equal(v.data, w.data, v.bytes);           /* one seed, one model */
    assert_true(oc_tensors_find(a, "enc_to_dec_proj.weight", &v));
    s = spread_of("proj", v, -1);
    double bound = 1 / sqrt(12.0);
    assert_true(s.most <= bound && s.most > 0.97 * bound);
    assert_true(fabs(s.fourth / pow(s.deviation, 4) - 1.8) < 0.15);
    oc_tensors_free(a);
    oc_tensors_free(b);
    oc_model_close(model);
    oc_model_close(same);
    json_decref(config);
    oc_context_free(cx);
}

/* ---- joining ---- */

static void forward_equals(oc_context *cx, const oc_model *a, const oc_model *b)
{
    oc_tensor_view v, w;
    oc_tensors *in = oc_tensors_create(cx);
    const int64_t pixels[] = { 1, 3, 16, 16 }, ids[] = { 1, 4 };
    static const int64_t text[] = { 3, 5, 7, 9 };
    oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, pixels, NULL);
    oc_tensors_add(cx, in, "decoder_input_ids", OC_I64, 2, ids, text);
    oc_tensors *x = oc_forward(cx, a, in, NULL), *y = oc_forward(cx, b, in, NULL);
    must(cx, "forward");
    assert_true(oc_tensors_find(x, "logits", &v) && oc_tensors_find(y, "logits", &w));
    assert_int_equal(v.bytes, w.bytes);
    assert_memory_equal(v.data, w.data, v.bytes);
    oc_tensors_free(in);
    oc_tensors_free(x);
    oc_tensors_free(y);
}

static void check_fresh(const oc_model *model, const json_t *join)
{
    const json_t *names = json_object_get(join, "fresh");
    size_t n = 0;
    for (; oc_model_fresh(model, n); n++) {
        bool found = false;
        for (size_t i = 0; i < json_array_size(names) && !found; i++)
            found = !strcmp(json_string_value(json_array_get(names, i)),
                            oc_model_fresh(model, n));
        if (!found) fail_msg("%s was drawn", oc_model_fresh(model, n));
    }
    assert_int_equal(n, json_array_size(names));
}

static oc_model *join(oc_context *cx, const json_t *of, bool trainable)
{
    char encoder[256], decoder[256],
        *options = json_dumps(json_object_get(of, "options"), 0);
    snprintf(encoder, sizeof encoder, DATA "%s",
             json_string_value(json_object_get(of, "encoder")));
    snprintf(decoder, sizeof decoder, DATA "%s",
             json_string_value(json_object_get(of, "decoder")));
    oc_make_options o = OC_OPTIONS(oc_make_options, .seed = 1, .trainable = trainable,
                                   .options = options);
    oc_model *model = oc_model_join(cx, encoder, decoder, &o);
    free(options);
    return model;
}

static void joined_as_from_encoder_decoder_pretrained(void **state)
{
    (void)state;
    const json_t *joins = json_object_get(parameters, "joins");
    for (size_t i = 0; i < json_array_size(joins); i++) {
        const json_t *of = json_array_get(joins, i);
        oc_context *cx = oc_context_create(NULL);
        oc_model *model = join(cx, of, i % 2);
        must(cx, json_string_value(json_object_get(of, "decoder")));
        assert_int_equal(oc_model_parameters(cx, model),
                         json_integer_value(json_object_get(of, "parameters")));
        check_fresh(model, of);
        oc_model_save(cx, model, work_folder, NULL);
        oc_model *again = oc_model_open(cx, work_folder, NULL);
        must(cx, "save and open");
        if (strcmp(json_string_value(json_object_get(of, "encoder")), "vit_plain") == 0)
            forward_equals(cx, model, again);
        oc_model_close(model);
        oc_model_close(again);
        oc_context_free(cx);
    }
}

static void options_are_routed(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    char *text = oc_config_join(
        cx, "{\"model_type\":\"vit\",\"is_decoder\":true,\"hidden_size\":8}",
        "{\"model_type\":\"bert\"}",
        "{\"encoder_hidden_size\":12,\"decoder_vocab_size\":7,"
        "\"decoder_start_token_id\":5,\"max_length\":3}");
    must(cx, "join");
    json_t *config = json_loads(text, 0, NULL);
    json_t *e = json_object_get(config, "encoder"),
           *d = json_object_get(config, "decoder");
    assert_int_equal(json_integer_value(json_object_get(e, "hidden_size")), 12);
    assert_true(json_is_false(json_object_get(e, "is_decoder")));
    assert_int_equal(json_integer_value(json_object_get(d, "vocab_size")), 7);
    assert_true(json_is_true(json_object_get(d, "is_decoder")));
    assert_true(json_is_true(json_object_get(d, "add_cross_attention")));
    assert_int_equal(
        json_integer_value(json_object_get(config, "decoder_start_token_id")), 5);
    assert_int_equal(json_integer_value(json_object_get(config, "max_length")), 3);
    assert_true(json_is_false(json_object_get(config, "tie_word_embeddings")));
    json_decref(config);
    oc_string_free(text);
    assert_null(oc_config_join(cx, "{", "{}", NULL));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    oc_context_clear(cx);
    assert_null(oc_model_join(cx, DATA "vit_plain", DATA "distilbert_base", NULL));
    assert_int_equal(oc_context_status(cx), OC_E_UNSUPPORTED);
    oc_context_clear(cx);
    assert_null(oc_model_join(cx, DATA "vit_plain", NULL, NULL));
    assert_int_not_equal(oc_context_status(cx), OC_OK);
    oc_context_free(cx);
}

/* ---- resizing ---- */

/* Rows that both have are the same bits; added ones are there, or (biases) 0. */
static void check_rows(const char *id, oc_tensor_view a, oc_tensor_view b, bool bias)
{
    size_t width = a.rank > 1 ? (size_t)a.shape[1] : 1;
    size_t both = (size_t)(a.shape[0] < b.shape[0] ? a.shape[0] : b.shape[0]) * width;
    double sum = 0;
    if (memcmp(a.data, b.data, both * 4)) fail_msg("%s: other rows", id);
    for (size_t i = both; i < b.bytes / 4; i++)
        sum += fabs((double)((const float *)b.data)[i]);
    if (b.bytes / 4 > both && (bias ? sum != 0 : sum < 1e-3))
        fail_msg("%s: new rows", id);
}

static void check_resized(const char *name, bool trainable, int64_t tokens,
                          int64_t multiple, int64_t want)
{
    char path[256];
    oc_context *cx = oc_context_create(NULL);
    snprintf(path, sizeof path, DATA "%s", name);
    oc_model_options o = OC_OPTIONS(oc_model_options, .trainable = trainable);
    oc_model *model = oc_model_open(cx, path, &o);
    oc_tensors *before = oc_model_get(cx, model, "");
    assert_int_equal(oc_model_resize_tokens(cx, model, tokens, multiple, 4), OC_OK);
    oc_tensors *after = oc_model_get(cx, model, "");
    must(cx, name);
    assert_int_equal(oc_tensors_count(before), oc_tensors_count(after));
    for (size_t i = 0; i < oc_tensors_count(before); i++) {
        oc_tensor_view a = oc_tensors_get(before, i), b = oc_tensors_get(after, i);
        assert_string_equal(a.name, b.name);
        size_t n = strlen(a.name);
        bool bias = n > 4 && !strcmp(a.name + n - 4, "bias");
        if (a.rank != b.rank || a.shape[0] != b.shape[0]) {
            assert_int_equal(b.shape[0], want);
            check_rows(a.name, a, b, bias);
        } else {
            assert_memory_equal(a.data, b.data, a.bytes);
        }
    }
    oc_model_save(cx, model, work_folder, NULL);
    oc_model *again = oc_model_open(cx, work_folder, NULL);
    must(cx, "saved");
    assert_int_equal(oc_model_parameters(cx, again), oc_model_parameters(cx, model));
    oc_tensors_free(before);
    oc_tensors_free(after);
    oc_model_close(model);
    oc_model_close(again);
    oc_context_free(cx);
}

static void resized_as_resize_token_embeddings(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "ved_bert",        "ved_roberta",   "ved_camembert", "ved_gpt2",
        "ved_gpt2_scales", "ved_gpt2_bf16", "ved_bart",      "ved_mbart_untied",
        "bert_lm",         "bert_base",     "gpt2_hub",      "distilbert_base",
        "trocr_causal",    "ved_untied"
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool trocr = strstr(cases[i], "trocr") || strstr(cases[i], "untied");
        check_resized(cases[i], i % 2, 47, 0, 47);
        check_resized(cases[i], i % 2, 41, 16, 48);
        check_resized(cases[i], !(i % 2), 33, 0, 33);
        if (!trocr) check_resized(cases[i], false, 0, 64, 64);
    }
    oc_context *cx = oc_context_create(NULL);
    oc_model *vit = oc_model_open(cx, DATA "vit_plain", NULL);
    assert_int_equal(oc_model_resize_tokens(cx, vit, 7, 0, 0), OC_E_UNSUPPORTED);
    oc_context_clear(cx);
    oc_model *bert = oc_model_open(cx, DATA "ved_bert", NULL);
    assert_int_equal(oc_model_resize_tokens(cx, bert, -1, 0, 0), OC_E_ARGUMENT);
    oc_context_clear(cx);
    assert_int_equal(oc_model_resize_tokens(cx, bert, INT64_MAX, 8, 0), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_model_close(vit);
    oc_model_close(bert);
    oc_context_free(cx);
}

/* ---- freezing, getting, setting ---- */

static void frozen_parts_stay(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    oc_model_options o = OC_OPTIONS(oc_model_options, .trainable = true);
    oc_model *model = oc_model_open(cx, DATA "ved_gpt2", &o);
    oc_tensors *in = oc_tensors_open(cx, DATA "ved_gpt2/labels_grad.in.safetensors");
    assert_int_equal(oc_model_freeze(cx, model, "encoder."), OC_OK);
    oc_tensors *before = oc_model_get(cx, model, NULL);
    oc_trainer *trainer = oc_trainer_create(cx, model, NULL);
    float loss;
    oc_trainer_step(cx, trainer, in, &loss);
    oc_trainer_free(trainer);
    oc_tensors *after = oc_model_get(cx, model, NULL);
    must(cx, "step");
    size_t moved = 0;
    for (size_t i = 0; i < oc_tensors_count(before); i++) {
        oc_tensor_view a = oc_tensors_get(before, i), b = oc_tensors_get(after, i);
        bool same = !memcmp(a.data, b.data, a.bytes);
        if (!strncmp(a.name, "encoder.", 8) && !same) fail_msg("%s moved", a.name);
        moved += !same;
    }
    assert_true(moved > 20);
    assert_int_equal(oc_model_set(cx, model, before), OC_OK); /* as if nothing happened */
    oc_tensors_free(after);
    after = oc_model_get(cx, model, NULL);
    for (size_t i = 0; i < oc_tensors_count(before); i++) {
        oc_tensor_view a = oc_tensors_get(before, i), b = oc_tensors_get(after, i);
        assert_memory_equal(a.data, b.data, a.bytes);
    }
    assert_int_equal(oc_model_freeze(cx, model, "nobody."), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_tensors *odd = oc_tensors_create(cx);
    const int64_t shape[] = { 2 };
    oc_tensors_add(cx, odd, "decoder.transformer.ln_f.bias", OC_F32, 1, shape, NULL);
    assert_int_equal(oc_model_set(cx, model, odd), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_tensors_add(cx, odd, "nobody", OC_F32, 1, shape, NULL);
    assert_int_equal(oc_model_set(cx, model, odd), OC_E_ARGUMENT);
    oc_context_clear(cx);
    oc_tensors_free(odd);
    oc_tensors_free(before);
    oc_tensors_free(after);
    oc_tensors_free(in);
    oc_model_close(model);
    oc_context_free(cx);
}

/* ---- faults ---- */

static void job(oc_context *cx, void *user)
{
    (void)user;
    oc_make_options o = OC_OPTIONS(oc_make_options, .options = "{\"pad_token_id\":1}");
    oc_model *model = oc_model_join(cx, DATA "vit_nopooler", DATA "gpt2_hub", &o);
    oc_model_resize_tokens(cx, model, 44, 8, 1);
    oc_tensors *values = oc_model_get(cx, model, "decoder.transformer.h.0");
    oc_model_set(cx, model, values);
    oc_tensors_free(values);
    oc_model_close(model);
}

static void faults_leave_nothing(void **state)
{
    (void)state;
    fault_loop(&(fault_plan){ .job = job, .step = 7, .dense = 40 });
}

static int set_up(void **state)
{
    (void)state;
    parameters = json_load_file(DATA "parameters.json", 0, NULL);
    initialisers = json_load_file(DATA "initialisers.json", 0, NULL);
    return parameters && initialisers ? make_work_folder(state) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(parameters);
    json_decref(initialisers);
    return remove_work_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_as_num_parameters),
        cmocka_unit_test(drawn_as_transformers_draws),
        cmocka_unit_test(shapes_of_the_distributions),
        cmocka_unit_test(joined_as_from_encoder_decoder_pretrained),
        cmocka_unit_test(options_are_routed),
        cmocka_unit_test(resized_as_resize_token_embeddings),
        cmocka_unit_test(frozen_parts_stay), cmocka_unit_test(faults_leave_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
