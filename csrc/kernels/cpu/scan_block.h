// What the scans of both operators share: parameters of one block of channels (one vector of lanes),
// and the backward pass of one part (several blocks that sum into the same dB and dC).
#pragma once

#include "parallel.h"
#include "recurrence.h"
#include "scratch.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

SWIN_INLINE int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Decay rates of one block of channels.
template <class V>
struct Decay {
  V* A;   // (N), lanes are channels
  V* A2;  // A log2(e)
  V limit;
  bool unusual;  // decays may be above one, or a rate is so large that `limit` would cut usual steps

  static int64_t bytes(int64_t states) { return 2 * Scratch::bytes<V>(states); }
  void take(Scratch& scratch, int64_t states) {
    A = scratch.take<V>(states);
    A2 = scratch.take<V>(states);
  }
  // From logarithms in A to A = -exp(A). NaN stays, which exp does not see to.
  void negative_exp(int64_t states) {
    for (int64_t n = 0; n < states; ++n) A[n] = A[n] == A[n] ? -exp(A[n]) : A[n];
  }
  // After A is filled in. `softplus`: no step dt is below zero.
  void prepare(int64_t states, bool softplus) {
    V largest{}, highest{};
    for (int64_t n = 0; n < states; ++n) {
      A2[n] = A[n] * Element<V>(kLog2E);
      largest = maximum(largest, maximum(A2[n], -A2[n]));
      highest = maximum(highest, A2[n]);
    }
    // The comparisons are false for NaN.
    unusual = !(softplus && sum_lanes(highest) <= 0 && sum_lanes(largest) < Element<V>(1e6));
    limit = Element<V>(1e15) / maximum(largest, broadcast<V>(Element<V>(1e-15)));
  }
  // The state before the first step: zero, but NaN in A must reach the output whatever exp2 makes of it.
  void clear(V* state, int64_t states) const {
    for (int64_t n = 0; n < states; ++n) state[n] = A[n] == A[n] ? V{} : A[n];
  }
};

// States of one block at the start of a chunk, in an array (saved_states, N, D); chunk 0 has none.
template <class V>
void save_state(void* states, int64_t chunk, const V* state, int64_t N, int64_t dim, int64_t channel,
                int64_t count) {
  Element<V>* to = static_cast<Element<V>*>(states) + (chunk - 1) * N * dim + channel;
  for (int64_t n = 0; n < N; ++n) store_some(to + n * dim, state[n], count);
}
// One block of channels in the forward pass.
template <class V>
struct ForwardBlock {
  int64_t channel, count;
  ForwardChunk<V>* chunk;
  Decay<V> decay;
  V *state, *constant_B, *constant_C;  // (N)
  V D, delta_bias;

  static int64_t bytes(int64_t states) {
    return Scratch::bytes<ForwardChunk<V>>(1) + Decay<V>::bytes(states) + 3 * Scratch::bytes<V>(states);
  }
  void take(Scratch& scratch, int64_t states) {
    chunk = scratch.take<ForwardChunk<V>>(1);
    decay.take(scratch, states);
    V** const rows[] = {&state, &constant_B, &constant_C};
    for (V** row : rows) *row = scratch.take<V>(states);
    D = delta_bias = V{};
  }
  // With u set; `delta`, every `stride` vectors, is dt before bias and softplus. y becomes the scan's output
  // with the skip.
  void scan(const ChunkScan<V>& p, int64_t states, bool softplus, const V* delta, int64_t stride) {
    ForwardChunk<V>& x = *chunk;
    for (int64_t t = 0; t < p.steps; t += kTogether) {
      V dt[kTogether], slope[kTogether];
      SWIN_UNROLL(8) for (int i = 0; i < kTogether; ++i) dt[i] = delta[(t + i) * stride] + delta_bias;
      if (softplus) softplus_and_slope(dt, slope);
      SWIN_UNROLL(8)
      for (int i = 0; i < kTogether; ++i) {
        const V u = x.u[t + i];
        x.dt[t + i] = dt[i];
        x.dtu[t + i] = dt[i] * u;
        x.y[t + i] = D * u;
      }
    }
    forward_chunk<V>(p, x, states, decay.A2, decay.limit, decay.unusual, state);
  }
};

// One block of channels in the backward pass.
template <class V>
struct BackwardBlock {
  int64_t channel, count;
  BackwardChunk<V>* chunk;
  Decay<V> decay;
  V *state, *carry, *gA;                                   // (N)
  V *constant_B, *constant_C, *gconstant_B, *gconstant_C;  // (N), if constant
  V D, delta_bias, gD, gdelta_bias;

  static int64_t bytes(int64_t states) {
    return Scratch::bytes<BackwardChunk<V>>(1) + Decay<V>::bytes(states) + 7 * Scratch::bytes<V>(states);
  }
  void take(Scratch& scratch, int64_t states) {
    chunk = scratch.take<BackwardChunk<V>>(1);
    decay.take(scratch, states);
    V** const rows[] = {&state, &carry, &gA, &constant_B, &constant_C, &gconstant_B, &gconstant_C};
    for (V** row : rows) *row = scratch.take<V>(states);
    D = delta_bias = gD = gdelta_bias = V{};
  }
  // With u set; `delta`, every `stride` vectors, is dt before bias and softplus.
  void start(int64_t steps, bool softplus, const V* delta, int64_t stride) {
    BackwardChunk<V>& x = *chunk;
    for (int64_t t = 0; t < steps; t += kTogether) {
      V dt[kTogether], slope[kTogether];
      SWIN_UNROLL(8)
      for (int i = 0; i < kTogether; ++i)
        dt[i] = delta[(t + i) * stride] + delta_bias, slope[i] = broadcast<V>(1);
      if (softplus) softplus_and_slope(dt, slope);
      SWIN_UNROLL(8)
      for (int i = 0; i < kTogether; ++i) {
        x.dt[t + i] = dt[i];
        x.slope[t + i] = slope[i];
        x.dtu[t + i] = dt[i] * x.u[t + i];
        x.gdt[t + i] = x.gdtu[t + i] = V{};
      }
    }
  }
};

// The sums over the lanes of as many vectors as there are lanes, for sets without a shorter way.
template <int W>
SWIN_INLINE Float sum_each(Float (&r)[W]) {
  transpose(r);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) r[i] += r[i + half];
  return r[0];
}
SWIN_INLINE double sum_each(double (&r)[1]) { return r[0]; }

// sums[t * row + i] = the sum over lanes of tile[t * tile_row + i].
template <class V, int STATES>
void sum_channels(const V* tile, int64_t tile_row, int64_t steps, Element<V>* sums, int64_t row) {
  constexpr int W = Lanes<V>::kCount;
  constexpr int kSteps = W > STATES ? W / STATES : 1;  // whole steps in one vector of sums
  static_assert(W % STATES == 0 || W == 1);
  if constexpr (W == 1) {
    for (int64_t t = 0; t < steps; ++t)
      for (int i = 0; i < STATES; ++i) sums[t * row + i] = sum_lanes(tile[t * tile_row + i]);
  } else {
    for (int64_t t = 0; t < steps; t += kSteps) {
      V block[W];
      SWIN_UNROLL(16)
      for (int i = 0; i < W; ++i)
        block[i] = t + i / STATES < steps ? tile[(t + i / STATES) * tile_row + i % STATES] : V{};
      const V each = sum_each(block);
      for (int s = 0; s < kSteps && t + s < steps; ++s)
        memcpy(sums + (t + s) * row, reinterpret_cast<const Element<V>*>(&each) + s * STATES,
               STATES * sizeof(Element<V>));
    }
  }
}

// States that the backward pass takes at a time: their decays and values for one chunk fit the
// first-level cache.
constexpr int kBackwardStates = 4;

// Scratch and results of the backward pass of one chunk of one part.
template <class V>
class BackwardPart {
 public:
  Element<V>*sum_B, *sum_C;  // (T, N), row stride `row`
  int64_t row;
  Ahead ahead;

  static int64_t bytes(int64_t states) {
    return Scratch::bytes<Sums>(1) + Scratch::bytes<Kept>(1) + kApart +
           2 * Scratch::bytes<Element<V>>(kChunk * round_up(states, Lanes<V>::kCount));
  }
  void take(Scratch& scratch, int64_t states) {
    states_ = states;
    row = round_up(states, Lanes<V>::kCount);
    kept_ = scratch.take<Kept>(1);
    scratch.take<char>(kApart);
    sums_ = scratch.take<Sums>(1);
    sum_B = scratch.take<Element<V>>(kChunk * row);
    sum_C = scratch.take<Element<V>>(kChunk * row);
  }

  // The chunk of every block is started and its state set; the sums over the part's channels come out in
  // sum_B and sum_C, the rest in the blocks.
  void scan(BackwardBlock<V>* blocks, int64_t block_count, int64_t steps, const Coefficients<V>& B,
            const Coefficients<V>& C, bool constant_B, bool constant_C, bool want_y) {
    int64_t n = 0;
    for (; n + kBackwardStates <= states_; n += kBackwardStates)
      group<kBackwardStates>(n, blocks, block_count, steps, B, C, constant_B, constant_C, want_y);
    for (; n < states_; ++n) group<1>(n, blocks, block_count, steps, B, C, constant_B, constant_C, want_y);
  }

 private:
  using Sums = CoefficientSums<V, kBackwardStates>;
  using Kept = ChunkStates<V, kBackwardStates>;
  // Whole pages apart, a step's sums would be stored to the addresses, but for their upper bits, that its
  // states are read from, and processors take that for a dependency.
  static constexpr int64_t kApart = 512;

  template <int STATES>
  void group(int64_t n, BackwardBlock<V>* blocks, int64_t block_count, int64_t steps, Coefficients<V> B,
             Coefficients<V> C, bool constant_B, bool constant_C, bool want_y) {
    auto& sums = reinterpret_cast<CoefficientSums<V, STATES>&>(*sums_);
    auto& kept = reinterpret_cast<ChunkStates<V, STATES>&>(*kept_);
    for (int64_t b = 0; b < block_count; ++b) {
      BackwardBlock<V>& x = blocks[b];
      const bool general = constant_B || constant_C || want_y || x.decay.unusual;
      B.constant = constant_B ? x.constant_B : nullptr;
      C.constant = constant_C ? x.constant_C : nullptr;
      const auto first =
          general ? backward_states<V, STATES, true, true> : backward_states<V, STATES, false, true>;
      const auto next =
          general ? backward_states<V, STATES, true, false> : backward_states<V, STATES, false, false>;
      (b == 0 ? first : next)({steps, B, C, ahead}, *x.chunk, n, x.decay.A, x.decay.A2, x.decay.limit,
                              x.state, x.carry, x.gA, kept, sums);
      // What is constant over the steps is summed over them, for each block by itself.
      for (int64_t t = 0; (constant_B || constant_C) && t < steps; ++t)
        for (int i = 0; i < STATES; ++i) {
          auto& sum = sums.steps[t];
          if (constant_B) x.gconstant_B[n + i] += sum.B[i], sum.B[i] = V{};
          if (constant_C) x.gconstant_C[n + i] += sum.C[i], sum.C[i] = V{};
        }
    }
    constexpr int64_t kRow = 2 * STATES;
    if (!constant_B) sum_channels<V, STATES>(sums.steps[0].B, kRow, steps, sum_B + n, row);
    if (!constant_C) sum_channels<V, STATES>(sums.steps[0].C, kRow, steps, sum_C + n, row);
  }

  int64_t states_;
  Sums* sums_;
  Kept* kept_;
};

}  // namespace swin_umamba::SWIN_ISA
