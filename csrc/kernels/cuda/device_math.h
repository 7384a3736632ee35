// exp2 on two kinds of units, and softplus.
#pragma once

#include <cmath>

#include "device.h"

namespace swin_umamba::cuda {

constexpr float kLog2E = 1.44269504f;

// On the special-function units: 16 per clock and multiprocessor.
__device__ inline float exp2_special(float x) {
#if SWIN_PTX
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  const float result = std::exp2(x);
  return result < 0x1p-126f ? 0.0f : result;
#endif
}

// Coefficients of csrc/kernels/cpu/fit_polynomials.py, which says how they are made: 2^f = 1 + f * poly(f) on
// [-1/2, 1/2], relative error 1.1e-7, and log(1 + e) = e * poly(e) on [0, 1], 5.5e-8.
__device__ inline float exp2_fraction(float f) {
  float p = 0.001326472731307149f;
  p = fmaf(p, f, 0.009671512059867382f);
  p = fmaf(p, f, 0.05550733581185341f);
  p = fmaf(p, f, 0.24022242426872253f);
  p = fmaf(p, f, 0.6931470036506653f);
  return fmaf(p, f, 1.0f);
}
__device__ inline float log1p_unit(float e) {
  float p = -0.0032440219074487686f;
  p = fmaf(p, e, 0.0198514424264431f);
  p = fmaf(p, e, -0.05695948749780655f);
  p = fmaf(p, e, 0.10603649169206619f);
  p = fmaf(p, e, -0.15305587649345398f);
  p = fmaf(p, e, 0.19675937294960022f);
  p = fmaf(p, e, -0.24954132735729218f);
  p = fmaf(p, e, 0.3332996368408203f);
  p = fmaf(p, e, -0.4999990165233612f);
  p = fmaf(p, e, 1.0f);
  return p * e;
}

// On the FMA units; zero below the normal numbers, as on the special-function units.
__device__ inline float exp2_polynomial(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves round(x) in the low bits
  const bool tiny = x < -126.0f;
  x = x > 128.0f ? 128.0f : x;
  const float shifted = x + kRound;
  const float p = exp2_fraction(x - (shifted - kRound));
#if SWIN_PTX
  return tiny ? 0.0f : __int_as_float(__float_as_int(p) + (__float_as_int(shifted) << 23));
#else
  uint32_t bits, n;
  memcpy(&bits, &p, 4);
  memcpy(&n, &shifted, 4);
  bits += n << 23;
  float result;
  memcpy(&result, &bits, 4);
  return tiny ? 0.0f : result;
#endif
}

// One decay in this many is made on the FMA units, so that the special-function units do not set the
// pace alone. docs/cuda-model.md has the arithmetic.
constexpr int kPolynomialEvery = 16;

// `number` is known at compile time once loops are unrolled.
__device__ inline float exp2_shared_out(float x, int number) {
  return number % kPolynomialEvery == kPolynomialEvery - 1 ? exp2_polynomial(x) : exp2_special(x);
}

struct Softplus {
  float value, derivative;
};

__device__ inline Softplus softplus_with_derivative(float x) {
  const float e = exp2_special(-fabsf(x) * kLog2E);
  return {fmaxf(x, 0.0f) + log1p_unit(e), (x >= 0.0f ? 1.0f : e) / (1.0f + e)};
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + exp2_special(-x * kLog2E)); }

}  // namespace swin_umamba::cuda
