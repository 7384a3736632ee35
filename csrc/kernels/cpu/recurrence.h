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

#include <type_traits>

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
  void clear() { count_ = left_ = 0; }
  // `rows` rows of `bytes`, `stride` bytes apart.
  void add(const void* base, int64_t bytes, int64_t rows = 1, int64_t stride = 0) {
    if (count_ == kMost || rows == 0) return;
    const char* start = static_cast<const char*>(base);
    pieces_[count_++] = {start, bytes, rows, stride};
    left_ += rows * ((bytes + kLine - 1) / kLine);
  }
  // All of it within `steps` calls of step().
  void spread(int64_t steps) {
    per_step_ = (left_ + steps - 1) / maximum<int64_t>(1, steps);
    pieces_[count_] = {};
    piece_ = pieces_;
    start_row();
  }

  // A walk of some steps, which keeps its place in registers. LEVEL: of __builtin_prefetch, 3 for the first
  // cache and 2 for the second.
  template <int LEVEL>
  class Walk {
   public:
    explicit Walk(Ahead& ahead)
        : ahead_(ahead),
          line_(ahead.line_),
          end_(ahead.end_),
          left_(ahead.left_),
          per_step_(ahead.per_step_) {}
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;
    ~Walk() { ahead_.line_ = line_, ahead_.left_ = left_; }
    SWIN_INLINE void step() {
      for (const int64_t then = maximum<int64_t>(0, left_ - per_step_); left_ > then; --left_) {
        __builtin_prefetch(line_, 0, LEVEL);
        line_ += kLine;
        if (line_ < end_) continue;
        ahead_.next_row();
        line_ = ahead_.line_, end_ = ahead_.end_;
      }
    }

   private:
    Ahead& ahead_;
    const char *line_, *end_;
    int64_t left_;
    const int64_t per_step_;
  };

 private:
  static constexpr int64_t kMost = 96, kLine = 64;

  void start_row() { line_ = piece_->base, end_ = line_ + piece_->bytes; }
  SWIN_INLINE void next_row() {
    if (--piece_->rows > 0)
      piece_->base += piece_->stride;
    else
      ++piece_;
    start_row();
  }

  struct {
    const char* base;
    int64_t bytes, rows, stride;
  } pieces_[kMost + 1], *piece_ = pieces_;
  const char *line_ = nullptr, *end_ = nullptr;  // of the row
  int64_t count_ = 0, left_ = 0, per_step_ = 0;
};

// One chunk of one block of channels in the forward pass, a vector for each step.
template <class V>
struct ForwardChunk {
  static constexpr int64_t kMostChannels = kMostForward;
  static constexpr bool kCorrects = true;  // takes near multiples for CorrectedPowers
  static constexpr int64_t kShared = 3 * kChunk;
  V u[kChunk];
  V* y;  // takes u's place step by step (`start`): the skip, to which the scan adds
  // One place for all blocks of a task, which scan one after the other: less to keep in the first-level
  // cache.
  V* dt;
  V* dtu;    // dt * u
  V* decay;  // of the first state, where those of the others are its powers

  // `steps`: kShared vectors.
  void share(V* steps) { y = u, dt = steps, dtu = dt + kChunk, decay = dtu + kChunk; }
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

// The decays of one step, asked for in order: those of STATES states from n on.
template <class V, bool GENERAL>
struct Exponentials {
  V dt;
  const V* A2;
  template <int STATES>
  SWIN_INLINE void next(int n, V (&a)[STATES]) {
    exp2_products<GENERAL>(a, dt, A2 + n);
  }
};
// Powers of the first one.
template <class V, int COUNT>
struct Powers {
  V first[COUNT];
  V last;  // before those that are next

  SWIN_INLINE explicit Powers(V decay, int64_t n = 0) : last(broadcast<V>(1)) {
    first[0] = decay;
    SWIN_UNROLL(8) for (int i = 1; i < COUNT; ++i) first[i] = first[(i - 1) / 2] * first[i / 2];
    for (; n > 0; n -= COUNT) last *= first[COUNT - 1];
  }
  template <int STATES>
  SWIN_INLINE void next(int, V (&a)[STATES]) {
    SWIN_UNROLL(8) for (int i = 0; i < STATES; ++i) a[i] = last * first[i];
    last = a[STATES - 1];
  }
};

// Those of rates that are near multiples: powers times e^(dt r) of the remainders r, a series of 1 and TERMS
// more.
template <class V, int TERMS>
struct CorrectedPowers {
  Powers<V, 4> powers;
  V dt;
  const V* remainders;  // (3, N): r, r^2/2, r^3/6
  int64_t states;

  template <int STATES>
  SWIN_INLINE void next(int n, V (&a)[STATES]) {
    powers.next(n, a);
    V e[STATES];
    SWIN_UNROLL(4) for (int i = 0; i < STATES; ++i) e[i] = remainders[(TERMS - 1) * states + n + i];
    SWIN_UNROLL(2)
    for (int term = TERMS - 2; term >= 0; --term) {
      SWIN_UNROLL(4) for (int i = 0; i < STATES; ++i) e[i] = fma(e[i], dt, remainders[term * states + n + i]);
    }
    SWIN_UNROLL(4) for (int i = 0; i < STATES; ++i) a[i] = fma(a[i], e[i] * dt, a[i]);
  }
};

// (1) and (2) for states [n, n + STATES) of one step, whose products with C go to `sum`.
template <int STATES, class V, bool GENERAL, class Decays>
SWIN_INLINE void forward_states(const StepCoefficients<V, GENERAL>& B, const StepCoefficients<V, GENERAL>& C,
                                int n, V dtu, Decays& decays, V* state, V (&sum)[STATES]) {
  V a[STATES];
  decays.next(n, a);
  SWIN_UNROLL(4)
  for (int i = 0; i < STATES; ++i) {
    const V h = fma(a[i], state[n + i], dtu * B[n + i]);
    state[n + i] = h;
    sum[i] = fma(h, C[n + i], sum[i]);
  }
}

// `decays(t)`: those of step t.
template <bool GENERAL, class V, class Chunk, class Decays>
SWIN_INLINE void forward_steps(const ChunkScan<V>& p, Chunk& x, int64_t states, Decays decays, V* state) {
  Ahead::Walk<3> ahead(p.ahead);
  for (int64_t t = 0; t < p.steps; ++t) {
    ahead.step();
    const V dtu = x.dtu[t];
    const StepCoefficients<V, GENERAL> B(p.B, t, 0), C(p.C, t, 0);
    auto decay = decays(t);
    V sum[4] = {}, rest[1] = {x.y[t]};
    int n = 0;
    SWIN_UNROLL(4)
    for (; n + 4 <= states; n += 4) forward_states<4>(B, C, n, dtu, decay, state, sum);
    for (; n < states; ++n) forward_states<1>(B, C, n, dtu, decay, state, rest);
    x.y[t] = rest[0] + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
}
// The usual number of states stay in registers.
template <bool GENERAL, class V, class Chunk, class Decays>
SWIN_INLINE void forward_usual_steps(const ChunkScan<V>& p, Chunk& x, int64_t states, Decays decays,
                                     V* state) {
  if (states != kUsualStates) return forward_steps<GENERAL>(p, x, states, decays, state);
  V here[kUsualStates];
  SWIN_UNROLL(16) for (int n = 0; n < kUsualStates; ++n) here[n] = state[n];
  forward_steps<GENERAL>(p, x, kUsualStates, decays, here);
  SWIN_UNROLL(16) for (int n = 0; n < kUsualStates; ++n) state[n] = here[n];
}

// `Chunk`: ForwardChunk or BackwardChunk. `unusual`, `powers`, `remainders`: see Decay; `terms`: of
// CorrectedPowers, 0 where they do not do.
template <class V, class Chunk>
void forward_chunk(const ChunkScan<V>& p, Chunk& x, int64_t states, const V* A2, V limit, bool unusual,
                   bool powers, const V* remainders, int terms, V* state) {
  const auto corrected = [&](auto known) {
    forward_usual_steps<false>(
        p, x, states,
        [&](int64_t t) {
          return CorrectedPowers<V, decltype(known)::value>{Powers<V, 4>(x.decay[t]), x.dt[t], remainders,
                                                            states};
        },
        state);
  };
  if (p.B.constant || p.C.constant || unusual)
    forward_steps<true>(
        p, x, states, [&](int64_t t) { return Exponentials<V, true>{limited<true>(x.dt[t], limit), A2}; },
        state);
  else if (powers)
    forward_usual_steps<false>(p, x, states, [&](int64_t t) { return Powers<V, 4>(x.decay[t]); }, state);
  else if (Chunk::kCorrects && terms == 1)
    corrected(std::integral_constant<int, 1>{});
  else if (Chunk::kCorrects && terms == 2)
    corrected(std::integral_constant<int, 2>{});
  else if (Chunk::kCorrects && terms)
    corrected(std::integral_constant<int, 3>{});
  else
    forward_usual_steps<false>(
        p, x, states, [&](int64_t t) { return Exponentials<V, false>{limited<false>(x.dt[t], limit), A2}; },
        state);
}

// The same for the backward pass.
template <class V>
struct BackwardChunk {
  static constexpr int64_t kMostChannels = kMostBackward, kShared = 0;
  static constexpr bool kCorrects = false;
  V u[kChunk], dt[kChunk], dtu[kChunk], gy[kChunk];
  V decay[kChunk];  // as in the forward pass
  V slope[kChunk];  // d(dt) / d(dt before softplus)
  V gdt[kChunk];    // (6), a sum over states
  V gdtu[kChunk];   // (5), likewise
  V y[kChunk];      // as in the forward pass, where it is wanted

  void share(V*) {}
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
// the sums over blocks. GENERAL: B or C may be constant, unusual decays, and y is wanted. POWERS: see Decay.
template <class V, int STATES, bool GENERAL, bool POWERS, bool FIRST_BLOCK>
void backward_states(const ChunkScan<V>& p, BackwardChunk<V>& x, int64_t n, const V* A, const V* A2, V limit,
                     const V* state, V* carry, V* gA, ChunkStates<V, STATES>& kept,
                     CoefficientSums<V, STATES>& sums) {
  V h[STATES];
  SWIN_UNROLL(8)
  for (int i = 0; i < STATES; ++i) h[i] = state[n + i];
  Ahead::Walk<2> ahead(p.ahead);
  for (int64_t t = 0; t < p.steps; ++t) {
    ahead.step();
    const V dtu = x.dtu[t];
    const StepCoefficients<V, GENERAL> B(p.B, t, n);
    auto& step = kept.steps[t];
    V a[STATES];
    if constexpr (POWERS) {
      Powers<V, STATES>(x.decay[t], n).next(n, a);
    } else {
      exp2_products<GENERAL>(a, limited<GENERAL>(x.dt[t], limit), A2 + n);
    }
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
      // Growing scans are solved in the definition's order: beside a state of zero g may overflow.
      const V gdtA = std::is_same_v<V, double> ? gh * h[i] * step.a[i] : g[i] * h[i];
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
