// exp2, exp, softplus and its derivative for vectors of channels.
//
// 2^t = 2^n 2^f with n = round(t) and a polynomial for 2^f on [-1/2, 1/2], fitted to the least largest
// relative error with 2^0 = 1 exactly, so that a long chain of decays near one does not drift.
// `python csrc/kernels/cpu/fit_polynomials.py` makes the coefficients.
#pragma once

#include "../scan_math.h"
#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// relative error 1.1e-07
constexpr float kExp2[] = {0.6931470036506653f, 0.24022242426872253f, 0.05550733581185341f,
                           0.009671512059867382f, 0.001326472731307149f};
// relative error 5.5e-08
constexpr float kLog1p[] = {1.0f,
                            -0.4999990165233612f,
                            0.3332996368408203f,
                            -0.24954132735729218f,
                            0.19675937294960022f,
                            -0.15305587649345398f,
                            0.10603649169206619f,
                            -0.05695948749780655f,
                            0.0198514424264431f,
                            -0.0032440219074487686f};

// 2^f for |f| <= 1/2.
template <int COUNT>
SWIN_INLINE void exp2_fractions(Float (&r)[COUNT], const Float (&f)[COUNT]) {
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = broadcast<Float>(kExp2[4]);
  SWIN_UNROLL(8)
  for (int degree = 3; degree >= 0; --degree) {
    SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = fma(r[i], f[i], broadcast<Float>(kExp2[degree]));
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = fma(r[i], f[i], broadcast<Float>(1.0f));
}

// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits, below which nothing of the sum's own
// exponent is left when they are shifted to the exponent field.
constexpr float kRound = 12582912.0f;

// r[i] = 2^(a * b[i]). Without GENERAL no product is above zero, and `limited` a makes none below -1e15.
// Written stage by stage: the chain of one exponential is long, and processors look ahead too little to
// overlap chains that follow one another.
template <bool GENERAL, int COUNT>
SWIN_INLINE void exp2_products(Float (&r)[COUNT], Float a, const Float* b) {
  Float n[COUNT], f[COUNT];
#if defined(__AVX512F__)
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = fma(a, b[i], broadcast<Float>(kRound));
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] -= kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = fma(a, b[i], -n[i]);
  // Of a large product nothing is left for the fraction, and of an infinite one NaN.
  if (GENERAL)
    for (int i = 0; i < COUNT; ++i)
      f[i] = minimum(maximum(f[i], broadcast<Float>(-0.5f)), broadcast<Float>(0.5f));
  exp2_fractions(r, f);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = (Float)_mm512_scalef_ps((__m512)r[i], (__m512)n[i]);
#else
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) {
    f[i] = maximum(broadcast<Float>(-125.0f), a * b[i]);
    if (GENERAL) f[i] = minimum(broadcast<Float>(128.0f), f[i]);
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = f[i] + kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] -= n[i] - kRound;
  exp2_fractions(r, f);
  // To the exponent field. Twice 2^f, so that n = 128 is infinity and not NaN.
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i)
    r[i] = GENERAL ? (Float)((Int)(r[i] + r[i]) + (((Int)n[i] - 1) << 23))
                   : (Float)((Int)r[i] + ((Int)n[i] << 23));
#endif
}
template <bool GENERAL, int COUNT>
SWIN_INLINE void exp2_products(double (&r)[COUNT], double a, const double* b) {
  for (int i = 0; i < COUNT; ++i) r[i] = std::exp2(a * b[i]);
}

// A step that exp2_products takes: with AVX-512 its product with the largest rate is within `limit`'s 1e15.
template <bool GENERAL, class V>
SWIN_INLINE V limited(V dt, [[maybe_unused]] V limit) {
#if defined(__AVX512F__)
  if (!GENERAL) return minimum(limit, maximum(-limit, dt));
#endif
  return dt;
}

SWIN_INLINE double exp(double x) { return std::exp(x); }
// r[i] = e^x[i] for x up to 88.7, with the product by log2(e) in two parts.
template <int COUNT>
SWIN_INLINE void exps(Float (&r)[COUNT], const Float (&x)[COUNT]) {
  Float n[COUNT], f[COUNT];
#if defined(__AVX512F__)
  const Float log2e = broadcast<Float>(1.44269502f), rest = broadcast<Float>(1.92596299e-8f);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) f[i] = maximum(broadcast<Float>(-104.0f), x[i]);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] = fma(f[i], log2e, broadcast<Float>(kRound));
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) n[i] -= kRound;
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) f[i] = fma(f[i], rest, fma(f[i], log2e, -n[i]));
  exp2_fractions(r, f);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) r[i] = (Float)_mm512_scalef_ps((__m512)r[i], (__m512)n[i]);
#else
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) f[i] = maximum(broadcast<Float>(-87.0f), x[i]);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) n[i] = fma(f[i], broadcast<Float>(1.44269504f), broadcast<Float>(kRound));
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) f[i] = fma(n[i] - kRound, broadcast<Float>(-0.693359375f), f[i]);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i)
    f[i] = fma(n[i] - kRound, broadcast<Float>(2.12194440e-4f), f[i]) * 1.44269504f;
  exp2_fractions(r, f);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i) r[i] = (Float)((Int)(r[i] + r[i]) + (((Int)n[i] - 1) << 23));
#endif
}
SWIN_INLINE Float exp(Float x) {
  const Float in[1] = {minimum(broadcast<Float>(88.7f), x)};  // more is cut, not infinite
  Float out[1];
  exps(out, in);
  return out[0];
}

SWIN_INLINE Float minus_absolute(Float x) { return (Float)((Int)x | int32_t(0x80000000)); }

SWIN_INLINE Float reciprocal(Float x) {
#if defined(__AVX512F__)
  const Float r = (Float)_mm512_rcp14_ps((__m512)x);
  return r * fma(-x, r, broadcast<Float>(2.0f));
#else
  return 1.0f / x;
#endif
}

// x[i] becomes log(1 + e^x[i]), with log(1 + e) for 0 <= e <= 1 by a polynomial; its derivative,
// 1 / (1 + e^-x[i]), goes to `slope`.
template <int COUNT>
SWIN_INLINE void softplus_and_slope(Float (&x)[COUNT], Float (&slope)[COUNT]) {
  Float e[COUNT], p[COUNT];
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) p[i] = minus_absolute(x[i]);
  exps(e, p);
  SWIN_UNROLL(8)
  for (int i = 0; i < COUNT; ++i)
    slope[i] = (x[i] >= Float{} ? broadcast<Float>(1.0f) : e[i]) * reciprocal(e[i] + 1.0f);
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) p[i] = broadcast<Float>(kLog1p[9]);
  SWIN_UNROLL(9)
  for (int degree = 8; degree >= 0; --degree) {
    SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) p[i] = fma(p[i], e[i], broadcast<Float>(kLog1p[degree]));
  }
  SWIN_UNROLL(8) for (int i = 0; i < COUNT; ++i) x[i] = fma(p[i], e[i], maximum(Float{}, x[i]));
}
template <int COUNT>
SWIN_INLINE void softplus_and_slope(double (&x)[COUNT], double (&slope)[COUNT]) {
  for (int i = 0; i < COUNT; ++i) {
    slope[i] = swin_umamba::sigmoid(x[i]);
    x[i] = swin_umamba::softplus(x[i]);
  }
}

// Steps whose softplus is taken at a time, to overlap the chains of dependent operations. Divides kChunk.
constexpr int kTogether = 8;

SWIN_INLINE Float sigmoid(Float x) {
  const Float e = exp(minus_absolute(x));
  return (x >= Float{} ? broadcast<Float>(1.0f) : e) * reciprocal(e + 1.0f);
}
SWIN_INLINE double sigmoid(double x) { return swin_umamba::sigmoid(x); }

}  // namespace swin_umamba::SWIN_ISA
