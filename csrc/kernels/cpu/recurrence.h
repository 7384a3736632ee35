// The recurrence of the selective scan over one chunk of steps, and its adjoint. One lane is one
// channel, so there are no sums across lanes here.
//
// For each state n of a channel, with dt, u of the channel and B, C shared by the channels of a group:
//
//   h_t = a_t h_{t-1} + (dt_t u_t) B_t,   a_t = exp(dt_t A)                                   (1)
//   y_t = sum_n C_t h_t                                                                       (2)
//
// With gy = dL/dy and g_t = dL/dh_t, backwards in t:
//
//   g_t  = a_{t+1} g_{t+1} + C_t gy_t                                                         (3)
//   dC_t += gy_t h_t             dB_t += g_t (dt_t u_t)                                       (4)
//   d(dt u)_t += g_t B_t         d(dt A)_t = g_t a_t h_{t-1}                                  (5)
//   dA += d(dt A)_t dt_t         d(dt)_t += d(dt A)_t A                                       (6)
//
// States go through in groups of STATES at a time, as many as the registers hold.
#pragma once

#include "../problem.h"
#include "vector_math.h"

namespace swin_umamba::SWIN_ISA {

// B or C of one chunk: a number for each step and state, or, if constant, a vector for each state.
template <class V>
struct Coefficients {
  const Element<V>* steps;  // (T, N), row stride `row`
  int64_t row;
  const V* constant;  // (N), or null
};

// Those of one step from state n on.
template <class V, bool CONSTANT>
struct StepCoefficients {
  const V* constant;
  const Element<V>* step;

  SWIN_INLINE StepCoefficients(const Coefficients<V>& c, int64_t t, int64_t n)
      : constant(CONSTANT ? c.constant + n : nullptr), step(c.steps + t * c.row + n) {}
  SWIN_INLINE V operator[](int i) const {
    if constexpr (CONSTANT)
      return constant[i];
    else
      return broadcast<V>(step[i]);
  }
};

// The cache lines that the next chunk touches: many short pieces far apart, which the processor does not
// foresee, and which stall it when asked for all at once. The recurrence asks for a few at each step.
class Ahead {
 public:
  void clear() { count_ = per_step_ = 0; }
  void add(const void* base, int64_t bytes) {
    constexpr int64_t kLine = 64;
    const char* line = static_cast<const char*>(base);
    for (int64_t byte = 0; byte < bytes && count_ < kMost; byte += kLine) lines_[count_++] = line + byte;
    per_step_ = (count_ + kChunk - 1) / kChunk;
  }
  SWIN_INLINE void step(int64_t t) const {
    for (int64_t i = t * per_step_; i < minimum((t + 1) * per_step_, count_); ++i)
      __builtin_prefetch(lines_[i]);
  }

 private:
  static constexpr int64_t kMost = 12 * kChunk;
  const char* lines_[kMost];
  int64_t count_ = 0, per_step_ = 0;
};

// Tiles of one chunk, (T) vectors each.
template <class V>
struct ForwardTiles {
  int64_t steps;
  const V* dt;
  const V* dtu;  // dt * u
  Coefficients<V> B, C;
  V* y;  // added to
  const Ahead& ahead;
};

// Larger |dt A| than exp2_products takes is cut; the decay is 0 or infinity long before.
template <class V>
SWIN_INLINE V limited(V dt, V limit) {
  return minimum(limit, maximum(-limit, dt));
}

// (1) and (2) for states [n, n + STATES). `A2` is A log2(e).
template <class V, int STATES, bool CONSTANT_B, bool CONSTANT_C>
SWIN_INLINE void forward_states(const ForwardTiles<V>& p, int64_t n, const V* A2, V limit, V* state) {
  constexpr int kSums = STATES < 4 ? STATES : 4, kTogether = STATES < 4 ? STATES : 4;
  V h[STATES];
  SWIN_UNROLL(16)
  for (int i = 0; i < STATES; ++i) h[i] = state[n + i];
  for (int64_t t = 0; t < p.steps; ++t) {
    if (n == 0) p.ahead.step(t);
    const V dt = limited(p.dt[t], limit), dtu = p.dtu[t];
    const StepCoefficients<V, CONSTANT_B> B(p.B, t, n);
    const StepCoefficients<V, CONSTANT_C> C(p.C, t, n);
    V sum[kSums] = {};
    SWIN_UNROLL(4)
    for (int first = 0; first < STATES; first += kTogether) {
      V a[kTogether];
      exp2_products(a, dt, A2 + n + first);
      SWIN_UNROLL(8)
      for (int j = 0; j < kTogether; ++j) {
        const int i = first + j;
        h[i] = fma(a[j], h[i], dtu * B[i]);
        sum[i % kSums] = fma(h[i], C[i], sum[i % kSums]);
      }
    }
    V y = sum[0];
    SWIN_UNROLL(4)
    for (int i = 1; i < kSums; ++i) y += sum[i];
    p.y[t] += y;
  }
  SWIN_UNROLL(16)
  for (int i = 0; i < STATES; ++i) state[n + i] = h[i];
}

template <class V, bool CONSTANT_B, bool CONSTANT_C>
SWIN_INLINE void forward_all_states(const ForwardTiles<V>& p, int64_t states, const V* A2, V limit,
                                    V* state) {
  // As many states as fit in registers beside the polynomial's constants.
  constexpr int kGroup = Lanes<V>::kCount == 16 ? 16 : 4;
  int64_t n = 0;
  for (; n + kGroup <= states; n += kGroup)
    forward_states<V, kGroup, CONSTANT_B, CONSTANT_C>(p, n, A2, limit, state);
  for (; n < states; ++n) forward_states<V, 1, CONSTANT_B, CONSTANT_C>(p, n, A2, limit, state);
}

template <class V>
void forward_chunk(const ForwardTiles<V>& p, int64_t states, const V* A2, V limit, V* state) {
  const bool b = p.B.constant, c = p.C.constant;
  if (!b && !c) return forward_all_states<V, false, false>(p, states, A2, limit, state);
  if (b && !c) return forward_all_states<V, true, false>(p, states, A2, limit, state);
  if (!b && c) return forward_all_states<V, false, true>(p, states, A2, limit, state);
  forward_all_states<V, true, true>(p, states, A2, limit, state);
}

template <class V>
struct BackwardTiles {
  int64_t steps;
  const V* dt;
  const V* dtu;
  const V* gy;
  Coefficients<V> B, C;
  V* y;     // sum_n C_t h_t is added, or null
  V* gdt;   // added to: (6)
  V* gdtu;  // added to: (5)
  V* gB;    // (T, STATES), added to, still one lane per channel: (4)
  V* gC;
  const Ahead& ahead;
};

// Scratch for the states of one chunk.
template <class V, int STATES>
struct ChunkStates {
  V a[kChunk][STATES];
  V h[kChunk][STATES];  // before step t
};

// (1), kept, then (3) to (6), for states [n, n + STATES).
template <class V, int STATES, bool CONSTANT_B, bool CONSTANT_C>
SWIN_INLINE void backward_states(const BackwardTiles<V>& p, int64_t n, const V* A, const V* A2, V limit,
                                 const V* state, V* carry, V* gA, ChunkStates<V, STATES>& kept) {
  V h[STATES];
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) h[i] = state[n + i];
  for (int64_t t = 0; t < p.steps; ++t) {
    if (n == 0) p.ahead.step(t);
    const V dt = limited(p.dt[t], limit), dtu = p.dtu[t];
    const StepCoefficients<V, CONSTANT_B> B(p.B, t, n);
    V a[STATES];
    exp2_products(a, dt, A2 + n);
    SWIN_UNROLL(8)
    for (int i = 0; i < STATES; ++i) {
      kept.a[t][i] = a[i];
      kept.h[t][i] = h[i];
      h[i] = fma(a[i], h[i], dtu * B[i]);
    }
    if (p.y) {
      const StepCoefficients<V, CONSTANT_C> C(p.C, t, n);
      for (int i = 0; i < STATES; ++i) p.y[t] = fma(h[i], C[i], p.y[t]);
    }
  }

  V g[STATES], sum_A[STATES] = {};
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) g[i] = carry[n + i];
  // h holds the state after step t.
  for (int64_t t = p.steps - 1; t >= 0; --t) {
    const V gy = p.gy[t], dtu = p.dtu[t], dt = p.dt[t];
    const StepCoefficients<V, CONSTANT_B> B(p.B, t, n);
    const StepCoefficients<V, CONSTANT_C> C(p.C, t, n);
    V gdt = p.gdt[t], gdtu = p.gdtu[t];
    V* gB = p.gB + t * STATES;
    V* gC = p.gC + t * STATES;
    SWIN_UNROLL(8)
    for (int i = 0; i < STATES; ++i) {
      const V gh = fma(gy, C[i], g[i]);
      gC[i] = fma(gy, h[i], gC[i]);
      gB[i] = fma(gh, dtu, gB[i]);
      gdtu = fma(gh, B[i], gdtu);
      g[i] = gh * kept.a[t][i];
      h[i] = kept.h[t][i];
      const V gdtA = g[i] * h[i];
      sum_A[i] = fma(gdtA, dt, sum_A[i]);
      gdt = fma(gdtA, A[n + i], gdt);
    }
    p.gdt[t] = gdt;
    p.gdtu[t] = gdtu;
  }
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) {
    carry[n + i] = g[i];
    gA[n + i] += sum_A[i];
  }
}

template <class V, int STATES>
void backward_group(const BackwardTiles<V>& p, int64_t n, const V* A, const V* A2, V limit, const V* state,
                    V* carry, V* gA, ChunkStates<V, STATES>& kept) {
  const bool b = p.B.constant, c = p.C.constant;
  if (!b && !c)
    backward_states<V, STATES, false, false>(p, n, A, A2, limit, state, carry, gA, kept);
  else if (b && !c)
    backward_states<V, STATES, true, false>(p, n, A, A2, limit, state, carry, gA, kept);
  else if (!b && c)
    backward_states<V, STATES, false, true>(p, n, A, A2, limit, state, carry, gA, kept);
  else
    backward_states<V, STATES, true, true>(p, n, A, A2, limit, state, carry, gA, kept);
}

}  // namespace swin_umamba::SWIN_ISA
