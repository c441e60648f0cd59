/* The vector layer in plain C: the compiler's own vectors of 4 floats, which gcc and
 * clang map to SSE2, NEON or scalar code. See vec_avx512.h.
 *
 * There is no fused multiply-add: fmaf() without hardware is a slow library call. vfma
 * rounds twice here, and it does so everywhere (files are compiled with
 * -ffp-contract=off), so this ISA too gives one result. */
#ifndef OCI_BACKEND_CPU_VEC_GENERIC_H
#define OCI_BACKEND_CPU_VEC_GENERIC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/dtype.h"

#define INLINE static inline __attribute__((always_inline))

/* 4 x 2 accumulators, 2 of B, a broadcast and a product: 12 of SSE2's 16 registers. */
enum { VL = 4, PV = 2, P = VL * PV, MR = 4 };

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef vi vm;          /* -1 or 0 in each lane */

INLINE vf vload(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE void vstore(float *p, vf x) { memcpy(p, &x, sizeof x); }
INLINE vf vset1(float x) { return (vf){ x, x, x, x }; }
INLINE vf vadd(vf a, vf b) { return a + b; }
INLINE vf vsub(vf a, vf b) { return a - b; }
INLINE vf vmul(vf a, vf b) { return a * b; }
INLINE vf vdiv(vf a, vf b) { return a / b; }
INLINE vf vsqrt(vf a)
{
    return (vf){ sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3]) };
}
INLINE vf vfma(vf a, vf b, vf c) { return c + a * b; }
INLINE vf vfnma(vf a, vf b, vf c) { return c - a * b; }

INLINE vi vfloat_bits(vf a) { return (vi)a; }
INLINE vf vbits_float(vi a) { return (vf)a; }
INLINE vi vand(vi a, vi b) { return a & b; }
INLINE vi vor(vi a, vi b) { return a | b; }
INLINE vi vixor(vi a, vi b) { return a ^ b; }
INLINE vi viset1(int32_t x) { return (vi){ x, x, x, x }; }
typedef uint32_t vu __attribute__((vector_size(16)));       /* shifts without signs */
INLINE vi vexponent(vi a) { return (vi)((vu)a << 23); }

INLINE vm vlt(vf a, vf b) { return (vm)(a < b); }
INLINE vm veq(vf a, vf b) { return (vm)(a == b); }
INLINE vm vnan(vf a) { return (vm)(a != a); }
INLINE vf vselect(vm m, vf yes, vf no) { return (vf)(((vi)yes & m) | ((vi)no & ~m)); }
INLINE vf vmax(vf a, vf b) { return vselect((vm)(a > b), a, b); }
INLINE vf vmin(vf a, vf b) { return vselect((vm)(a < b), a, b); }

INLINE unsigned vmask_bits(vm m)
{
    return (unsigned)((m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8));
}

INLINE vf vldexp(vf a, vf n)
{
    /* In two steps of about half of n, each a normal number. Adding 1.5 * 2^23 leaves an
     * integer in the low bits of the sum. */
    const vf magic = vset1(0x1.8p23f);
    vi whole = (vi)(n + magic) - (vi)magic, half = whole >> 1;
    a *= vbits_float(vexponent(half + 127));
    return a * vbits_float(vexponent(whole - half + 127));
}

INLINE vm vfirst(int64_t n) { return (vm){ -(n > 0), -(n > 1), -(n > 2), -(n > 3) }; }

INLINE vf vload_n(const float *p, int64_t n)
{
    float x[VL] = { 0 };
    memcpy(x, p, (size_t)(n < VL ? n : VL) * sizeof *p);
    return vload(x);
}

INLINE void vstore_n(float *p, vf x, int64_t n)
{
    memcpy(p, &x, (size_t)(n < VL ? n : VL) * sizeof *p);
}

/* By number, not by byte: the even ones are the low halves on any processor. */
INLINE vf vload_bf16_low(const uint16_t *p)
{
    return (vf){ oci_bf16_to_f32(p[0]), oci_bf16_to_f32(p[2]), oci_bf16_to_f32(p[4]),
                 oci_bf16_to_f32(p[6]) };
}

INLINE vf vload_bf16_high(const uint16_t *p) { return vload_bf16_low(p + 1); }

INLINE vf vload_f16(const uint16_t *p)
{
    return (vf){ oci_f16_to_f32(p[0]), oci_f16_to_f32(p[1]), oci_f16_to_f32(p[2]),
                 oci_f16_to_f32(p[3]) };
}

INLINE vf vload_i8(const int8_t *p)
{
    return (vf){ (float)p[0], (float)p[1], (float)p[2], (float)p[3] };
}

/* Without FMA: x = high + low with 12 bits each, whose
 * products are exact (Dekker 1971). */
INLINE vf vsquare_error(vf x, vf square)
{
    vf high = vbits_float(vand(vfloat_bits(x), viset1((int32_t)0xfffff000))),
       low = x - high;
    return ((high * high - square) + (high + high) * low) + low * low;
}

INLINE vi viload(const void *p)
{
    vi a;
    memcpy(&a, p, sizeof a);
    return a;
}

INLINE void vistore(void *p, vi a) { memcpy(p, &a, sizeof a); }

INLINE vi vishl(vi a, int n) { return (vi)((vu)a << (uint32_t)n); }
INLINE vi vishr(vi a, int n) { return (vi)((vu)a >> (uint32_t)n); }
INLINE vi visar(vi a, int n) { return a >> n; }
INLINE vf vto_float(vi a) { return __builtin_convertvector(a, vf); }
/* 1.5 * 2^23 + a has the whole number in its low bits. */
INLINE vi vto_int(vf a)
{
    return (vi)(a + vset1(0x1.8p23f)) - (vi)vset1(0x1.8p23f);
}

INLINE vi viadd(vi a, vi b) { return a + b; }
INLINE int32_t vireduce_add(vi a) { return a[0] + a[1] + a[2] + a[3]; }

#if defined(__SSE2__)
INLINE vi vdot_bytes(vi sum, vi a, vi b)
{
    __m128i x = (__m128i)a, y = (__m128i)b;
    /* Twice itself, shifted down with its sign: bytes widened to 16 bits. */
    __m128i x0 = _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
    __m128i x1 = _mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8);
    __m128i y0 = _mm_srai_epi16(_mm_unpacklo_epi8(y, y), 8);
    __m128i y1 = _mm_srai_epi16(_mm_unpackhi_epi8(y, y), 8);
    /* Sums of two; neighbours belong to one lane. */
    __m128 low = _mm_castsi128_ps(_mm_madd_epi16(x0, y0));
    __m128 high = _mm_castsi128_ps(_mm_madd_epi16(x1, y1));
    return sum + (vi)_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)) +
           (vi)_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
}
#else
INLINE vi vdot_bytes(vi sum, vi a, vi b)
{
    typedef int8_t bytes __attribute__((vector_size(16)));
    bytes x = (bytes)a, y = (bytes)b;
    for (int i = 0; i < 4 * VL; i++) sum[i / 4] += x[i] * y[i];
    return sum;
}
#endif

INLINE vi vdot_nibbles(vi sum, vi a, vi b) { return vdot_bytes(sum, a, b); }

INLINE void vprefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

#endif
