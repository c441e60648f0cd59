/* Every kind of text tower over packed texts: the same bits as each text alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "checkpoint/folder.h"
#include "models/vision_text_dual_encoder.h"
#include "support/seeded.h"

#define DATA "tests/data/models/"
enum { TEXTS = 6, TOKENS = 27 };
static const int64_t lengths[TEXTS] = { 1, 4, 4, 2, 9, 7 };

/* Ids of the cases' vocabulary of 23, with pads (0 and 1) and ends (2, 3) anywhere. */
static oci_tensor *make_ids(oc_context *cx, int64_t first, int64_t count)
{
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, OCI_SHAPE(1, count));
    assert_non_null(ids);
    for (int64_t i = 0; i < count; i++)
        oci_i64(ids)[i] = (first + i) * (first + i) * 5 % 23;
    return ids;
}

static void check_tower(oc_context *cx, const oci_dual *m, const char *name)
{
    const oci_segments all = { .count = TEXTS, .lengths = lengths };
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *packed = oci_dual_text_features(cx, m,
                                                (oci_decode_call){
                                                    .input_ids = make_ids(cx, 0, TOKENS),
                                                    .segments = &all });
    if (!packed) fail_msg("%s: %s", name, oc_context_message(cx));
    int64_t first = 0, E = packed->shape[1];
    assert_int_equal(packed->shape[0], TEXTS);
    for (int64_t i = 0; i < TEXTS; first += lengths[i++]) {
        const oci_tensor *alone = oci_dual_text_features(
            cx, m, (oci_decode_call){ .input_ids = make_ids(cx, first, lengths[i]) });
        assert_non_null(alone);
        if (memcmp(alone->data, oci_f32(packed) + i * E, (size_t)E * sizeof(float)))
            fail_msg("%s: text %lld has other bits in a pack", name, (long long)i);
    }
    assert_int_equal(first, TOKENS);
    oci_arena_reset(&cx->arena, mark);
}

static void check_all(oc_isa isa)
{
    static const char *const cases[] = { "dual_vit_bert", "dual_vit_roberta",
                                         "dual_ours_clip_text", "dual_ours_distilbert" };
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .isa = isa));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char from[128], to[] = "/tmp/ocelli-packed-XXXXXX", path[128];
        snprintf(from, sizeof from, DATA "%s", cases[i]);
        assert_non_null(mkdtemp(to));
        assert_true(seeded_save(cx, from, to));
        oc_model *model = oc_model_open(cx, to, &OC_OPTIONS(oc_model_options,
                                                            .weights_only = true));
        if (!model) fail_msg("%s", oc_context_message(cx));
        check_tower(cx, model->core.root, cases[i]);
        oc_model_close(model);
        snprintf(path, sizeof path, "%s/config.json", to);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/model.safetensors", to);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(to), 0);
    }
    oc_context_free(cx);
}

static void test_packed(void **state)
{
    (void)state;
    static const oc_isa isas[] = { OC_ISA_GENERIC, OC_ISA_AVX2, OC_ISA_AVX512 };
    for (size_t i = 0; i < 3; i++)
        if (oci_cpu_has_isa(isas[i])) check_all(isas[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_packed) };
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
