/* RoBERTa — Liu et al. 2019, arXiv:1907.11692; XLM-RoBERTa — Conneau et al. 2019,
 * arXiv:1911.02116; CamemBERT — Martin et al. 2019, arXiv:1911.03894. Transformers:
 * …Model, …ForCausalLM.
 *
 * BERT (bert.c) with positions that leave pads out: the n-th id that is no pad is at row
 * n + pad_token_id, every pad at row pad_token_id. The three differ in
 * their vocabularies.
 */
#include "models/bert.h"

/* Opens one of the three, and describes it; `Class` is Transformers' name of it. */
#define ROBERTA(name, type, Class, vocab)                                                \
    static void name##_open(oc_context *cx, const oci_config_source *from, void *model)  \
    {                                                                                    \
        static const oci_bert_kind kind = {                                              \
            &oci_##name, Class "Model", "roberta", vocab, 1, true                        \
        };                                                                               \
        oci_bert_open(cx, from, model, &kind);                                           \
    }                                                                                    \
    static const oci_class name##_classes[] = {                                          \
        { Class "Model", oci_bert_base_inputs, oci_bert_base_forward },                  \
        { Class "ForCausalLM", oci_bert_inputs, oci_bert_lm_forward }, { 0 }             \
    };                                                                                   \
    const oci_arch oci_##name = {                                                        \
        .model_type = type, .base_prefix = "roberta.", .size = sizeof(oci_bert_model),   \
        .classes = name##_classes, .open = name##_open, .close = oci_bert_close,         \
        .walk = oci_bert_walk, .decode = oci_bert_decode,                                \
        .decoder_shape = oci_bert_shape, .decoder_inputs = oci_bert_inputs,              \
        .encode_text = oci_bert_encode_text, .attention = oci_bert_attention,            \
        .pools_text = true }

ROBERTA(roberta, "roberta", "Roberta", 50265);
ROBERTA(xlm_roberta, "xlm-roberta", "XLMRoberta", 30522);
ROBERTA(camembert, "camembert", "Camembert", 30522);
