/* The family of ViP-LLaVA: prompts of ids, some of which stand for pictures. The first
 * pass is over words and pictures together, and takes more slots of the cache than there
 * are ids; the masks of the passes after it are those of 4.37.2, which does not keep the
 * two apart (docs/MODEL-vipllava.md). */
#include <string.h>

#include "base/size.h"
#include "generate/decoding.h"
#include "models/vipllava.h"

static const oci_input_spec inputs[] = {
    { "input_ids", OCI_INPUT_IDS, 2 }, { "pixel_values", OCI_INPUT_FLOAT, 4 },
    { "attention_mask", OCI_INPUT_MASK, 2 }, OCI_INPUTS_END
};

static const oci_vipllava *model_of(const oci_decoding *d) { return d->model->core.root; }

/* ---- the prompt ---- */

/* Ones, but for pads, where there are any and pad is not an end token as well. */
static oci_tensor *own_mask(oc_context *cx, const oci_decoding *d)
{
    const oci_tensor *ids = d->given;
    bool tells = d->g.pad_token_id >= 0 && !oci_is_eos(&d->g, d->g.pad_token_id);
    oci_tensor *y = oci_tensor_create(cx, OC_F32, ids->rank, ids->shape);
    for (int64_t i = 0; y && i < oci_tensor_count(ids); i++)
        oci_f32(y)[i] = tells && oci_i64(ids)[i] == d->g.pad_token_id ? 0.0f : 1.0f;
    return y;
}

static void read_mask(oc_context *cx, oci_decoding *d, const oc_tensors *in,
                      bool pictures)
{
    oc_tensor_view view;
    d->mask = oci_input(cx, in, inputs, "attention_mask");
    if (!d->mask) {
        if (!oci_failed(cx)) d->mask = own_mask(cx, d);
        return;
    }
    oci_inputs_agree(cx, "input_ids", d->given, "attention_mask", d->mask, 2);
    if (pictures && oc_tensors_find(in, "attention_mask", &view) &&
        (view.dtype == OC_F32 || view.dtype == OC_F16 || view.dtype == OC_BF16 ||
         view.dtype == OC_F64))
        oci_fail(cx, OC_E_MALFORMED,
                 "input attention_mask: expected integers where there are pictures, "
                 "found %s",
                 oci_dtype_name(view.dtype));
}

static oci_tensor *features(oc_context *cx, const oci_decoding *d, oci_tensor *pixels,
                            bool interpolate)
{
    (void)interpolate;
    return oci_vipllava_features(cx, model_of(d), pixels, NULL);
}

/* The slots that the pictures of a row take beyond their tokens. The reference
 * repeats pictures one by one: of two in a row, one beam sees the first twice, and
 * the next beam the second. */
static void count_slots(oci_decoding *d)
{
    const int64_t I = model_of(d)->cfg.image_token_index, S = d->given->shape[1];
    int64_t most = 0;
    for (int64_t b = 0; b < d->items; b++) {
        int64_t n = 0;
        for (int64_t j = 0; j < S; j++) n += oci_i64(d->given)[b * S + j] == I;
        most = oci_max(most, n);
    }
    d->slots = most * (d->states->shape[1] - 1);
    d->apart = d->width > 1 && most > 1 && d->search != OCI_SEARCH_CONTRASTIVE;
}

static void prompt_open(oc_context *cx, oci_decoding *d, const oc_tensors *in)
{
    oc_tensor_view pixels;
    d->given = oci_input_required(cx, in, inputs, "input_ids");
    if (!d->given) return;
    d->items = d->given->shape[0];
    d->most = (int64_t)cx->limits.sequence;
    /* One id with a picture is text alone in 4.37.2. */
    bool pictures = oc_tensors_find(in, "pixel_values", &pixels) &&
                    d->given->shape[1] != 1;
    read_mask(cx, d, in, pictures);
    if (pictures && d->search == OCI_SEARCH_CONTRASTIVE)
        oci_fail(cx, OC_E_UNSUPPORTED,
                 "contrastive search: expected a prompt without pictures: the reference "
                 "cuts its candidates off and fails");
    if (!pictures || oci_failed(cx)) return;
    d->states = oci_encode_pictures(cx, d, pixels, features, false);
    if (d->states) count_slots(d);
}

/* ---- passes ---- */

/* The mask of all L ids of the batch's rows: the prompts', then ones. [A, L] */
static oci_tensor *mask_of_ids(oc_context *cx, const oci_decoding *d, int64_t L)
{
    int64_t P = d->prompt;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(d->batch_count, L));
    for (int64_t i = 0; y && i < d->batch_count; i++) {
        float *row = oci_f32(y) + i * L;
        memcpy(row, oci_f32(d->mask) + d->batch[i] / d->width * P,
               (size_t)P * sizeof *row);
        for (int64_t t = P; t < L; t++) row[t] = 1;
    }
    return y;
}

/* Number of each id among those seen; 1 for the others. The last T of each row, [A, T] */
static oci_tensor *count_positions(oc_context *cx, const oci_tensor *mask, int64_t T)
{
    int64_t L = mask->shape[1];
    oci_tensor *y = oci_tensor_create(cx, OC_I64, OCI_SHAPE(mask->shape[0], T));
    for (int64_t b = 0; y && b < mask->shape[0]; b++) {
        int64_t n = 0;
        for (int64_t t = 0; t < L; t++) {
            int64_t seen = (int64_t)oci_f32(mask)[b * L + t];
            n += seen;
            if (t >= L - T) oci_i64(y)[b * T + t - (L - T)] = seen ? n - 1 : 1;
        }
    }
    return y;
}

/* Which of the first slots of each cache row have keys of zeros: known after the first
 * pass, for what is added later lies behind them. */
static void find_dead(oc_context *cx, oci_decoding *d)
{
    const oci_kv *kv = &d->cache->self[0];
    d->dead = oci_calloc(cx, (size_t)oci_max(1, d->rows * d->slots), sizeof *d->dead);
    for (int64_t i = 0; d->dead && d->cache->layers > 0 && i < d->batch_count; i++)
        for (int64_t p = 0; p < d->slots; p++)
            d->dead[d->batch[i] * d->slots + p] =
                oci_kv_key_is_zero(cx, kv, d->batch[i], 0, p);
}

/* Over all ids so far. */
static oci_tensor *pass_all(oc_context *cx, oci_decoding *d, oci_tensor *ids)
{
    oci_decode_call call = { .input_ids = ids, .cache = d->cache, .last_only = true };
    oci_tensor *mask = mask_of_ids(cx, d, ids->shape[1]);
    if (!mask) return NULL;
    if (d->states) {
        oci_merge merge = { .ids = ids, .mask = mask, .features = d->states,
                            .repeats = d->batch_count / d->items };
        if (!oci_vipllava_merge(cx, model_of(d), &merge)) return NULL;
        call.input_ids = NULL;
        call.inputs_embeds = merge.embeds;
        call.attention_mask = merge.slot_mask;
        call.position_ids = merge.positions;
    } else {
        call.attention_mask = mask;
        call.position_ids = count_positions(cx, mask, ids->shape[1]);
    }
    oci_tensor *logits = oci_llama_decode(cx, &model_of(d)->language, call);
    if (d->slots > 0 && !d->dead && !oci_failed(cx)) find_dead(cx, d);
    return logits;
}

/* What d->dead says of the slots that the rows of the batch read. */
static bool *dead_of_batch(oc_context *cx, const oci_decoding *d)
{
    int64_t n = d->batch_count * d->slots;
    bool *dead = oci_arena_alloc(cx, &cx->arena, (size_t)oci_max(1, n) * sizeof *dead);
    for (int64_t i = 0; dead && i < n; i++) {
        int64_t row = d->batch[i / d->slots], p = i % d->slots;
        if (d->origin) row = d->origin[row * d->places + p];
        dead[i] = d->dead[row * d->slots + p];
    }
    return dead;
}

/* Over one id more. */
static oci_tensor *pass_step(oc_context *cx, oci_decoding *d, oci_tensor *ids)
{
    int64_t cached = d->cache->length;
    oci_decode_call call = { .input_ids = ids, .cache = d->cache, .last_only = true };
    oci_tensor *mask = mask_of_ids(cx, d, cached - d->slots + ids->shape[1]);
    bool *dead = d->slots > 0 ? dead_of_batch(cx, d) : NULL;
    if (oci_failed(cx)) return NULL;
    if (dead) {
        mask = oci_vipllava_step_mask(cx, mask, cached, dead, &call.position_ids);
        if (!mask) return NULL;
    } else {
        call.position_ids = count_positions(cx, mask, ids->shape[1]);
    }
    call.attention_mask = mask;
    return oci_llama_decode(cx, &model_of(d)->language, call);
}

static oci_tensor *prompt_pass(oc_context *cx, oci_decoding *d, oci_tensor *ids)
{
    return d->cache->length == 0 ? pass_all(cx, d, ids) : pass_step(cx, d, ids);
}

static oci_decoder_shape prompt_shape(const void *root)
{
    return oci_llama_arch.decoder_shape(&((const oci_vipllava *)root)->language);
}

const oci_family oci_prompt_family = {
    .arch = &oci_vipllava_arch, .inputs = inputs, .outputs = "", .looks_at_all = true,
    .shape = prompt_shape, .open = prompt_open, .pass = prompt_pass };
