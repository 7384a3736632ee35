// AVX-512 (F, BW, DQ, VL): sixteen lanes, masks for incomplete vectors, and vscalefps for exponentials.
#pragma once

// gcc 12 takes its own header's undefined values for mistakes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

namespace swin_umamba::SWIN_ISA {

typedef float Float __attribute__((vector_size(64)));
constexpr bool kWithDouble = false;
constexpr int kProductRows = 8;

SWIN_INLINE Float minimum(Float a, Float b) { return _mm512_min_ps(a, b); }
SWIN_INLINE Float maximum(Float a, Float b) { return _mm512_max_ps(a, b); }
SWIN_INLINE Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }

SWIN_INLINE float sum_lanes(Float v) {
  const __m256 eights = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(eights), _mm256_extractf128_ps(eights, 1));
  const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
  return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
}
SWIN_INLINE bool all_at_most(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ) == 0xffff; }

SWIN_INLINE __mmask16 lane_mask(int64_t count) { return count >= 16 ? 0xffff : __mmask16((1u << count) - 1); }
SWIN_INLINE Float load_some(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(lane_mask(count), p);
}
SWIN_INLINE void store_some(float* p, Float v, int64_t count) {
  _mm512_mask_storeu_ps(p, lane_mask(count), v);
}
SWIN_INLINE void copy_lanes(uint16_t (&lanes)[16], const uint16_t* p, int64_t count) {
  _mm256_storeu_si256((__m256i*)lanes, _mm256_maskz_loadu_epi16(lane_mask(count), p));
}
SWIN_INLINE void store_lanes(uint16_t* p, const uint16_t (&lanes)[16], int64_t count) {
  _mm256_mask_storeu_epi16(p, lane_mask(count), _mm256_loadu_si256((const __m256i*)lanes));
}

SWIN_INLINE void transpose(Float (&r)[16]) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d x = _mm512_castps_pd(a[i + j]), y = _mm512_castps_pd(a[i + j + 2]);
      b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
      b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_f32x4(a[i + 4], a[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_f32x4(a[i + 4], a[i + 12], 0xdd);
  }
}

SWIN_INLINE Float reversed(Float v, int64_t count) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_permutexvar_ps(_mm512_sub_epi32(_mm512_set1_epi32(int(count) - 1), lane), v);
}

SWIN_INLINE Float sum_each(Float (&r)[16]) {
  __m512 fold[4];
  for (int i = 0; i < 4; ++i) {
    const auto halves = [&](int a, int b) {
      return _mm512_add_ps(_mm512_shuffle_f32x4(r[a], r[b], 0x44), _mm512_shuffle_f32x4(r[a], r[b], 0xee));
    };
    const __m512 x = halves(i, i + 4), y = halves(i + 8, i + 12);
    fold[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  }
  const auto quarters = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
  };
  const __m512 x = quarters(fold[0], fold[1]), y = quarters(fold[2], fold[3]);
  return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xdd));
}

SWIN_INLINE Float widen_bfloat16(const uint16_t* p) {
  return (Float)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16);
}
SWIN_INLINE Float widen_float16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}
SWIN_INLINE void narrow_bfloat16(uint16_t* p, Float v) {
  const __m512i bits = (__m512i)v;
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i top = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16(top));
}
SWIN_INLINE void narrow_float16(uint16_t* p, Float v) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(v, 0));
}

SWIN_INLINE Float reciprocal(Float x) {
  const Float r = _mm512_rcp14_ps(x);
  return r * fma(-x, r, _mm512_set1_ps(2.0f));
}

// vscalefps takes n as it is, and makes zero or infinity of what leaves the range.
template <bool GENERAL>
SWIN_INLINE Float scaled(Float x, Float n) {
  return _mm512_scalef_ps(x, n);
}
template <bool GENERAL, int COUNT>
SWIN_INLINE void split_products(Float (&n)[COUNT], Float (&f)[COUNT], Float a, const Float* b) {
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = fma(a, b[i], _mm512_set1_ps(kRound));
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] -= kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = fma(a, b[i], -n[i]);
  // Of a large product nothing is left for the fraction, and of an infinite one NaN.
  if (GENERAL)
    for (int i = 0; i < COUNT; ++i)
      f[i] = minimum(maximum(f[i], _mm512_set1_ps(-0.5f)), _mm512_set1_ps(0.5f));
}
// The product of the step with the largest rate comes to 1e15 at most, of which the fraction is none.
template <bool GENERAL>
SWIN_INLINE Float limited(Float dt, Float limit) {
  return GENERAL ? dt : minimum(limit, maximum(-limit, dt));
}
template <int COUNT>
SWIN_INLINE void split_powers(Float (&n)[COUNT], Float (&f)[COUNT], const Float (&x)[COUNT]) {
  const Float log2e = _mm512_set1_ps(1.44269502f), rest = _mm512_set1_ps(1.92596299e-8f);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = maximum(_mm512_set1_ps(-104.0f), x[i]);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = fma(f[i], log2e, _mm512_set1_ps(kRound));
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] -= kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = fma(f[i], rest, fma(f[i], log2e, -n[i]));
}

}  // namespace swin_umamba::SWIN_ISA
