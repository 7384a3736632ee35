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
  WarpStates warps;
  Shared<float> adjoint;  // of each warp, as `warps.end` is for the states

  template <class Memory>
  __host__ __device__ explicit BackwardValues(Memory& memory)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        state_input(memory.template take<float>(kTileSize, "state_input")),
        state_decay(memory.template take<float>(kTileSize, "state_decay")),
        warps(memory),
        adjoint(memory.template take<float>(kWarps * kWarpStates, "adjoint")) {}
};

// v before a warp's steps, from zero after them; the decays are ready.
__device__ inline void local_adjoint(const Place& at, const Shared<float>& grad_y, const Matrix& C, int state,
                                     const float (&decay)[kSteps][kStates], const Shared<float>& adjoint) {
  float v[kStates] = {};
#pragma unroll
  for (int i = kSteps - 1; i >= 0; --i) {
    float c[kStates];
    unpack(C.at(at.warp * kSteps + i, at.channel, state), c);
    const float dy = grad_y[at.value(i)];
#pragma unroll
    for (int j = 0; j < kStates; ++j) v[j] = decay[i][j] * fmaf(c[j], dy, v[j]);
  }
  store4(adjoint, at.states(), pack(v));
}

// The adjoint alone, for the pass that finds v at the ends of the tiles.
__device__ inline void local_adjoint_only(const Place& at, const Shared<float>& dt,
                                          const Shared<float>& grad_y, const Matrix& C, const DecayRates& A,
                                          int group, const Shared<float>& whole_decay,
                                          const Shared<float>& adjoint) {
  const int state = group * kGroup + at.quarter * kStates;
  float rate[kStates], decay[kSteps][kStates];
  unpack(A.at(at.channel, state), rate);
  store_whole_decay(at, make_decays(at, dt, rate, decay), rate, whole_decay);
  local_adjoint(at, grad_y, C, state, decay, adjoint);
}

// Sums of B's and C's gradients over the channels of the tiles that a block goes through.
struct MatrixGradients {
  float B[kSteps][kStates], C[kSteps][kStates];

  __device__ static void clear(float (&values)[kSteps][kStates]) {
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

// Sums over the eight channels of a warp: afterwards a thread has the sums of step `channel`.
__device__ inline void sum_channels(const float (&values)[kSteps][kStates], int channel,
                                    float (&sums)[kStates]) {
  float half[4][kStates], quarter[2][kStates];
  const auto exchange = [](float even, float odd, bool keep_odd, int lanes) {
    return (keep_odd ? odd : even) + __shfl_xor_sync(kAllLanes, keep_odd ? even : odd, lanes);
  };
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      half[i][j] = exchange(values[2 * i][j], values[2 * i + 1][j], channel & 1, kQuarters);
#pragma unroll
    for (int i = 0; i < 2; ++i)
      quarter[i][j] = exchange(half[2 * i][j], half[2 * i + 1][j], channel & 2, 2 * kQuarters);
    sums[j] = exchange(quarter[0][j], quarter[1][j], channel & 4, 4 * kQuarters);
  }
}

// Sums over a thread's steps, for constant B or C.
__device__ inline void sum_steps(const float (&values)[kSteps][kStates], float (&sums)[kStates]) {
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    sums[j] = 0;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) sums[j] += values[i][j];
  }
}

// The recurrence and its adjoint for one tile and one group of 16 states, in two phases with chain_warps
// and a barrier on either side of it between them.
struct BackwardTile {
  float decay[kSteps][kStates];

  __device__ void local(const Place& at, const BackwardValues& s, const Matrix& B, const Matrix& C,
                        const DecayRates& A, int group) {
    const int state = group * kGroup + at.quarter * kStates;
    float rate[kStates], h[kStates] = {};
    unpack(A.at(at.channel, state), rate);
    store_whole_decay(at, make_decays(at, s.dt, rate, decay), rate, s.warps.decay);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(B.at(at.warp * kSteps + i, at.channel, state), b);
      const float scale = s.dt_u[at.value(i)];
#pragma unroll
      for (int j = 0; j < kStates; ++j) h[j] = fmaf(decay[i][j], h[j], scale * b[j]);
    }
    store4(s.warps.end, at.states(), pack(h));
    local_adjoint(at, s.grad_y, C, state, decay, s.adjoint);
  }

  // Sets or, after the first group, adds to the sums over the states; adds to `matrices`; leaves dA of
  // the thread's steps in warps.decay. With kOutput, <C_t, h_t> goes to `output`.
  template <bool kOutput>
  __device__ void gradients(const Place& at, const BackwardValues& s, const Matrix& B, const Matrix& C,
                            const DecayRates& A, int group, MatrixGradients& matrices,
                            const Shared<float>& output) {
    const int state = group * kGroup + at.quarter * kStates;
    float h[kStates], v[kStates], before[kSteps][kStates];
    unpack(load4(s.warps.end, at.states()), h);
    unpack(load4(s.adjoint, at.states()), v);
    float dot[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(B.at(at.warp * kSteps + i, at.channel, state), b);
      const float scale = s.dt_u[at.value(i)], dy = s.grad_y[at.value(i)];
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        before[i][j] = h[j];
        h[j] = fmaf(decay[i][j], h[j], scale * b[j]);
        matrices.C[i][j] = fmaf(dy, h[j], matrices.C[i][j]);
      }
      if constexpr (kOutput) {
        float c[kStates];
        unpack(C.at(at.warp * kSteps + i, at.channel, state), c);
        dot[i] = 0;
#pragma unroll
        for (int j = 0; j < kStates; ++j) dot[i] = fmaf(c[j], h[j], dot[i]);
      }
    }
    if constexpr (kOutput) add_over_quarters(at, dot, group, output);

    float rate[kStates], rate_gradient[kStates] = {}, input[kSteps];
    unpack(A.at(at.channel, state), rate);
#pragma unroll
    for (int i = kSteps - 1; i >= 0; --i) {
      float b[kStates], c[kStates];
      unpack(B.at(at.warp * kSteps + i, at.channel, state), b);
      unpack(C.at(at.warp * kSteps + i, at.channel, state), c);
      const float dt = s.dt[at.value(i)], scale = s.dt_u[at.value(i)], dy = s.grad_y[at.value(i)];
      input[i] = dot[i] = 0;
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float g = fmaf(c[j], dy, v[j]);
        v[j] = decay[i][j] * g;
        const float decayed = v[j] * before[i][j];
        rate_gradient[j] = fmaf(dt, decayed, rate_gradient[j]);
        dot[i] = fmaf(rate[j], decayed, dot[i]);
        input[i] = fmaf(b[j], g, input[i]);
        matrices.B[i][j] = fmaf(scale, g, matrices.B[i][j]);
      }
      dot[i] *= kLn2;
    }
    add_over_quarters(at, input, group, s.state_input);
    add_over_quarters(at, dot, group, s.state_decay);
    store4(s.warps.decay, at.states(), pack(rate_gradient));
  }
};

// In the backward pass one half of the block chains the states and the other half the adjoints.
struct TwoChains {
  bool adjoint;
  int channel, state;
  __device__ TwoChains()
      : adjoint(threadIdx.x >= kThreads / 2),
        channel(threadIdx.x % kChannels),
        state(threadIdx.x / kChannels % kGroup) {}
};
static_assert(2 * kChannels * kGroup == kThreads);

// The sum over the warps of what each left for one channel and state.
__device__ inline float sum_warps(const Shared<float>& values, int channel, int state) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += values[i * kWarpStates + channel * kStateRow + state];
  return sum;
}

// The sum over kColumnLanes neighbouring lanes.
__device__ inline float sum_column_lanes(float value) {
#pragma unroll
  for (int lanes = 1; lanes < kColumnLanes; lanes *= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
  return value;
}

}  // namespace swin_umamba::cuda
