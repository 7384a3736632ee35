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
// States go through in groups of STATES at a time; the forward pass takes every group at each step, the
// backward pass, which keeps more of each in registers, walks the chunk once for every group.
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

// Those of one step from state n on. GENERAL: either may be constant; here and below also that decays may be
// above one or rates huge, which is as rare.
template <class V, bool GENERAL>
struct StepCoefficients {
  const V* constant;
  const Element<V>* step;

  SWIN_INLINE StepCoefficients(const Coefficients<V>& c, int64_t t, int64_t n)
      : constant(GENERAL && c.constant ? c.constant + n : nullptr), step(c.steps + t * c.row + n) {}
  SWIN_INLINE V operator[](int i) const { return GENERAL && constant ? constant[i] : broadcast<V>(step[i]); }
};

// Memory that will be read or written soon: many short pieces far apart, which the processor does not
// foresee, and which stall it when asked for all at once. The recurrence asks for a few lines at each step.
class Ahead {
 public:
  void clear() { count_ = next_ = lines_ = per_step_ = 0, byte_ = 0; }
  void add(const void* base, int64_t bytes) {
    if (count_ == kMost) return;
    base_[count_] = static_cast<const char*>(base);
    bytes_[count_++] = int32_t(bytes);
    lines_ += (bytes + kLine - 1) / kLine;
  }
  // All of it within `steps` calls of step().
  void spread(int64_t steps) { per_step_ = (lines_ + steps - 1) / steps; }
  SWIN_INLINE void step() {
    for (int64_t line = 0; line < per_step_ && next_ < count_; ++line) {
      __builtin_prefetch(base_[next_] + byte_, 0, 2);  // to the second-level cache
      byte_ += kLine;
      if (byte_ >= bytes_[next_]) byte_ = 0, ++next_;
    }
  }

 private:
  static constexpr int64_t kMost = 512;
  static constexpr int32_t kLine = 64;
  const char* base_[kMost];
  int32_t bytes_[kMost];
  int32_t byte_ = 0;
  int64_t count_ = 0, next_ = 0, lines_ = 0, per_step_ = 0;
};

// One chunk of one block of channels in the forward pass, a vector for each step.
template <class V>
struct ForwardChunk {
  V u[kChunk], dt[kChunk];
  V dtu[kChunk];  // dt * u
  V y[kChunk];    // the skip, to which the scan adds

  SWIN_INLINE void start(int64_t t, V step, V, V D) {
    dt[t] = step;
    dtu[t] = step * u[t];
    y[t] = D * u[t];
  }
};

// What a chunk's scan takes besides: the same for all blocks of channels.
template <class V>
struct ChunkScan {
  int64_t steps;
  Coefficients<V> B, C;
  Ahead& ahead;
};

// The backward pass's walks of a chunk: each with `group` states or, for the rest, one.
static inline int64_t passes(int64_t states, int64_t group) { return states / group + states % group; }

// (1) and (2) for states [n, n + STATES) of one step, whose products with C go to `sum`.
template <class V, int STATES, bool GENERAL>
SWIN_INLINE void forward_states(const StepCoefficients<V, GENERAL>& B, const StepCoefficients<V, GENERAL>& C,
                                int n, V dt, V dtu, const V* A2, V* state, V (&sum)[STATES]) {
  V a[STATES];
  exp2_products<GENERAL>(a, dt, A2 + n);
  SWIN_UNROLL(4)
  for (int i = 0; i < STATES; ++i) {
    const V h = fma(a[i], state[n + i], dtu * B[n + i]);
    state[n + i] = h;
    sum[i] = fma(h, C[n + i], sum[i]);
  }
}

template <class V, bool GENERAL, class Chunk>
SWIN_INLINE void forward_steps(const ChunkScan<V>& p, Chunk& x, int64_t states, const V* A2, V limit,
                               V* state) {
  for (int64_t t = 0; t < p.steps; ++t) {
    p.ahead.step();
    const V dt = limited<GENERAL>(x.dt[t], limit), dtu = x.dtu[t];
    const StepCoefficients<V, GENERAL> B(p.B, t, 0), C(p.C, t, 0);
    V sum[4] = {}, rest[1] = {x.y[t]};
    int n = 0;
    for (; n + 4 <= states; n += 4) forward_states<V, 4, GENERAL>(B, C, n, dt, dtu, A2, state, sum);
    for (; n < states; ++n) forward_states<V, 1, GENERAL>(B, C, n, dt, dtu, A2, state, rest);
    x.y[t] = rest[0] + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
}

// `Chunk`: ForwardChunk or BackwardChunk. `unusual`: see Decay.
template <class V, class Chunk>
void forward_chunk(const ChunkScan<V>& p, Chunk& x, int64_t states, const V* A2, V limit, bool unusual,
                   V* state) {
  if (p.B.constant || p.C.constant || unusual)
    forward_steps<V, true>(p, x, states, A2, limit, state);
  else
    forward_steps<V, false>(p, x, states, A2, limit, state);
}

// The same for the backward pass.
template <class V>
struct BackwardChunk {
  V u[kChunk], dt[kChunk], dtu[kChunk], gy[kChunk];
  V slope[kChunk];  // d(dt) / d(dt before softplus)
  V gdt[kChunk];    // (6), a sum over states
  V gdtu[kChunk];   // (5), likewise
  V y[kChunk];      // as in the forward pass, where it is wanted

  SWIN_INLINE void start(int64_t t, V step, V slope_of_step, V D) {
    dt[t] = step;
    slope[t] = slope_of_step;
    dtu[t] = step * u[t];
    gdt[t] = gdtu[t] = V{};
    y[t] = D * u[t];
  }
};

// The states of one chunk.
template <class V, int STATES>
struct ChunkStates {
  struct {
    V a[STATES];
    V h[STATES];  // before the step
  } steps[kChunk];
};

// (4), added up over blocks of channels; the sum over the lanes is still to come.
template <class V, int STATES>
struct CoefficientSums {
  struct {
    V B[STATES], C[STATES];
  } steps[kChunk];
};

// (1), kept, then (3) to (6), for states [n, n + STATES) of one block of channels, the first of which starts
// the sums over blocks. GENERAL: B or C may be constant, unusual decays, and y is wanted.
template <class V, int STATES, bool GENERAL, bool FIRST_BLOCK>
void backward_states(const ChunkScan<V>& p, BackwardChunk<V>& x, int64_t n, const V* A, const V* A2, V limit,
                     const V* state, V* carry, V* gA, ChunkStates<V, STATES>& kept,
                     CoefficientSums<V, STATES>& sums) {
  V h[STATES];
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) h[i] = state[n + i];
  for (int64_t t = 0; t < p.steps; ++t) {
    p.ahead.step();
    const V dt = limited<GENERAL>(x.dt[t], limit), dtu = x.dtu[t];
    const StepCoefficients<V, GENERAL> B(p.B, t, n);
    auto& step = kept.steps[t];
    V a[STATES];
    exp2_products<GENERAL>(a, dt, A2 + n);
    SWIN_UNROLL(8)
    for (int i = 0; i < STATES; ++i) {
      step.a[i] = a[i];
      step.h[i] = h[i];
      h[i] = fma(a[i], h[i], dtu * B[i]);
    }
    if (GENERAL) {
      const StepCoefficients<V, GENERAL> C(p.C, t, n);
      for (int i = 0; i < STATES; ++i) x.y[t] = fma(h[i], C[i], x.y[t]);
    }
  }

  V g[STATES], sum_A[STATES] = {};
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) g[i] = carry[n + i];
  // h holds the state after step t.
  for (int64_t t = p.steps - 1; t >= 0; --t) {
    const V gy = x.gy[t], dtu = x.dtu[t], dt = x.dt[t];
    const StepCoefficients<V, GENERAL> B(p.B, t, n);
    const StepCoefficients<V, GENERAL> C(p.C, t, n);
    const auto& step = kept.steps[t];
    auto& sum = sums.steps[t];
    V gdt = x.gdt[t], gdtu = x.gdtu[t];
    SWIN_UNROLL(8)
    for (int i = 0; i < STATES; ++i) {
      const V gh = fma(gy, C[i], g[i]);
      sum.C[i] = FIRST_BLOCK ? gy * h[i] : fma(gy, h[i], sum.C[i]);
      sum.B[i] = FIRST_BLOCK ? gh * dtu : fma(gh, dtu, sum.B[i]);
      gdtu = fma(gh, B[i], gdtu);
      g[i] = gh * step.a[i];
      h[i] = step.h[i];
      const V gdtA = g[i] * h[i];
      sum_A[i] = fma(gdtA, dt, sum_A[i]);
      gdt = fma(gdtA, A[n + i], gdt);
    }
    x.gdt[t] = gdt;
    x.gdtu[t] = gdtu;
  }
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) {
    carry[n + i] = g[i];
    gA[n + i] += sum_A[i];
  }
}

}  // namespace swin_umamba::SWIN_ISA
