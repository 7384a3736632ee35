// Selective scan, backward. A first pass runs the adjoint alone, from the end, for its values between
// tiles. Then every tile is on its own: a block has one tile of steps and goes through up to 48 channels,
// so that the sums over channels of dB and dC stay in registers. Sums over tiles and images follow.
#include "scan_tile_backward.h"
#include "selective_scan_tile.h"

namespace swin_umamba::cuda {
namespace {

// Parameter gradients before the sums over tiles and images, (B, tiles, rows, D): A's states, those of
// constant B and C, D and delta_bias.
struct Rows {
  int64_t state;
  bool constant_B, constant_C;
  __host__ __device__ explicit Rows(const SelectiveScan& p)
      : state(p.state), constant_B(p.constant_B), constant_C(p.constant_C) {}
  __host__ __device__ int64_t B() const { return state; }
  __host__ __device__ int64_t C() const { return state * (1 + constant_B); }
  __host__ __device__ int64_t D() const { return state * (1 + constant_B + constant_C); }
  __host__ __device__ int64_t bias() const { return D() + 1; }
  __host__ __device__ int64_t count() const { return D() + 2; }
};

struct Arguments {
  SelectiveScanBackward p;
  float* adjoint;            // (B, tiles - 1, N, D): before the last tile, after each
  float *parts_B, *parts_C;  // (parts, B, G, N, L)
  float* tile_rows;          // (B, tiles, rows, D)
  float* image_rows;         // (B, rows, D)

  // Takes the arrays from `workspace`; returns how many floats they are.
  int64_t place(float* workspace) {
    const int64_t tiles = divide_up(p.length, kTile), rows = Rows(p).count();
    const int64_t matrix = channel_parts(p.dim / p.groups) * p.batch * p.groups * p.state * p.length;
    int64_t used = 0;
    const auto take = [&](int64_t count) {
      float* array = workspace + used;
      used += count;
      return array;
    };
    adjoint = take(p.batch * (tiles - 1) * p.state * p.dim);
    parts_B = take(p.constant_B ? 0 : matrix);
    parts_C = take(p.constant_C ? 0 : matrix);
    tile_rows = take(p.batch * tiles * rows * p.dim);
    image_rows = take(p.batch * rows * p.dim);
    return used;
  }
};

// dy of a step before the gate, and what the gate's own gradient needs.
struct OutputGradient {
  float value, grad_out, gate, share;
  __device__ OutputGradient(float grad, bool gated, float z)
      : value(grad), grad_out(grad), gate(z), share(gated ? sigmoid(z) : 1.0f) {
    if (gated) value = grad * z * share;
  }
  __device__ float of_gate(float y) const { return grad_out * y * share * fmaf(gate, 1.0f - share, 1.0f); }
};

struct AdjointStorage {
  Shared<float> dt, grad_y;
  WarpStates warps;
  Shared<float> carry;
  DecayRates rates;
  MatrixTile C;

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const SelectiveScan& p)
      : dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        carry(memory.template take<float>(padded_states(p.state) * kChannels, "carry")),
        rates{memory.template take<float>(kChannels * (padded_states(p.state) + 4), "rates"),
              padded_states(p.state) + 4},
        C(memory, p.state, p.constant_C, "C") {}
};

template <class T>
__global__ void __launch_bounds__(kThreads, 2) adjoint_kernel(Arguments arguments) {
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p);
  const ChannelTile channels = tile_of_block(p, blockIdx.x);
  const Place at(threadIdx.x);
  const Chain chain(threadIdx.x);
  const int groups = padded_states(p.state) / kGroup;
  const int64_t tiles = divide_up(p.length, kTile);
  const float* bias = static_cast<const float*>(p.delta_bias);
  const float* last = static_cast<const float*>(p.grad_last_state);

  load_rates(s.rates, p, channels);
  if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += kThreads) {
    const int state = i / kChannels, channel = i % kChannels;
    const bool inside = last && state < p.state && channel < channels.count;
    s.carry[i] = inside ? last[(channels.batch * p.dim + channels.first + channel) * p.state + state] : 0.0f;
  }

  for (int64_t tile = tiles - 1; tile > 0; --tile) {
    const int64_t start = tile * kTile;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const SequenceItem item(i);
      const bool inside = item.channel < channels.count && start + item.step < p.length;
      const int64_t channel = channels.first + item.channel;
      const int64_t offset = (channels.batch * p.dim + channel) * p.length + start + item.step;
      float dt = 0, dy = 0;
      if (inside) {
        dt =
            step_size(p, to_float(static_cast<const T*>(p.delta)[offset]), bias ? bias[channel] : 0.0f).value;
        dy = OutputGradient(to_float(static_cast<const T*>(p.grad_out)[offset]), p.z != nullptr,
                            p.z ? to_float(static_cast<const T*>(p.z)[offset]) : 0.0f)
                 .value;
      }
      s.dt[item.value()] = dt;
      s.grad_y[item.value()] = dy;
    }
    s.C.load<T>(p.C, p, channels, start);
    __syncthreads();

    for (int group = 0; group < groups; ++group) {
      local_adjoint_only(at, s.dt, s.grad_y, s.C.matrix(), s.rates, group, s.warps.decay, s.warps.end);
      __syncthreads();
      if (chain.active) {
        const int state = group * kGroup + chain.state, index = state * kChannels + chain.channel;
        const float v =
            chain_warps<true>(s.warps.decay, s.warps.end, chain.channel, chain.state, s.carry[index]);
        s.carry[index] = v;
        if (state < p.state && chain.channel < channels.count)
          arguments.adjoint[((channels.batch * (tiles - 1) + tile - 1) * p.state + state) * p.dim +
                            channels.first + chain.channel] = v;
      }
      __syncthreads();
    }
  }
}

struct Storage {
  BackwardValues values;
  Shared<float> y;
  DecayRates rates;
  MatrixTile B, C;

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const SelectiveScan& p)
      : values(memory),
        y(memory.template take<float>(p.z ? kTileSize : 0, "y")),
        rates{memory.template take<float>(kChannels * (padded_states(p.state) + 4), "rates"),
              padded_states(p.state) + 4},
        B(memory, p.state, p.constant_B, "B"),
        C(memory, p.state, p.constant_C, "C") {}
};

// Adds up dB or dC of the block's channels into its part, (N, L) of one group.
__device__ inline void write_matrix(const Place& at, const float (&values)[kSteps][kStates],
                                    const SelectiveScan& p, int group, int64_t start, float* part,
                                    bool accumulate) {
  float sums[kStates];
  sum_channels(values, at.channel, sums);
  const int64_t step = start + at.warp * kSteps + at.channel;
  if (step >= p.length) return;
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    const int state = group * kGroup + at.quarter * kStates + j;
    if (state >= p.state) continue;
    float* to = part + state * p.length + step;
    *to = accumulate ? *to + sums[j] : sums[j];
  }
}

template <class T, bool kGated>
__global__ void __launch_bounds__(kThreads, 1) gradient_kernel(Arguments arguments) {
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p);
  const Place at(threadIdx.x);
  const TwoChains chain;
  const Rows rows(p);
  const int groups = padded_states(p.state) / kGroup;
  const int64_t tiles = divide_up(p.length, kTile), saved = saved_states(p.length, kCudaChunk);
  const int64_t per_group = p.dim / p.groups, parts = channel_parts(per_group);
  const int64_t tile = blockIdx.x % tiles, part = blockIdx.x / tiles % parts;
  const int64_t group_of_channels = blockIdx.x / (tiles * parts) % p.groups;
  const int64_t batch = blockIdx.x / (tiles * parts * p.groups);
  const int64_t start = tile * kTile;
  const int64_t matrix = ((part * p.batch + batch) * p.groups + group_of_channels) * p.state * p.length;
  const float* bias = static_cast<const float*>(p.delta_bias);
  const float* D = static_cast<const float*>(p.D);
  const float* last = static_cast<const float*>(p.grad_last_state);
  const float* states = static_cast<const float*>(p.states);
  float* tile_rows = arguments.tile_rows + (batch * tiles + tile) * rows.count() * p.dim;

  constexpr int kTiles = kChannelsPerPart / kChannels;
  static_assert(kChannelsPerPart % kChannels == 0);
  const int64_t first_tile = part * kTiles;
  const int64_t end_tile =
      first_tile + kTiles < tiles_per_group(p) ? first_tile + kTiles : tiles_per_group(p);

  MatrixGradients matrices;
  matrices.clear();
  {
    const ChannelTile any(p, batch, group_of_channels, first_tile);
    s.B.load<T>(p.B, p, any, start);
    s.C.load<T>(p.C, p, any, start);
  }

  for (int64_t channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const ChannelTile channels(p, batch, group_of_channels, channel_tile);
    load_rates(s.rates, p, channels);
    if (p.constant_B) s.B.load_constant(static_cast<const float*>(p.B), p, channels);
    if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
    float item_u[kItems], item_slope[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const SequenceItem item(i);
      const bool inside = item.channel < channels.count && start + item.step < p.length;
      const int64_t channel = channels.first + item.channel;
      const int64_t offset = (batch * p.dim + channel) * p.length + start + item.step;
      Softplus dt{0, 0};
      float dy = 0;
      item_u[i] = 0;
      if (inside) {
        item_u[i] = to_float(static_cast<const T*>(p.u)[offset]);
        dt = step_size(p, to_float(static_cast<const T*>(p.delta)[offset]), bias ? bias[channel] : 0.0f);
        dy = OutputGradient(to_float(static_cast<const T*>(p.grad_out)[offset]), kGated,
                            kGated ? to_float(static_cast<const T*>(p.z)[offset]) : 0.0f)
                 .value;
      }
      item_slope[i] = dt.derivative;
      s.values.dt[item.value()] = dt.value;
      s.values.dt_u[item.value()] = dt.value * item_u[i];
      s.values.grad_y[item.value()] = dy;
    }
    __syncthreads();

    for (int group = 0; group < groups; ++group) {
      const int state = group * kGroup + chain.state;
      const int64_t channel = channels.first + chain.channel;
      const bool chain_inside = state < p.state && chain.channel < channels.count;
      float chain_start = 0;
      if (chain_inside) {
        if (!chain.adjoint && tile > 0)
          chain_start = states[((batch * saved + tile - 1) * p.state + state) * p.dim + channel];
        if (chain.adjoint && tile < tiles - 1)
          chain_start = arguments.adjoint[((batch * saved + tile) * p.state + state) * p.dim + channel];
        if (chain.adjoint && tile == tiles - 1 && last)
          chain_start = last[(batch * p.dim + channel) * p.state + state];
      }

      BackwardTile backward;
      backward.local(at, s.values, s.B.matrix(), s.C.matrix(), s.rates, group);
      __syncthreads();
      if (chain.adjoint)
        chain_warps<true>(s.values.warps.decay, s.values.adjoint, chain.channel, chain.state, chain_start);
      else
        chain_warps<false>(s.values.warps.decay, s.values.warps.end, chain.channel, chain.state, chain_start);
      __syncthreads();
      backward.gradients<kGated>(at, s.values, s.B.matrix(), s.C.matrix(), s.rates, group, matrices, s.y);

      if (p.constant_B || p.constant_C) {
        float sums[kStates];
        sum_steps(matrices.B, sums);
        store4(s.values.warps.end, at.states(), pack(sums));
        sum_steps(matrices.C, sums);
        store4(s.values.adjoint, at.states(), pack(sums));
      }
      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        if (!p.constant_B)
          write_matrix(at, matrices.B, p, group, start, arguments.parts_B + matrix, accumulate);
        if (!p.constant_C)
          write_matrix(at, matrices.C, p, group, start, arguments.parts_C + matrix, accumulate);
        matrices.clear();
      } else {
        if (p.constant_B) MatrixGradients::clear(matrices.B);
        if (p.constant_C) MatrixGradients::clear(matrices.C);
      }
      __syncthreads();

      if (!chain.adjoint && chain_inside) {
        tile_rows[state * p.dim + channel] = sum_warps(s.values.warps.decay, chain.channel, chain.state);
        if (p.constant_B)
          tile_rows[(rows.B() + state) * p.dim + channel] =
              sum_warps(s.values.warps.end, chain.channel, chain.state);
        if (p.constant_C)
          tile_rows[(rows.C() + state) * p.dim + channel] =
              sum_warps(s.values.adjoint, chain.channel, chain.state);
      }
      __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const SequenceItem item(i);
      const int index = item.value();
      const float input = s.values.state_input[index], dy = s.values.grad_y[index], dt = s.values.dt[index];
      const float grad_raw = fmaf(item_u[i], input, float(s.values.state_decay[index])) * item_slope[i];
      s.values.state_decay[index] = grad_raw;
      s.values.state_input[index] = dy * item_u[i];
      if (item.channel >= channels.count || start + item.step >= p.length) continue;
      const int64_t channel = channels.first + item.channel;
      const int64_t offset = (batch * p.dim + channel) * p.length + start + item.step;
      const float skip = D ? D[channel] : 0.0f;
      static_cast<T*>(p.grad_u)[offset] = convert<T>(fmaf(dt, input, skip * dy));
      static_cast<T*>(p.grad_delta)[offset] = convert<T>(grad_raw);
      if constexpr (kGated) {
        const OutputGradient gradient(to_float(static_cast<const T*>(p.grad_out)[offset]), true,
                                      to_float(static_cast<const T*>(p.z)[offset]));
        const float y = fmaf(skip, item_u[i], float(s.y[index]));
        static_cast<T*>(p.grad_z)[offset] = convert<T>(gradient.of_gate(y));
      }
    }
    __syncthreads();

    // Sums over the steps: 8 channels of D, then 8 of delta_bias.
    const int output = threadIdx.x / kColumnLanes, output_channel = output % kChannels;
    if (output < 2 * kChannels) {
      const Shared<float>& column = output < kChannels ? s.values.state_input : s.values.state_decay;
      float sum = 0;
      for (int step = threadIdx.x % kColumnLanes; step < kTile; step += kColumnLanes)
        sum += column[step * kRow + output_channel];
      sum = sum_column_lanes(sum);
      if (threadIdx.x % kColumnLanes == 0 && output_channel < channels.count)
        tile_rows[(output < kChannels ? rows.D() : rows.bias()) * p.dim + channels.first + output_channel] =
            sum;
    }
    __syncthreads();
  }
}

// Sums over images, each gradient to its own array.
__global__ void __launch_bounds__(kThreads) finish_kernel(Arguments arguments) {
  const SelectiveScanBackward& p = arguments.p;
  const Rows rows(p);
  const int64_t index = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= rows.count() * p.dim) return;
  const int64_t row = index / p.dim, channel = index % p.dim;
  float sum = 0;
  for (int64_t b = 0; b < p.batch; ++b) sum += arguments.image_rows[b * rows.count() * p.dim + index];
  float* to;
  if (row == rows.D()) {
    to = static_cast<float*>(p.grad_D);
  } else if (row == rows.bias()) {
    to = static_cast<float*>(p.grad_delta_bias);
  } else {
    void* matrix = row < p.state ? p.grad_A : p.constant_B && row < rows.C() ? p.grad_B : p.grad_C;
    static_cast<float*>(matrix)[channel * p.state + row % p.state] = sum;
    return;
  }
  if (to) to[channel] = sum;
}

}  // namespace

int64_t selective_scan_backward_workspace(const SelectiveScan& p) {
  Arguments arguments{};
  static_cast<SelectiveScan&>(arguments.p) = p;
  return arguments.place(nullptr);
}

const char* selective_scan_backward(const SelectiveScanBackward& p, float* workspace, Stream stream) {
  Arguments arguments{};
  arguments.p = p;
  arguments.place(workspace);
  const int64_t tiles = divide_up(p.length, kTile), parts = channel_parts(p.dim / p.groups),
                rows = Rows(p).count();
  SharedSize size, adjoint_size;
  Storage(size, p);
  AdjointStorage(adjoint_size, p);
  const char* error = for_element(p.type, [&](auto element) -> const char* {
    using T = decltype(element);
    if (tiles > 1) {
      const char* adjoint_error =
          launch(adjoint_kernel<T>, channel_tiles(p), kThreads, adjoint_size.bytes(), stream, arguments);
      if (adjoint_error) return adjoint_error;
    }
    return launch(p.z ? gradient_kernel<T, true> : gradient_kernel<T, false>,
                  p.batch * p.groups * parts * tiles, kThreads, size.bytes(), stream, arguments);
  });
  if (error) return error;
  const int64_t matrix = p.batch * p.groups * p.state * p.length;
  if (!p.constant_B) error = sum_parts({1, parts, matrix, p.type, arguments.parts_B, p.grad_B}, stream);
  if (error) return error;
  if (!p.constant_C) error = sum_parts({1, parts, matrix, p.type, arguments.parts_C, p.grad_C}, stream);
  if (error) return error;
  error = sum_parts({p.batch, tiles, rows * p.dim, Type::kFloat32, arguments.tile_rows, arguments.image_rows},
                    stream);
  if (error) return error;
  return launch(finish_kernel, divide_up(rows * p.dim, kThreads), kThreads, 0, stream, arguments);
}

}  // namespace swin_umamba::cuda
