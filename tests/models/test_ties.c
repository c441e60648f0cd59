/* Tied embeddings under either name: a file may hold the head's alone (files that other
 * tools sort and thin out do), and the model must be the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "ocelli.h"

static char work[] = "/tmp/ocelli-ties-XXXXXX";

static void copy_config(const char *from)
{
    char path[256], text[16384];
    snprintf(path, sizeof path, "tests/data/models/%s/config.json", from);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(text, 1, sizeof text, in);
    fclose(in);
    snprintf(path, sizeof path, "%s/config.json", work);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

/* The weights of `from` in the working folder, `name` as `to`; NULL leaves it out. */
static void rename_weight(oc_context *cx, const char *from, const char *name,
                          const char *to)
{
    char path[256];
    bool met = false;
    snprintf(path, sizeof path, "tests/data/models/%s/model.safetensors", from);
    oc_tensors *all = oc_tensors_open(cx, path), *changed = oc_tensors_create(cx);
    for (size_t i = 0; i < oc_tensors_count(all); i++) {
        oc_tensor_view v = oc_tensors_get(all, i);
        bool is = !strcmp(v.name, name);
        met = met || is;
        if (!is || to)
            oc_tensors_add(cx, changed, is ? to : v.name, v.dtype, v.rank, v.shape,
                           v.data);
    }
    assert_true(met);
    snprintf(path, sizeof path, "%s/model.safetensors", work);
    oc_tensors_save(cx, changed, path);
    oc_tensors_free(all);
    oc_tensors_free(changed);
    assert_int_equal(oc_context_status(cx), OC_OK);
}

/* The outputs and gradients of a folder's model. */
static oc_tensors *run(oc_context *cx, const char *folder, const char *in_path)
{
    oc_model_options mo = OC_OPTIONS(oc_model_options, .trainable = true,
                                     .weights_only = true);
    oc_forward_options fo = OC_OPTIONS(oc_forward_options, .gradients = true);
    oc_model *model = oc_model_open(cx, folder, &mo);
    oc_tensors *in = oc_tensors_open(cx, in_path);
    oc_tensors *out = oc_forward(cx, model, in, &fo);
    oc_tensors_free(in);
    oc_model_close(model);
    return out;
}

static void check(const char *from, const char *in, const char *first, const char *second)
{
    char folder[128], in_path[192];
    oc_context *cx = oc_context_create(NULL);
    snprintf(folder, sizeof folder, "tests/data/models/%s", from);
    snprintf(in_path, sizeof in_path, "%s/%s.in.safetensors", folder, in);
    copy_config(from);
    rename_weight(cx, from, first, second);
    oc_tensors *want = run(cx, folder, in_path), *got = run(cx, work, in_path);
    assert_string_equal(oc_context_message(cx), "");
    assert_int_equal(oc_tensors_count(got), oc_tensors_count(want));
    for (size_t i = 0; i < oc_tensors_count(want); i++) {
        oc_tensor_view a = oc_tensors_get(want, i), b;
        assert_true(oc_tensors_find(got, a.name, &b));
        assert_memory_equal(a.data, b.data, a.bytes);
    }
    oc_tensors_free(want);
    oc_tensors_free(got);
    rename_weight(cx, from, first, NULL);       /* under neither name */
    assert_null(run(cx, work, in_path));
    assert_int_equal(oc_context_status(cx), OC_E_MALFORMED);
    assert_non_null(strstr(oc_context_message(cx), "required, but missing"));
    oc_context_free(cx);
}

static void the_head_alone(void **state)
{
    (void)state;
    check("ved_base", "labels_grad", "decoder.model.decoder.embed_tokens.weight",
          "decoder.output_projection.weight");
    check("ved_gpt2", "labels_grad", "decoder.transformer.wte.weight",
          "decoder.lm_head.weight");
    check("ved_bart", "labels_grad", "decoder.model.decoder.embed_tokens.weight",
          "decoder.lm_head.weight");
}

static int leave(void **state)
{
    static const char *const names[] = { "config.json", "model.safetensors" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", work, names[i]);
        unlink(path);
    }
    return rmdir(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_head_alone) };
    if (!mkdtemp(work)) return 1;
    return cmocka_run_group_tests(tests, NULL, leave);
}
