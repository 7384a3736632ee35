// AVX2 with FMA and F16C: eight lanes.
#pragma once

#include <immintrin.h>

namespace swin_umamba::SWIN_ISA {

typedef float Float __attribute__((vector_size(32)));
constexpr bool kWithDouble = false;
constexpr int kProductRows = 4;

SWIN_INLINE Float minimum(Float a, Float b) { return _mm256_min_ps(a, b); }
SWIN_INLINE Float maximum(Float a, Float b) { return _mm256_max_ps(a, b); }
SWIN_INLINE float sum_lanes(Float v) {
  const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
  return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
}
SWIN_INLINE bool all_at_most(Float a, Float b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ)) == 0xff;
}
SWIN_INLINE Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }

SWIN_INLINE __m256i lane_mask(int64_t count) {
  const int all = int(count < 8 ? count : 8);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(all), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SWIN_INLINE Float load_some(const float* p, int64_t count) { return _mm256_maskload_ps(p, lane_mask(count)); }
SWIN_INLINE void store_some(float* p, Float v, int64_t count) { _mm256_maskstore_ps(p, lane_mask(count), v); }

SWIN_INLINE void transpose(Float (&r)[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m256d x = _mm256_castps_pd(a[i + j]), y = _mm256_castps_pd(a[i + j + 2]);
      b[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
      b[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
    }
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

SWIN_INLINE Float reversed(Float v, int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_permutevar8x32_ps(v, _mm256_sub_epi32(_mm256_set1_epi32(int(count) - 1), lane));
}

SWIN_INLINE Float widen_bfloat16(const uint16_t* p) {
  return (Float)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16);
}
SWIN_INLINE Float widen_float16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}
SWIN_INLINE void narrow_float16(uint16_t* p, Float v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(v, 0));
}

}  // namespace swin_umamba::SWIN_ISA
