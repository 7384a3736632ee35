// The recurrence on one tile in shared memory: 64 steps of 8 channels, 16 states at a time.
//
// A block takes a tile; each of its warps has a few consecutive steps of all 8 channels, and each
// thread the 4 states of a quarter of one channel's 16. A decay depends on the step and on A, not on
// what came before, so a thread makes its decays once and keeps them in registers; it runs its steps from
// state zero, one thread for each channel and state then strings the warps' results together, and the steps
// run again from the true state with two FMAs for each. See docs/cuda-model.md.
//
// Any number of states is padded to a multiple of 16 with A = B = C = 0, steps beyond the end of the
// sequence have dt = 0: both leave everything as it is.
#pragma once

#include "device.h"
#include "device_math.h"

namespace swin_umamba::cuda {

constexpr int kTile = kChunk;  // a state is saved at the start of each
constexpr int kChannels = 8;
constexpr int kQuarters = 4;
constexpr int kStates = 4;  // of one thread
constexpr int kGroup = kQuarters * kStates;

// A tile's values for one channel each, [step][channel]. Nine columns: both a step's channels and a
// channel's steps then lie in different banks.
constexpr int kRow = kChannels + 1;
constexpr int kTileSize = kTile * kRow;
// The 4-float vectors of a channel's states, [channel][state], in different banks for neighbours.
constexpr int kStateRow = kGroup + 4;
constexpr int kWarpStates = kChannels * kStateRow;

// The threads of a block, and what each has of a tile.
template <int kWarpCount>
struct TeamOf {
  static constexpr int kWarps = kWarpCount;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kSteps = kTile / kWarps;                // in the recurrence
  static constexpr int kItems = kTile * kChannels / kThreads;  // of the work that goes by (step, channel)
};
// Long runs of steps cost least; short ones leave registers for the gradients.
using LongRuns = TeamOf<8>;
using ShortRuns = TeamOf<16>;

// With `one_group`, what the compiler knows of a kernel that is made for at most kGroup states.
__host__ __device__ inline int padded_states(int64_t states, bool one_group) {
  return one_group ? kGroup : int((unsigned(states) + kGroup - 1) / kGroup * kGroup);
}

// Calls function(one_group) with std::true_type or std::false_type.
template <class Function>
const char* for_groups(int64_t states, Function function) {
  return states <= kGroup ? function(std::true_type{}) : function(std::false_type{});
}

// Where a thread stands in the recurrence.
template <class Team>
struct Place {
  int warp, channel, quarter;
  __device__ explicit Place(unsigned thread)
      : warp(thread / 32), channel(thread % 32 / kQuarters), quarter(thread % kQuarters) {}
  __device__ int step(int i) const { return warp * Team::kSteps + i; }
  __device__ int value(int i) const { return step(i) * kRow + channel; }
  __device__ int states() const { return warp * kWarpStates + channel * kStateRow + quarter * kStates; }
};

// B or C of a tile in shared memory: the states of `step` and `channel` start at first + step * by_step +
// channel * by_channel; one of the two is zero.
struct Matrix {
  Shared<float> values;
  int first, by_step, by_channel;
};

// What a thread reads of a Matrix: its states of its channel, at one of its steps. Places are in bytes, and
// one addition from each step to the next.
struct MatrixReader {
  Shared<float> values;
  int byte, by_step;
  template <class Team>
  __device__ MatrixReader(const Matrix& matrix, const Place<Team>& at, int state)
      : values(matrix.values),
        byte(computed_anew(
            4 * (matrix.first + at.step(0) * matrix.by_step + at.channel * matrix.by_channel + state))),
        by_step(computed_anew(4 * matrix.by_step)) {}
  __device__ float4 at(int i) const { return load4_from_byte(values, byte + i * by_step); }
};

__device__ inline void unpack(float4 v, float (&to)[kStates]) {
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
__device__ inline float4 pack(const float (&v)[kStates]) { return {v[0], v[1], v[2], v[3]}; }

// A * log2(e) of the tile's channels, [channel][state], padded with zeros.
struct DecayRates {
  Shared<float> values;
  int row;
  __device__ float4 at(int channel, int state) const { return load4(values, channel * row + state); }
};

// What one warp's steps do to the states: new = decay * old + end. Later: the state before them.
template <class Team>
struct WarpStates {
  Shared<float> decay, end;
  template <class Memory>
  __host__ __device__ explicit WarpStates(Memory& memory)
      : decay(memory.template take<float>(Team::kWarps * kWarpStates, "warp decay")),
        end(memory.template take<float>(Team::kWarps * kWarpStates, "warp end")) {}
};

// Sums over the four threads of a channel: afterwards thread `quarter` has the sums of the steps
// `quarter`, 4 + `quarter`, ...
template <int kSteps>
__device__ inline void sum_quarters(const float (&values)[kSteps], int quarter,
                                    float (&sums)[kSteps / kQuarters]) {
  float half[kSteps / 2];
#pragma unroll
  for (int i = 0; i < kSteps / 2; ++i) {
    const bool odd = quarter & 1;
    const float keep = odd ? values[2 * i + 1] : values[2 * i];
    const float send = odd ? values[2 * i] : values[2 * i + 1];
    half[i] = keep + __shfl_xor_sync(kAllLanes, send, 1);
  }
#pragma unroll
  for (int i = 0; i < kSteps / kQuarters; ++i) {
    const bool high = quarter & 2;
    const float keep = high ? half[2 * i + 1] : half[2 * i];
    const float send = high ? half[2 * i] : half[2 * i + 1];
    sums[i] = keep + __shfl_xor_sync(kAllLanes, send, 2);
  }
}

// Sets each step's value to the sum over the states of the first group, and adds those of the others.
template <class Team, int kSteps>
__device__ inline void add_over_quarters(const Place<Team>& at, const float (&values)[kSteps], int group,
                                         const Shared<float>& to) {
  float sums[kSteps / kQuarters];
  sum_quarters(values, at.quarter, sums);
#pragma unroll
  for (int i = 0; i < kSteps / kQuarters; ++i) {
    const int index = at.value(i * kQuarters + at.quarter);
    to[index] = group == 0 ? sums[i] : float(to[index]) + sums[i];
  }
}

// The decays exp(dt * A) of a thread's steps and the sum of their dt.
template <class Team, int kSteps>
__device__ inline float make_decays(const Place<Team>& at, const Shared<float>& dt,
                                    const float (&rate)[kStates], float (&decay)[kSteps][kStates]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const float step = dt[at.value(i)];
    sum += step;
#pragma unroll
    for (int j = 0; j < kStates; ++j) decay[i][j] = exp2_special(step * rate[j]);
  }
  return sum;
}

// The decay over all of a thread's steps: one exp instead of a product.
template <class Team>
__device__ inline void store_whole_decay(const Place<Team>& at, float sum, const float (&rate)[kStates],
                                         const Shared<float>& decay) {
  float whole[kStates];
#pragma unroll
  for (int j = 0; j < kStates; ++j) whole[j] = exp2_special(sum * rate[j]);
  store4(decay, at.states(), pack(whole));
}

// Strings the warps together for one channel and state: each warp's `end` is replaced by the state
// before it. Returns the state after the tile.
template <class Team, bool kReverse>
__device__ inline float chain_warps(const Shared<float>& decay, const Shared<float>& end, int channel,
                                    int state, float value) {
  // So many are loaded ahead: the chain itself does not wait for shared memory.
  constexpr int kAhead = 8;
  static_assert(Team::kWarps % kAhead == 0);
  const int first = channel * kStateRow + state + (kReverse ? Team::kWarps - 1 : 0) * kWarpStates;
  constexpr int kNext = kReverse ? -kWarpStates : kWarpStates;
#pragma unroll
  for (int ahead = 0; ahead < Team::kWarps; ahead += kAhead) {
    float decays[kAhead], ends[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      decays[i] = decay[first + (ahead + i) * kNext];
      ends[i] = end[first + (ahead + i) * kNext];
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      end[first + (ahead + i) * kNext] = value;
      // A decay above one may be infinite over the warp's steps where those of single steps are not; no bound
      // is put on it, which would make of such a state a wrong number instead of an infinite one.
      const float next = fmaf(decays[i], value, ends[i]);
      value = value == 0 ? ends[i] : next;
    }
  }
  return value;
}

// The forward recurrence of one tile and one group of 16 states, in three phases with a barrier
// between each and the next; every thread of the block takes part.
struct ForwardTile {
  static constexpr int kSteps = LongRuns::kSteps;
  // The inputs of the later steps are made again: with more of them kept, some architectures run out of 128
  // registers.
  static constexpr int kKeptInputs = 4;
  float decay[kSteps][kStates], input[kKeptInputs][kStates];

  __device__ void local(const Place<LongRuns>& at, const Shared<float>& dt, const Shared<float>& dt_u,
                        const Matrix& B, const DecayRates& A, int group, const WarpStates<LongRuns>& warps) {
    const int state = group * kGroup + at.quarter * kStates;
    float rate[kStates], h[kStates];
    unpack(A.at(at.channel, state), rate);
    const float sum = make_decays(at, dt, rate, decay);
    const MatrixReader reader(B, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(reader.at(i), b);
      const float scale = dt_u[at.value(i)];
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float value = scale * b[j];
        if (i < kKeptInputs) input[i][j] = value;
        h[j] = i == 0 ? value : fmaf(decay[i][j], h[j], value);
      }
    }
    store_whole_decay(at, sum, rate, warps.decay);
    store4(warps.end, at.states(), pack(h));
  }

  // Adds <C, h> of each step to y, or sets y for the first group.
  __device__ void outputs(const Place<LongRuns>& at, const Shared<float>& dt_u, const Matrix& B,
                          const Matrix& C, int group, const WarpStates<LongRuns>& warps,
                          const Shared<float>& y) {
    const int state = group * kGroup + at.quarter * kStates;
    float h[kStates], dot[kSteps];
    unpack(load4(warps.end, at.states()), h);
    const MatrixReader of_B(B, at, state), of_C(C, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float c[kStates], b[kStates], scale;
      unpack(of_C.at(i), c);
      if (i >= kKeptInputs) {
        unpack(of_B.at(i), b);
        scale = dt_u[at.value(i)];
      }
      dot[i] = 0;
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        h[j] = fmaf(decay[i][j], h[j], i < kKeptInputs ? input[i][j] : scale * b[j]);
        dot[i] = fmaf(c[j], h[j], dot[i]);
      }
    }
    add_over_quarters(at, dot, group, y);
  }
};

// The thread that strings the warps together for one channel and state, if it is one of those.
struct Chain {
  bool active;
  int channel, state;
  __device__ explicit Chain(unsigned thread)
      : active(thread < kChannels * kGroup),
        channel(thread % kChannels),
        state(thread / kChannels % kGroup) {}
};

}  // namespace swin_umamba::cuda
