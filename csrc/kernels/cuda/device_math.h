// exp2 on two kinds of units, and softplus.
#pragma once

#include <cmath>

#include "../polynomials.h"
#include "device.h"

namespace swin_umamba::cuda {

constexpr float kLog2E = float(swin_umamba::kLog2E);

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

// 2^f for |f| <= 1/2, and log(1 + e) for 0 <= e <= 1.
__device__ inline float exp2_fraction(float f) {
  float p = exp2_coefficient(kExp2Degree);
#pragma unroll
  for (int power = kExp2Degree - 1; power >= 0; --power) p = fmaf(p, f, exp2_coefficient(power));
  return p;
}
__device__ inline float log1p_unit(float e) {
  float p = log1p_coefficient(kLog1pDegree);
#pragma unroll
  for (int power = kLog1pDegree - 1; power > 0; --power) p = fmaf(p, e, log1p_coefficient(power));
  return p * e;
}

// On the FMA units; zero below the normal numbers, as on the special-function units.
__device__ inline float exp2_polynomial(float x) {
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
