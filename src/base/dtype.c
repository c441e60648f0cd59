#include "base/dtype.h"

static const struct {
    const char *name;
    size_t size;
} table[OC_DTYPE_COUNT] = {
#define ROW(name, size) [OC_##name] = { #name, size },
    OC_DTYPE_MAP(ROW)
#undef ROW
};

size_t oci_dtype_size(oc_dtype dtype)
{
    return (unsigned)dtype < OC_DTYPE_COUNT ? table[dtype].size : 0;
}

const char *oci_dtype_name(oc_dtype dtype)
{
    if ((unsigned)dtype < OC_DTYPE_COUNT) return table[dtype].name;
    switch ((int)dtype) {
    case OC_INT8: return "INT8";
    case OC_INT8_CHANNEL: return "INT8_CHANNEL";
    case OC_INT4: return "INT4";
    default: return "unknown";
    }
}

oc_dtype oci_dtype_find(const char *name, size_t length)
{
    for (int i = 0; i < OC_DTYPE_COUNT; i++)
        if (strlen(table[i].name) == length && !memcmp(table[i].name, name, length))
            return (oc_dtype)i;
    return OC_DTYPE_COUNT;
}

uint16_t oci_f32_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);  /* NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float oci_f16_to_f32(uint16_t x)
{
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31,
             mantissa = x & 0x3ff;
    if (exponent == 0) {                        /* zero and subnormal: mantissa * 2^-24 */
        float f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    uint32_t wide = exponent == 31 ? 255 : exponent + 112;      /* bias 15 to 127 */
    uint32_t bits = sign | wide << 23 | mantissa << 13;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t oci_f32_to_f16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;                /* NaN */
    if (bits >= 0x477ff000) return sign | 0x7c00;             /* rounds to 2^16 or more */
    if (bits < 0x38800000) {                    /* below 2^-14: a multiple of 2^-24 */
        float f;
        memcpy(&f, &bits, sizeof f);
        f += 0.5f;                            /* 0.5 has an ulp of 2^-24: rounds for us */
        memcpy(&bits, &f, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((bits - (112u << 23)) >> 13);
}

void oci_dtype_to_f32(oc_dtype dtype, const void *from, float *to, size_t n)
{
    const double *f64 = from;
    const uint16_t *u16 = from;
    switch (dtype) {
    case OC_F32: memcpy(to, from, n * sizeof *to); break;
    case OC_F64: for (size_t i = 0; i < n; i++) to[i] = (float)f64[i]; break;
    case OC_BF16: for (size_t i = 0; i < n; i++) to[i] = oci_bf16_to_f32(u16[i]); break;
    case OC_F16: for (size_t i = 0; i < n; i++) to[i] = oci_f16_to_f32(u16[i]); break;
    default: break;
    }
}

void oci_dtype_from_f32(oc_dtype dtype, const float *from, void *to, size_t n)
{
    double *f64 = to;
    uint16_t *u16 = to;
    switch (dtype) {
    case OC_F32: memcpy(to, from, n * sizeof *from); break;
    case OC_F64: for (size_t i = 0; i < n; i++) f64[i] = (double)from[i]; break;
    case OC_BF16: for (size_t i = 0; i < n; i++) u16[i] = oci_f32_to_bf16(from[i]); break;
    case OC_F16: for (size_t i = 0; i < n; i++) u16[i] = oci_f32_to_f16(from[i]); break;
    default: break;
    }
}
