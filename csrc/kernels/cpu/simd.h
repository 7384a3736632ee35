// Vectors of the widest float registers of the instruction set that a file is compiled for.
//
// Kernels are templates over V, which is `Float` (one channel per lane) or plain `double` (one lane,
// for gradient checks); everything that differs between the two, or between instruction sets, is here.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

// The namespace that keeps the copies compiled for each instruction set apart.
#ifndef SWIN_ISA
#define SWIN_ISA portable
#endif

#define SWIN_INLINE inline __attribute__((always_inline))
#define SWIN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define SWIN_UNROLL(n) SWIN_PRAGMA(clang loop unroll_count(n))
#else
#define SWIN_UNROLL(n) SWIN_PRAGMA(GCC unroll n)
#endif

namespace swin_umamba::SWIN_ISA {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float Float __attribute__((vector_size(4 * kWidth)));
typedef int32_t Int __attribute__((vector_size(4 * kWidth)));
typedef uint16_t Half __attribute__((vector_size(2 * kWidth)));

template <class V>
struct Lanes;
template <>
struct Lanes<Float> {
  static constexpr int kCount = kWidth;
  using Element = float;
};
template <>
struct Lanes<double> {
  static constexpr int kCount = 1;
  using Element = double;
};
template <class V>
using Element = typename Lanes<V>::Element;

// NaN in the second argument is kept.
template <class T>
SWIN_INLINE T minimum(T a, T b) {
  return a < b ? a : b;
}
template <class T>
SWIN_INLINE T maximum(T a, T b) {
  return a > b ? a : b;
}

#if defined(__AVX512F__)
SWIN_INLINE Float minimum(Float a, Float b) { return (Float)_mm512_min_ps((__m512)a, (__m512)b); }
SWIN_INLINE Float maximum(Float a, Float b) { return (Float)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
SWIN_INLINE Float minimum(Float a, Float b) { return (Float)_mm256_min_ps((__m256)a, (__m256)b); }
SWIN_INLINE Float maximum(Float a, Float b) { return (Float)_mm256_max_ps((__m256)a, (__m256)b); }
#endif

template <class V>
SWIN_INLINE V broadcast(Element<V> s) {
  return s - V{};  // x - 0 is x, so this is one broadcast
}

template <class V>
SWIN_INLINE V load(const Element<V>* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
SWIN_INLINE void store(Element<V>* p, V v) {
  memcpy(p, &v, sizeof v);
}
// The first `count` lanes; the others read as zero and are not written.
SWIN_INLINE double load_some(const double* p, int64_t) { return *p; }
SWIN_INLINE void store_some(double* p, double v, int64_t) { *p = v; }
#if defined(__AVX512F__)
SWIN_INLINE __mmask16 lane_mask(int64_t count) { return count >= 16 ? 0xffff : __mmask16((1u << count) - 1); }
SWIN_INLINE Float load_some(const float* p, int64_t count) {
  return (Float)_mm512_maskz_loadu_ps(lane_mask(count), p);
}
SWIN_INLINE void store_some(float* p, Float v, int64_t count) {
  _mm512_mask_storeu_ps(p, lane_mask(count), (__m512)v);
}
#elif defined(__AVX2__)
SWIN_INLINE __m256i lane_mask(int64_t count) {
  const int all = int(count < 8 ? count : 8);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(all), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SWIN_INLINE Float load_some(const float* p, int64_t count) {
  return (Float)_mm256_maskload_ps(p, lane_mask(count));
}
SWIN_INLINE void store_some(float* p, Float v, int64_t count) {
  _mm256_maskstore_ps(p, lane_mask(count), (__m256)v);
}
#else
SWIN_INLINE Float load_some(const float* p, int64_t count) {
  if (count >= kWidth) return load<Float>(p);
  float lanes[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load<Float>(lanes);
}
SWIN_INLINE void store_some(float* p, Float v, int64_t count) {
  if (count >= kWidth) return store<Float>(p, v);
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}
#endif

SWIN_INLINE double sum_lanes(double v) { return v; }
// Pairwise in a fixed order.
SWIN_INLINE float sum_lanes(Float v) {
  float lanes[kWidth];
  store<Float>(lanes, v);
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

SWIN_INLINE double fma(double a, double b, double c) { return a * b + c; }
SWIN_INLINE Float fma(Float a, Float b, Float c) {
#if defined(__AVX512F__)
  return (Float)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (Float)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// Rows of a kWidth x kWidth matrix become its columns.
SWIN_INLINE void transpose(Float (&r)[kWidth]) {
#if defined(__AVX512F__)
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps((__m512)r[i], (__m512)r[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps((__m512)r[i], (__m512)r[i + 1]);
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
    r[i] = (Float)_mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
    r[i + 8] = (Float)_mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
    r[i + 4] = (Float)_mm512_shuffle_f32x4(a[i + 4], a[i + 12], 0x88);
    r[i + 12] = (Float)_mm512_shuffle_f32x4(a[i + 4], a[i + 12], 0xdd);
  }
#elif defined(__AVX2__)
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps((__m256)r[i], (__m256)r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps((__m256)r[i], (__m256)r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m256d x = _mm256_castps_pd(a[i + j]), y = _mm256_castps_pd(a[i + j + 2]);
      b[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
      b[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
    }
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = (Float)_mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = (Float)_mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
#else
  for (int i = 0; i < kWidth; ++i)
    for (int j = i + 1; j < kWidth; ++j) {
      const float t = r[i][j];
      r[i][j] = r[j][i];
      r[j][i] = t;
    }
#endif
}
SWIN_INLINE void transpose(double (&)[1]) {}

// The first `count` lanes in reverse order; the others are zero and stay so.
SWIN_INLINE double reversed(double v, int64_t) { return v; }
SWIN_INLINE Float reversed(Float v, int64_t count) {
#if defined(__AVX512F__)
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return (Float)_mm512_permutexvar_ps(_mm512_sub_epi32(_mm512_set1_epi32(int(count) - 1), lane), (__m512)v);
#elif defined(__AVX2__)
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return (Float)_mm256_permutevar8x32_ps((__m256)v,
                                         _mm256_sub_epi32(_mm256_set1_epi32(int(count) - 1), lane));
#else
  Float r{};
  for (int64_t i = 0; i < count; ++i) r[i] = v[count - 1 - i];
  return r;
#endif
}

}  // namespace swin_umamba::SWIN_ISA
