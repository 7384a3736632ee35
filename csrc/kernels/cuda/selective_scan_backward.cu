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
  MatrixTile C;  // of two tiles

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const SelectiveScan& p, int states)
      : dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        carry(memory.template take<float>(states * kChannels, "carry")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        C(memory, states, p.constant_C, 2, "C") {}
};

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) adjoint_kernel(Arguments arguments) {
  constexpr int kItems = LongRuns::kItems;
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p, padded_states(p.state, kOneGroup));
  const ChannelTile channels = tile_of_block(p, blockIdx.x);
  const int groups = padded_states(p.state, kOneGroup) / kGroup;
  const int length = int(p.length), last_tile = int(divide_up(p.length, kTile)) - 1;
  const float* last = static_cast<const float*>(p.grad_last_state);

  load_rates(s.rates, p, channels);
  s.C.clear();
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) {
    const int state = i / kChannels, channel = i % kChannels;
    const bool inside = last && state < p.state && channel < channels.count;
    s.carry[Chain::index(channel, state)] =
        inside ? last[(channels.batch * p.dim + channels.first + channel) * p.state + state] : 0.0f;
  }
  __syncthreads();
  if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);

  // All items of a thread are of one channel. `item` is the place of the first in u and what is shaped like
  // it, `left` says how many steps from there on are inside.
  float bias = 0;
  int64_t item;
  int left;
  {
    const Place<LongRuns> at(threadIdx.x);
    const bool inside = at.channel < channels.count;
    const int channel = channels.first + (inside ? at.channel : 0),
              step = last_tile * kTile + at.item_step(0);
    if (p.delta_bias) bias = static_cast<const float*>(p.delta_bias)[channel];
    item = (channels.batch * p.dim + channel) * p.length + step;
    left = inside ? length - step : 0;
  }
  // What a tile needs is on its way while that after it is in use.
  const T* from_C = static_cast<const T*>(p.C) + MatrixTile::first(p, channels) + last_tile * kTile;
  int left_of_matrix = length - last_tile * kTile - MatrixTile::first_step();
  T next_delta[kItems], next_grad[kItems], next_z[kItems];
  const auto fetch = [&](int tile) {
    if (!p.constant_C)
      s.C.fetch<LongRuns::kThreads>(from_C, length * int(sizeof(T)),
                                    left_of_matrix > 0 ? MatrixTile::states_left(p) : 0, tile & 1);
    copy_async_commit();
    from_C -= kTile, left_of_matrix = kTile;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      next_delta[i] = next_grad[i] = next_z[i] = convert<T>(0.0f);
      if (i < left) {
        next_delta[i] = static_cast<const T*>(p.delta)[item + i];
        next_grad[i] = static_cast<const T*>(p.grad_out)[item + i];
        if (p.z) next_z[i] = static_cast<const T*>(p.z)[item + i];
      }
    }
  };
  if (last_tile > 0) fetch(last_tile);

  // The first tile's own adjoint is of no use.
#pragma unroll 1
  for (int tile = last_tile; tile > 0; --tile) {
    const Place<LongRuns> at(computed_anew(threadIdx.x));
    float dt[kItems], dy[kItems];
    step_sizes(p, next_delta, bias, left, dt);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      dy[i] = OutputGradient(to_float(next_grad[i]), p.z != nullptr, to_float(next_z[i])).value;
    }
    store_items(s.dt, at, dt);
    store_items(s.grad_y, at, dy);
    copy_async_wait<0>();
    __syncthreads();
    item -= kTile, left += kTile;
    if (channels.count <= at.channel) left = 0;
    if (tile > 1) fetch(tile - 1);

    for (int group = 0; group < groups; ++group) {
      local_adjoint_only(at, s.dt, s.grad_y, s.C.matrix(tile & 1), s.rates, group, s.warps.decay,
                         s.warps.end);
      __syncthreads();
      const Chain chain(computed_anew(threadIdx.x));
      if (chain.active) {
        const float2 v =
            chain_warps<LongRuns, true>(s.warps.decay, s.warps.end, chain, load2(s.carry, chain.index(group)),
                                        may_grow(p, s.rates, chain, group));
        store2(s.carry, chain.index(group), v);
        if (chain.channel < channels.count) {
          const int state = group * kGroup + chain.state;
          float* to = arguments.adjoint +
                      ((channels.batch * int64_t(last_tile) + tile - 1) * p.state + state) * p.dim +
                      channels.first + chain.channel;
          if (state < int(p.state)) *to = v.x;
          if (state + 1 < int(p.state)) to[p.dim] = v.y;
        }
      }
      __syncthreads();
    }
  }
}

// Where a block's part of an array begins. These numbers of 64 bits wait in shared memory, not in registers.
enum Offset { kBorders, kTileRows = 2, kOffsets };  // kBorders: of the states and of the adjoint

struct Storage {
  BackwardValues values;
  Shared<float> slope;      // of softplus: it waits here, not in a register
  StepSums step_sums;       // of delta_bias and of D
  Shared<int64_t> offsets;  // by Offset
  DecayRates rates;
  MatrixTile B, C;

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const SelectiveScan& p, int states)
      : values(memory),
        slope(memory.template take<float>(kTileSize, "slope")),
        step_sums(memory),
        offsets(memory.template take<int64_t>(kOffsets, "offsets")),
        rates{memory.template take<float>(kChannels * (states + 4), "rates"), states + 4},
        B(memory, states, p.constant_B, 1, "B"),
        C(memory, states, p.constant_C, 1, "C") {}
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
  // Of a channel in u.
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

// What a thread has of a tile of channels: of its item, which is one step of one channel, and a rate of
// decay.
template <class T>
struct Item {
  T u, delta, grad_out, z;
  float bias, rate;
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
  const int dim = int(p.dim), states = int(p.state);

  // Channels of u: those of the group end at `group_end`, those of the block are from `begin` to `end`.
  const int group_channels = int(p.dim / p.groups), group_end = (position.group + 1) * group_channels;
  const int begin = position.group * group_channels + position.part * kTilesPerPart * kChannels;
  const int end =
      begin + kTilesPerPart * kChannels < group_end ? begin + kTilesPerPart * kChannels : group_end;

  MatrixGradients matrices;
  matrices.clear();
  s.B.clear();
  s.C.clear();
  if (threadIdx.x == 0) {
    const int64_t of_states = p.state * p.dim;
    const int64_t border = position.batch * int64_t(tiles - 1) + position.tile;
    s.offsets[kBorders] = (border - 1) * of_states;
    s.offsets[kBorders + 1] = position.tile < tiles - 1 ? border * of_states : position.batch * of_states;
    s.offsets[kTileRows] = (int64_t(position.batch) * tiles + position.tile) * rows.count() * p.dim;
  }
  __syncthreads();
  {
    const ChannelTile any(position.batch, position.group, begin, group_end);
    const int64_t start = position.start();
    const int bytes = int(p.length) * int(sizeof(T));
    const int states_left = start + MatrixTile::first_step() < p.length ? MatrixTile::states_left(p) : 0;
    const int64_t number = MatrixTile::first(p, any) + start;
    if (!p.constant_B)
      s.B.fetch<ShortRuns::kThreads>(static_cast<const T*>(p.B) + number, bytes, states_left, 0);
    if (!p.constant_C)
      s.C.fetch<ShortRuns::kThreads>(static_cast<const T*>(p.C) + number, bytes, states_left, 0);
    copy_async_commit();
  }

  // `item` is the place of a thread's item in u and what is shaped like it; `left` says how many channels
  // from there on are inside.
  int64_t item;
  int left;
  {
    const Place<ShortRuns> at(threadIdx.x);
    item = position.sequence(p, begin + at.channel) + at.item_step(0);
    left = position.start() + at.item_step(0) < p.length ? group_end - begin - at.channel : 0;
  }
  // On their way while the tile of channels before is in use.
  Item<T> next;
  const auto fetch = [&](int first_channel) {
    const Place<ShortRuns> at(computed_anew(threadIdx.x));
    next = {};
    if (left > 0) {
      next.u = static_cast<const T*>(p.u)[item];
      next.delta = static_cast<const T*>(p.delta)[item];
      next.grad_out = static_cast<const T*>(p.grad_out)[item];
      if (kGated) next.z = static_cast<const T*>(p.z)[item];
      if (p.delta_bias) next.bias = static_cast<const float*>(p.delta_bias)[first_channel + at.channel];
    }
    const int channel = first_channel + at.thread / kGroup, state = at.thread % kGroup;
    if (kOneGroup && at.thread < kChannels * kGroup && channel < group_end && state < states)
      next.rate = *at_row(static_cast<const float*>(p.A) + state, channel, states);
  };
  fetch(begin);

#pragma unroll 1
  for (int first_channel = begin; first_channel < end; first_channel += kChannels) {
    if (p.constant_B || p.constant_C || !kOneGroup) {
      const ChannelTile channels(position.batch, position.group, first_channel, group_end);
      if (!kOneGroup) load_rates(s.rates, p, channels);
      if (p.constant_B) s.B.load_constant(static_cast<const float*>(p.B), p, channels);
      if (p.constant_C) s.C.load_constant(static_cast<const float*>(p.C), p, channels);
    }
    float u;
    {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      if (kOneGroup && at.thread < kChannels * kGroup)
        s.rates.values[at.thread / kGroup * s.rates.row + at.thread % kGroup] = next.rate * kLog2E;
      const Softplus dt = step_size(p, to_float(next.delta), next.bias);
      u = to_float(next.u);
      s.slope[at.items()] = left > 0 ? dt.derivative : 0.0f;
      const float value = left > 0 ? dt.value : 0.0f;
      s.values.dt[at.items()] = value;
      s.values.dt_u[at.items()] = value * u;
      s.values.grad_y[at.items()] = OutputGradient(to_float(next.grad_out), kGated, to_float(next.z)).value;
    }
    copy_async_wait<0>();
    __syncthreads();

    StateSums sums;
#pragma unroll 1
    for (int group = 0; group < groups; ++group) {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      const auto B = s.B.matrix(0), C = s.C.matrix(0);
      // Between this tile and its neighbours: here when the local passes are done.
      float2 start{0, 0};
      const TwoChains border(computed_anew(threadIdx.x));
      if (border.active) {
        const int state = group * kGroup + border.state, tile = computed_anew(position.tile);
        const bool last = border.adjoint && tile == tiles - 1;
        const float* from = last             ? static_cast<const float*>(p.grad_last_state)
                            : border.adjoint ? arguments.adjoint
                            : tile > 0       ? static_cast<const float*>(p.states)
                                             : nullptr;
        if (from && first_channel + border.channel < group_end) {
          // The last states' gradients are (B, D, N), the others (..., N, D).
          const int channel = first_channel + border.channel;
          from += s.offsets[kBorders + border.adjoint];
          from += last ? int64_t(channel) * states + state : int64_t(state) * dim + channel;
          if (state < states) start.x = *from;
          if (state + 1 < states) start.y = from[last ? 1 : dim];
        }
      }
      BackwardTile backward;
      backward.local(at, s.values, B, C, s.rates, group);
      __syncthreads();
      const TwoChains chain(computed_anew(threadIdx.x));
      if (chain.active) {
        chain.run(s.values, start, may_grow(p, s.rates, chain, group));
      }
      __syncthreads();
      backward.gradients<kGated>(at, s.values, B, C, s.rates, group, matrices, sums);

      if (p.constant_B || p.constant_C) {
        store4(s.values.warps.end, at.states(), sum_steps(matrices.B));
        store4(s.values.adjoint, at.states(), sum_steps(matrices.C));
        // The other of the two goes on.
        if (p.constant_B) MatrixGradients::clear(matrices.B);
        if (p.constant_C) MatrixGradients::clear(matrices.C);
      }
      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || first_channel + kChannels >= end) {
        const Position here = position.anew();
        const int64_t matrix =
            ((position.part * p.batch + here.batch) * p.groups + here.group) * p.state * p.length;
        const bool accumulate = groups > 1 && first_channel > begin;
        if (!p.constant_B)
          write_matrix(at, matrices.B, p, group, here.start(), arguments.parts_B + matrix, accumulate);
        if (!p.constant_C)
          write_matrix(at, matrices.C, p, group, here.start(), arguments.parts_C + matrix, accumulate);
        matrices.clear();
      }
      if (group == groups - 1) {
        const float dy = s.values.grad_y[at.items()];
        const float grad_raw = fmaf(u, sums.input, sums.decay * kLn2) * s.slope[at.items()];
        if (left > 0) {
          const float skip = p.D ? static_cast<const float*>(p.D)[first_channel + at.channel] : 0.0f;
          static_cast<T*>(p.grad_u)[item] =
              convert<T>(fmaf(float(s.values.dt[at.items()]), sums.input, skip * dy));
          static_cast<T*>(p.grad_delta)[item] = convert<T>(grad_raw);
          if constexpr (kGated) {
            const OutputGradient gradient(to_float(static_cast<const T*>(p.grad_out)[item]), true,
                                          to_float(static_cast<const T*>(p.z)[item]));
            static_cast<T*>(p.grad_z)[item] = convert<T>(gradient.of_gate(fmaf(skip, u, sums.output)));
          }
        }
        s.step_sums.add(at, grad_raw, dy * u);
        item += kChannels * p.length, left -= kChannels;
        if (first_channel + kChannels < end) fetch(first_channel + kChannels);
      }
      __syncthreads();

      const Chain rates(computed_anew(threadIdx.x));
      if (rates.active) {
        const int state = group * kGroup + rates.state, channel = first_channel + rates.channel;
        if (channel < group_end) {
          float* to = arguments.tile_rows + s.offsets[kTileRows] + channel;
          const auto write = [&](const Shared<float>& values, int64_t row) {
            const float2 sum = sum_warps(values, rates);
            if (state < states) to[row * dim] = sum.x;
            if (state + 1 < states) to[(row + 1) * dim] = sum.y;
          };
          write(s.values.warps.decay, state);
          if (p.constant_B) {
            write(s.values.warps.end, rows.B() + state);
          }
          if (p.constant_C) {
            write(s.values.adjoint, rows.C() + state);
          }
        }
      }
      if (group < groups - 1) __syncthreads();
    }

    // Sums over the steps: 8 channels of delta_bias, then 8 of D.
    const int output = computed_anew(threadIdx.x) - (ShortRuns::kThreads - 2 * kChannels);
    if (output >= 0) {
      const float sum = s.step_sums.sum(output / kChannels, output % kChannels);
      const int channel = first_channel + output % kChannels;
      if (channel < group_end)
        *at_row(arguments.tile_rows + s.offsets[kTileRows] + channel,
                int(output < kChannels ? rows.bias() : rows.D()), dim) = sum;
    }
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
