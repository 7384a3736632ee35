// Selective scan, backward. A first pass runs the adjoint alone, from the end, for its values between
// tiles. Then every tile is on its own: a block has one tile of steps and goes through up to 48 channels,
// so that the sums over channels of dB and dC stay in registers. Sums over tiles and images follow.
#include "growing.h"
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

// A block sums dB and dC over a part of a group's channels, this many tiles; the parts are then added.
constexpr int kTilesPerPart = 6;
__host__ __device__ inline int64_t channel_parts(const SelectiveScan& p) {
  return divide_up(p.dim / p.groups, kTilesPerPart * kChannels);
}

struct Arguments {
  SelectiveScanBackward p;
  float* adjoint;            // (B, tiles - 1, N, D): before the last tile, after each
  float *parts_B, *parts_C;  // (parts, B, G, N, L)
  float* tile_rows;          // (B, tiles, rows, D)
  float* image_rows;         // (B, rows, D)

  // Takes the arrays from the workspace; returns how many floats they are.
  int64_t place() {
    Workspace<float> workspace{static_cast<float*>(p.workspace)};
    const int64_t tiles = divide_up(p.length, kTile), rows = Rows(p).count();
    const int64_t matrix = channel_parts(p) * p.batch * p.groups * p.state * p.length;
    adjoint = workspace.take(p.batch * (tiles - 1) * p.state * p.dim);
    parts_B = workspace.take(p.constant_B ? 0 : matrix);
    parts_C = workspace.take(p.constant_C ? 0 : matrix);
    tile_rows = workspace.take(p.batch * tiles * rows * p.dim);
    image_rows = workspace.take(p.batch * rows * p.dim);
    return workspace.used;
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
  WarpStates<LongRuns> warps;
  Shared<float> carry;
  DecayRates rates;
  MatrixTile C;

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const SelectiveScan& p, int states)
      : dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        carry(memory.template take<float>(states * kChannels, "carry")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        C(memory, states, p.constant_C, "C") {}
};

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) adjoint_kernel(Arguments arguments) {
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p, padded_states(p.state, kOneGroup));
  const ChannelTile channels = tile_of_block(p, blockIdx.x);
  const Place<LongRuns> at(threadIdx.x);
  const Chain chain(threadIdx.x);
  const int groups = padded_states(p.state, kOneGroup) / kGroup;
  const int64_t tiles = divide_up(p.length, kTile);
  const float* bias = static_cast<const float*>(p.delta_bias);
  const float* last = static_cast<const float*>(p.grad_last_state);

  load_rates(s.rates, p, channels);
  if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) {
    const int state = i / kChannels, channel = i % kChannels;
    const bool inside = last && state < p.state && channel < channels.count;
    s.carry[i] = inside ? last[(channels.batch * p.dim + channels.first + channel) * p.state + state] : 0.0f;
  }

  for (int64_t tile = tiles - 1; tile > 0; --tile) {
    const int64_t start = tile * kTile;
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      const SequenceItem<LongRuns> item(i);
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
        const float v = chain_warps<LongRuns, true>(s.warps.decay, s.warps.end, chain.channel, chain.state,
                                                    s.carry[index]);
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
  __host__ __device__ Storage(Memory& memory, const SelectiveScan& p, int states)
      : values(memory),
        y(memory.template take<float>(p.z ? kTileSize : 0, "y")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        B(memory, states, p.constant_B, "B"),
        C(memory, states, p.constant_C, "C") {}
};

// Adds up dB or dC of the block's channels into its part, (N, L) of one group.
__device__ inline void write_matrix(const Place<ShortRuns>& at, const MatrixGradients::Values& values,
                                    const SelectiveScan& p, int group, int64_t start, float* part,
                                    bool accumulate) {
  const ChannelSums sums(at, values);
  const int64_t step = start + at.step(sums.step);
  if (step >= p.length) return;
#pragma unroll
  for (int j = 0; j < ChannelSums::kCount; ++j) {
    const int state = group * kGroup + sums.state + j;
    if (state >= p.state) continue;
    float* to = part + state * p.length + step;
    *to = accumulate ? *to + sums.values[j] : sums.values[j];
  }
}

// What a block of the gradient kernel has: one tile of steps, and a part of one group's channels.
struct Position {
  int tile, part, group, batch;

  __device__ Position(const SelectiveScan& p, int64_t block) {
    const int64_t tiles = divide_up(p.length, kTile), parts = channel_parts(p);
    tile = int(block % tiles);
    part = int(block / tiles % parts);
    group = int(block / (tiles * parts) % p.groups);
    batch = int(block / (tiles * parts * p.groups));
  }
  __device__ int64_t start() const { return int64_t(tile) * kTile; }
  // Of a channel of u in an array (B, D, L).
  __device__ int64_t sequence(const SelectiveScan& p, int channel) const {
    return (batch * p.dim + channel) * p.length + start();
  }
  // What follows from these numbers does not wait in registers.
  __device__ Position anew() const {
    Position position = *this;
    position.tile = computed_anew(tile);
    position.group = computed_anew(group);
    position.batch = computed_anew(batch);
    return position;
  }
};

template <class T, bool kGated, bool kOneGroup>
__global__ void __launch_bounds__(ShortRuns::kThreads, 1) gradient_kernel(Arguments arguments) {
  static_assert(ShortRuns::kItems == 1);
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p, padded_states(p.state, kOneGroup));
  const Position position(p, blockIdx.x);
  const Rows rows(p);
  const int groups = padded_states(p.state, kOneGroup) / kGroup, tiles = int(divide_up(p.length, kTile));

  const int first_tile = position.part * kTilesPerPart, all_tiles = int(tiles_per_group(p));
  const int end_tile = first_tile + kTilesPerPart < all_tiles ? first_tile + kTilesPerPart : all_tiles;

  MatrixGradients matrices;
  matrices.clear();
  {
    const ChannelTile any(p, position.batch, position.group, first_tile);
    s.B.load<T>(p.B, p, any, position.start());
    s.C.load<T>(p.C, p, any, position.start());
  }

#pragma unroll 1
  for (int channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const ChannelTile channels(p, position.batch, position.group, channel_tile);
    load_rates(s.rates, p, channels);
    if (p.constant_B) s.B.load_constant(static_cast<const float*>(p.B), p, channels);
    if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
    // Each thread has one step of one channel in what goes before and after the recurrence.
    float u = 0, slope = 0;
    {
      const SequenceItem<ShortRuns> item(0);
      const int channel = channels.first + item.channel;
      float dt = 0, dy = 0;
      if (item.channel < channels.count && position.start() + item.step < p.length) {
        const float* bias = static_cast<const float*>(p.delta_bias);
        const int64_t offset = position.sequence(p, channel) + item.step;
        u = to_float(static_cast<const T*>(p.u)[offset]);
        const Softplus step =
            step_size(p, to_float(static_cast<const T*>(p.delta)[offset]), bias ? bias[channel] : 0.0f);
        dt = step.value;
        slope = step.derivative;
        dy = OutputGradient(to_float(static_cast<const T*>(p.grad_out)[offset]), kGated,
                            kGated ? to_float(static_cast<const T*>(p.z)[offset]) : 0.0f)
                 .value;
      }
      s.values.dt[item.value()] = dt;
      s.values.dt_u[item.value()] = dt * u;
      s.values.grad_y[item.value()] = dy;
    }
    __syncthreads();

#pragma unroll 1
    for (int group = 0; group < groups; ++group) {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      BackwardTile backward;
      backward.local(at, s.values, s.B.matrix(), s.C.matrix(), s.rates, group);
      __syncthreads();
      {
        const TwoChains chain(computed_anew(threadIdx.x));
        const Position here = position.anew();
        const int state = group * kGroup + chain.state, channel = channels.first + chain.channel;
        const float* between = nullptr;
        int64_t index = 0;
        if (chain.adjoint && here.tile == tiles - 1) {
          between = static_cast<const float*>(p.grad_last_state);
          index = (here.batch * p.dim + channel) * p.state + state;
        } else if (chain.adjoint || here.tile > 0) {
          between = chain.adjoint ? arguments.adjoint : static_cast<const float*>(p.states);
          const int64_t saved = int64_t(here.batch) * (tiles - 1) + here.tile - !chain.adjoint;
          index = (saved * p.state + state) * p.dim + channel;
        }
        const bool inside = between && state < p.state && chain.channel < channels.count;
        chain.run(s.values, inside ? between[index] : 0.0f);
      }
      __syncthreads();
      backward.gradients<kGated>(at, s.values, s.B.matrix(), s.C.matrix(), s.rates, group, matrices, s.y);

      if (p.constant_B || p.constant_C) {
        store4(s.values.warps.end, at.states(), sum_steps(matrices.B));
        store4(s.values.adjoint, at.states(), sum_steps(matrices.C));
      }
      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const Position here = position.anew();
        const int64_t matrix =
            ((position.part * p.batch + here.batch) * p.groups + here.group) * p.state * p.length;
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        if (!p.constant_B)
          write_matrix(at, matrices.B, p, group, here.start(), arguments.parts_B + matrix, accumulate);
        if (!p.constant_C)
          write_matrix(at, matrices.C, p, group, here.start(), arguments.parts_C + matrix, accumulate);
        matrices.clear();
      } else {
        if (p.constant_B) MatrixGradients::clear(matrices.B);
        if (p.constant_C) MatrixGradients::clear(matrices.C);
      }
      __syncthreads();

      const TwoChains chain(computed_anew(threadIdx.x));
      const int state = group * kGroup + chain.state;
      if (!chain.adjoint && state < p.state && chain.channel < channels.count) {
        const Position here = position.anew();
        float* tile_rows = arguments.tile_rows +
                           (int64_t(here.batch) * tiles + here.tile) * rows.count() * p.dim + channels.first +
                           chain.channel;
        tile_rows[state * p.dim] = sum_warps(s.values.warps.decay, chain.channel, chain.state);
        if (p.constant_B)
          tile_rows[(rows.B() + state) * p.dim] = sum_warps(s.values.warps.end, chain.channel, chain.state);
        if (p.constant_C)
          tile_rows[(rows.C() + state) * p.dim] = sum_warps(s.values.adjoint, chain.channel, chain.state);
      }
      __syncthreads();
    }

    {
      const SequenceItem<ShortRuns> item(computed_anew(threadIdx.x), 0);
      const Position here = position.anew();
      const float input = s.values.state_input[item.value()], dy = s.values.grad_y[item.value()];
      const float grad_raw = fmaf(u, input, float(s.values.state_decay[item.value()])) * slope;
      s.values.state_decay[item.value()] = grad_raw;
      s.values.state_input[item.value()] = dy * u;
      if (item.channel < channels.count && here.start() + item.step < p.length) {
        const int channel = channels.first + item.channel;
        const int64_t offset = here.sequence(p, channel) + item.step;
        const float skip = p.D ? static_cast<const float*>(p.D)[channel] : 0.0f;
        static_cast<T*>(p.grad_u)[offset] =
            convert<T>(fmaf(float(s.values.dt[item.value()]), input, skip * dy));
        static_cast<T*>(p.grad_delta)[offset] = convert<T>(grad_raw);
        if constexpr (kGated) {
          const OutputGradient gradient(to_float(static_cast<const T*>(p.grad_out)[offset]), true,
                                        to_float(static_cast<const T*>(p.z)[offset]));
          const float y = fmaf(skip, u, float(s.y[item.value()]));
          static_cast<T*>(p.grad_z)[offset] = convert<T>(gradient.of_gate(y));
        }
      }
    }
    __syncthreads();

    // Sums over the steps: 8 channels of D, then 8 of delta_bias.
    const int output = threadIdx.x / kColumnLanes, channel = output % kChannels;
    if (output < 2 * kChannels) {
      const Shared<float>& column = output < kChannels ? s.values.state_input : s.values.state_decay;
      float sum = 0;
      for (int step = threadIdx.x % kColumnLanes; step < kTile; step += kColumnLanes)
        sum += column[step * kRow + channel];
      sum = sum_column_lanes(sum);
      if (threadIdx.x % kColumnLanes == 0 && channel < channels.count) {
        const int64_t row = (int64_t(position.batch) * tiles + position.tile) * rows.count() +
                            (output < kChannels ? rows.D() : rows.bias());
        arguments.tile_rows[row * p.dim + channels.first + channel] = sum;
      }
    }
    __syncthreads();
  }
}

constexpr int kFinishThreads = 256;

// Sums over images, each gradient to its own array.
__global__ void __launch_bounds__(kFinishThreads) finish_kernel(Arguments arguments) {
  const SelectiveScanBackward& p = arguments.p;
  const Rows rows(p);
  const int64_t index = int64_t(blockIdx.x) * kFinishThreads + threadIdx.x;
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
  return arguments.place();
}

const char* selective_scan_backward(const SelectiveScanBackward& p, Stream stream) {
  if (const char* error = check_length(p)) return error;
  Arguments arguments{};
  arguments.p = p;
  arguments.place();
  const int64_t tiles = divide_up(p.length, kTile), parts = channel_parts(p), rows = Rows(p).count();
  SharedSize size, adjoint_size;
  Storage(size, p, padded_states(p.state, false));
  AdjointStorage(adjoint_size, p, padded_states(p.state, false));
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) -> const char* {
      using T = decltype(element);
      if (tiles > 1) {
        const char* adjoint_error = launch(adjoint_kernel<T, one_group>, channel_tiles(p), LongRuns::kThreads,
                                           adjoint_size.bytes(), stream, arguments);
        if (adjoint_error) return adjoint_error;
      }
      return launch(p.z ? gradient_kernel<T, true, one_group> : gradient_kernel<T, false, one_group>,
                    p.batch * p.groups * parts * tiles, ShortRuns::kThreads, size.bytes(), stream, arguments);
    });
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
  error =
      launch(finish_kernel, divide_up(rows * p.dim, kFinishThreads), kFinishThreads, 0, stream, arguments);
  return error ? error : complete_growing(p, arguments.adjoint, stream);
}

}  // namespace swin_umamba::cuda
