// Selective scan, forward. A block goes through the sequences of 8 channels, tile by tile.
#include "growing.h"
#include "selective_scan_tile.h"

namespace swin_umamba::cuda {
namespace {

struct Storage {
  // Arrays of fixed size come first: their places are then known to the compiler.
  Shared<float> dt, dt_u;
  WarpStates<LongRuns> warps;
  Shared<int64_t> offset;    // of the channels in the states
  Shared<float> bias, skip;  // of dt, and D: by channel
  Shared<float> carry;
  DecayRates rates;
  MatrixTile B, C;  // of kept_tiles(states)

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const SelectiveScan& p, int states)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        warps(memory),
        offset(memory.template take<int64_t>(1, "offset")),
        bias(memory.template take<float>(kChannels, "bias")),
        skip(memory.template take<float>(kChannels, "skip")),
        carry(memory.template take<float>(states * kChannels, "carry")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        B(memory, states, p.constant_B, kept_tiles(states), "B"),
        C(memory, states, p.constant_C, kept_tiles(states), "C") {}

  // Of B and C: the next tile is on its way while one is in use, where two fit into the 99 KiB that some
  // architectures give to a block.
  __host__ __device__ static int kept_tiles(int states) { return states <= 64 ? 2 : 1; }
};

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) forward_kernel(SelectiveScanForward p) {
  constexpr int kItems = LongRuns::kItems;
  SharedMemory memory;
  const Storage s(memory, p, padded_states(p.state, kOneGroup));
  const ChannelTile channels = tile_of_block(p, blockIdx.x);
  const int groups = padded_states(p.state, kOneGroup) / kGroup;
  const int length = int(p.length), tiles = int(divide_up(p.length, kTile));
  float* last_state = static_cast<float*>(p.last_state);

  load_rates(s.rates, p, channels);
  if (threadIdx.x == 0) s.offset[0] = channels.batch * (tiles - 1) * p.state * p.dim + channels.first;
  s.B.clear();
  s.C.clear();
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
  __syncthreads();
  if (p.constant_B) s.B.load_constant(static_cast<const float*>(p.B), p, channels);
  if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);

  // All items of a thread are of one channel. `item` is the place of the first in u and what is shaped like
  // it, `left` says how many steps from there on are inside.
  int64_t item;
  int left;
  {
    const Place<LongRuns> at(threadIdx.x);
    const bool inside = at.channel < channels.count;
    const int channel = channels.first + (inside ? at.channel : 0);
    if (at.warp == 0 && at.quarter == 0) {
      s.skip[at.channel] = p.D ? static_cast<const float*>(p.D)[channel] : 0.0f;
      s.bias[at.channel] = p.delta_bias ? static_cast<const float*>(p.delta_bias)[channel] : 0.0f;
    }
    item = (channels.batch * p.dim + channel) * p.length + at.item_step(0);
    left = inside ? length - at.item_step(0) : 0;
  }
  // What a tile needs is on its way while that before is in use, but for B and C of many states.
  const int kept = Storage::kept_tiles(groups * kGroup);
  int64_t number = MatrixTile::first(p, channels);  // of B and C
  const auto fetch_matrices = [&](int tile) {
    const int bytes = length * int(sizeof(T));
    const bool inside = tile * kTile + MatrixTile::first_step() < length;
    const int states_left = inside ? computed_anew(MatrixTile::states_left(p)) : 0;
    if (!p.constant_B)
      s.B.fetch<LongRuns::kThreads>(static_cast<const T*>(p.B) + number, bytes, states_left,
                                    tile & (kept - 1));
    if (!p.constant_C)
      s.C.fetch<LongRuns::kThreads>(static_cast<const T*>(p.C) + number, bytes, states_left,
                                    tile & (kept - 1));
    copy_async_commit();
    number += kTile;
  };
  T next_u[kItems], next_delta[kItems];
  const auto fetch_items = [&] {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      next_u[i] = next_delta[i] = convert<T>(0.0f);
      if (i < left) {
        next_u[i] = static_cast<const T*>(p.u)[item + i];
        next_delta[i] = static_cast<const T*>(p.delta)[item + i];
      }
    }
  };
  if (kept > 1) fetch_matrices(0);
  fetch_items();
  __syncthreads();

#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    const Place<LongRuns> at(computed_anew(threadIdx.x));
    float item_u[kItems], dt[kItems], dt_u[kItems], y[kItems];
    step_sizes(p, next_delta, s.bias[at.channel], left, dt);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      item_u[i] = to_float(next_u[i]);
      dt_u[i] = dt[i] * item_u[i];
    }
    __syncwarp();  // others of the warp were reading
    store_items(s.dt, at, dt);
    store_items(s.dt_u, at, dt_u);
    copy_async_wait<0>();
    __syncthreads();
    item += kTile, left -= kTile;
    if (tile + kept - 1 < tiles) {
      fetch_matrices(tile + kept - 1);
      if (tile + 1 < tiles) fetch_items();
    }
    if (kept == 1) {
      copy_async_wait<0>();
      __syncthreads();
    }
    const auto B = s.B.matrix(tile & (kept - 1)), C = s.C.matrix(tile & (kept - 1));

    for (int group = 0; group < groups; ++group) {
      ForwardTile forward;
      forward.local(at, s.dt, s.dt_u, B, s.rates, group, s.warps);
      __syncthreads();
      const Chain chain(computed_anew(threadIdx.x));
      if (chain.active) {
        const float2 before = load2(s.carry, chain.index(group));
        store2(s.carry, chain.index(group),
               chain_warps<LongRuns, false>(s.warps.decay, s.warps.end, chain, before,
                                            may_grow(p, s.rates, chain, group)));
        if (p.states && tile > 0 && chain.channel < channels.count) {
          const int state = group * kGroup + chain.state;
          float* to = at_row(static_cast<float*>(p.states) + s.offset[0] + chain.channel,
                             (tile - 1) * int(p.state) + state, int(p.dim));
          if (state < int(p.state)) *to = before.x;
          if (state + 1 < int(p.state)) to[p.dim] = before.y;
        }
      }
      __syncthreads();
      forward.outputs(at, s.dt_u, B, C, group, s.warps, y);
    }

    const float skip = s.skip[at.channel];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (i >= left + kTile) continue;
      const int64_t here = item - kTile + i;
      if (p.D) y[i] = fmaf(skip, item_u[i], y[i]);
      if (p.z) {
        const float gate = to_float(static_cast<const T*>(p.z)[here]);
        y[i] *= gate * sigmoid(gate);
      }
      static_cast<T*>(p.out)[here] = convert<T>(y[i]);
    }
  }
  __syncthreads();

  for (int i = threadIdx.x; i < channels.count * int(p.state); i += LongRuns::kThreads) {
    const int channel = i / int(p.state), state = i % int(p.state);
    last_state[(channels.batch * p.dim + channels.first + channel) * p.state + state] =
        s.carry[Chain::index(channel, state)];
  }
}

}  // namespace

const char* selective_scan_forward(const SelectiveScanForward& p, Stream stream) {
  if (const char* error = check_length(p)) return error;
  SharedSize size;
  Storage(size, p, padded_states(p.state, false));
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) {
      return launch(forward_kernel<decltype(element), one_group>, channel_tiles(p), LongRuns::kThreads,
                    size.bytes(), stream, p);
    });
  });
  return error ? error : complete_growing(p, stream);
}

}  // namespace swin_umamba::cuda
