// Selective scan, forward. A block goes through the sequences of 8 channels, tile by tile.
#include "growing.h"
#include "selective_scan_tile.h"

namespace swin_umamba::cuda {
namespace {

struct Storage {
  // Arrays of fixed size come first: their places are then known to the compiler.
  Shared<float> dt, dt_u, y;
  WarpStates<LongRuns> warps;
  Shared<int64_t> offset;  // of the channels in the states
  Shared<float> carry;
  DecayRates rates;
  MatrixTile B, C;

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const SelectiveScan& p, int states)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        y(memory.template take<float>(kTileSize, "y")),
        warps(memory),
        offset(memory.template take<int64_t>(1, "offset")),
        carry(memory.template take<float>(states * kChannels, "carry")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        B(memory, states, p.constant_B, "B"),
        C(memory, states, p.constant_C, "C") {}
};

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) forward_kernel(SelectiveScanForward p) {
  SharedMemory memory;
  const Storage s(memory, p, padded_states(p.state, kOneGroup));
  const ChannelTile channels = tile_of_block(p, blockIdx.x);
  const int groups = padded_states(p.state, kOneGroup) / kGroup;
  const int64_t tiles = divide_up(p.length, kTile);
  const T* u = static_cast<const T*>(p.u);
  const T* delta = static_cast<const T*>(p.delta);
  const T* z = static_cast<const T*>(p.z);
  const float* D = static_cast<const float*>(p.D);
  const float* bias = static_cast<const float*>(p.delta_bias);
  float* last_state = static_cast<float*>(p.last_state);

  load_rates(s.rates, p, channels);
  if (threadIdx.x == 0) s.offset[0] = channels.batch * (tiles - 1) * p.state * p.dim + channels.first;
  if (p.constant_B) s.B.load_constant(static_cast<const float*>(p.B), p, channels);
  if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;

  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int thread = computed_anew(threadIdx.x);
    const Place<LongRuns> at(thread);
    const Chain chain(thread);
    const int64_t start = tile * kTile;
    float item_u[LongRuns::kItems];
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      const SequenceItem<LongRuns> item(i);
      const bool inside = item.channel < channels.count && start + item.step < p.length;
      const int channel = channels.first + item.channel, sequence = channels.batch * int(p.dim) + channel;
      const int64_t step = start + item.step;
      item_u[i] = inside ? to_float(*at_step(u, p, sequence, step)) : 0.0f;
      const float raw = inside ? to_float(*at_step(delta, p, sequence, step)) : 0.0f;
      const Softplus softplus = step_size(p, raw, bias && inside ? bias[channel] : 0.0f);
      const float dt = inside ? softplus.value : 0.0f;
      s.dt[item.value()] = dt;
      s.dt_u[item.value()] = dt * item_u[i];
    }
    s.B.load<T>(p.B, p, channels, start);
    s.C.load<T>(p.C, p, channels, start);
    __syncthreads();

    for (int group = 0; group < groups; ++group) {
      ForwardTile forward;
      forward.local(at, s.dt, s.dt_u, s.B.matrix(), s.rates, group, s.warps);
      __syncthreads();
      if (chain.active) {
        const int state = group * kGroup + chain.state, index = state * kChannels + chain.channel;
        const float before = s.carry[index];
        s.carry[index] =
            chain_warps<LongRuns, false>(s.warps.decay, s.warps.end, chain.channel, chain.state, before);
        if (p.states && tile > 0 && state < int(p.state) && chain.channel < channels.count)
          *at_row(static_cast<float*>(p.states) + s.offset[0] + chain.channel,
                  int(tile - 1) * int(p.state) + state, int(p.dim)) = before;
      }
      __syncthreads();
      forward.outputs(at, s.dt_u, s.B.matrix(), s.C.matrix(), group, s.warps, s.y);
    }
    __syncthreads();

#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      const SequenceItem<LongRuns> item(i);
      if (item.channel >= channels.count || start + item.step >= p.length) continue;
      const int channel = channels.first + item.channel, sequence = channels.batch * int(p.dim) + channel;
      const int64_t step = start + item.step;
      float y = s.y[item.value()];
      if (D) y = fmaf(D[channel], item_u[i], y);
      if (z) {
        const float gate = to_float(*at_step(z, p, sequence, step));
        y *= gate * sigmoid(gate);
      }
      *at_step(static_cast<T*>(p.out), p, sequence, step) = convert<T>(y);
    }
  }

  for (int i = threadIdx.x; i < channels.count * int(p.state); i += LongRuns::kThreads) {
    const int channel = i / int(p.state), state = i % int(p.state);
    last_state[(channels.batch * p.dim + channels.first + channel) * p.state + state] =
        s.carry[state * kChannels + channel];
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
