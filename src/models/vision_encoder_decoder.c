/* VisionEncoderDecoder — Transformers: VisionEncoderDecoderModel. Any vision encoder with
 * any text decoder: TrOCR (Li et al. 2021, arXiv:2109.10282), Donut, ViT-GPT2 captioning.
 *
 *   pixel_values → encoder [B,N,De] (→ enc_to_dec_proj [B,N,Dd])
 *     → decoder over decoder_input_ids [B,T] with cross-attention → logits [B,T,V]
 *   loss: mean cross-entropy of logits and labels, position by position (no shift)
 */
#include "models/vision_encoder_decoder.h"

#include <stdio.h>
#include <string.h>

#include "models/prune.h"
#include "models/text.h"

/* Decoders that Transformers 4.37.2 refuses, or fails with at the first forward pass. */
static const char *why_no_decoder(const char *type)
{
    static const char *const deaf[] = {
        "biogpt", "bloom", "codegen", "ctrl", "falcon", "git", "gpt_neo", "gpt_neox",
        "gptj", "llama", "mistral", "mixtral", "mpt", "opt", "phi", "qwen2", "reformer",
        "rwkv", "whisper", "xlm", "xlnet", "transfo-xl",
    };
    static const char *const no_lm[] = { "distilbert", "t5", "albert", "deberta",
                                         "deberta-v2" };
    for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++)
        if (!strcmp(deaf[i], type)) return "has no cross-attention";
    for (size_t i = 0; i < sizeof no_lm / sizeof *no_lm; i++)
        if (!strcmp(no_lm[i], type)) return "has no causal language model";
    return "is none that this build knows";
}

/* `key` is "encoder" or "decoder"; its first letter is what oci_arch_list asks for. */
static void refuse_part(oc_context *cx, const oci_config_source *sub, const char *key,
                        const char *type)
{
    char list[512];
    bool encoder = key[0] == 'e';
    oci_fail(cx, OC_E_UNSUPPORTED,
             "%s: %smodel_type: as the %s expected one of %s, found \"%.40s\", which %s",
             sub->doc->name, sub->path, key, oci_arch_list(key[0], list, sizeof list),
             type, encoder ? "is none that this build knows" : why_no_decoder(type));
}

/* One of the two sub-configs: finds its architecture and opens the part. */
static const oci_arch *open_part(oc_context *cx, const oci_config_source *from,
                                 const char *key, void **part)
{
    oci_sub_config sub;
    bool encoder = key[0] == 'e';
    if (!oci_config_sub(cx, from, key, encoder ? OCI_ROLE_ENCODER : OCI_ROLE_DECODER,
                        &sub))
        return NULL;
    const oci_arch *arch = oci_arch_find(sub.model_type);
    if (!arch || (encoder ? !arch->encode : !oci_arch_crosses(arch))) {
        refuse_part(cx, &sub.source, key, sub.model_type);
        return NULL;
    }
    *part = oci_calloc(cx, 1, arch->size);
    if (*part) arch->open(cx, &sub.source, *part);
    oci_heads_check(cx, &sub.source, arch);
    return arch;
}

/* Whether the decoder's cross-attention reads what the encoder gives. 4.37.2 projects iff
 * the widths differ and cross_attention_hidden_size is null, whoever reads that key; only
 * TrOCR does, and others then fail on the shape. */
static void check_pair(oc_context *cx, const oci_config_source *from, oci_ved *m)
{
    static const char field[] = "decoder.cross_attention_hidden_size";
    const json_t *decoder = json_object_get(from->object, "decoder");
    int64_t cross = oci_json_int(cx, from->doc, decoder, field, 0, 1, OCI_MAX_WIDTH);
    m->project = m->encoder_width != m->shape.width && !cross;
    if (oci_failed(cx)) return;
    if (!m->shape.cross_attention)
        oci_config_fail(cx, from, "decoder",
                        "expected a %s with cross-attention (is_decoder and "
                        "add_cross_attention true), found none",
                        m->decoder_arch->model_type);
    else if (cross && cross != m->encoder_width)
        oci_config_fail(cx, from, field,
                        "expected the encoder's hidden_size %lld, found %lld",
                        (long long)m->encoder_width, (long long)cross);
    else if (cross && !m->shape.cross_width && cross != m->shape.width)
        oci_config_fail(cx, from, field,
                        "expected null or the decoder's width %lld (%s does not read "
                        "it), found %lld",
                        (long long)m->shape.width, m->decoder_arch->model_type,
                        (long long)cross);
}

static void ved_open(oc_context *cx, const oci_config_source *from, void *model)
{
    oci_ved *m = model;
    m->encoder_arch = open_part(cx, from, "encoder", &m->encoder);
    if (!oci_failed(cx)) m->decoder_arch = open_part(cx, from, "decoder", &m->decoder);
    if (oci_failed(cx)) return;
    const int64_t most = 1 << 24;
    m->pad_token_id = oci_json_int(cx, from->doc, from->object, "pad_token_id", -1, 0,
                                   most);
    m->decoder_start_token_id = oci_json_int(cx, from->doc, from->object,
                                             "decoder_start_token_id", -1, 0, most);
    m->tf_legacy_loss = oci_json_bool(cx, from->doc, from->object, "tf_legacy_loss",
                                      false);
    m->encoder_width = m->encoder_arch->encoder_width(m->encoder);
    m->shape = m->decoder_arch->decoder_shape(m->decoder);
    check_pair(cx, from, m);
}

static const oci_arch *ved_part(const void *model, const char *name, const void **root)
{
    const oci_ved *m = model;
    bool encoder = !strcmp(name, "encoder");
    if (!encoder && strcmp(name, "decoder") != 0) return NULL;
    *root = encoder ? m->encoder : m->decoder;
    return encoder ? m->encoder_arch : m->decoder_arch;
}

static void ved_close(void *model)
{
    oci_ved *m = model;
    if (m->encoder) m->encoder_arch->close(m->encoder);
    if (m->decoder) m->decoder_arch->close(m->decoder);
    oci_free(m->encoder);
    oci_free(m->decoder);
}

/* The projection is drawn as nn.Linear draws itself: the composite has no
 * _init_weights. */
static void ved_walk(oci_walk w, void *model)
{
    oci_ved *m = model;
    m->encoder_arch->walk(oci_walk_enter(w, "encoder"), m->encoder);
    m->decoder_arch->walk(oci_walk_enter(w, "decoder"), m->decoder);
    if (m->project)
        oci_walk_linear(
            oci_walk_init(oci_walk_enter(w, "enc_to_dec_proj"), OCI_INIT_UNIFORM, 0),
            &m->enc_to_dec_proj, m->shape.width, m->encoder_width, true);
}

/* Once for a picture, in front of all layers' keys and values. */
oci_tensor *oci_ved_project(oc_context *cx, const oci_ved *m, oci_tensor *states)
{
    return m->project ? oci_linear(cx, &m->enc_to_dec_proj, states) : states;
}

oci_tensor *oci_ved_encode(oc_context *cx, const oci_ved *m, oci_encode_call call)
{
    return oci_ved_project(cx, m, m->encoder_arch->encode(cx, m->encoder, call));
}

/* shift_tokens_right: the start token, then all labels but the last; -100 becomes pad. */
static oci_tensor *shift_right(oc_context *cx, const oci_ved *m, const oci_tensor *labels)
{
    if (oci_failed(cx)) return NULL;
    if (m->decoder_start_token_id < 0)
        oci_fail(cx, OC_E_ARGUMENT, "labels: config.json has no decoder_start_token_id");
    if (m->pad_token_id < 0) oci_fail(cx, OC_E_ARGUMENT, "labels: config.json has no "
                                      "pad_token_id");
    int64_t T = labels->shape[1];
    oci_tensor *ids = oci_tensor_create(cx, OC_I64, 2, labels->shape);
    for (int64_t i = 0; ids && i < oci_tensor_count(labels); i++) {
        int64_t id = i % T ? oci_i64(labels)[i - 1] : m->decoder_start_token_id;
        oci_i64(ids)[i] = id == -100 ? m->pad_token_id : id;
    }
    return ids;
}

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "decoder_input_ids", OCI_INPUT_IDS, 2 },
    { "decoder_attention_mask", OCI_INPUT_MASK, 2 },
    { "encoder_outputs.0", OCI_INPUT_FLOAT, 3 },
    { "past_key_values.", OCI_INPUT_FLOAT, 4 },
    { "decoder_inputs_embeds", OCI_INPUT_FLOAT, 3 }, { "labels", OCI_INPUT_IDS, 2 },
    { "decoder_token_type_ids", OCI_INPUT_IDS, 2 },
    { "decoder_position_ids", OCI_INPUT_IDS, 2 },
    { "decoder_head_mask", OCI_INPUT_FLOAT, 0 },
    { "decoder_cross_attn_head_mask", OCI_INPUT_FLOAT, 2 },
    { "head_mask", OCI_INPUT_FLOAT, 0 }, { "bool_masked_pos", OCI_INPUT_MASK, 2 },
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

/* decoder_NAME is for decoders whose own forward takes NAME. */
static void check_decoder_inputs(oc_context *cx, const oci_ved *m, const oc_tensors *in)
{
    static const char prefix[] = "decoder_";
    for (size_t i = 0; i < oc_tensors_count(in) && !oci_failed(cx); i++) {
        oc_tensor_view v = oc_tensors_get(in, i);
        const oci_input_spec *spec = m->decoder_arch->decoder_inputs;
        if (strncmp(v.name, prefix, sizeof prefix - 1) != 0) continue;
        while (spec->name && strcmp(spec->name, v.name + sizeof prefix - 1) != 0) spec++;
        if (!spec->name)
            oci_fail(cx, OC_E_MALFORMED, "input %s: %s takes no %s", v.name,
                     m->decoder_arch->model_type, v.name + sizeof prefix - 1);
        else if (spec->rank && spec->rank != v.rank)
            oci_fail(cx, OC_E_MALFORMED, "input %s: expected %d dimensions, found %d",
                     v.name, spec->rank, v.rank);
    }
}

/* The encoder's last hidden state: computed, or handed in. [B, N, De] */
static oci_tensor *encoder_states(oc_context *cx, const oci_ved *m, const oc_tensors *in)
{
    oci_tensor *given = oci_input(cx, in, inputs, "encoder_outputs.0"), *x = given;
    oci_taps before = oci_outputs_enter(cx, "encoder_", "encoder_");
    if (given) {
        oci_output(cx, "last_hidden_state", given);
    } else {
        oci_encode_call call = oci_encode_call_of(cx, in, inputs);
        if (call.interpolate_pos_encoding && !m->encoder_arch->interpolates)
            oci_fail(cx, OC_E_MALFORMED,
                     "input interpolate_pos_encoding: expected none, a %s encoder does "
                     "not take it",
                     m->encoder_arch->model_type);
        x = m->encoder_arch->encode(cx, m->encoder, call);
    }
    oci_outputs_leave(cx, before);
    if (x && x->shape[2] != m->encoder_width)
        oci_fail(cx, OC_E_MALFORMED, "encoder_outputs.0: expected width %lld, found %lld",
                 (long long)m->encoder_width, (long long)x->shape[2]);
    return x;
}

/* -log softmax(logits)[label] of each label that counts, [labels]. */
static oci_tensor *label_losses(oc_context *cx, oci_tensor *logits,
                                const oci_tensor *labels)
{
    const oci_tensor *scores = oci_op_log_softmax(cx, logits);          /* [B, T, V] */
    int64_t count = 0, n = 0, all = oci_tensor_count(labels);
    if (!scores) return NULL;
    for (int64_t i = 0; i < all; i++) count += oci_i64(labels)[i] != -100;
    oci_tensor *losses = oci_tensor_create(cx, OC_F32, OCI_SHAPE(count));
    const int64_t V = scores->shape[2];
    for (int64_t i = 0; losses && i < all; i++) {
        const int64_t label = oci_i64(labels)[i];
        if (label != -100) oci_f32(losses)[n++] = -oci_f32(scores)[i * V + label];
    }
    return losses;
}

/* The mean over the labels; or TensorFlow's older way, all of them apart, whose gradient
 * is that of their sum. */
static oci_tensor *loss_of(oc_context *cx, const oci_ved *m, oci_tensor *logits,
                           oci_tensor *labels)
{
    oci_tensor *loss = oci_op_cross_entropy(cx, logits, labels);
    if (!loss || cx->framework != OC_TENSORFLOW || !m->tf_legacy_loss) {
        oci_output_loss(cx, loss);
        return loss;
    }
    const oci_tensor *losses = label_losses(cx, logits, labels);
    oci_output(cx, "loss", losses);
    return losses ? oci_op_scale(cx, loss, (float)losses->shape[0]) : NULL;
}

static oci_tensor *ved_forward(oc_context *cx, const void *model, const oc_tensors *in)
{
    const oci_ved *m = model;
    check_decoder_inputs(cx, m, in);
    oci_tensor *states = encoder_states(cx, m, in);
    oci_tensor *labels = oci_input(cx, in, inputs, "labels");
    oci_decode_call call = {
        .input_ids = oci_input(cx, in, inputs, "decoder_input_ids"),
        .inputs_embeds = oci_input(cx, in, inputs, "decoder_inputs_embeds"),
        .token_type_ids = oci_input(cx, in, inputs, "decoder_token_type_ids"),
        .position_ids = oci_input(cx, in, inputs, "decoder_position_ids"),
        .attention_mask = oci_input(cx, in, inputs, "decoder_attention_mask"),
        .head_mask = oci_input(cx, in, inputs, "decoder_head_mask"),
        .cross_attn_head_mask = oci_input(cx, in, inputs, "decoder_cross_attn_head_mask"),
        .encoder_hidden_states = oci_ved_project(cx, m, states) };
    if (labels && oci_has_loss(cx, "labels") && !call.input_ids && !call.inputs_embeds)
        call.input_ids = shift_right(cx, m, labels);
    oci_taps before = oci_outputs_enter(cx, "decoder_", "");
    oci_tensor *logits = oci_decode_with_past(cx, m->decoder_arch, m->decoder, in, inputs,
                                              call);
    oci_outputs_leave(cx, before);
    oci_output(cx, "logits", logits);                                   /* [B, T, V] */
    if (!labels) return NULL;
    oci_inputs_agree(cx, "logits", logits, "labels", labels, 2);
    return loss_of(cx, m, logits, labels);
}

static const oci_class classes[] = {
    { "VisionEncoderDecoderModel", inputs, ved_forward }, { 0 }
};

const oci_arch oci_vision_encoder_decoder = {
    .model_type = "vision-encoder-decoder", .size = sizeof(oci_ved), .classes = classes,
    .open = ved_open, .close = ved_close, .walk = ved_walk, .tokens_part = "decoder",
    .part = ved_part };
