// What the scans of both operators share: one block of channels (one vector of lanes), and the sums of the
// backward pass over a part, the blocks that sum into the same dB and dC.
#pragma once

#include "recurrence.h"
#include "task.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

// Decay rates of one block of channels.
template <class V>
struct Decay {
  V* A;   // (N), lanes are channels
  V* A2;  // A log2(e)
  V limit;
  bool powers;  // rates are multiples of one: the decay of state n is the (n + 1)th power of 2^(dt base)
  bool near;    // so, but for remainders, which CorrectedPowers sees to
  V base;
  V reach[3];     // i + 1 terms do where a step times reach[i] is one at most
  V* remainders;  // see CorrectedPowers
  bool unusual;   // decays may be above one, or a rate is so large that `limit` would cut usual steps

  void take(Scratch& scratch, int64_t states) {
    A = scratch.take<V>(states);
    A2 = scratch.take<V>(states);
    remainders = scratch.take<V>(3 * states);
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
    unusual = !(softplus && all_at_most(highest, V{}) && all_at_most(largest, broadcast<V>(Element<V>(1e6))));
    find_base(states);
    limit = Element<V>(1e15) / maximum(largest, broadcast<V>(Element<V>(1e-15)));
  }
  // A rate is taken for a multiple if it is one but for half of kSpread, as much as float32 rounds it by in a
  // few operations (ss2d has its logarithm). States beyond 16 would lose that to the rounding of powers.
  void find_base(int64_t states) {
    constexpr Element<V> kSpread = Element<V>(1e-6);
    V least = A2[0], most = A2[0];
    for (int64_t n = 1; n < states; ++n) {
      const V ratio = A2[n] * (1 / Element<V>(n + 1));
      least = minimum(least, ratio);
      most = maximum(most, ratio);
    }
    base = (least + most) * Element<V>(0.5);
    // Rates that are not unusual are not above zero.
    const auto within = [&](Element<V> spread) { return all_at_most(most - least + base * spread, V{}); };
    const bool usual = compute_type<V>() == Type::kFloat32 && !unusual && states >= 4 && states <= 16;
    powers = usual && within(kSpread);
    near = usual && !powers && within(Element<V>(0.2));
    if (near) find_remainders(states);
  }
  // A series that ends with w, w^2 / 2 or w^3 / 6 is off from e^w by about its next term, which may be as
  // large as the rounding of the power, n 2^-24.
  void find_remainders(int64_t states) {
    for (V& r : reach) r = V{};
    for (int64_t n = 0; n < states; ++n) {
      const V r = A[n] - base * (Element<V>(n + 1) / Element<V>(kLog2E));
      const Element<V> rounding = Element<V>(n + 1) / 16777216;
      const V size = maximum(r, -r);
      reach[0] = maximum(reach[0], size * (1 / std::sqrt(2 * rounding)));
      reach[1] = maximum(reach[1], size * (1 / std::cbrt(6 * rounding)));
      reach[2] = maximum(reach[2], size * (1 / std::sqrt(std::sqrt(24 * rounding))));
      remainders[n] = r;
      remainders[states + n] = r * r * Element<V>(0.5);
      remainders[2 * states + n] = r * r * r * Element<V>(1.0 / 6);
    }
  }
  // The state before the first step: zero, but NaN in A must reach the output whatever exp2 makes of it.
  void clear(V* state, int64_t states) const {
    for (int64_t n = 0; n < states; ++n) state[n] = A[n] == A[n] ? V{} : A[n];
  }
};

// One block on its way along a sequence, in chunks of type Chunk.
template <class V, class Chunk>
struct Block {
  using E = Element<V>;
  // Of a task.
  static constexpr int64_t kMost = (Chunk::kMostChannels + Lanes<V>::kCount - 1) / Lanes<V>::kCount;
  static constexpr int64_t kShared = Chunk::kShared;

  int64_t channel, count;
  Chunk *chunks, *chunk;  // all that are kept, and the one at hand
  Decay<V> decay;
  V *state, *constant_B, *constant_C;  // (N)
  V D{}, delta_bias{};

  // `shared`: kShared vectors, the same for all blocks; chunks that share keep one alone.
  void take(Scratch& scratch, V* shared, int64_t states, int64_t kept = 1) {
    chunk = chunks = scratch.take<Chunk>(kept);
    if (chunk) chunk->share(shared);
    decay.take(scratch, states);
    V** const rows[] = {&state, &constant_B, &constant_C};
    for (V** row : rows) *row = scratch.take<V>(states);
  }
  // To and from the states of all channels, (N, D).
  void save_state(E* to, int64_t states, int64_t dim) const {
    for (int64_t n = 0; n < states; ++n) store_some(to + n * dim + channel, state[n], count);
  }
  void load_state(const E* from, int64_t states, int64_t dim) {
    for (int64_t n = 0; n < states; ++n) state[n] = load_some(from + n * dim + channel, count);
  }
  // Fills in the chunk, whose u is set; `delta`, every `stride` vectors, is dt before bias and softplus.
  void start(int64_t steps, bool softplus, const V* delta, int64_t stride) {
    Chunk& x = *chunk;
    const V skip = D, bias = delta_bias;
    for (int64_t t = 0; t < steps; t += kTogether) {
      V dt[kTogether], slope[kTogether];
      SWIN_UNROLL(8)
      for (int i = 0; i < kTogether; ++i) dt[i] = delta[(t + i) * stride] + bias, slope[i] = broadcast<V>(1);
      if (softplus) softplus_and_slope(dt, slope);
      if (decay.powers || (decay.near && Chunk::kCorrects)) {
        V d[kTogether], a[kTogether];
        SWIN_UNROLL(8) for (int i = 0; i < kTogether; ++i) d[i] = limited<false>(dt[i], decay.limit);
        exp2_products<false>(a, decay.base, d);
        SWIN_UNROLL(8) for (int i = 0; i < kTogether; ++i) x.decay[t + i] = a[i];
      }
      SWIN_UNROLL(8)
      for (int i = 0; i < kTogether; ++i) x.start(t + i, dt[i], slope[i], skip);
    }
  }
  // (1) and (2) for the chunk.
  void scan_forward(const ChunkScan<V>& p, int64_t states) {
    V reached{};
    for (int64_t t = 0; decay.near && t < p.steps; ++t) reached = maximum(reached, chunk->dt[t]);
    int terms = 0;
    for (int i = 3; decay.near && i > 0; --i)
      if (all_at_most(reached * decay.reach[i - 1], broadcast<V>(1))) terms = i;
    forward_chunk<V>(p, *chunk, states, decay.A2, decay.limit, decay.unusual, decay.powers, decay.remainders,
                     terms, state);
  }
};

template <class V>
using ForwardBlock = Block<V, ForwardChunk<V>>;

template <class V>
struct BackwardBlock : Block<V, BackwardChunk<V>> {
  V *carry, *gA, *gconstant_B, *gconstant_C;  // (N)
  V gD{}, gdelta_bias{};

  void take(Scratch& scratch, V* shared, int64_t states, int64_t kept = 1) {
    Block<V, BackwardChunk<V>>::take(scratch, shared, states, kept);
    V** const rows[] = {&carry, &gA, &gconstant_B, &gconstant_C};
    for (V** row : rows) *row = scratch.take<V>(states);
  }
  // After the chunk's scan: the gradients of dt before softplus go to gdt and those of u to gdtu.
  void finish(int64_t steps) {
    BackwardChunk<V>& x = *this->chunk;
    V sum_D{}, sum_delta{};
    for (int64_t t = 0; t < steps; ++t) {
      const V gdelta = fma(x.gdtu[t], x.u[t], x.gdt[t]) * x.slope[t];
      const V gu = fma(x.gdtu[t], x.dt[t], this->D * x.gy[t]);
      sum_D = fma(x.gy[t], x.u[t], sum_D);
      sum_delta += gdelta;
      x.gdt[t] = gdelta;
      x.gdtu[t] = gu;
    }
    gD += sum_D;
    gdelta_bias += sum_delta;
  }
};

// The forward pass's tasks, body(sequence, first, channels), for each of some sequences of `channels`
// channels, `most` at a time.
template <class Body>
void for_each_channels(ParallelFor parallel, int64_t sequences, int64_t channels, int64_t most, Body body) {
  constexpr int64_t kUnit = 16;  // threads do not write to the same line of memory
  const int64_t units = (channels + kUnit - 1) / kUnit;
  for_each_range(parallel, sequences * units, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end;) {
      const int64_t sequence = unit / units, first = unit % units * kUnit;
      const int64_t left = minimum(end, (sequence + 1) * units) - unit;
      const int64_t taken = minimum(minimum(most, left * kUnit), channels - first);
      body(sequence, first, taken);
      unit += (taken + kUnit - 1) / kUnit;
    }
  });
}

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

// The backward pass of one chunk of one part.
template <class V>
class BackwardPart {
 public:
  Element<V>*sum_B, *sum_C;  // (T, N), row stride `row`
  int64_t row;

  BackwardPart(Scratch& scratch, int64_t states)
      : row(round_up(states, Lanes<V>::kCount)), states_(states), kept_(scratch.take<Kept>(1)) {
    scratch.take<char>(kApart);
    sums_ = scratch.take<Sums>(1);
    sum_B = scratch.take<Element<V>>(kChunk * row);
    sum_C = scratch.take<Element<V>>(kChunk * row);
  }

  // The chunk of every block is started and its state set; the sums over the part's channels come out in
  // sum_B and sum_C, the rest in the blocks.
  void scan(const ChunkScan<V>& p, BackwardBlock<V>* blocks, int64_t block_count, bool constant_B,
            bool constant_C, bool want_y) {
    int64_t n = 0;
    for (; n + kBackwardStates <= states_; n += kBackwardStates)
      group<kBackwardStates>(n, p, blocks, block_count, constant_B, constant_C, want_y);
    for (; n < states_; ++n) group<1>(n, p, blocks, block_count, constant_B, constant_C, want_y);
  }

 private:
  using Sums = CoefficientSums<V, kBackwardStates>;
  using Kept = ChunkStates<V, kBackwardStates>;
  // Whole pages apart, a step's sums would be stored to the addresses, but for their upper bits, that its
  // states are read from, and processors take that for a dependency.
  static constexpr int64_t kApart = 512;

  template <int STATES>
  void group(int64_t n, ChunkScan<V> p, BackwardBlock<V>* blocks, int64_t block_count, bool constant_B,
             bool constant_C, bool want_y) {
    const int64_t steps = p.steps;
    auto& sums = reinterpret_cast<CoefficientSums<V, STATES>&>(*sums_);
    auto& kept = reinterpret_cast<ChunkStates<V, STATES>&>(*kept_);
    for (int64_t b = 0; b < block_count; ++b) {
      BackwardBlock<V>& x = blocks[b];
      const bool general = constant_B || constant_C || want_y || x.decay.unusual;
      p.B.constant = constant_B ? x.constant_B : nullptr;
      p.C.constant = constant_C ? x.constant_C : nullptr;
      const auto walk = general          ? b == 0 ? backward_states<V, STATES, true, false, true>
                                                  : backward_states<V, STATES, true, false, false>
                        : x.decay.powers ? b == 0 ? backward_states<V, STATES, false, true, true>
                                                  : backward_states<V, STATES, false, true, false>
                        : b == 0         ? backward_states<V, STATES, false, false, true>
                                         : backward_states<V, STATES, false, false, false>;
      walk(p, *x.chunk, n, x.decay.A, x.decay.A2, x.decay.limit, x.state, x.carry, x.gA, kept, sums);
      // What is constant over the steps is summed over them, for each block by itself.
      for (int64_t t = 0; (constant_B || constant_C) && t < steps; ++t)
        for (int i = 0; i < STATES; ++i) {
          auto& sum = sums.steps[t];
          if (constant_B) x.gconstant_B[n + i] += sum.B[i], sum.B[i] = V{};
          if (constant_C) x.gconstant_C[n + i] += sum.C[i], sum.C[i] = V{};
        }
    }
    constexpr int64_t kRow = 2 * int64_t(STATES);
    if (!constant_B) sum_channels<V, STATES>(sums.steps[0].B, kRow, steps, sum_B + n, row);
    if (!constant_C) sum_channels<V, STATES>(sums.steps[0].C, kRow, steps, sum_C + n, row);
  }

  int64_t states_;
  Sums* sums_;
  Kept* kept_;
};

}  // namespace swin_umamba::SWIN_ISA
