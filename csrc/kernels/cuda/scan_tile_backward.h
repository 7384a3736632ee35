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

// A channel's sums over the steps of a tile are finished by this many neighbouring lanes.
constexpr int kColumnLanes = 8;

// What is in shared memory for one channel tile: inputs, and sums over the states.
struct BackwardValues {
  Shared<float> dt, dt_u, grad_y;
  Shared<float> state_input;  // <B_t, g_t>
  Shared<float> state_decay;  // <A, a_t h_(t-1) g_t>
  WarpStates<ShortRuns> warps;
  Shared<float> adjoint;  // of each warp, as `warps.end` is for the states

  template <class Memory>
  __host__ __device__ explicit BackwardValues(Memory& memory)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        state_input(memory.template take<float>(kTileSize, "state_input")),
        state_decay(memory.template take<float>(kTileSize, "state_decay")),
        warps(memory),
        adjoint(memory.template take<float>(ShortRuns::kWarps * kWarpStates, "adjoint")) {}
};

// v before a warp's steps, from zero after them; the decays are ready.
template <class Team, int kSteps>
__device__ inline void local_adjoint(const Place<Team>& at, const Shared<float>& grad_y, const Matrix& C,
                                     int state, const float (&decay)[kSteps][kStates],
                                     const Shared<float>& adjoint) {
  float v[kStates] = {};
  const MatrixReader reader(C, at, state);
#pragma unroll
  for (int i = kSteps - 1; i >= 0; --i) {
    float c[kStates];
    unpack(reader.at(i), c);
    const float dy = grad_y[at.value(i)];
#pragma unroll
    for (int j = 0; j < kStates; ++j)
      v[j] = decay[i][j] * (i == kSteps - 1 ? c[j] * dy : fmaf(c[j], dy, v[j]));
  }
  store4(adjoint, at.states(), pack(v));
}

// The adjoint alone, for the pass that finds v at the ends of the tiles.
template <class Team>
__device__ inline void local_adjoint_only(const Place<Team>& at, const Shared<float>& dt,
                                          const Shared<float>& grad_y, const Matrix& C, const DecayRates& A,
                                          int group, const Shared<float>& whole_decay,
                                          const Shared<float>& adjoint) {
  const int state = group * kGroup + at.quarter * kStates;
  float rate[kStates], decay[Team::kSteps][kStates];
  unpack(A.at(at.channel, state), rate);
  store_whole_decay(at, make_decays(at, dt, rate, decay), rate, whole_decay);
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

 private:
  // Of two sums, one lane goes on with the even and its partner with the odd.
  __device__ static float exchange(float even, float odd, bool keep_odd, int lanes) {
    return (keep_odd ? odd : even) + __shfl_xor_sync(kAllLanes, keep_odd ? even : odd, lanes);
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

  __device__ void local(const Place<ShortRuns>& at, const BackwardValues& s, const Matrix& B, const Matrix& C,
                        const DecayRates& A, int group) {
    const int state = group * kGroup + at.quarter * kStates;
    float rate[kStates], h[kStates];
    unpack(A.at(at.channel, state), rate);
    store_whole_decay(at, make_decays(at, s.dt, rate, decay), rate, s.warps.decay);
    const MatrixReader reader(B, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(reader.at(i), b);
      const float scale = s.dt_u[at.value(i)];
#pragma unroll
      for (int j = 0; j < kStates; ++j) h[j] = i == 0 ? scale * b[j] : fmaf(decay[i][j], h[j], scale * b[j]);
    }
    store4(s.warps.end, at.states(), pack(h));
    local_adjoint(at, s.grad_y, C, state, decay, s.adjoint);
  }

  // Sets or, after the first group, adds to the sums over the states; adds to `matrices`; leaves dA of
  // the thread's steps in warps.decay. With kOutput, <C_t, h_t> goes to `output`.
  template <bool kOutput>
  __device__ void gradients(const Place<ShortRuns>& at, const BackwardValues& s, const Matrix& B,
                            const Matrix& C, const DecayRates& A, int group, MatrixGradients& matrices,
                            const Shared<float>& output) {
    const int state = group * kGroup + at.quarter * kStates;
    float h[kStates], v[kStates], before[kSteps][kStates];
    unpack(load4(s.warps.end, at.states()), h);
    unpack(load4(s.adjoint, at.states()), v);
    const MatrixReader of_B(B, at, state), of_C(C, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(of_B.at(i), b);
      const float scale = s.dt_u[at.value(i)], dy = s.grad_y[at.value(i)];
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        before[i][j] = h[j];
        h[j] = fmaf(decay[i][j], h[j], scale * b[j]);
        matrices.C[i][j] = fmaf(dy, h[j], matrices.C[i][j]);
      }
    }

    float rate[kStates], rate_gradient[kStates] = {}, input[kSteps], dot[kSteps], y[kSteps];
    unpack(A.at(at.channel, state), rate);
#pragma unroll
    for (int i = kSteps - 1; i >= 0; --i) {
      float b[kStates], c[kStates];
      unpack(of_B.at(i), b);
      unpack(of_C.at(i), c);
      const float dt = s.dt[at.value(i)], scale = s.dt_u[at.value(i)], dy = s.grad_y[at.value(i)];
      input[i] = dot[i] = y[i] = 0;
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float g = fmaf(c[j], dy, v[j]);
        v[j] = decay[i][j] * g;
        const float decayed = v[j] * before[i][j];
        rate_gradient[j] = fmaf(dt, decayed, rate_gradient[j]);
        dot[i] = fmaf(rate[j], decayed, dot[i]);
        input[i] = fmaf(b[j], g, input[i]);
        matrices.B[i][j] = fmaf(scale, g, matrices.B[i][j]);
        if constexpr (kOutput) y[i] = fmaf(c[j], fmaf(decay[i][j], before[i][j], scale * b[j]), y[i]);
      }
      dot[i] *= kLn2;
    }
    add_over_quarters(at, input, group, s.state_input);
    add_over_quarters(at, dot, group, s.state_decay);
    if constexpr (kOutput) add_over_quarters(at, y, group, output);
    store4(s.warps.decay, at.states(), pack(rate_gradient));
  }
};

// Some threads chain the states, as many others the adjoints, and the rest wait.
struct TwoChains {
  static constexpr int kCount = kChannels * kGroup;
  bool active, adjoint;
  int channel, state;
  __device__ explicit TwoChains(unsigned thread)
      : active(thread < 2 * kCount),
        adjoint(thread >= kCount),
        channel(thread % kChannels),
        state(thread / kChannels % kGroup) {}

  __device__ void run(const BackwardValues& s, float start) const {
    if (!active) return;
    if (adjoint)
      chain_warps<ShortRuns, true>(s.warps.decay, s.adjoint, channel, state, start);
    else
      chain_warps<ShortRuns, false>(s.warps.decay, s.warps.end, channel, state, start);
  }
  // The same with what each active thread has left in `starts`.
  __device__ void run(const BackwardValues& s, const Shared<float>& starts) const {
    if (active) run(s, float(starts[threadIdx.x]));
  }
};
static_assert(2 * TwoChains::kCount <= ShortRuns::kThreads);

// The sum over the warps of what each left for one channel and state.
__device__ inline float sum_warps(const Shared<float>& values, int channel, int state) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < ShortRuns::kWarps; ++i) sum += values[i * kWarpStates + channel * kStateRow + state];
  return sum;
}

// The sum over kColumnLanes neighbouring lanes.
__device__ inline float sum_column_lanes(float value) {
#pragma unroll
  for (int lanes = 1; lanes < kColumnLanes; lanes *= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
  return value;
}

}  // namespace swin_umamba::cuda
