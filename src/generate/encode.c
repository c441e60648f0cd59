/* The family of VisionEncoderDecoder: pictures are encoded once, and the decoder, which
 * attends to them, begins with a start token or a prompt. */
#include <ctype.h>
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"
#include "generate/decoding.h"
#include "models/vision_encoder_decoder.h"

static const oci_input_spec inputs[] = {
    { "pixel_values", OCI_INPUT_FLOAT, 4 }, { "decoder_input_ids", OCI_INPUT_IDS, 2 },
    { "encoder_outputs.0", OCI_INPUT_FLOAT, 3 },
    { "decoder_attention_mask", OCI_INPUT_MASK, 2 },    /* taken and not used, as
                                                           4.37.2 does */
    { "interpolate_pos_encoding", OCI_INPUT_FLAG, 0 }, OCI_INPUTS_END
};

static const oci_ved *ved_of(const oci_decoding *d) { return d->model->core.root; }

/* ---- pictures ---- */

/* Pictures that go through the encoder together: enough rows for the products, few enough
 * that a layer's values stay in the cache, and of large ones (a page for a Donut is 59
 * MB, and a layer's values are ten times that) as few as fit. Each picture's result is
 * the same in any company. */
enum { PICTURES_AT_ONCE = 4, BYTES_AT_ONCE = 1 << 23 };

static int64_t group_size(oc_tensor_view pixels)
{
    int64_t each = (int64_t)pixels.bytes / pixels.shape[0];
    return oci_max(1, oci_min(PICTURES_AT_ONCE, BYTES_AT_ONCE / oci_max(1, each)));
}

static oci_tensor *encode_some(oc_context *cx, const oci_decoding *d,
                               oc_tensor_view pixels, int64_t first, int64_t count,
                               oci_encode_group *encode, bool interpolate)
{
    oci_arena_mark mark = oci_mark(cx);
    oci_tensor *x = oci_input_rows(cx, pixels, first, count);
    return oci_settle(cx, mark, x ? encode(cx, d, x, interpolate) : NULL);
}

oci_tensor *oci_encode_pictures(oc_context *cx, const oci_decoding *d,
                                oc_tensor_view pixels, oci_encode_group *encode,
                                bool interpolate)
{
    const int64_t B = pixels.shape[0], most = group_size(pixels);
    if (B <= most) return encode_some(cx, d, pixels, 0, B, encode, interpolate);
    oci_tensor *all = NULL;
    for (int64_t b = 0; b < B && !oci_failed(cx); b += most) {
        oci_arena_mark mark = oci_mark(cx);
        int64_t count = oci_min(most, B - b);
        const oci_tensor *x = encode_some(cx, d, pixels, b, count, encode, interpolate);
        if (!x) return NULL;
        int64_t each = oci_tensor_count(x) / count;
        if (all) {
            memcpy(oci_f32(all) + b * each, x->data,
                   (size_t)(count * each) * sizeof(float));
            oci_arena_reset(&cx->arena, mark);
        } else {    /* the first group says how large the result is, and stays below it */
            all = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, x->shape[1], x->shape[2]));
            if (all) memcpy(all->data, x->data, (size_t)(count * each) * sizeof(float));
        }
    }
    return all;
}

static oci_tensor *encode(oc_context *cx, const oci_decoding *d, oci_tensor *pixels,
                          bool interpolate)
{
    return oci_ved_encode(cx, ved_of(d), (oci_encode_call){
        .pixel_values = pixels, .interpolate_pos_encoding = interpolate });
}

/* encoder_attentions.LAYER, encoder_hidden_states.LAYER, as they are:
 * one row a picture. */
static void hand_out(oc_context *cx, oci_decoding *d, const oc_tensors *held)
{
    static const char *const stems[] = { "encoder_attentions.",
                                         "encoder_hidden_states." };
    for (size_t i = 0; held && i < oc_tensors_count(held) && !oci_failed(cx); i++) {
        oc_tensor_view v = oc_tensors_get(held, i);
        for (int k = 0; k < 2; k++)
            if (!strncmp(v.name, stems[k], strlen(stems[k])))
                oc_tensors_add(cx, d->out, v.name, v.dtype, v.rank, v.shape, v.data);
    }
}

/* The encoder over all pictures in one go, with its outputs. */
static oci_tensor *encode_and_tell(oc_context *cx, oci_decoding *d, oc_tensor_view pixels,
                                   bool interpolate)
{
    oci_taps taps = { .set = oc_tensors_create(cx), .attentions = d->g.output_attentions,
                      .hidden_states = d->g.output_hidden_states, .prefix = "encoder_",
                      .cross_prefix = "encoder_" };
    if (!taps.set) return NULL;
    cx->taps = &taps;
    oci_tensor *x = encode_some(cx, d, pixels, 0, pixels.shape[0], encode, interpolate);
    cx->taps = NULL;
    hand_out(cx, d, taps.set);
    oc_tensors_free(taps.set);
    return x;
}

static void encode_all(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    oci_tensor *given = oci_input(cx, in, inputs, "encoder_outputs.0");
    oc_tensor_view pixels = { 0 };
    bool interpolate = oci_input_flag(in, "interpolate_pos_encoding");
    int64_t width = ved_of(d)->encoder_width;
    if (given && given->shape[2] != width)
        oci_fail(cx, OC_E_MALFORMED, "encoder_outputs.0: expected width %lld, found %lld",
                 (long long)width, (long long)given->shape[2]);
    if (!given && !oc_tensors_find(in, "pixel_values", &pixels))
        (void)oci_input_required(cx, in, inputs, "pixel_values");    /* says what lacks */
    if (oci_failed(cx)) return;
    bool tell = d->g.output_attentions || d->g.output_hidden_states;
    if (given) d->states = oci_ved_project(cx, ved_of(d), given);
    else if (tell) d->states = encode_and_tell(cx, d, pixels, interpolate);
    else d->states = oci_encode_pictures(cx, d, pixels, encode, interpolate);
}

/* ---- the prompt ---- */

/* Donut's prompts are taken as they are (4.37.2 looks at the name it was loaded by). */
static bool named_donut(const char *folder)
{
    static const char word[] = "donut";
    for (; *folder; folder++) {
        size_t i = 0;
        while (word[i] && tolower((unsigned char)folder[i]) == word[i]) i++;
        if (!word[i]) return true;
    }
    return false;
}

/* The start token; bos stands in for it. -1 with an error if there is neither. */
static int64_t start_token(oc_context *cx, const oci_generation_config *g)
{
    int64_t start = g->decoder_start_token_id >= 0 ? g->decoder_start_token_id
                                                   : g->bos_token_id;
    if (start < 0)
        oci_fail(cx, OC_E_ARGUMENT,
                 "generate: expected decoder_start_token_id or bos_token_id in "
                 "generation_config.json or as an option, found neither");
    return start;
}

static bool start_missing(const oci_tensor *given, int64_t start)
{
    for (int64_t b = 0; given && b < given->shape[0]; b++)
        if (oci_i64(given)[b * given->shape[1]] == start) return false;
    return true;
}

/* decoder_input_ids, with the start token before them unless some row begins with it. */
static void picture_open(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    d->given = oci_input(cx, in, inputs, "decoder_input_ids");
    int64_t start = oci_failed(cx) ? -1 : start_token(cx, &d->g);
    if (!oci_failed(cx)) encode_all(cx, d, in);
    if (!d->states || oci_failed(cx)) return;
    oci_inputs_agree(cx, "pixel_values", d->states, "decoder_input_ids", d->given, 1);
    bool add = start_missing(d->given, start) &&
               !(d->given && named_donut(d->model->folder));
    d->start = add ? start : -1;
    d->items = d->states->shape[0];
    d->cross_attends = true;
    /* No decoder answers beyond its positions: neither need the cache go there. */
    d->most = oci_max(d->shape.max_positions, 4096);
}

/* ---- passes ---- */

/* Without use_cache the reference counts positions over all ids, leaving pads out; with
 * it, the length of the cache. Only sinusoidal positions see the difference. */
static const int64_t *counted_ids(oc_context *cx, const oci_decoding *d)
{
    if (d->g.use_cache) return NULL;
    oci_tensor *n = oci_tensor_create(cx, OC_I64, OCI_SHAPE(d->batch_count));
    for (int64_t i = 0; n && i < d->batch_count; i++) {
        const int64_t *row = d->ids + oci_sequence_of(d, d->batch[i]) * d->room;
        oci_i64(n)[i] = 0;
        for (int64_t t = 0; t < d->cache->length; t++)
            oci_i64(n)[i] += row[t] != d->shape.pad_token_id;
    }
    return n ? oci_i64(n) : NULL;
}

static oci_tensor *picture_pass(oc_context *cx, oci_decoding *d, oci_tensor *ids)
{
    const oci_ved *m = ved_of(d);
    return m->decoder_arch->decode(cx, m->decoder, (oci_decode_call){
        .input_ids = ids, .encoder_hidden_states = d->states, .cache = d->cache,
        .last_only = true, .counted = counted_ids(cx, d) });
}

static oci_decoder_shape picture_shape(const void *root)
{
    return ((const oci_ved *)root)->shape;
}

const oci_family oci_picture_family = {
    .arch = &oci_vision_encoder_decoder, .inputs = inputs, .outputs = "decoder_",
    .shape = picture_shape, .open = picture_open, .pass = picture_pass };
