// The processor's own limit for the arithmetic of the scan: exp2 by polynomial and the multiply-adds of
// each state update, on values that stay in registers. benchmarks/cpu.py compiles and calls it.
#include "../csrc/kernels/cpu/recurrence.h"

namespace k = swin_umamba::SWIN_ISA;
using V = k::Float;

namespace {
constexpr int kStates = 8;

V spread(float first) {
  V v{};
  for (int i = 0; i < k::kWidth; ++i) v[i] = first + 0.001f * i;
  return v;
}

// Keeps a value in a register and hides where it came from.
SWIN_INLINE void hide(V& v) { asm volatile("" : "+v"(v)); }
}  // namespace

extern "C" {

int swin_limit_lanes() { return k::kWidth; }

// a = exp2(dt A); h = a h + x; y += h C, `updates` vectors of them.
float swin_limit_forward(int64_t updates) {
  V h[kStates], y[4] = {}, A[4] = {spread(-1.0f), spread(-2.0f), spread(-3.0f), spread(-4.0f)};
  V dt = spread(0.01f), x = spread(0.5f), C = spread(0.25f);
  for (int i = 0; i < kStates; ++i) h[i] = spread(float(i));
  for (int64_t u = 0; u < updates; u += kStates) {
    hide(dt);
    for (int first = 0; first < kStates; first += 4) {
      V a[4];
      for (V& rate : A) hide(rate);
      k::exp2_products<false>(a, dt, A);
      SWIN_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        h[first + i] = k::fma(a[i], h[first + i], x);
        y[i] = k::fma(h[first + i], C, y[i]);
      }
    }
  }
  return k::sum_lanes(y[0] + y[1] + y[2] + y[3] + h[0]);
}

// The update and equations (3) to (6) of recurrence.h.
float swin_limit_backward(int64_t updates) {
  constexpr int kFew = 4;
  V h[kFew], g[kFew], gA[kFew] = {}, gB{}, gC{}, gdt{}, gdtu{};
  V A[kFew] = {spread(-1.0f), spread(-2.0f), spread(-3.0f), spread(-4.0f)};
  V dt = spread(0.01f), x = spread(0.5f), C = spread(0.25f), gy = spread(0.125f);
  for (int i = 0; i < kFew; ++i) h[i] = spread(float(i)), g[i] = spread(1.0f);
  for (int64_t u = 0; u < updates; u += kFew) {
    hide(dt);
    V a[kFew];
    for (V& rate : A) hide(rate);
    k::exp2_products<false>(a, dt, A);
    SWIN_UNROLL(4)
    for (int i = 0; i < kFew; ++i) {
      const V before = h[i];
      h[i] = k::fma(a[i], h[i], x);
      const V gh = k::fma(gy, C, g[i]);
      gC = k::fma(gy, h[i], gC);
      gB = k::fma(gh, x, gB);
      gdtu = k::fma(gh, C, gdtu);
      g[i] = gh * a[i];
      const V gdtA = g[i] * before;
      gA[i] = k::fma(gdtA, dt, gA[i]);
      gdt = k::fma(gdtA, A[i], gdt);
      hide(gB), hide(gC), hide(gdtu), hide(gdt);
    }
  }
  V sum = gB + gC + gdt + gdtu;
  for (int i = 0; i < kFew; ++i) sum += h[i] + g[i] + gA[i];
  return k::sum_lanes(sum);
}

}  // extern "C"
