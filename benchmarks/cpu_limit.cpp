// The processor's own limit for the arithmetic of the scan: a step's exp2 by polynomial, its powers, and the
// multiply-adds of each state update, on values that stay in registers. benchmarks/cpu.py compiles and calls
// it.
#include "../csrc/kernels/cpu/recurrence.h"

namespace k = swin_umamba::SWIN_ISA;
using V = k::Float;
using swin_umamba::kUsualStates;

namespace {
constexpr int kFew = 4;  // states at a time

V spread(float first) {
  V v{};
  for (int i = 0; i < k::kWidth; ++i) v[i] = first + 0.001f * i;
  return v;
}

// Keeps a value in a register and hides where it came from.
SWIN_INLINE void hide(V& v) { asm volatile("" : "+v"(v)); }

// The first decays of as many steps as kernels make together.
SWIN_INLINE void exps(V (&first)[k::kTogether], V rate, V (&dt)[k::kTogether]) {
  for (V& step : dt) hide(step);
  k::exp2_products<false>(first, rate, dt);
}
}  // namespace

extern "C" {

int swin_limit_lanes() { return k::kWidth; }

// a = powers of exp2(dt A); h = a h + x C; y += h C, `updates` vectors of them.
float swin_limit_forward(int64_t updates) {
  V h[kUsualStates], y[kFew] = {}, dt[k::kTogether];
  V rate = spread(-1.0f), x = spread(0.5f), C = spread(0.25f);
  for (V& step : dt) step = spread(0.01f);
  for (int i = 0; i < kUsualStates; ++i) h[i] = spread(float(i));
  for (int64_t u = 0; u < updates; u += k::kTogether * kUsualStates) {
    V first[k::kTogether];
    exps(first, rate, dt);
    for (V decay : first) {
      k::Powers<V, kFew> decays(decay);
      SWIN_UNROLL(4)
      for (int n = 0; n < kUsualStates; n += kFew) {
        V a[kFew];
        decays.next(n, a);
        SWIN_UNROLL(4)
        for (int i = 0; i < kFew; ++i) {
          hide(x);
          h[n + i] = k::fma(a[i], h[n + i], x * C);
          y[i] = k::fma(h[n + i], C, y[i]);
        }
      }
    }
  }
  V sum = y[0] + y[1] + y[2] + y[3];
  for (V& state : h) sum += state;
  return k::sum_lanes(sum);
}

// The update and equations (3) to (6) of recurrence.h.
float swin_limit_backward(int64_t updates) {
  V h[kFew], g[kFew], gA[kFew] = {}, gB{}, gC{}, gdt{}, gdtu{}, dt[k::kTogether];
  V A[kFew] = {spread(-1.0f), spread(-2.0f), spread(-3.0f), spread(-4.0f)};
  V x = spread(0.5f), C = spread(0.25f), gy = spread(0.125f);
  for (V& step : dt) step = spread(0.01f);
  for (int i = 0; i < kFew; ++i) h[i] = spread(float(i)), g[i] = spread(1.0f);
  for (int64_t u = 0; u < updates; u += k::kTogether * kUsualStates) {
    V first[k::kTogether];
    exps(first, A[0], dt);
    for (int t = 0; t < k::kTogether; ++t) {
      for (int n = 0; n < kUsualStates; n += kFew) {
        hide(first[t]);
        V a[kFew];
        k::Powers<V, kFew>(first[t], n).next(n, a);
        SWIN_UNROLL(4)
        for (int i = 0; i < kFew; ++i) {
          const V before = h[i];
          hide(x);
          h[i] = k::fma(a[i], h[i], x * C);
          const V gh = k::fma(gy, C, g[i]);
          gC = k::fma(gy, h[i], gC);
          gB = k::fma(gh, x, gB);
          gdtu = k::fma(gh, C, gdtu);
          g[i] = gh * a[i];
          const V gdtA = g[i] * before;
          gA[i] = k::fma(gdtA, dt[t], gA[i]);
          gdt = k::fma(gdtA, A[i], gdt);
          hide(gB), hide(gC), hide(gdtu), hide(gdt);
        }
      }
    }
  }
  V sum = gB + gC + gdt + gdtu;
  for (int i = 0; i < kFew; ++i) sum += h[i] + g[i] + gA[i];
  return k::sum_lanes(sum);
}

}  // extern "C"
