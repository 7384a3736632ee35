// How a tile of channels-first sequences comes into shared memory; for the selective scan, forward and
// backward.
#pragma once

#include "scan_tile.h"

namespace swin_umamba::cuda {

// The 8 channels that a block works on; all belong to one group of B and C.
struct ChannelTile {
  int batch, group, first, count;  // first: channel of u

  // Of the channels of a group that end at `end`, those from `first_channel` on.
  __device__ ChannelTile(int image, int group_of_channels, int first_channel, int end)
      : batch(image),
        group(group_of_channels),
        first(first_channel),
        count(end - first_channel < kChannels ? end - first_channel : kChannels) {}
};

inline __host__ __device__ int64_t tiles_per_group(const SelectiveScan& p) {
  return divide_up(p.dim / p.groups, kChannels);
}

// The tile of a block where each block has one.
__device__ inline ChannelTile tile_of_block(const SelectiveScan& p, int64_t block) {
  const int64_t tiles = tiles_per_group(p);
  const int group_channels = int(p.dim / p.groups), group = int(block / tiles % p.groups);
  return {int(block / (p.groups * tiles)), group, group * group_channels + int(block % tiles) * kChannels,
          (group + 1) * group_channels};
}

inline int64_t channel_tiles(const SelectiveScan& p) { return p.batch * p.groups * tiles_per_group(p); }

inline const char* check_length(const SelectiveScan& p) {
  return p.length > 2147483647 / 4 ? "selective_scan on CUDA takes sequences of fewer than 2^29 steps"
                                   : nullptr;
}

// B or C of one or two tiles.
struct MatrixTile {
  Shared<float> values;
  int padded, row, rows;
  bool constant;

  template <class Memory>
  __host__ __device__ MatrixTile(Memory& memory, int padded_states, bool is_constant, int tiles,
                                 const char* name)
      : padded(padded_states),
        row(padded_states + 4),
        rows(is_constant ? kChannels : tiles * kTile),
        constant(is_constant) {
    values = memory.template take<float>(rows * row, name);
  }

  __device__ Matrix<int> matrix(int tile) const {
    return {constant ? values : values + tile * kTile * row, 0, constant ? 0 : row, constant ? row : 0};
  }
  // Padding stays zero; steps beyond the end keep what the buffer held: their dt is zero.
  __device__ void clear() const {
    for (int i = threadIdx.x; i < rows * row; i += blockDim.x) values[i] = 0.0f;
  }

  // (D, N): once for each block, or tile of channels.
  __device__ void load_constant(const float* source, const SelectiveScan& p,
                                const ChannelTile& channels) const {
    for (int i = threadIdx.x; i < rows * row; i += blockDim.x) {
      const int channel = i / row, state = i % row;
      const bool inside = channel < channels.count && state < p.state;
      values[i] = inside ? source[(channels.first + channel) * p.state + state] : 0.0f;
    }
  }
  // Where a thread begins to read in (B, G, N, L), at its step of the first tile. Neighbouring threads have
  // four states, then steps.
  __device__ static int64_t first(const SelectiveScan& p, const ChannelTile& channels) {
    return ((channels.batch * p.groups + channels.group) * p.state + first_state()) * p.length + first_step();
  }
  __device__ static int first_step() { return threadIdx.x / 4 % kTile; }
  // The first state that a thread reads, and how many there are from it on.
  __device__ static int first_state() { return threadIdx.x % 4 + threadIdx.x / 4 / kTile * 4; }
  __device__ static int states_left(const SelectiveScan& p) { return int(p.state) - first_state(); }
  // Starts the copies of the tile at `from`, the thread's first number of it, of `states_left` states or,
  // beyond the end, none. `bytes`: from one state to the next.
  template <int kThreads, class T>
  __device__ void fetch(const T* from, int bytes, int states_left, int tile) const {
    constexpr int kApart = kThreads / kTile;
    static_assert(kApart % 4 == 0);
    const int to = (tile * kTile + first_step()) * row + first_state();
#pragma unroll
    for (int i = 0; i < padded; i += kApart)
      if (i < states_left) {
        const T* number = at_row_of_bytes(from, i, bytes);
        if constexpr (std::is_same_v<T, float>)
          copy_async<1>(values, to + i, number);
        else
          values[to + i] = to_float(*number);
      }
  }
};

// The rate of decay of one channel of the tile and one state.
__device__ inline float decay_rate(const SelectiveScan& p, const ChannelTile& channels, int channel,
                                   int state) {
  if (channel >= channels.count || state >= int(p.state)) return 0.0f;
  return static_cast<const float*>(p.A)[(channels.first + channel) * p.state + state] * kLog2E;
}
// A (D, N) of the tile's channels, times log2(e).
__device__ inline void load_rates(const DecayRates& rates, const SelectiveScan& p,
                                  const ChannelTile& channels) {
  for (int i = threadIdx.x; i < kChannels * rates.row; i += blockDim.x)
    rates.values[i] = decay_rate(p, channels, i / rates.row, i % rates.row);
}
// Whether a decay of the thread's chain may be above one.
__device__ inline bool may_grow(const SelectiveScan& p, const DecayRates& rates, const Chain& chain,
                                int group) {
  const float2 rate = load2(rates.values, chain.channel * rates.row + group * kGroup + chain.state);
  return !p.softplus || rate.x > 0 || rate.y > 0;
}

// dt of one item before and after softplus.
__device__ inline Softplus step_size(const SelectiveScan& p, float delta, float bias) {
  const float raw = delta + bias;
  return p.softplus ? softplus_with_derivative(raw) : Softplus{raw, 1.0f};
}

// dt of neighbouring items of a thread, of which `left` are inside; zero beyond the end.
template <class T, int kItems>
__device__ inline void step_sizes(const SelectiveScan& p, const T (&delta)[kItems], float bias, int left,
                                  float (&dt)[kItems]) {
#pragma unroll
  for (int i = 0; i < kItems; ++i) dt[i] = to_float(delta[i]) + bias;
  if (p.softplus) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) dt[i] = softplus_with_derivative(dt[i]).value;
  }
#pragma unroll
  for (int i = 0; i < kItems; ++i) dt[i] = i < left ? dt[i] : 0.0f;
}

}  // namespace swin_umamba::cuda
