/* Names and orders of Keras' and Flax' tensors as PyTorch has
 * them, and the turning itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "io/layout.h"

static const struct row {
    oci_layout layout;
    const char *stored;
    int rank;
    const char *torch, *order;
} rows[] = {
    { OCI_LAYOUT_TORCH, "a.kernel", 2, "a.kernel", "01" },
    { OCI_LAYOUT_KERAS, "vit/tf_vi_t_model/vit/embeddings/cls_token:0", 3,
      "vit.embeddings.cls_token", "012" },
    { OCI_LAYOUT_KERAS, "bert/m/bert/encoder/layer_._11/output/dense/kernel:0", 2,
      "bert.encoder.layer.11.output.dense.weight", "10" },
    { OCI_LAYOUT_KERAS, "bert/m/bert/embeddings/LayerNorm/gamma:0", 1,
      "bert.embeddings.LayerNorm.weight", "0" },
    { OCI_LAYOUT_KERAS, "bert/m/bert/embeddings/LayerNorm/beta:0", 1,
      "bert.embeddings.LayerNorm.bias", "0" },
    { OCI_LAYOUT_KERAS, "bert/m/bert/embeddings/token_type_embeddings/embeddings:0", 2,
      "bert.embeddings.token_type_embeddings.weight", "01" },
    { OCI_LAYOUT_KERAS, "mlm___cls/m/mlm___cls/predictions/bias:0", 1,
      "cls.predictions.bias", "0" },
    { OCI_LAYOUT_KERAS, "vit/m/vit/embeddings/patch_embeddings/projection/kernel:0", 4,
      "vit.embeddings.patch_embeddings.projection.weight", "3201" },
    { OCI_LAYOUT_KERAS, "a/m/a/conv/kernel:0", 3, "a.conv.weight", "210" },
    { OCI_LAYOUT_KERAS, "transformer/m/transformer/h_._0/attn/c_attn/weight:0", 2,
      "transformer.h.0.attn.c_attn.weight", "01" },
    { OCI_LAYOUT_KERAS, "model/model.shared/model.shared/embeddings:0", 2,
      "model.shared.weight", "01" },
    { OCI_LAYOUT_KERAS, "final_logits_bias/final_logits_bias:0", 2, "final_logits_bias",
      "01" },
    { OCI_LAYOUT_KERAS, "model/m/model/encoder/layers.0/fc1/kernel:0", 2,
      "model.encoder.layers.0.fc1.weight", "10" },
    { OCI_LAYOUT_KERAS, "encoder/m/encoder/vit/embeddings/cls_token:0", 3,
      "encoder.embeddings.cls_token", "012" },
    { OCI_LAYOUT_KERAS, "decoder/m/decoder/mlm___cls/predictions/bias:0", 1,
      "decoder.cls.predictions.bias", "0" },
    { OCI_LAYOUT_KERAS, "vision_model/m/vision_model/vit/layernorm/gamma:0", 1,
      "vision_model.layernorm.weight", "0" },
    { OCI_LAYOUT_KERAS,
      "vision_model/m/vision_model/clip/vision_model/pre_layrnorm/beta:0", 1,
      "vision_model.vision_model.pre_layrnorm.bias", "0" },
    { OCI_LAYOUT_KERAS, "text_model/m/text_model/bert/pooler/dense/bias:0", 1,
      "text_model.pooler.dense.bias", "0" },
    { OCI_LAYOUT_KERAS, "top_level_model_weights/m/logit_scale:0", 1, "logit_scale",
      "0" },
    { OCI_LAYOUT_KERAS_FLAT, "vit/embeddings/cls_token:0", 3, "vit.embeddings.cls_token",
      "012" },
    { OCI_LAYOUT_KERAS_FLAT, "model.shared/model.shared/embeddings:0", 2,
      "model.shared.weight", "01" },
    { OCI_LAYOUT_FLAX, "params.vit.layernorm.scale", 1, "vit.layernorm.weight", "0" },
    { OCI_LAYOUT_FLAX, "vit.patch.kernel", 4, "vit.patch.weight", "3201" },
    { OCI_LAYOUT_FLAX, "h.0.c_attn.kernel", 2, "h.0.c_attn.weight", "10" },
    { OCI_LAYOUT_FLAX, "wte.embedding", 2, "wte.weight", "01" },
    { OCI_LAYOUT_FLAX, "batch_stats.norm.mean", 1, "norm.running_mean", "0" },
    { OCI_LAYOUT_FLAX, "batch_stats.norm.var", 1, "norm.running_var", "0" },
};

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[OCI_MAX_NAME];
        int order[OCI_MAX_RANK];
        oci_entry stored = { .name = rows[i].stored, .dtype = OC_F32,
                             .rank = rows[i].rank },
                  torch;
        for (int d = 0; d < stored.rank; d++) stored.shape[d] = 2 + d;
        assert_true(oci_layout_entry(rows[i].layout, &stored, &torch, name, order));
        if (strcmp(torch.name, rows[i].torch))
            fail_msg("%s: %s", rows[i].stored, torch.name);
        bool moves = false;
        for (int d = 0; d < stored.rank; d++) {
            if (order[d] != rows[i].order[d] - '0') fail_msg("%s: %d", rows[i].stored, d);
            assert_int_equal(torch.shape[d], 2 + order[d]);
            moves |= order[d] != d;
        }
        assert_int_equal(oci_layout_moves(&torch, order), moves);
    }
}

/* Names of nothing, too many parts, none left. */
static void hostile_names(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "/", "a", "///", ":0", "a/", "_._", "___",
                                       "a/___", "params", "encoder", "text_model/x" };
    char name[OCI_MAX_NAME], deep[OCI_MAX_NAME];
    int order[OCI_MAX_RANK];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int layout = OCI_LAYOUT_KERAS; layout <= OCI_LAYOUT_FLAX; layout++) {
            oci_entry stored = { .name = bad[i], .dtype = OC_F32 }, torch;
            if (oci_layout_entry((oci_layout)layout, &stored, &torch, name, order))
                assert_true(name[0] != '\0');
        }
    for (size_t i = 0; i < sizeof deep - 1; i++) deep[i] = i % 2 ? '/' : 'a';
    deep[sizeof deep - 1] = '\0';
    oci_entry stored = { .name = deep, .dtype = OC_F32 }, torch;
    assert_false(oci_layout_entry(OCI_LAYOUT_KERAS, &stored, &torch, name, order));
}

/* Every order of four dimensions and every size of element, against the plain formula. */
static void permutes(void **state)
{
    (void)state;
    static const oc_dtype dtypes[] = { OC_U8, OC_F16, OC_F32, OC_F64 };
    static unsigned char from[8 * 40 * 70], to[sizeof from];
    static const int orders[][4] = {
        { 3, 2, 0, 1 }, { 2, 3, 1, 0 }, { 1, 0, 2, 3 }, { 0, 1, 3, 2 }, { 3, 2, 1, 0 }
    };
    for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)(i * 7 + i / 251);
    for (int k = 0; k < 4; k++) {
        size_t size = oci_dtype_size(dtypes[k]);
        oci_entry e = { .dtype = dtypes[k], .rank = 2, .shape = { 40, 70 },
                        .bytes = 40 * 70 * size };
        oci_layout_permute(&e, (const int[]){ 1, 0 }, from, to);
        for (size_t r = 0; r < 40; r++)
            for (size_t c = 0; c < 70; c++)
                assert_memory_equal(to + (c * 40 + r) * size, from + (r * 70 + c) * size,
                                    size);
        for (int o = 0; o < 5; o++) {
            const int64_t shape[] = { 2, 3, 4, 5 };
            e = (oci_entry){ .dtype = dtypes[k], .rank = 4, .shape = { 2, 3, 4, 5 },
                             .bytes = 120 * size };
            oci_layout_permute(&e, orders[o], from, to);
            for (size_t i = 0; i < 120; i++) {
                int64_t at[4], left = (int64_t)i;
                size_t source = 0;
                for (int d = 3; d >= 0; d--) {
                    at[orders[o][d]] = left % shape[orders[o][d]];
                    left /= shape[orders[o][d]];
                }
                for (int d = 0; d < 4; d++)
                    source = source * (size_t)shape[d] + (size_t)at[d];
                assert_memory_equal(to + i * size, from + source * size, size);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(hostile_names),
        cmocka_unit_test(permutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
