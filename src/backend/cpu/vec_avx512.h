/* The vector layer for AVX-512 (f, bw, dq, vl): 32 registers of 16 floats.
 * The kernel texts (*.inc) are written against these names only; the three
 * vec_*.h define the same set. */
#ifndef OCI_BACKEND_CPU_VEC_AVX512_H
#define OCI_BACKEND_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* VL floats in a vector; a panel of W is PV vectors wide; a register tile has up to MR
 * rows: 14 x 2 accumulators, 2 of B and a broadcast leave one register of 32 free. */
enum { VL = 16, PV = 2, P = VL * PV, MR = 14 };

typedef __m512 vf;      /* floats */
typedef __m512i vi;     /* 32-bit integers */
typedef __mmask16 vm;   /* one truth value a lane */

INLINE vf vload(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vstore(float *p, vf x) { _mm512_storeu_ps(p, x); }
INLINE vf vset1(float x) { return _mm512_set1_ps(x); }
INLINE vf vadd(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vsub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf vmul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vdiv(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
INLINE vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }       /* c + a b */
INLINE vf vfnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }     /* c - a b */
/* a > b ? a : b, and so b when either is NaN; likewise vmin. */
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }

INLINE vm vlt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vm veq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE vm vnan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
INLINE vf vselect(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
INLINE unsigned vmask_bits(vm m) { return m; }      /* bit i: lane i */

INLINE vi vfloat_bits(vf a) { return _mm512_castps_si512(a); }
INLINE vf vbits_float(vi a) { return _mm512_castsi512_ps(a); }
INLINE vi vand(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi vor(vi a, vi b) { return _mm512_or_si512(a, b); }
INLINE vi vixor(vi a, vi b) { return _mm512_xor_si512(a, b); }
INLINE vi viset1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vi vexponent(vi a) { return _mm512_slli_epi32(a, 23); }      /* to the
                                                                       exponent's place */
/* a * 2^n for integral n of -150..128, rounded once. */
INLINE vf vldexp(vf a, vf n) { return _mm512_scalef_ps(a, n); }

/* n of 1..VL floats; the other lanes read as zero and are not written. */
INLINE vm vfirst(int64_t n) { return (__mmask16)(n >= VL ? 0xffff : (1u << n) - 1); }
INLINE vf vload_n(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(vfirst(n), p);
}
INLINE void vstore_n(float *p, vf x, int64_t n)
{
    _mm512_mask_storeu_ps(p, vfirst(n), x);
}

/* 2 VL numbers of bf16 as the low and the high halves of VL words: the low ones widened,
 * and the high ones. */
INLINE vf vload_bf16_low(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}

INLINE vf vload_bf16_high(const uint16_t *p)
{
    const __m512i high = _mm512_set1_epi32((int32_t)0xffff0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high));
}

INLINE vf vload_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* VL signed bytes. */
INLINE vf vload_i8(const int8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/* x² - square, where square is x² rounded: exact. */
INLINE vf vsquare_error(vf x, vf square) { return _mm512_fmsub_ps(x, x, square); }

INLINE vi viload(const void *p) { return _mm512_loadu_si512(p); }
INLINE void vistore(void *p, vi a) { _mm512_storeu_si512(p, a); }
/* Shifts by a constant: up, down with zeros, down with the sign. */
INLINE vi vishl(vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi vishr(vi a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi visar(vi a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vf vto_float(vi a) { return _mm512_cvtepi32_ps(a); }
INLINE vi vto_int(vf a) { return _mm512_cvtps_epi32(a); }   /* nearest, ties to even; |a|
                                                               < 2^22 */

INLINE vi viadd(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE int32_t vireduce_add(vi a) { return _mm512_reduce_add_epi32(a); }

/* sum + products of 4 VL signed bytes, four to a lane; both within -127..127. The
 * instruction multiplies unsigned by signed, so y's signs move over to x. */
INLINE vi vdot_bytes(vi sum, vi x, vi y)
{
    x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(y), _mm512_setzero_si512(), x);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(y), x);    /* 2 * 127² < 2^15 */
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

/* The same where y's bytes are 0..15. */
INLINE vi vdot_nibbles(vi sum, vi x, vi y)
{
    __m512i pairs = _mm512_maddubs_epi16(y, x);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

/* The first in one step, for CPUs that have it: what this file
 * is compiled for does not. */
#define BACKEND_HAS_VNNI 1
#define VNNI __attribute__((target("avx512vnni")))
VNNI static inline vi vdot_bytes_vnni(vi sum, vi x, vi y)
{
    x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(y), _mm512_setzero_si512(), x);
    return _mm512_dpbusd_epi32(sum, _mm512_abs_epi8(y), x);
}

/* Likewise for products of bf16 (bf16.inc). */
#define BACKEND_HAS_BF16 1
#define BF16 __attribute__((target("avx512bf16")))

/* Into L2. */
INLINE void vprefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }

#endif
