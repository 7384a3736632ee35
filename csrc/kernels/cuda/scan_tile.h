// The recurrence on one tile in shared memory: 64 steps of 8 channels, 16 states at a time.
//
// A block takes a tile; each of its warps has a few consecutive steps of all 8 channels, and each
// thread the 4 states of a quarter of one channel's 16. A decay depends on the step and on A, not on
// what came before, so a thread makes its decays once and keeps them in registers; it runs its steps from
// state zero, one thread for each channel and two states then strings the warps' results together, and the
// steps run again from the true state with two FMAs for each. See docs/cuda-model.md.
//
// What goes by (step, channel) stays in the warp too: the four threads of a channel share out the warp's
// steps among them. So dt needs no barrier on its way to the recurrence, and sums over the states end in the
// registers of the thread that goes on with them.
//
// Any number of states is padded to a multiple of 16 with A = B = C = 0: these leave everything as it is.
#pragma once

#include "device.h"
#include "device_math.h"

namespace swin_umamba::cuda {

constexpr int kTile = kChunk;  // a state is saved at the start of each
constexpr int kChannels = 8;
constexpr int kQuarters = 4;
constexpr int kStates = 4;  // of one thread
constexpr int kGroup = kQuarters * kStates;

// A tile's values for one channel each, [warp][channel][step of the warp].
constexpr int kTileSize = kTile * kChannels;
// The 4-float vectors of a channel's states, [channel][state], in different banks for neighbours.
constexpr int kStateRow = kGroup + 4;
constexpr int kWarpStates = kChannels * kStateRow;

// The threads of a block, and what each has of a tile.
template <int kWarpCount>
struct TeamOf {
  static constexpr int kWarps = kWarpCount;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kSteps = kTile / kWarps;      // in the recurrence
  static constexpr int kItems = kSteps / kQuarters;  // of the work that goes by (step, channel)
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

// Where a thread stands: its warp's steps of one channel, and a quarter of the states. Of what goes by (step,
// channel) it has kItems neighbouring steps of the same channel.
template <class Team>
struct Place {
  int thread, four;  // four: of the four threads of a channel
  int warp, lane, channel, quarter;
  __device__ explicit Place(unsigned number)
      : thread(number),
        four(number / kQuarters),
        warp(number / 32),
        lane(number % 32),
        channel(number % 32 / kQuarters),
        quarter(number % kQuarters) {}
  __device__ int step(int i) const { return warp * Team::kSteps + i; }
  __device__ int item_step(int i) const { return step(quarter * Team::kItems + i); }
  // In an array of a tile's values: the steps of the thread's channel, and the thread's items of them.
  __device__ int steps() const { return four * Team::kSteps; }
  __device__ int items() const { return thread * Team::kItems; }
  // In an array of each warp's states: warp * kWarpStates + channel * kStateRow + quarter * kStates.
  __device__ int states() const { return kStates * (thread + four); }
};
static_assert(kStateRow == kStates * (kQuarters + 1));

template <class Team>
__device__ inline void load_steps(const Shared<float>& values, const Place<Team>& at,
                                  float (&to)[Team::kSteps]) {
#pragma unroll
  for (int i = 0; i < Team::kSteps; i += 4) {
    const float4 v = load4(values, at.steps() + i);
    to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
  }
}
__device__ inline void store_items(const Shared<float>& values, const Place<LongRuns>& at,
                                   const float (&from)[2]) {
  store2(values, at.items(), {from[0], from[1]});
}

// B or C of a tile in shared memory: the states of `step` and `channel` start at first + step * by_step +
// channel * by_channel; one of the two is zero. Step: int, or std::integral_constant where it is known.
template <class Step>
struct Matrix {
  Shared<float> values;
  int first;
  Step by_step;
  int by_channel;
};

// What a thread reads of a Matrix: its states of its channel, at one of its steps. Places are in bytes, and
// one addition from each step to the next where `by_step` is not known.
template <class Step>
struct MatrixReader {
  static constexpr bool kKnown = !std::is_same_v<Step, int>;
  Shared<float> values;
  int byte, by_step;
  template <class Team>
  __device__ MatrixReader(const Matrix<Step>& matrix, const Place<Team>& at, int state)
      : values(matrix.values),
        byte(computed_anew(
            4 * (matrix.first + at.step(0) * matrix.by_step + at.channel * matrix.by_channel + state))),
        by_step(kKnown ? 4 * int(matrix.by_step) : computed_anew(4 * matrix.by_step)) {}
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

// Of two sums over a lane and its partner, one of them goes on with the first and the other with the second.
__device__ inline float exchange(float first, float second, bool keep_second, int lanes) {
  return (keep_second ? second : first) + __shfl_xor_sync(kAllLanes, keep_second ? first : second, lanes);
}

// Sums over the four threads of a channel: each has those of its items afterwards.
template <int kSteps>
__device__ inline void sum_quarters(const float (&values)[kSteps], int quarter,
                                    float (&sums)[kSteps / kQuarters]) {
  float half[kSteps / 2];
#pragma unroll
  for (int i = 0; i < kSteps / 2; ++i) half[i] = exchange(values[i], values[kSteps / 2 + i], quarter & 2, 2);
#pragma unroll
  for (int i = 0; i < kSteps / kQuarters; ++i)
    sums[i] = exchange(half[i], half[kSteps / kQuarters + i], quarter & 1, 1);
}

// The decays exp(dt * A) of a thread's steps and the sum of their dt.
template <int kSteps>
__device__ inline float make_decays(const float (&dt)[kSteps], const float (&rate)[kStates],
                                    float (&decay)[kSteps][kStates]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    sum = i == 0 ? dt[i] : sum + dt[i];
#pragma unroll
    for (int j = 0; j < kStates; ++j) decay[i][j] = exp2_special(dt[i] * rate[j]);
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

// The thread that strings the warps together for one channel and two neighbouring states, if it is one of
// those.
struct Chain {
  static constexpr int kStates = 2;
  static constexpr int kThreads = kChannels * kGroup / kStates;
  bool active;
  int channel, state;  // of the group
  __device__ explicit Chain(unsigned thread)
      : active(thread < kThreads),
        channel(thread % kChannels),
        state(thread / kChannels % (kGroup / kStates) * kStates) {}
  // Of its states in an array of all states and channels, as `index` says for any of them.
  __device__ int index(int group) const { return index(channel, group * kGroup + state); }
  __device__ static int index(int channel, int state) {
    return (state / kStates * kChannels + channel) * kStates + state % kStates;
  }
};

// Strings the warps together: each warp's `end` is replaced by the state before it. Returns the state after
// the tile. A decay above one, of scans that `may_grow`, may be infinite over the warp's steps where those of
// single steps are not, and a state that is zero stays zero all the same. No bound is put on the decay, which
// would make of other states wrong numbers instead of infinite ones.
template <class Team, bool kReverse, bool kMayGrow>
__device__ inline float2 chain_warps(const Shared<float>& decay, const Shared<float>& end, int channel,
                                     int state, float2 value) {
  // So many are loaded ahead: the chain itself does not wait for shared memory.
  constexpr int kAhead = 8;
  static_assert(Team::kWarps % kAhead == 0);
  const int first = channel * kStateRow + state + (kReverse ? Team::kWarps - 1 : 0) * kWarpStates;
  constexpr int kNext = kReverse ? -kWarpStates : kWarpStates;
#pragma unroll
  for (int ahead = 0; ahead < Team::kWarps; ahead += kAhead) {
    float2 decays[kAhead], ends[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      decays[i] = load2(decay, first + (ahead + i) * kNext);
      ends[i] = load2(end, first + (ahead + i) * kNext);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      store2(end, first + (ahead + i) * kNext, value);
      const float2 next{fmaf(decays[i].x, value.x, ends[i].x), fmaf(decays[i].y, value.y, ends[i].y)};
      value.x = kMayGrow && value.x == 0 ? ends[i].x : next.x;
      value.y = kMayGrow && value.y == 0 ? ends[i].y : next.y;
    }
  }
  return value;
}
template <class Team, bool kReverse>
__device__ inline float2 chain_warps(const Shared<float>& decay, const Shared<float>& end, const Chain& chain,
                                     float2 value, bool may_grow) {
  if (may_grow) {
    return chain_warps<Team, kReverse, true>(decay, end, chain.channel, chain.state, value);
  }
  return chain_warps<Team, kReverse, false>(decay, end, chain.channel, chain.state, value);
}

// The forward recurrence of one tile and one group of 16 states, in three phases with a barrier
// between each and the next; every thread of the block takes part.
struct ForwardTile {
  static constexpr int kSteps = LongRuns::kSteps, kItems = LongRuns::kItems;
  // The inputs of the later steps are made again: with more of them kept, some architectures run out of 128
  // registers.
  static constexpr int kKeptInputs = 4;
  float decay[kSteps][kStates], input[kKeptInputs][kStates];

  template <class Step>
  __device__ void local(const Place<LongRuns>& at, const Shared<float>& dt, const Shared<float>& dt_u,
                        const Matrix<Step>& B, const DecayRates& A, int group,
                        const WarpStates<LongRuns>& warps) {
    const int state = group * kGroup + at.quarter * kStates;
    float rate[kStates], h[kStates], steps[kSteps], scale[kSteps];
    unpack(A.at(at.channel, state), rate);
    load_steps(dt, at, steps);
    const float sum = make_decays(steps, rate, decay);
    load_steps(dt_u, at, scale);
    const MatrixReader reader(B, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float b[kStates];
      unpack(reader.at(i), b);
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float value = scale[i] * b[j];
        if (i < kKeptInputs) input[i][j] = value;
        h[j] = i == 0 ? value : fmaf(decay[i][j], h[j], value);
      }
    }
    store_whole_decay(at, sum, rate, warps.decay);
    store4(warps.end, at.states(), pack(h));
  }

  // Adds <C, h> of the thread's items to y, or sets y for the first group.
  template <class Step>
  __device__ void outputs(const Place<LongRuns>& at, const Shared<float>& dt_u, const Matrix<Step>& B,
                          const Matrix<Step>& C, int group, const WarpStates<LongRuns>& warps,
                          float (&y)[kItems]) {
    static_assert(kSteps - kKeptInputs == 4);
    const int state = group * kGroup + at.quarter * kStates;
    float h[kStates], dot[kSteps], scale[4], sums[kItems];
    unpack(load4(warps.end, at.states()), h);
    unpack(load4(dt_u, at.steps() + kKeptInputs), scale);
    const MatrixReader of_B(B, at, state), of_C(C, at, state);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      float c[kStates], b[kStates];
      unpack(of_C.at(i), c);
      if (i >= kKeptInputs) unpack(of_B.at(i), b);
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        h[j] = fmaf(decay[i][j], h[j], i < kKeptInputs ? input[i][j] : scale[i - kKeptInputs] * b[j]);
        dot[i] = j == 0 ? c[j] * h[j] : fmaf(c[j], h[j], dot[i]);
      }
    }
    sum_quarters(dot, at.quarter, sums);
#pragma unroll
    for (int i = 0; i < kItems; ++i) y[i] = group == 0 ? sums[i] : y[i] + sums[i];
  }
};

}  // namespace swin_umamba::cuda
