// How a tile of channels-first sequences comes into shared memory; for the selective scan, forward and
// backward.
#pragma once

#include "scan_tile.h"

namespace swin_umamba::cuda {

// The 8 channels that a block works on; all belong to one group of B and C.
struct ChannelTile {
  int batch, group, first, count;  // first: channel of u

  __device__ ChannelTile(const SelectiveScan& p, int64_t image, int64_t group_of_channels, int64_t tile)
      : batch(int(image)), group(int(group_of_channels)) {
    const int64_t per_group = p.dim / p.groups, start = tile * kChannels;
    first = int(group * per_group + start);
    count = int(per_group - start < kChannels ? per_group - start : kChannels);
  }
};

inline __host__ __device__ int64_t tiles_per_group(const SelectiveScan& p) {
  return divide_up(p.dim / p.groups, kChannels);
}

// The tile of a block where each block has one.
__device__ inline ChannelTile tile_of_block(const SelectiveScan& p, int64_t block) {
  const int64_t tiles = tiles_per_group(p);
  return {p, block / (p.groups * tiles), block / tiles % p.groups, block % tiles};
}

inline int64_t channel_tiles(const SelectiveScan& p) { return p.batch * p.groups * tiles_per_group(p); }

// Of a step of a sequence in an array (B, D, L).
template <class E>
__device__ inline E* at_step(E* array, const SelectiveScan& p, int sequence, int64_t step) {
  return at_row(array, sequence, int(p.length)) + step;
}

inline const char* check_length(const SelectiveScan& p) {
  return p.length > 2147483647 / 4 ? "selective_scan on CUDA takes sequences of fewer than 2^29 steps"
                                   : nullptr;
}

// The step and channel of a thread's i-th item: neighbouring threads have neighbouring steps.
template <class Team>
struct SequenceItem {
  int step, channel;
  __device__ explicit SequenceItem(int i) : SequenceItem(threadIdx.x, i) {}
  __device__ SequenceItem(unsigned thread, int i)
      : step(thread % kTile), channel(thread / kTile + i * (Team::kThreads / kTile)) {}
  __device__ int value() const { return step * kRow + channel; }
};

struct MatrixTile {
  Shared<float> values;
  int row, rows;
  bool constant;

  template <class Memory>
  __host__ __device__ MatrixTile(Memory& memory, int padded_states, bool is_constant, const char* name)
      : row(padded_states + 4), rows(is_constant ? kChannels : kTile), constant(is_constant) {
    values = memory.template take<float>(rows * row, name);
  }

  __device__ Matrix matrix() const { return {values, 0, constant ? 0 : row, constant ? row : 0}; }

  // (D, N): once for each block.
  __device__ void load_constant(const float* source, const SelectiveScan& p,
                                const ChannelTile& channels) const {
    for (int i = threadIdx.x; i < rows * row; i += blockDim.x) {
      const int channel = i / row, state = i % row;
      const bool inside = channel < channels.count && state < p.state;
      values[i] = inside ? source[(channels.first + channel) * p.state + state] : 0.0f;
    }
  }
  // (B, G, N, L): for each tile.
  template <class T>
  __device__ void load_steps(const T* source, const SelectiveScan& p, const ChannelTile& channels,
                             int64_t start) const {
    const int step = threadIdx.x % kTile, length = int(p.length), states = int(p.state);
    const bool inside = start + step < p.length;
    const T* column =
        source + (channels.batch * p.groups + channels.group) * p.state * p.length + start + step;
    for (int state = threadIdx.x / kTile; state < row - 4; state += blockDim.x / kTile)
      values[step * row + state] = inside && state < states ? to_float(*at_row(column, state, length)) : 0.0f;
  }
  template <class T>
  __device__ void load(const void* source, const SelectiveScan& p, const ChannelTile& channels,
                       int64_t start) const {
    if (!constant) load_steps(static_cast<const T*>(source), p, channels, start);
  }
};

// A (D, N) of the tile's channels, times log2(e).
__device__ inline void load_rates(const DecayRates& rates, const SelectiveScan& p,
                                  const ChannelTile& channels) {
  const float* A = static_cast<const float*>(p.A);
  for (int i = threadIdx.x; i < kChannels * rates.row; i += blockDim.x) {
    const int channel = i / rates.row, state = i % rates.row;
    const bool inside = channel < channels.count && state < p.state;
    rates.values[i] = inside ? A[(channels.first + channel) * p.state + state] * kLog2E : 0.0f;
  }
}

// dt of one item before and after softplus.
__device__ inline Softplus step_size(const SelectiveScan& p, float delta, float bias) {
  const float raw = delta + bias;
  return p.softplus ? softplus_with_derivative(raw) : Softplus{raw, 1.0f};
}

}  // namespace swin_umamba::cuda
