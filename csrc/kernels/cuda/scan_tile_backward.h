// The adjoint of the recurrence on one tile in shared memory.
//
// With h_t = a_t h_(t-1) + dt_t u_t B_t and y_t = <C_t, h_t>, and v_t the gradient with respect to h_t
// that comes from the steps after t:
//   g_t = v_t + C_t dy_t,   v_(t-1) = a_t g_t,
//   dC_t = dy_t h_t,   dB_t = dt_t u_t g_t,   du_t = dt_t <B_t, g_t>,
//   dA += dt_t a_t h_(t-1) g_t,   d(dt_t) = u_t <B_t, g_t> + <A, a_t h_(t-1) g_t>.
#pragma once

#include "scan_tile.h"

namespace swin_umamba::cuda {

constexpr float kLn2 = 0.693147181f;

// What is in shared memory for one channel tile.
struct BackwardValues {
  Shared<float> dt, dt_u, grad_y;
  WarpStates<ShortRuns> warps;
  Shared<float> adjoint;  // of each warp, as `warps.end` is for the states

  template <class Memory>
  __host__ __device__ explicit BackwardValues(Memory& memory)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        adjoint(memory.template take<float>(ShortRuns::kWarps * kWarpStates, "adjoint")) {}
};

// Sums over the states for a thread's item.
struct StateSums {
  float input;   // <B_t, g_t>
  float decay;   // <A log2(e), a_t h_(t-1) g_t>
  float output;  // <C_t, h_t>
};

// v before a warp's steps, from zero after them; the decays are ready.
template <class Team, int kSteps, class Step>
__device__ inline void local_adjoint(const Place<Team>& at, const Shared<float>& grad_y,
                                     const Matrix<Step>& C, int state, const float (&decay)[kSteps][kStates],
                                     const Shared<float>& adjoint) {
  float v[kStates], dy[kSteps];
  load_steps(grad_y, at, dy);
  const MatrixReader reader(C, at, state);
#pragma unroll
  for (int i = kSteps - 1; i >= 0; --i) {
    float c[kStates];
    unpack(reader.at(i), c);
#pragma unroll
    for (int j = 0; j < kStates; ++j)
      v[j] = decay[i][j] * (i == kSteps - 1 ? c[j] * dy[i] : fmaf(c[j], dy[i], v[j]));
  }
  store4(adjoint, at.states(), pack(v));
}

// The adjoint alone, for the pass that finds v at the ends of the tiles.
template <class Team, class Step>
__device__ inline void local_adjoint_only(const Place<Team>& at, const Shared<float>& dt,
                                          const Shared<float>& grad_y, const Matrix<Step>& C,
                                          const DecayRates& A, int group, const Shared<float>& whole_decay,
                                          const Shared<float>& adjoint) {
  const int state = group * kGroup + at.quarter * kStates;
  float rate[kStates], steps[Team::kSteps], decay[Team::kSteps][kStates];
  unpack(A.at(at.channel, state), rate);
  load_steps(dt, at, steps);
  store_whole_decay(at, make_decays(steps, rate, decay), rate, whole_decay);
  local_adjoint(at, grad_y, C, state, decay, adjoint);
}

// Sums of B's and C's gradients over the channels of the tiles that a block goes through.
struct MatrixGradients {
  static constexpr int kSteps = ShortRuns::kSteps;
  using Values = float[kSteps][kStates];
  Values B, C;

  __device__ static void clear(Values& values) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i)
#pragma unroll
      for (int j = 0; j < kStates; ++j) values[i][j] = 0;
  }
  __device__ void clear() {
    clear(B);
    clear(C);
  }
};

// Sums over the eight channels of a warp: afterwards a thread has those of one step and two of its states.
struct ChannelSums {
  static constexpr int kCount = kStates / 2;
  int step, state;  // of the warp's steps, of the group's states
  float values[kCount];

  __device__ ChannelSums(const Place<ShortRuns>& at, const MatrixGradients::Values& of)
      : step(at.channel % 4), state(at.quarter * kStates + at.channel / 4 * kCount) {
    static_assert(MatrixGradients::kSteps == 4 && kChannels == 8 && kCount == 2);
    float half[2][kStates], quarter[kStates];
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        half[i][j] = exchange(of[2 * i][j], of[2 * i + 1][j], at.channel & 1, kQuarters);
      quarter[j] = exchange(half[0][j], half[1][j], at.channel & 2, 2 * kQuarters);
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j)
      values[j] = exchange(quarter[j], quarter[kCount + j], at.channel & 4, 4 * kQuarters);
  }
};

// Sums over a thread's steps, for constant B or C.
__device__ inline float4 sum_steps(const MatrixGradients::Values& values) {
  float sums[kStates] = {};
#pragma unroll
  for (int i = 0; i < MatrixGradients::kSteps; ++i)
#pragma unroll
    for (int j = 0; j < kStates; ++j) sums[j] += values[i][j];
  return pack(sums);
}

// The recurrence and its adjoint for one tile and one group of 16 states, in two phases with chain_warps
// and a barrier on either side of it between them.
struct BackwardTile {
  static constexpr int kSteps = ShortRuns::kSteps;
  float decay[kSteps][kStates];

  template <class Step>
  __device__ void local(const Place<ShortRuns>& at, const BackwardValues& s, const Matrix<Step>& B,
                        const Matrix<Step>& C, const DecayRates& A, int group) {
    const int state = group * kGroup + at.quarter * kStates;
    float rate[kStates], h[kStates], dt[kSteps], scale[kSteps];
    unpack(A.at(at.channel, state), rate);
    load_steps(s.dt, at, dt);
    store_whole_decay(at, make_decays(dt, rate, decay), rate, s.warps.decay);
    load_steps(s.dt_u, at, scale);
    const MatrixReader reader(B, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(reader.at(i), b);
#pragma unroll
      for (int j = 0; j < kStates; ++j)
        h[j] = i == 0 ? scale[i] * b[j] : fmaf(decay[i][j], h[j], scale[i] * b[j]);
    }
    store4(s.warps.end, at.states(), pack(h));
    local_adjoint(at, s.grad_y, C, state, decay, s.adjoint);
  }

  // Sets or, after the first group, adds to the sums over the states; adds to `matrices`; leaves dA of
  // the thread's steps in warps.decay.
  template <bool kOutput, class Step>
  __device__ void gradients(const Place<ShortRuns>& at, const BackwardValues& s, const Matrix<Step>& B,
                            const Matrix<Step>& C, const DecayRates& A, int group, MatrixGradients& matrices,
                            StateSums& sums) {
    const int state = group * kGroup + at.quarter * kStates;
    float h[kStates], v[kStates], before[kSteps][kStates], scale[kSteps], dy[kSteps];
    unpack(load4(s.warps.end, at.states()), h);
    unpack(load4(s.adjoint, at.states()), v);
    load_steps(s.dt_u, at, scale);
    load_steps(s.grad_y, at, dy);
    const MatrixReader of_B(B, at, state), of_C(C, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(of_B.at(i), b);
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        before[i][j] = h[j];
        h[j] = fmaf(decay[i][j], h[j], scale[i] * b[j]);
        matrices.C[i][j] = fmaf(dy[i], h[j], matrices.C[i][j]);
      }
    }

    float rate[kStates], rate_gradient[kStates], dt[kSteps], input[kSteps], dot[kSteps], y[kSteps];
    unpack(A.at(at.channel, state), rate);
    load_steps(s.dt, at, dt);
#pragma unroll
    for (int i = kSteps - 1; i >= 0; --i) {
      float b[kStates], c[kStates];
      unpack(of_B.at(i), b);
      unpack(of_C.at(i), c);
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float g = fmaf(c[j], dy[i], v[j]);
        v[j] = decay[i][j] * g;
        const float decayed = v[j] * before[i][j];
        rate_gradient[j] = i == kSteps - 1 ? dt[i] * decayed : fmaf(dt[i], decayed, rate_gradient[j]);
        dot[i] = j == 0 ? rate[j] * decayed : fmaf(rate[j], decayed, dot[i]);
        input[i] = j == 0 ? b[j] * g : fmaf(b[j], g, input[i]);
        matrices.B[i][j] = fmaf(scale[i], g, matrices.B[i][j]);
        if constexpr (kOutput) {
          const float after = fmaf(decay[i][j], before[i][j], scale[i] * b[j]);
          y[i] = j == 0 ? c[j] * after : fmaf(c[j], after, y[i]);
        }
      }
    }
    const auto add = [&](const float (&values)[kSteps], float& to) {
      float sum[1];
      sum_quarters(values, at.quarter, sum);
      to = group == 0 ? sum[0] : to + sum[0];
    };
    add(input, sums.input);
    add(dot, sums.decay);
    if constexpr (kOutput) add(y, sums.output);
    store4(s.warps.decay, at.states(), pack(rate_gradient));
  }
};

// Some threads chain the states, as many others the adjoints, and the rest wait.
struct TwoChains : Chain {
  bool adjoint;
  __device__ explicit TwoChains(unsigned thread) : Chain(thread), adjoint(thread >= kThreads) {
    active = thread < 2 * kThreads;
  }
  // From the state and the adjoint at the tile's borders.
  __device__ void run(const BackwardValues& s, float2 start, bool may_grow) const {
    if (adjoint)
      chain_warps<ShortRuns, true>(s.warps.decay, s.adjoint, *this, start, may_grow);
    else
      chain_warps<ShortRuns, false>(s.warps.decay, s.warps.end, *this, start, may_grow);
  }
};
static_assert(2 * TwoChains::kThreads <= ShortRuns::kThreads);

// The sums over the warps of what each left for one channel and two states.
__device__ inline float2 sum_warps(const Shared<float>& values, const Chain& chain) {
  float2 sum{0, 0};
#pragma unroll
  for (int i = 0; i < ShortRuns::kWarps; ++i) {
    const float2 v = load2(values, i * kWarpStates + chain.channel * kStateRow + chain.state);
    sum.x += v.x, sum.y += v.y;
  }
  return sum;
}

// Sums over the steps of two values of each item, [first, second][warp][channel].
struct StepSums {
  static constexpr int kOfOne = ShortRuns::kWarps * kChannels;
  Shared<float> values;
  template <class Memory>
  __host__ __device__ explicit StepSums(Memory& memory)
      : values(memory.template take<float>(2 * kOfOne, "step sums")) {}

  __device__ void add(const Place<ShortRuns>& at, float first, float second) const {
    float sum = exchange(first, second, at.quarter & 1, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    if (at.quarter < 2) values[at.quarter * kOfOne + at.four] = sum;
  }
  // Of all warps.
  __device__ float sum(int which, int channel) const {
    float sum = 0;
#pragma unroll 4
    for (int i = 0; i < ShortRuns::kWarps; ++i) sum += values[which * kOfOne + i * kChannels + channel];
    return sum;
  }
};

}  // namespace swin_umamba::cuda
