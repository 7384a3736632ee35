// Vectors of the widest float registers of the instruction set that a file is compiled for.
//
// Kernels are templates over V, which is `Float` (one channel per lane) or plain `double` (one lane, for
// gradient checks). What differs between instruction sets is in the header of each (instruction_sets.def
// lists them), which says
//   Float         the vector
//   kWithDouble   whether this set has the kernels over double
//   kProductRows  rows of a block of a matrix product, as many as there are registers for (gemm.h)
// and has functions for what there are instructions for. What it leaves out it gets from templates, which are
// here and, as far as they concern one file, in tile.h, vector_math.h and scan_block.h: to a template, C++
// prefers a function for the very type.
#pragma once

#include <cstdint>
#include <cstring>

#include "../polynomials.h"
#include "../problem.h"
#include "tuning.h"

// The namespace that keeps the copies compiled for each instruction set apart.
#ifndef SWIN_ISA
#define SWIN_ISA portable
#endif

#define SWIN_INLINE inline __attribute__((always_inline))
#define SWIN_TEXT(text) #text
#define SWIN_EXPANDED_TEXT(text) SWIN_TEXT(text)
#define SWIN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define SWIN_UNROLL(n) SWIN_PRAGMA(clang loop unroll_count(n))
#else
#define SWIN_UNROLL(n) SWIN_PRAGMA(GCC unroll n)
#endif

#include SWIN_EXPANDED_TEXT(SWIN_ISA.h)

namespace swin_umamba::SWIN_ISA {

constexpr int kWidth = sizeof(Float) / sizeof(float);
typedef int32_t Int __attribute__((vector_size(sizeof(Float))));

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

// The compute type as a Type, for arrays of parameters, states and sums.
template <class V>
constexpr Type compute_type() {
  return sizeof(Element<V>) == 8 ? Type::kFloat64 : Type::kFloat32;
}

// Calls function(V{}) with the vectors in which data of `type` are computed.
template <class Function>
SWIN_INLINE auto for_compute_type(Type type, Function function) {
  if constexpr (kWithDouble)
    if (type == Type::kFloat64) return function(double{});
  return function(Float{});
}

// NaN in the second argument is kept.
template <class T>
SWIN_INLINE T minimum(T a, T b) {
  return a < b ? a : b;
}
template <class T>
SWIN_INLINE T maximum(T a, T b) {
  return a > b ? a : b;
}
template <class V>
SWIN_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}

// a <= b in every lane, which NaN is not.
SWIN_INLINE bool all_at_most(double a, double b) { return a <= b; }
template <class V>
SWIN_INLINE bool all_at_most(V a, V b) {
  bool all = true;
  for (int i = 0; i < kWidth; ++i) all &= a[i] <= b[i];
  return all;
}

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
template <class E>
SWIN_INLINE Float load_some(const E* p, int64_t count) {
  if (count >= kWidth) return load<Float>(p);
  E lanes[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load<Float>(lanes);
}
template <class V>
SWIN_INLINE void store_some(Element<V>* p, V v, int64_t count) {
  if (count >= kWidth) return store<V>(p, v);
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}

SWIN_INLINE double sum_lanes(double v) { return v; }
// Pairwise in a fixed order.
template <class V>
SWIN_INLINE float sum_lanes(V v) {
  float lanes[kWidth];
  store<V>(lanes, v);
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Rows of a square matrix become its columns.
SWIN_INLINE void transpose(double (&)[1]) {}
template <int W>
SWIN_INLINE void transpose(Float (&r)[W]) {
  for (int i = 0; i < W; ++i)
    for (int j = i + 1; j < W; ++j) {
      const float t = r[i][j];
      r[i][j] = r[j][i];
      r[j][i] = t;
    }
}

// The first `count` lanes in reverse order; the others are zero and stay so.
SWIN_INLINE double reversed(double v, int64_t) { return v; }
template <class V>
SWIN_INLINE V reversed(V v, int64_t count) {
  V r{};
  for (int64_t i = 0; i < count; ++i) r[i] = v[count - 1 - i];
  return r;
}

}  // namespace swin_umamba::SWIN_ISA
