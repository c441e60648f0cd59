/* Pictures to what the decoder looks at. */
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"
#include "generate/decoding.h"

/* Pictures that go through the encoder together: enough rows for the products, few enough
 * that a layer's values stay in the cache, and of large ones (a page for a Donut is 59 MB, and
 * a layer's values are ten times that) as few as fit. Each picture's result is the same in any
 * company. */
enum { PICTURES_AT_ONCE = 4, BYTES_AT_ONCE = 1 << 23 };

static int64_t group_size(oc_tensor_view pixels)
{
    int64_t each = (int64_t)pixels.bytes / pixels.shape[0];
    return oci_max(1, oci_min(PICTURES_AT_ONCE, BYTES_AT_ONCE / oci_max(1, each)));
}

static oci_tensor *encode_some(oc_context *cx, const oci_decoding *d, oc_tensor_view pixels,
                               int64_t first, int64_t count, bool interpolate)
{
    oci_arena_mark mark = oci_mark(cx);
    return oci_settle(cx, mark, oci_ved_encode(cx, d->ved, (oci_encode_call){
        .pixel_values = oci_input_rows(cx, pixels, first, count),
        .interpolate_pos_encoding = interpolate }));
}

/* [B, N, Dc], group by group. */
static oci_tensor *encode_all(oc_context *cx, const oci_decoding *d, oc_tensor_view pixels,
                              bool interpolate)
{
    const int64_t B = pixels.shape[0], most = group_size(pixels);
    if (B <= most) return encode_some(cx, d, pixels, 0, B, interpolate);
    oci_tensor *all = NULL;
    for (int64_t b = 0; b < B && !oci_failed(cx); b += most) {
        oci_arena_mark mark = oci_mark(cx);
        int64_t count = oci_min(most, B - b);
        const oci_tensor *x = encode_some(cx, d, pixels, b, count, interpolate);
        if (!x) return NULL;
        int64_t each = oci_tensor_count(x) / count;
        if (all) {
            memcpy(oci_f32(all) + b * each, x->data, (size_t)(count * each) * sizeof(float));
            oci_arena_reset(&cx->arena, mark);
        } else {        /* the first group says how large the result is, and stays below it */
            all = oci_tensor_create(cx, OC_F32, OCI_SHAPE(B, x->shape[1], x->shape[2]));
            if (all) memcpy(all->data, x->data, (size_t)(count * each) * sizeof(float));
        }
    }
    return all;
}

/* encoder_attentions.LAYER, encoder_hidden_states.LAYER, as they are: one row a picture. */
static void hand_out(oc_context *cx, oci_decoding *d, const oc_tensors *held)
{
    static const char *const stems[] = { "encoder_attentions.", "encoder_hidden_states." };
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
    oci_tensor *x = encode_some(cx, d, pixels, 0, pixels.shape[0], interpolate);
    cx->taps = NULL;
    hand_out(cx, d, taps.set);
    oc_tensors_free(taps.set);
    return x;
}

void oci_decoding_encode(oc_context *cx, oci_decoding *d, const oc_tensors *in,
                         const oci_input_spec *inputs)
{
    double start = oci_now();
    oci_tensor *given = oci_input(cx, in, inputs, "encoder_outputs.0");
    oc_tensor_view pixels = { 0 };
    bool interpolate = oci_input_flag(in, "interpolate_pos_encoding");
    if (given && given->shape[2] != d->ved->encoder_width)
        oci_fail(cx, OC_E_MALFORMED, "encoder_outputs.0: expected width %lld, found %lld",
                 (long long)d->ved->encoder_width, (long long)given->shape[2]);
    if (!given && !oc_tensors_find(in, "pixel_values", &pixels))
        (void)oci_input_required(cx, in, inputs, "pixel_values");       /* says what lacks */
    if (oci_failed(cx)) return;
    bool tell = d->g.output_attentions || d->g.output_hidden_states;
    if (given) d->states = oci_ved_project(cx, d->ved, given);
    else if (tell) d->states = encode_and_tell(cx, d, pixels, interpolate);
    else d->states = encode_all(cx, d, pixels, interpolate);
    d->encode_seconds = oci_now() - start;
}
