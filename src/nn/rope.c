/* Tables of rotary positions, as Transformers' Llama…RotaryEmbedding compute them:
 * frequencies, angles and their cosines in f32, each rounded. */
#include "nn/layers.h"

#include <math.h>

/* theta^(-2i/d), theta grown where a dynamic table is asked for more than max_positions:
 * the reference makes its table anew then, as long as the longest call so far. */
static void frequencies(const oci_rope *rope, int64_t keys, float *out)
{
    const int64_t d = rope->head_dim;
    double theta = rope->theta;
    if (rope->kind == OCI_ROPE_DYNAMIC && keys > rope->max_positions) {
        double longer = rope->factor * (double)keys / (double)rope->max_positions;
        theta *= pow(longer - (rope->factor - 1), (double)d / (double)(d - 2));
    }
    for (int64_t i = 0; i < d / 2; i++)
        out[i] = 1.0f /
                 (float)pow((double)(float)theta, (double)((float)(2 * i) / (float)d));
}

oci_tensor *oci_rope_table(oc_context *cx, const oci_rope *rope,
                           const oci_tensor *positions, int64_t keys)
{
    if (!positions || oci_failed(cx)) return NULL;
    const int64_t half = rope->head_dim / 2;
    const float factor = rope->kind == OCI_ROPE_LINEAR ? (float)rope->factor : 1.0f;
    oci_tensor *y = oci_tensor_create(cx, OC_F32, OCI_SHAPE(
        positions->shape[0], positions->shape[1], rope->head_dim));
    oci_tensor *f = oci_tensor_create(cx, OC_F32, OCI_SHAPE(half));
    if (!y || !f) return NULL;
    frequencies(rope, keys, oci_f32(f));
    for (int64_t i = 0; i < oci_tensor_count(positions); i++) {
        int64_t p = oci_i64(positions)[i];
        if (p < -keys || p >= keys) {
            oci_fail(cx, OC_E_MALFORMED,
                     "position_ids: expected 0 to %lld, one less than there are keys, "
                     "found %lld",
                     (long long)keys - 1, (long long)p);
            return NULL;
        }
        float *row = oci_f32(y) + i * rope->head_dim,
              t = (float)(p < 0 ? p + keys : p) / factor;
        for (int64_t k = 0; k < half; k++) {
            float angle = t * oci_f32(f)[k];
            row[k] = cosf(angle);
            row[half + k] = sinf(angle);
        }
    }
    return y;
}
