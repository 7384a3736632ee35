// exp2, softplus and sigmoid.
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

// 1 / x on the same units, to 1 ulp, for x >= 1.
__device__ inline float reciprocal_special(float x) {
#if SWIN_PTX
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return 1.0f / x;
#endif
}

// log(1 + e) for 0 <= e <= 1.
__device__ inline float log1p_unit(float e) {
  float p = log1p_coefficient(kLog1pDegree);
#pragma unroll
  for (int power = kLog1pDegree - 1; power > 0; --power) p = fmaf(p, e, log1p_coefficient(power));
  return p * e;
}

struct Softplus {
  float value, derivative;
};

__device__ inline Softplus softplus_with_derivative(float x) {
  const float e = exp2_special(-fabsf(x) * kLog2E);
  return {fmaxf(x, 0.0f) + log1p_unit(e), (x >= 0.0f ? 1.0f : e) * reciprocal_special(1.0f + e)};
}

__device__ inline float sigmoid(float x) { return reciprocal_special(1.0f + exp2_special(-x * kLog2E)); }

}  // namespace swin_umamba::cuda
