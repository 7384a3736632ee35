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

SWIN_INLINE Float exp2_fraction(Float f) {
  Float p = broadcast<Float>(kExp2[4]);
  p = fma(p, f, broadcast<Float>(kExp2[3]));
  p = fma(p, f, broadcast<Float>(kExp2[2]));
  p = fma(p, f, broadcast<Float>(kExp2[1]));
  p = fma(p, f, broadcast<Float>(kExp2[0]));
  return fma(p, f, broadcast<Float>(1.0f));
}

// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
constexpr float kRound = 12582912.0f;

// 2^(a*b). |a*b| up to 1e15, which `decay_limit` sees to.
SWIN_INLINE Float exp2_product(Float a, Float b) {
#if defined(__AVX512F__)
  const Float n = fma(a, b, broadcast<Float>(kRound)) - kRound;
  const Float f = fma(a, b, -n);
  return (Float)_mm512_scalef_ps((__m512)exp2_fraction(f), (__m512)n);
#else
  // Twice 2^f, so that n = 128 is infinity by the exponent field and not NaN.
  const Float t = minimum(broadcast<Float>(128.0f), maximum(broadcast<Float>(-125.0f), a * b));
  const Float z = t + kRound, n = z - kRound, p = exp2_fraction(t - n);
  return (Float)((Int)(p + p) + (((Int)z - (0x4b400000 + 1)) << 23));
#endif
}
SWIN_INLINE double exp2_product(double a, double b) { return std::exp2(a * b); }

SWIN_INLINE double exp(double x) { return std::exp(x); }
// e^x, with the product by log2(e) in two parts.
SWIN_INLINE Float exp(Float x) {
  x = minimum(broadcast<Float>(88.7f), maximum(broadcast<Float>(-87.0f), x));
  const Float z = fma(x, broadcast<Float>(1.44269504f), broadcast<Float>(kRound)), n = z - kRound;
  Float f = fma(n, broadcast<Float>(-0.693359375f), x);
  f = fma(n, broadcast<Float>(2.12194440e-4f), f);
  const Float p = exp2_fraction(f * 1.44269504f);
  return (Float)((Int)(p + p) + (((Int)z - (0x4b400000 + 1)) << 23));
}

SWIN_INLINE Float absolute(Float x) { return (Float)((Int)x & 0x7fffffff); }

// log(1 + e) for 0 <= e <= 1.
SWIN_INLINE Float log1p_unit(Float e) {
  Float p = broadcast<Float>(kLog1p[9]);
  SWIN_UNROLL(9)
  for (int i = 8; i >= 0; --i) p = fma(p, e, broadcast<Float>(kLog1p[i]));
  return p * e;
}

SWIN_INLINE Float softplus(Float x) { return maximum(Float{}, x) + log1p_unit(exp(-absolute(x))); }
SWIN_INLINE Float sigmoid(Float x) {
  const Float e = exp(-absolute(x));
  return (x >= Float{} ? broadcast<Float>(1.0f) : e) / (e + 1.0f);
}
SWIN_INLINE double softplus(double x) { return swin_umamba::softplus(x); }
SWIN_INLINE double sigmoid(double x) { return swin_umamba::sigmoid(x); }

}  // namespace swin_umamba::SWIN_ISA
