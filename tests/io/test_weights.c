/* The weight table over a folder: order of lookup, shards and their index, old names, and
 * folders that hold something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/context.h"
#include "io/weights.h"

static oc_context *cx;
static char folder[] = "/tmp/ocelli-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A file with tensors of the given names (space between), each the float `value`. */
static void put_tensors(const char *name, const char *names, float value,
                        const char *format)
{
    char copy[256], *rest = copy, *word;
    snprintf(copy, sizeof copy, "%s", names);
    oci_save_tensor tensors[16];
    size_t count = 0;
    while ((word = strtok_r(rest, " ", &rest)) != NULL)
        tensors[count++] = (oci_save_tensor){ word, OC_F32, 0, NULL, &value, sizeof value,
                                              NULL };
    const char *const metadata[] = { "format", format };
    oci_safetensors_save(cx, in_folder(name), tensors, count, format ? metadata : NULL,
                         1);
    if (oc_context_status(cx)) fail_msg("%s", oc_context_message(cx));
}

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) unlink(in_folder(e->d_name));
    closedir(d);
}

static void expect_error(oc_status status, const char *part)
{
    oci_weights w;
    for (int map = 0; map < 2; map++) {
        assert_false(oci_weights_open(cx, &w, folder, NULL, map != 0));
        assert_null(w.refs);
        assert_null(w.folder);
        if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
            fail_msg("expected %s with \"%s\", found %s: %s", oc_status_name(status),
                     part, oc_status_name(oc_context_status(cx)), oc_context_message(cx));
        oc_context_clear(cx);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
        assert_int_equal(oc_context_memory(cx).live_bytes, 0);
    }
}

static oci_weights open_folder(bool map)
{
    oci_weights w;
    if (!oci_weights_open(cx, &w, folder, NULL, map))
        fail_msg("%s", oc_context_message(cx));
    return w;
}

static float value_of(const oci_weights *w, const char *name)
{
    const oci_weight_ref *ref = oci_weights_find(w, name);
    if (!ref) fail_msg("%s is not there", name);
    float value = NAN;
    oci_weight_room room = { 0 };
    const void *data = oci_weight_bytes(cx, ref, &room);
    if (data) memcpy(&value, data, sizeof value);
    oci_weight_room_free(&room);
    return value;
}

/* ---- good folders ------------------------------------------------------------------ */

static void single_file(void **state)
{
    (void)state;
    put_tensors("model.safetensors", "b a c", 3, "pt");
    put_tensors("other.safetensors", "x", 4, "pt");
    put_text("model.safetensors.index.json", "broken, and not looked at");
    put_text("pytorch_model.bin", "");
    for (int map = 0; map < 2; map++) {
        oci_weights w = open_folder(map != 0);
        assert_int_equal(w.count, 3);
        assert_int_equal(w.file_count, 1);
        assert_string_equal(w.refs[0].name, "a");
        assert_true(value_of(&w, "c") == 3);
        assert_null(oci_weights_find(&w, "x"));
        oci_weights_close(&w);
        assert_int_equal(oc_context_memory(cx).live_count, 0);
    }
    oci_weights w;
    assert_true(oci_weights_open(cx, &w, folder, NULL, false));
    assert_int_equal(w.count, 3);
    assert_null(w.files[0].as.safetensors.bytes);
    oci_weights_close(&w);
}

static void shards(void **state)
{
    (void)state;
    put_tensors("model-00001-of-00002.safetensors", "a c", 1, "pt");
    put_tensors("model-00002-of-00002.safetensors", "b d", 2, NULL);
    put_text("model.safetensors.index.json",
             "{\"metadata\":{\"total_size\":16},\"weight_map\":{"
             "\"b\":\"model-00002-of-00002.safetensors\","
             "\"a\":\"model-00001-of-00002.safetensors\","
             "\"c\":\"model-00001-of-00002.safetensors\","
             "\"d\":\"model-00002-of-00002.safetensors\"}}");
    oci_weights w = open_folder(false);
    assert_int_equal(w.count, 4);
    assert_int_equal(w.file_count, 2);
    assert_true(value_of(&w, "a") == 1 && value_of(&w, "c") == 1);
    assert_true(value_of(&w, "b") == 2 && value_of(&w, "d") == 2);
    oci_weights_close(&w);
}

static void old_names(void **state)
{
    (void)state;
    put_tensors("model.safetensors",
                "ln.gamma ln.beta gamma.gamma x.beta.gamma alphabeta beta.beta plain", 1,
                NULL);
    oci_weights w = open_folder(false);
    static const char *const names[] = { "ln.weight", "ln.bias", "weight.weight",
                                         "x.bias.gamma", "alphabias", "bias.bias",
                                         "plain" };
    assert_int_equal(w.count, sizeof names / sizeof *names);
    for (size_t i = 0; i < w.count; i++) assert_true(value_of(&w, names[i]) == 1);
    assert_null(oci_weights_find(&w, "ln.gamma"));
    assert_string_equal(oci_weights_find(&w, "ln.weight")->entry->name, "ln.gamma");
    oci_weights_close(&w);

    put_tensors("model.safetensors", "ln.gamma ln.weight", 1, NULL);
    expect_error(OC_E_MALFORMED, "two tensors that mean the same parameter");
}

/* Read one by one or mapped: the same bytes; and the room holds
 * the largest tensor at most. */
static void bundled_models(void **state)
{
    (void)state;
    oci_weights mapped, w;
    oci_weight_room room = { 0 }, unused = { 0 };
    assert_true(oci_weights_open(cx, &mapped, "models/printed-line-ocr", NULL, true));
    assert_true(oci_weights_open(cx, &w, "models/printed-line-ocr", NULL, false));
    assert_true(w.count > 100);
    assert_int_equal(w.count, mapped.count);
    size_t largest = 0;
    for (size_t i = 0; i < w.count; i++) {
        size_t bytes = w.refs[i].entry->bytes;
        assert_ptr_equal(oci_weights_find(&w, w.refs[i].name), &w.refs[i]);
        const void *a = oci_weight_bytes(cx, &w.refs[i], &room);
        const void *b = oci_weight_bytes(cx, &mapped.refs[i], &unused);
        assert_non_null(a);
        assert_non_null(b);
        assert_memory_equal(a, b, bytes);
        if (bytes > largest) largest = bytes;
        assert_int_equal(room.blocks[0].size, largest);
    }
    assert_null(unused.blocks[0].bytes);
    oci_weight_room_free(&room);
    oci_weights_close(&w);
    oci_weights_close(&mapped);
}

/* A file that loses its end between opening and reading. */
static void shrinking_file(void **state)
{
    (void)state;
    oci_weight_room room = { 0 };
    put_tensors("model.safetensors", "a b", 3, NULL);
    oci_weights w = open_folder(false);
    struct stat st;
    assert_int_equal(stat(in_folder("model.safetensors"), &st), 0);
    assert_int_equal(truncate(in_folder("model.safetensors"), st.st_size - 1), 0);
    assert_non_null(oci_weight_bytes(cx, oci_weights_find(&w, "a"), &room));
    assert_null(oci_weight_bytes(cx, oci_weights_find(&w, "b"), &room));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    oc_context_clear(cx);
    oci_weight_room_free(&room);
    oci_weights_close(&w);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

/* ---- bad folders ------------------------------------------------------------------- */

/* In from_pretrained's order, and each broken in its own way:
 * what is said names the file. */
static void other_formats(void **state)
{
    (void)state;
    static const char *const others[] = {
        "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
        "tf_model.h5.index.json", "flax_model.msgpack", "flax_model.msgpack.index.json"
    };
    expect_error(OC_E_FILE, "expected readable weights (model.safetensors, ");
    for (size_t i = sizeof others / sizeof *others; i-- > 0;) {
        put_text(others[i], "");
        expect_error(OC_E_MALFORMED, others[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unlink(in_folder(others[i]));
}

static void missing_folder(void **state)
{
    (void)state;
    oci_weights w;
    assert_false(oci_weights_open(cx, &w, in_folder("absent"), NULL, false));
    assert_int_equal(oc_context_status(cx), OC_E_FILE);
    assert_non_null(strstr(oc_context_message(cx), "expected a folder, found nothing"));
    oc_context_clear(cx);
    put_text("file", "");
    assert_false(oci_weights_open(cx, &w, in_folder("file"), NULL, false));
    assert_non_null(strstr(oc_context_message(cx), "expected a folder, found a file"));
}

static void formats(void **state)
{
    (void)state;
    put_tensors("model.safetensors", "vit/layer_._0/gamma:0 vit/kernel", 2, "tf");
    oci_weights w = open_folder(false);
    assert_string_equal(w.refs[0].name, "vit.layer.0.weight");
    assert_string_equal(w.refs[1].name, "vit.weight");
    oci_weights_close(&w);
    put_tensors("model.safetensors", "params.vit.norm.scale a", 2, "flax");
    w = open_folder(false);
    assert_string_equal(w.refs[0].name, "a");
    assert_string_equal(w.refs[1].name, "vit.norm.weight");
    oci_weights_close(&w);
    put_tensors("model.safetensors", "a", 1, "npz");
    expect_error(OC_E_MALFORMED, "found \"npz\"");
    put_text("model.safetensors", "12345");
    expect_error(OC_E_MALFORMED, "model.safetensors: header length");
}

static const struct {
    const char *index;
    oc_status status;
    const char *message;
} bad_indices[] = {
    { "", OC_E_MALFORMED, "index.json: line 1" },
    { "[]", OC_E_MALFORMED, "weight_map: expected an object with at least one entry" },
    { "{}", OC_E_MALFORMED, "weight_map: expected an object with at least one entry" },
    { "{\"weight_map\":{}}", OC_E_MALFORMED, "weight_map: expected an object with at "
                                             "least" },
    { "{\"weight_map\":[]}", OC_E_MALFORMED, "weight_map: expected an object, found an "
                                             "array" },
    { "{\"weight_map\":{\"a\":1}}", OC_E_MALFORMED,
      "weight_map.a: expected the name of a .safetensors file in the same folder, found "
      "1" },
    { "{\"weight_map\":{\"a\":null}}", OC_E_MALFORMED, "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"\"}}", OC_E_MALFORMED, "weight_map.a" },
    { "{\"weight_map\":{\"a\":\".safetensors\"}}", OC_E_MALFORMED, "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"..\"}}", OC_E_MALFORMED, "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"../one.safetensors\"}}", OC_E_MALFORMED,
      "found \"../one.safetensors\"" },
    { "{\"weight_map\":{\"a\":\"/etc/one.safetensors\"}}", OC_E_MALFORMED,
      "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"..\\\\one.safetensors\"}}", OC_E_MALFORMED,
      "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"x/../one.safetensors\"}}", OC_E_MALFORMED,
      "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\\u0000.safetensors\"}}", OC_E_MALFORMED,
      "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"one.bin\"}}", OC_E_MALFORMED, "weight_map.a" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}",
      OC_E_MALFORMED, "duplicate object key" },
    { "{\"weight_map\":{\"a\":\"absent.safetensors\"}}", OC_E_FILE,
      "absent.safetensors: open: no such file" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\",\"q\":\"one.safetensors\"}}",
      OC_E_MALFORMED, "weight_map.q: expected it in " },
    { "{\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"one.safetensors\"}}",
      OC_E_MALFORMED, "weight_map.c: expected it in " },
    { "{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}",
      OC_E_MALFORMED, "a: expected it in one file, found it in " },
    { "{\"weight_map\":{\"a\":\"one.safetensors\",\"x\":\"old.safetensors\"}}",
      OC_E_MALFORMED, "two tensors that mean the same parameter" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\"", OC_E_MALFORMED,
      "index.json: line 1" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\"}} x", OC_E_MALFORMED,
      "index.json: line 1" },
    { "{\"weight_map\":{\"a\":\"\377.safetensors\"}}", OC_E_MALFORMED,
      "index.json: line 1" },
    { "{\"weight_map\":\"one.safetensors\"}", OC_E_MALFORMED,
      "weight_map: expected an object" },
    { "{\"weight_map\":null}", OC_E_MALFORMED, "weight_map: expected an object" },
    { "{\"weight_map\":{\"a\":{\"a\":\"one.safetensors\"}}}", OC_E_MALFORMED,
      "weight_map.a: expected the name of a .safetensors file" },
    { "{\"weight_map\":{\"a\":[\"one.safetensors\"]}}", OC_E_MALFORMED,
      "weight_map.a: expected the name of a .safetensors file" },
    { "{\"weight_map\":{\"a\":true}}", OC_E_MALFORMED,
      "weight_map.a: expected the name of a .safetensors file" },
    { "{\"weight_map\":{\"a\":\"text.safetensors\"}}", OC_E_MALFORMED,
      "text.safetensors: header" },
    { "{\"weight_map\":{\"a\":\"folder.safetensors\"}}", OC_E_FILE,
      "folder.safetensors: " },
    { "{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", OC_E_MALFORMED,
      "weight_map.a: expected the name of a .safetensors file" },
    { "{\"weight_map\":{\"a\":\"one.safetensors\",\"b.bias.\":\"one.safetensors\"}}",
      OC_E_MALFORMED, "weight_map.b.bias.: expected it in " },
};

static void bad_shards(void **state)
{
    (void)state;
    put_tensors("one.safetensors", "a b.bias", 1, "pt");
    put_tensors("two.safetensors", "a c", 2, "pt");
    put_tensors("old.safetensors", "x b.beta", 2, "pt");
    put_text("text.safetensors", "no tensors, but words");
    assert_int_equal(mkdir(in_folder("folder.safetensors"), 0700), 0);
    for (size_t i = 0; i < sizeof bad_indices / sizeof *bad_indices; i++) {
        put_text("model.safetensors.index.json", bad_indices[i].index);
        expect_error(bad_indices[i].status, bad_indices[i].message);
    }
    put_text("model.safetensors.index.json", bad_indices[20].index);
    cx->limits.tensors = 1;
    expect_error(OC_E_LIMIT, "weight_map: expected at most 1 entries, found 2");
    cx->limits = oci_default_limits;
    assert_int_equal(rmdir(in_folder("folder.safetensors")), 0);
}

/* ---- frame ------------------------------------------------------------------------- */

static int clear(void **state)
{
    (void)state;
    oc_context_clear(cx);
    empty_folder();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(&(oc_context_options){ .size = sizeof(oc_context_options),
                                                  .threads = 1 });
    return cx && mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oc_context_free(cx);
    empty_folder();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(single_file, clear),
        cmocka_unit_test_setup(shards, clear),
        cmocka_unit_test_setup(old_names, clear),
        cmocka_unit_test_setup(bundled_models, clear),
        cmocka_unit_test_setup(shrinking_file, clear),
        cmocka_unit_test_setup(other_formats, clear),
        cmocka_unit_test_setup(missing_folder, clear),
        cmocka_unit_test_setup(formats, clear),
        cmocka_unit_test_setup(bad_shards, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
