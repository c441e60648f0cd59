/* Weights in blocks: quantised at load, by convert and by save, out of every format, and
 * back. What is quantised at once and what is read from a file must be the same numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "blocks_support.h"
#include "checkpoint/folder.h"
#include "io/blocks.h"
#include "models/memory.h"
#include "nn/param.h"

static char plain[64], narrow[64], other[64];

static const oc_dtype types[] = { OC_INT8, OC_INT8_CHANNEL, OC_INT4 };

/* Model `f` of that seed as f32 in `plain`. */
static void save_plain(oc_context *cx, int f, const char *format)
{
    oc_model *model = blocks_make(cx, blocks_families[f].config, 5);
    blocks_clear(plain, false);
    oc_model_save(cx, model, plain, &OC_OPTIONS(oc_save_options, .format = format));
    oc_model_close(model);
}

static void expect_file(const char *a, const char *b, const char *name)
{
    char path[2][256];
    oc_context *cx = blocks_context();
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    oci_buffer *x = oci_file_read(cx, path[0], 1 << 24),
               *y = oci_file_read(cx, path[1], 1 << 24);
    if (!x || !y) fail_msg("%s", oc_context_message(cx));
    assert_int_equal(x->size, y->size);
    assert_memory_equal(x->data, y->data, x->size);
    oci_buffer_unref(&x);
    oci_buffer_unref(&y);
    oc_context_free(cx);
}

/* ---- which parameters, and how far off -------------------------------------------- */

typedef struct tally {
    oc_dtype dtype;
    bool mapped;
    int blocks, numbers;
    const char *wrong;
} tally;

static void visit_tally(oci_walker *walker, const oci_param *p)
{
    tally *t = walker->user;
    const oci_tensor *w = *p->slot;
    (void)walker;
    if (!w || p->tied) return;
    const bool blocks = oci_dtype_is_blocks(w->dtype);
    if (blocks != oci_param_takes_blocks(p) || (blocks && w->dtype != t->dtype))
        t->wrong = "type";
    if (blocks && (!w->panels || w->data || w->stored != OC_F32)) t->wrong = "place";
    if (blocks && w->panels->read_only != t->mapped) t->wrong = "mapping";
    t->blocks += blocks;
    t->numbers += !blocks;
}

static void expect_blocks(oc_context *cx, const oc_model *model, oc_dtype dtype,
                          bool mapped)
{
    tally t = { .dtype = dtype, .mapped = mapped };
    oci_model_walk(cx, &model->core, visit_tally, &t);
    if (t.wrong) fail_msg("%s", t.wrong);
    assert_true(t.blocks > 5 && t.numbers > 5);
}

/* At load, in a file that was converted, in one that was saved, and opened from either in
 * both ways: the same numbers, near those that they were made of. */
static void every_way(void **state)
{
    (void)state;
    static const double errors[] = { 0.5 / 127, 0.5 / 127, 0.55 / 7.5 };
    oc_context *cx = blocks_context();
    for (int f = 0; f < BLOCKS_FAMILIES; f++) {
        save_plain(cx, f, NULL);
        oc_model *wide = blocks_open(cx, plain, (oc_dtype)0);
        for (int t = 0; t < 3; t++) {
            double largest;
            oc_model *loaded = blocks_open(cx, plain, types[t]);
            expect_blocks(cx, loaded, types[t], false);
            double most = blocks_difference(cx, wide, loaded, &largest);
            if (most > 1.02 * errors[t] * 1.0 || most == 0)
                fail_msg("%s: off by %g", blocks_families[f].name, most);
            blocks_clear(narrow, false);
            blocks_convert(cx, plain, narrow,
                           OC_OPTIONS(oc_save_options, .dtype = types[t]));
            oc_model *mapped = blocks_open(cx, narrow, (oc_dtype)0);
            expect_blocks(cx, mapped, types[t], true);
            blocks_expect_same(cx, loaded, mapped, "converted");
            oc_model *copied =
                oc_model_open(cx, narrow, &OC_OPTIONS(oc_model_options, .no_map = true));
            expect_blocks(cx, copied, types[t], false);
            blocks_expect_same(cx, loaded, copied, "copied");
            oc_model *again = oc_model_open(
                cx, narrow,
                &OC_OPTIONS(oc_model_options, .map = true, .weights_dtype = types[t]));
            blocks_expect_same(cx, loaded, again, "mapped at once");
            blocks_clear(other, false);
            assert_int_equal(oc_model_save(cx, loaded, other, NULL), OC_OK);
            expect_file(narrow, other, "model.safetensors");
            oc_model_close(again);
            oc_model_close(copied);
            oc_model_close(mapped);
            oc_model_close(loaded);
        }
        oc_model_close(wide);
    }
    oc_context_free(cx);
}

/* The outputs of a mapped model are those of the same numbers in memory, after its file
 * is gone, too. */
static void same_outputs(void **state)
{
    (void)state;
    oc_context *cx = blocks_context();
    save_plain(cx, 1, NULL);
    blocks_clear(narrow, false);
    blocks_convert(cx, plain, narrow, OC_OPTIONS(oc_save_options, .dtype = OC_INT4));
    oc_model *models[2] = { blocks_open(cx, plain, OC_INT4), blocks_open(cx, narrow, 0) };
    blocks_clear(narrow, false);
    const int64_t ids[] = { 3, 1, 4, 1, 5 };
    oc_tensors *in = oc_tensors_create(cx), *out[2];
    oc_tensors_add(cx, in, "input_ids", OC_I64, 2, (const int64_t[]){ 1, 5 }, ids);
    oc_tensors_add(cx, in, "pixel_values", OC_F32, 4, (const int64_t[]){ 1, 3, 8, 8 },
                   NULL);
    for (int i = 0; i < 2; i++) {
        out[i] = oc_forward(cx, models[i], in, NULL);
        if (!out[i]) fail_msg("%s", oc_context_message(cx));
    }
    for (size_t i = 0; i < oc_tensors_count(out[0]); i++) {
        oc_tensor_view a = oc_tensors_get(out[0], i), b = oc_tensors_get(out[1], i);
        assert_int_equal(a.bytes, b.bytes);
        assert_memory_equal(a.data, b.data, a.bytes);
    }
    for (int i = 0; i < 2; i++) {
        oc_tensors_free(out[i]);
        oc_model_close(models[i]);
    }
    oc_tensors_free(in);
    oc_context_free(cx);
}

static void every_format(void **state)
{
    (void)state;
    static const char *const formats[] = { "bin", "h5", "msgpack" };
    oc_context *cx = blocks_context();
    for (int f = 0; f < 2; f++) {
        save_plain(cx, f, NULL);
        oc_model *expected = blocks_open(cx, plain, OC_INT4);
        for (int k = 0; k < 3; k++) {
            save_plain(cx, f, formats[k]);
            oc_model *found = blocks_open(cx, plain, OC_INT4);
            blocks_expect_same(cx, expected, found, formats[k]);
            oc_model_close(found);
            blocks_clear(narrow, false);
            blocks_convert(
                cx, plain, narrow,
                OC_OPTIONS(oc_save_options, .dtype = OC_INT4, .max_shard_size = 20000));
            found = blocks_open(cx, narrow, 0);
            expect_blocks(cx, found, OC_INT4, true);
            blocks_expect_same(cx, expected, found, "in shards");
            oc_model_close(found);
        }
        oc_model_close(expected);
    }
    oc_context_free(cx);
}

/* ---- other types ------------------------------------------------------------------ */

/* What convert writes and what weights_dtype makes of a file in memory is the same. */
static void floats(void **state)
{
    (void)state;
    static const oc_dtype floats[] = { OC_BF16, OC_F16, OC_F32 };
    oc_context *cx = blocks_context();
    for (int f = 0; f < BLOCKS_FAMILIES; f++)
        for (int t = 0; t < 3; t++) {
            save_plain(cx, f, NULL);
            oc_model *loaded = blocks_open(cx, plain, floats[t]);
            blocks_clear(narrow, false);
            blocks_convert(cx, plain, narrow,
                           OC_OPTIONS(oc_save_options, .dtype = floats[t]));
            oc_model *found = blocks_open(cx, narrow, 0);
            blocks_expect_same(cx, found, loaded, blocks_families[f].name);
            oc_model_close(found);
            oc_model_close(loaded);
        }
    oc_context_free(cx);
}

/* From blocks: to numbers they are exactly what the blocks meant; to other blocks, those
 * of these numbers; in files of any format, at load, and trained. */
static void back(void **state)
{
    (void)state;
    static const char *const formats[] = { "safetensors", "bin", "h5", "msgpack" };
    oc_context *cx = blocks_context();
    for (int f = 0; f < 2; f++) {
        save_plain(cx, f, NULL);
        blocks_clear(narrow, false);
        blocks_convert(cx, plain, narrow, OC_OPTIONS(oc_save_options, .dtype = OC_INT4));
        oc_model *blocks = blocks_open(cx, narrow, 0);
        oc_model *wide = blocks_open(cx, narrow, OC_F32),
                 *finer = blocks_open(cx, narrow, OC_INT8);
        blocks_expect_same(cx, blocks, wide, "widened at load");
        expect_blocks(cx, finer, OC_INT8, false);
        for (int k = 0; k < 4; k++) {
            blocks_clear(other, false);
            blocks_convert(cx, narrow, other,
                           OC_OPTIONS(oc_save_options, .format = formats[k],
                                      .dtype = k ? 0 : OC_F32));
            oc_model *found = blocks_open(cx, other, 0),
                     *fine = blocks_open(cx, other, OC_INT8);
            blocks_expect_same(cx, blocks, found, formats[k]);
            blocks_expect_same(cx, finer, fine, "as int8");
            assert_null(json_object_get(found->core.config.root, "quantization_config"));
            oc_model_close(fine);
            oc_model_close(found);
        }
        blocks_clear(other, false);
        blocks_convert(cx, narrow, other, OC_OPTIONS(oc_save_options, .dtype = OC_INT8));
        oc_model *found = blocks_open(cx, other, 0);
        blocks_expect_same(cx, finer, found, "int4 as int8");
        oc_model_close(found);
        oc_model *trained = oc_model_open(
            cx, narrow,
            &OC_OPTIONS(oc_model_options, .trainable = true, .weights_dtype = OC_F32));
        assert_non_null(trained);
        oc_model_close(trained);
        oc_model_close(finer);
        oc_model_close(wide);
        oc_model_close(blocks);
    }
    oc_context_free(cx);
}

static void config_tells(void **state)
{
    (void)state;
    oc_context *cx = blocks_context();
    save_plain(cx, 2, NULL);
    blocks_clear(narrow, false);
    blocks_convert(cx, plain, narrow, OC_OPTIONS(oc_save_options, .dtype = OC_INT4));
    oc_model *model = blocks_open(cx, narrow, 0);
    const json_t *told = json_object_get(model->core.config.root, "quantization_config");
    assert_string_equal(json_string_value(json_object_get(told, "quant_method")),
                        "ocelli");
    assert_int_equal(json_integer_value(json_object_get(told, "bits")), 4);
    assert_int_equal(json_integer_value(json_object_get(told, "block_size")), 32);
    assert_int_equal(json_integer_value(json_object_get(told, "version")), 1);
    oc_model_close(model);
    oc_context_free(cx);
}

/* The format's own idea of sizes, and the kernels'. */
static void sizes(void **state)
{
    (void)state;
    oc_context *cx = blocks_context();
    for (int64_t N = 1; N < 100; N += 7)
        for (int64_t K = 32; K < 200; K += 13)
            for (int t = 0; t < 3; t++) {
                const oci_param p = { .kind = OCI_PARAM_PRODUCT,
                                      .rank = 2,
                                      .shape = { N, K } };
                assert_int_equal(oci_param_bytes(cx, &p, types[t], false),
                                 oci_blocks_groups(N) *
                                     oci_blocks_group_bytes(types[t], K));
            }
    oc_context_free(cx);
}

/* ---- what is refused -------------------------------------------------------------- */

static void expect_error(oc_context *cx, oc_status status, const char *words)
{
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), words))
        fail_msg("expected %s, \"%s\", found %s: %s", oc_status_name(status), words,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static void refused(void **state)
{
    (void)state;
    oc_context *cx = blocks_context();
    save_plain(cx, 2, NULL);
    blocks_clear(narrow, false);
    blocks_convert(cx, plain, narrow, OC_OPTIONS(oc_save_options, .dtype = OC_INT4));
    oc_model_options o = OC_OPTIONS(oc_model_options, .trainable = true);
    assert_null(oc_model_open(cx, narrow, &o));
    expect_error(cx, OC_E_UNSUPPORTED, "cannot be trained");
    o.weights_dtype = OC_INT8;
    assert_null(oc_model_open(cx, plain, &o));
    expect_error(cx, OC_E_UNSUPPORTED, "cannot be trained");
    o = OC_OPTIONS(oc_model_options, .weights_dtype = OC_I64);
    assert_null(oc_model_open(cx, plain, &o));
    expect_error(cx, OC_E_ARGUMENT, "weights_dtype: expected F32");
    blocks_clear(other, true);
    oc_convert_options c = OC_OPTIONS(
        oc_convert_options,
        .save = OC_OPTIONS(oc_save_options, .format = "bin", .dtype = OC_INT4));
    oc_convert(cx, plain, other, &c);
    expect_error(cx, OC_E_UNSUPPORTED, "INT4 is written to safetensors alone");
    /* A class that VisualBERT has no Keras form of: nothing is left, no folder either. */
    c.save.format = "h5";
    c.save.dtype = 0;
    oc_convert(cx, plain, other, &c);
    expect_error(cx, OC_E_UNSUPPORTED, "no TensorFlow class");
    assert_int_not_equal(access(other, F_OK), 0);
    mkdir(other, 0777);
    oc_context_free(cx);
}

/* ---- memory ----------------------------------------------------------------------- */

/* Large enough for what opening takes beside the weights not to matter. */
static const char larger[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],"
    "\"vocab_size\":500,\"hidden_size\":512,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":4,\"intermediate_size\":2048}";

static json_int_t memory_of(const json_t *report, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(report, "memory"), name));
}

/* Told before loading, with the figures and the type that fits; what is said to fit does.
 */
static void too_little(void **state)
{
    (void)state;
    /* Of the second only the message is looked at: there is no room for what is read. */
    static const struct {
        const char *name;
        oc_dtype dtype;
        json_int_t more;
    } cases[] = {
        { "int8", OC_INT8, 5 << 20 },
        { "int4", (oc_dtype)0, 3 << 19 },
    };
    oc_context *cx = blocks_context();
    oc_model *model = blocks_make(cx, larger, 1);
    blocks_clear(plain, false);
    oc_model_save(cx, model, plain, NULL);
    oc_model_close(model);
    char *text = oc_inspect(cx, plain, NULL), words[64];
    json_t *report = json_loads(text, 0, NULL);
    oc_string_free(text);
    oc_context_free(cx);
    for (int i = 0; i < 2; i++) {
        const json_int_t room = memory_of(report, cases[i].name) + cases[i].more;
        cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1,
                                           .memory_budget = (uint64_t)room));
        assert_null(oc_model_open(cx, plain, NULL));
        if (oc_context_memory(cx).peak_bytes > (uint64_t)room / 2)
            fail_msg("it was loaded before it was refused");
        snprintf(words, sizeof words, "needs %.1f MB",
                 (double)memory_of(report, "f32") / 1e6);
        assert_non_null(strstr(oc_context_message(cx), words));
        assert_non_null(strstr(oc_context_message(cx), "MB are free"));
        snprintf(words, sizeof words, "(--weights-dtype %s)", cases[i].name);
        expect_error(cx, OC_E_MEMORY, words);
        if (cases[i].dtype) oc_model_close(blocks_open(cx, plain, cases[i].dtype));
        oc_context_free(cx);
    }
    cx = oc_context_create(&OC_OPTIONS(oc_context_options, .memory_budget = 3 << 20));
    assert_null(oc_model_open(cx, plain, NULL));
    expect_error(cx, OC_E_MEMORY, "nor would it fit in any other type");
    oc_context_free(cx);
    json_decref(report);
}

/* What opening holds at most is the model and a piece of it. */
static void streamed(void **state)
{
    (void)state;
    for (int t = 0; t < 3; t++) {
        oc_context *cx = blocks_context();
        oc_model *model = blocks_open(cx, plain, types[t]);
        const oc_memory_usage used = oc_context_memory(cx);
        if ((double)used.peak_bytes > 1.2 * (double)used.live_bytes + (5 << 20))
            fail_msg("held %llu for a model of %llu", (unsigned long long)used.peak_bytes,
                     (unsigned long long)used.live_bytes);
        oc_model_close(model);
        oc_context_free(cx);
    }
}

static int setup(void **state)
{
    (void)state;
    return !blocks_folder(plain) || !blocks_folder(narrow) || !blocks_folder(other);
}

static int teardown(void **state)
{
    (void)state;
    blocks_clear(plain, true);
    blocks_clear(narrow, true);
    blocks_clear(other, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way),    cmocka_unit_test(same_outputs),
        cmocka_unit_test(every_format), cmocka_unit_test(floats),
        cmocka_unit_test(back),         cmocka_unit_test(config_tells),
        cmocka_unit_test(sizes),        cmocka_unit_test(refused),
        cmocka_unit_test(too_little),   cmocka_unit_test(streamed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
