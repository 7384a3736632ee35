// exp2, exp, softplus and its derivative for vectors of channels.
#pragma once

#include <cmath>

#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// The templates over V are for Float, where an instruction set has none of its own.

// n[i] + f[i] = a * b[i], n[i] whole and |f[i]| <= 1/2. Without GENERAL no product is above zero. At -127,
// where products are cut here, `scaled` takes all of the exponent field away and makes zero.
template <bool GENERAL, int COUNT, class V>
SWIN_INLINE void split_products(V (&n)[COUNT], V (&f)[COUNT], V a, const V* b) {
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) {
    f[i] = maximum(broadcast<V>(-127.0f), a * b[i]);
    if (GENERAL) f[i] = minimum(broadcast<V>(128.0f), f[i]);
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = f[i] + kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] -= n[i] - kRound;
}

// x 2^n of split_products and split_powers, which here leave n as kRound does: to the exponent field. GENERAL
// takes twice x, so that n = 128 is infinity and not NaN.
template <bool GENERAL, class V>
SWIN_INLINE V scaled(V x, V n) {
  return GENERAL ? (V)((Int)(x + x) + (((Int)n - 1) << 23)) : (V)((Int)x + ((Int)n << 23));
}

// A step that split_products takes.
template <bool GENERAL, class V>
SWIN_INLINE V limited(V dt, V) {
  return dt;
}

// n[i] + f[i] = x[i] log2(e), x[i] up to 88.7, the product in two parts.
template <int COUNT, class V>
SWIN_INLINE void split_powers(V (&n)[COUNT], V (&f)[COUNT], const V (&x)[COUNT]) {
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = maximum(broadcast<V>(-87.0f), x[i]);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) n[i] = fma(f[i], broadcast<V>(1.44269504f), broadcast<V>(kRound));
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) f[i] = fma(n[i] - kRound, broadcast<V>(-0.693359375f), f[i]);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) f[i] = fma(n[i] - kRound, broadcast<V>(2.12194440e-4f), f[i]) * 1.44269504f;
}

template <class V>
SWIN_INLINE V reciprocal(V x) {
  return 1.0f / x;
}

// r[i] = 2^(n[i] + f[i]) of what is split.
template <bool GENERAL, int COUNT>
SWIN_INLINE void exp2_parts(Float (&r)[COUNT], const Float (&n)[COUNT], const Float (&f)[COUNT]) {
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = broadcast<Float>(exp2_coefficient(kExp2Degree));
  SWIN_UNROLL(8)
  for (int power = kExp2Degree - 1; power >= 0; --power) {
    SWIN_UNROLL(8)
    for (int i = 0; i < COUNT; ++i) r[i] = fma(r[i], f[i], broadcast<Float>(exp2_coefficient(power)));
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = scaled<GENERAL>(r[i], n[i]);
}

// r[i] = 2^(a * b[i]). Without GENERAL no product is above zero, and `limited` has seen to a.
// Written stage by stage: the chain of one exponential is long, and processors look ahead too little to
// overlap chains that follow one another.
template <bool GENERAL, int COUNT>
SWIN_INLINE void exp2_products(Float (&r)[COUNT], Float a, const Float* b) {
  Float n[COUNT], f[COUNT];
  split_products<GENERAL>(n, f, a, b);
  exp2_parts<GENERAL>(r, n, f);
}
template <bool GENERAL, int COUNT>
SWIN_INLINE void exp2_products(double (&r)[COUNT], double a, const double* b) {
  for (int i = 0; i < COUNT; ++i) r[i] = std::exp2(a * b[i]);
}

// r[i] = e^x[i] for x up to 88.7.
template <int COUNT>
SWIN_INLINE void exps(Float (&r)[COUNT], const Float (&x)[COUNT]) {
  Float n[COUNT], f[COUNT];
  split_powers(n, f, x);
  exp2_parts<true>(r, n, f);
}
SWIN_INLINE double exp(double x) { return std::exp(x); }
SWIN_INLINE Float exp(Float x) {
  const Float in[1] = {minimum(broadcast<Float>(88.7f), x)};  // more is cut, not infinite
  Float out[1];
  exps(out, in);
  return out[0];
}

SWIN_INLINE double minus_absolute(double x) { return -std::fabs(x); }
SWIN_INLINE Float minus_absolute(Float x) { return (Float)((Int)x | int32_t(0x80000000)); }

// 1 / (1 + e^-x), the derivative of softplus; `e` is e^-|x|.
SWIN_INLINE double sigmoid(double x, double e) { return (x >= 0 ? 1 : e) / (1 + e); }
SWIN_INLINE Float sigmoid(Float x, Float e) {
  return (x >= Float{} ? broadcast<Float>(1.0f) : e) * reciprocal(e + 1.0f);
}
SWIN_INLINE double sigmoid(double x) { return sigmoid(x, exp(minus_absolute(x))); }

template <int COUNT>
SWIN_INLINE void sigmoids(Float (&s)[COUNT], const Float (&x)[COUNT]) {
  Float e[COUNT];
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) s[i] = minus_absolute(x[i]);
  exps(e, s);
  // One that exps cut at its least would be seen in the product with a large x, as in SiLU.
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) e[i] = s[i] <= -87.0f ? Float{} : e[i];
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) s[i] = sigmoid(x[i], e[i]);
}
SWIN_INLINE Float sigmoid(Float x) {
  const Float in[1] = {x};
  Float out[1];
  sigmoids(out, in);
  return out[0];
}
template <int COUNT>
SWIN_INLINE void sigmoids(double (&s)[COUNT], const double (&x)[COUNT]) {
  for (int i = 0; i < COUNT; ++i) s[i] = sigmoid(x[i]);
}

// x[i] becomes log(1 + e^x[i]), without overflow and accurate where it is tiny; its derivative goes to
// `slope`.
template <int COUNT>
SWIN_INLINE void softplus_and_slope(Float (&x)[COUNT], Float (&slope)[COUNT]) {
  Float e[COUNT], p[COUNT];
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) p[i] = minus_absolute(x[i]);
  exps(e, p);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) slope[i] = sigmoid(x[i], e[i]);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) p[i] = broadcast<Float>(log1p_coefficient(kLog1pDegree));
  SWIN_UNROLL(9)
  for (int power = kLog1pDegree - 1; power > 0; --power) {
    SWIN_UNROLL(8)
    for (int i = 0; i < COUNT; ++i) p[i] = fma(p[i], e[i], broadcast<Float>(log1p_coefficient(power)));
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) x[i] = fma(p[i], e[i], maximum(Float{}, x[i]));
}
template <int COUNT>
SWIN_INLINE void softplus_and_slope(double (&x)[COUNT], double (&slope)[COUNT]) {
  for (int i = 0; i < COUNT; ++i) {
    slope[i] = sigmoid(x[i]);
    x[i] = (x[i] > 0 ? x[i] : 0) + std::log1p(std::exp(-std::fabs(x[i])));
  }
}

// Steps whose softplus is taken at a time, to overlap the chains of dependent operations. Divides kChunk.
constexpr int kTogether = 8;

}  // namespace swin_umamba::SWIN_ISA
