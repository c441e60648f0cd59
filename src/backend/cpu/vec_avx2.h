/* The vector layer for AVX2 with FMA and F16C: 16 registers of 8 floats.
 * See vec_avx512.h. */
#ifndef OCI_BACKEND_CPU_VEC_AVX2_H
#define OCI_BACKEND_CPU_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* 6 x 2 accumulators, 2 of B and a broadcast: 15 of 16 registers. */
enum { VL = 8, PV = 2, P = VL * PV, MR = 6 };

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;      /* all bits of a lane set or clear */

INLINE vf vload(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vstore(float *p, vf x) { _mm256_storeu_ps(p, x); }
INLINE vf vset1(float x) { return _mm256_set1_ps(x); }
INLINE vf vadd(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf vsub(vf a, vf b) { return _mm256_sub_ps(a, b); }
INLINE vf vmul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf vdiv(vf a, vf b) { return _mm256_div_ps(a, b); }
INLINE vf vsqrt(vf a) { return _mm256_sqrt_ps(a); }
INLINE vf vfma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf vfnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }

INLINE vm vlt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vm veq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
INLINE vm vnan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
INLINE vf vselect(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
INLINE unsigned vmask_bits(vm m) { return (unsigned)_mm256_movemask_ps(m); }

INLINE vi vfloat_bits(vf a) { return _mm256_castps_si256(a); }
INLINE vf vbits_float(vi a) { return _mm256_castsi256_ps(a); }
INLINE vi vand(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi vor(vi a, vi b) { return _mm256_or_si256(a, b); }
INLINE vi vixor(vi a, vi b) { return _mm256_xor_si256(a, b); }
INLINE vi viset1(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vi vexponent(vi a) { return _mm256_slli_epi32(a, 23); }

INLINE vf vldexp(vf a, vf n)
{
    /* In two steps of about half of n, each a normal number. */
    vi whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    vi rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    a = vmul(a, vbits_float(vexponent(_mm256_add_epi32(half, bias))));
    return vmul(a, vbits_float(vexponent(_mm256_add_epi32(rest, bias))));
}

INLINE vi vfirst_lanes(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)(n < VL ? n : VL)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vm vfirst(int64_t n) { return _mm256_castsi256_ps(vfirst_lanes(n)); }
INLINE vf vload_n(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vfirst_lanes(n));
}

INLINE void vstore_n(float *p, vf x, int64_t n)
{
    _mm256_maskstore_ps(p, vfirst_lanes(n), x);
}

INLINE __m256i vload_words(const uint16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE vf vload_bf16_low(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(vload_words(p), 16));
}

INLINE vf vload_bf16_high(const uint16_t *p)
{
    const __m256i high = _mm256_set1_epi32((int32_t)0xffff0000);
    return _mm256_castsi256_ps(_mm256_and_si256(vload_words(p), high));
}

INLINE vf vload_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE vf vload_i8(const int8_t *p)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

INLINE vf vsquare_error(vf x, vf square) { return _mm256_fmsub_ps(x, x, square); }

INLINE vi viload(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void vistore(void *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
INLINE vi vishl(vi a, int n) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi vishr(vi a, int n) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi visar(vi a, int n) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vf vto_float(vi a) { return _mm256_cvtepi32_ps(a); }
INLINE vi vto_int(vf a) { return _mm256_cvtps_epi32(a); }

INLINE vi viadd(vi a, vi b) { return _mm256_add_epi32(a, b); }

INLINE int32_t vireduce_add(vi a)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(x) + _mm_extract_epi32(x, 1);
}

INLINE vi vdot_bytes(vi sum, vi x, vi y)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(y), _mm256_sign_epi8(x, y));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE vi vdot_nibbles(vi sum, vi x, vi y)
{
    __m256i pairs = _mm256_maddubs_epi16(y, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE void vprefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }

#endif
