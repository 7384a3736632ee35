// ss2d, backward. A first pass runs the adjoint alone, from the end of each direction, for its values between
// tiles. Then every tile is on its own: a block has one tile of steps and goes through many channels, so that
// the sums over channels of dB and dC stay in registers. The directions follow one another and add to the
// same gradient of x. Two matrix products bring the gradient of the projected numbers back to x and to the
// weights.
#include "scan_tile_backward.h"
#include "ss2d_tile.h"
#include "tensor_cores.h"

namespace swin_umamba::cuda {
namespace {

// Parameter gradients of one direction before the sums over tiles and images, (B, tiles, rows, D): A's
// states, the dt weights' ranks, the dt bias and D.
struct Rows {
  int64_t state, rank;
  __host__ __device__ explicit Rows(const Ss2d& p) : state(p.state), rank(p.rank) {}
  __host__ __device__ int64_t weight() const { return state; }
  __host__ __device__ int64_t bias() const { return state + rank; }
  __host__ __device__ int64_t D() const { return bias() + 1; }
  __host__ __device__ int64_t count() const { return D() + 1; }
};

// How many tiles of channels a block of the gradient kernel goes through. One block fits on a multiprocessor,
// so the time is that of the waves of blocks times their length, a tile more for what a block does once. The
// fewer parts the less is written: more of them must save a tenth.
inline int best_tiles_per_part(int64_t channel_tiles, int64_t blocks_of_part, int multiprocessors) {
  int best = 24;
  double least = 0;
  for (int tiles = best; tiles >= 3; tiles /= 2) {
    const int64_t waves = divide_up(divide_up(channel_tiles, tiles) * blocks_of_part, multiprocessors);
    const double time = double(waves) * ((tiles < channel_tiles ? tiles : channel_tiles) + 1);
    if (least == 0 || time < 0.9 * least) best = tiles, least = time;
  }
  return best;
}

struct Arguments {
  Ss2dBackward p;
  int direction;
  int tiles_per_part, parts;  // of channels
  float* grad_x;              // (B, H*W, D): the scans' part
  float* grad_projected_x;    // (B, H*W, 4, R+2N)
  float* adjoint;             // (4, B, tiles - 1, N, D): before the last tile, after each
  float* projected_parts;     // (parts, B, H*W, 4, R+2N): the sum's own place if
                              // there is one part
  float* parameters;          // (4, channel tiles, DirectionParameters::size)
  float* tile_rows;           // (B, tiles, rows, D), one direction
  float* image_rows;          // (4, B, rows, D)
  float* product_parts;       // of the matrix products, in the place of what the
                              // scans needed

  int64_t tiles() const { return divide_up(p.length(), kTile); }
  int64_t pixels() const { return p.batch * p.length(); }
  int64_t numbers() const { return kDirections * p.projected(); }

  // Takes the arrays from the workspace; returns how many floats they are.
  int64_t place(int multiprocessors) {
    const int64_t channel_tiles = divide_up(p.dim, kChannels), rows = Rows(p).count();
    tiles_per_part = best_tiles_per_part(channel_tiles, p.batch * tiles(), multiprocessors);
    parts = int(divide_up(channel_tiles, tiles_per_part));
    Workspace<float> workspace{static_cast<float*>(p.workspace)};
    // First, as it is copied 16 bytes at a time.
    parameters = workspace.take(kDirections * channel_tiles *
                                DirectionParameters::size(ProjectedRows(p, p.state <= kGroup)));
    grad_projected_x = workspace.take(pixels() * numbers());
    grad_x = p.type == Type::kFloat32 ? static_cast<float*>(p.grad_x) : workspace.take(pixels() * p.dim);
    Workspace<float> products = workspace;
    product_parts = products.take(larger(product_workspace(pixels(), p.dim, numbers(), multiprocessors),
                                         product_workspace(numbers(), p.dim, pixels(), multiprocessors)));
    adjoint = workspace.take(kDirections * p.batch * (tiles() - 1) * p.state * p.dim);
    projected_parts = parts == 1 ? grad_projected_x : workspace.take(parts * pixels() * numbers());
    tile_rows = workspace.take(p.batch * tiles() * rows * p.dim);
    image_rows = workspace.take(kDirections * p.batch * rows * p.dim);
    return larger(workspace.used, products.used);
  }

 private:
  static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
};

struct AdjointStorage {
  ProjectedRows layout;
  Shared<float> dt, grad_y;
  WarpStates<LongRuns> warps;
  PixelTable pixels;
  Shared<int64_t> offsets;  // of the direction in projected_x and in `adjoint`
  Shared<float> carry;
  DirectionParameters parameters;
  Shared<float> rows;  // of two tiles

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const Ss2d& p, bool one_group)
      : layout(p, one_group),
        dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        pixels(memory),
        offsets(memory.template take<int64_t>(2, "offsets")),
        carry(memory.template take<float>(layout.state_padded * kChannels, "carry")),
        parameters(memory.template take<float>(DirectionParameters::size(layout), "parameters"), layout),
        rows(memory.template take<float>(2 * kTile * layout.row, "rows")) {}
};

template <bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) adjoint_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p, kOneGroup);
  const Place<LongRuns> at(threadIdx.x);
  const Chain chain(threadIdx.x);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int direction = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t saved = saved_states(p.length());
  const float* grad_out =
      static_cast<const float*>(p.grad_out) + channels.batch * p.length() * p.dim + channels.first;
  const int groups = s.layout.state_padded / kGroup;
  const int item_channel = PixelItem<LongRuns>(0).channel;
  const bool channel_inside = item_channel < channels.count;

  TileReader<float> reader{s.layout,   s.pixels,
                           s.rows,     static_cast<const float*>(p.projected_x),
                           s.offsets,  grad_out + item_channel,
                           int(p.dim), channel_inside,
                           {}};

  for (int i = threadIdx.x; i < 2 * kTile * s.layout.row; i += LongRuns::kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
  if (threadIdx.x == 0) {
    s.offsets[0] = (channels.batch * p.length() * kDirections + direction) * p.projected_row();
    s.offsets[1] = (direction * p.batch + channels.batch) * saved * p.state * p.dim + channels.first;
  }
  s.parameters.load(p, channels, direction);
  s.pixels.fill(p, direction, saved);
  __syncthreads();
  reader.fetch(int(saved));
  s.pixels.fill(p, direction, saved - 1);

  // The first tile's own adjoint is of no use.
  for (int tile = int(saved); tile > 0; --tile) {
    float item_grad[LongRuns::kItems];
    bool inside[LongRuns::kItems];
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      item_grad[i] = reader.next[i];
      inside[i] = reader.pixel(tile, i) >= 0;
    }
    copy_async_wait<0>();
    __syncthreads();

    if (tile > 1) reader.fetch(tile - 1);
    const Shared<float> rows = reader.rows_of(tile);
    float raw[LongRuns::kItems];
    const PixelItem<LongRuns> first_item(0);
    s.parameters.expand_dt<PixelItem<LongRuns>::kApart>(rows, s.layout, first_item.step, first_item.channel,
                                                        raw);
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      const PixelItem<LongRuns> item(i);
      const Softplus dt = softplus_with_derivative(raw[i]);
      s.dt[item.value()] = inside[i] ? dt.value : 0.0f;
      s.grad_y[item.value()] = item_grad[i];
    }
    __syncthreads();
    if (tile > 1) s.pixels.fill(p, direction, tile - 2);

    for (int group = 0; group < groups; ++group) {
      local_adjoint_only(at, s.dt, s.grad_y, s.layout.C(rows), s.parameters.rates, group, s.warps.decay,
                         s.warps.end);
      __syncthreads();
      if (chain.active) {
        const int state = group * kGroup + chain.state, index = state * kChannels + chain.channel;
        const float v = chain_warps<LongRuns, true>(s.warps.decay, s.warps.end, chain.channel, chain.state,
                                                    s.carry[index]);
        s.carry[index] = v;
        if (state < int(p.state) && chain.channel < channels.count)
          *at_row(arguments.adjoint + s.offsets[1] + chain.channel, (tile - 1) * int(p.state) + state,
                  int(p.dim)) = v;
      }
      __syncthreads();
    }
  }
}

// Where a block's part of an array begins. These numbers of 64 bits wait in shared memory, not in registers.
enum Offset { kImage, kStates, kAdjoint, kTileRows, kOffsets };

struct Storage {
  ProjectedRows layout;
  BackwardValues values;
  PixelTable pixels;
  Shared<float> step_sums;           // [warp][of the bias, of D][channel]
  Shared<float> starts;              // of TwoChains
  Shared<int64_t> offsets;           // by Offset
  Shared<float> parameters;          // DirectionParameters of two tiles
  Shared<float> rows, grad_dt_rows;  // grad_dt_rows: [rank][step]
  Shared<float> weight_parts;        // of WeightGradients

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const Ss2d& p, bool one_group);
};

// The gradient of the dt weights, of one tile: grad_raw (channels, steps) by the projected numbers (steps,
// ranks), on the tensor cores. A warp takes 16 ranks and a quarter of the steps.
struct WeightGradients {
  static constexpr int kRanks = 16, kParts = 4, kSize = kRanks * kChannels;
  __host__ __device__ static int rank_tiles(int rank) { return (rank + kRanks - 1) / kRanks; }
  __host__ __device__ static int floats(int rank) { return rank_tiles(rank) * kParts * kSize; }

  __device__ static void multiply(const Storage& s, const Shared<float>& grad_raw, int unit) {
    const int lane_group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
    const int first_rank = unit / kParts * kRanks, first_step = unit % kParts * (kTile / kParts);
    float sums[4] = {};
#pragma unroll
    for (int k = 0; k < kTile / kParts; k += 8) {
      const int step = first_step + k + lane;
      Split<float, 4> numbers;
      Split<float, 2> grads;
#pragma unroll
      for (int j = 0; j < 4; ++j)
        numbers.set(j, s.rows[(step + j / 2 * 4) * s.layout.row + first_rank + lane_group + j % 2 * 8]);
#pragma unroll
      for (int j = 0; j < 2; ++j) grads.set(j, grad_raw[(step + j * 4) * kRow + lane_group]);
      multiply_add(sums, numbers, grads);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n)
      s.weight_parts[unit * kSize + (lane_group + n / 2 * 8) * kChannels + lane * 2 + n % 2] = sums[n];
  }
  // Of one rank and channel.
  __device__ static float sum(const Storage& s, int rank, int channel) {
    const int first = rank / kRanks * kParts * kSize + rank % kRanks * kChannels + channel;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum += s.weight_parts[first + i * kSize];
    return sum;
  }
};

// The gradient of the projected numbers of dt, of one tile: grad_raw (steps, channels) by the dt weights
// (channels, ranks), added to grad_dt_rows, on the tensor cores. A warp takes 16 steps and 8 ranks.
struct RowGradients {
  static constexpr int kSteps = 16, kRanks = 8;
  __device__ static int units(int rank) { return (rank + kRanks - 1) / kRanks * (kTile / kSteps); }

  __device__ static void add(const Storage& s, const Shared<float>& grad_raw,
                             const DirectionParameters& parameters, int unit) {
    const int lane_group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
    const int first_step = unit % (kTile / kSteps) * kSteps, first_rank = unit / (kTile / kSteps) * kRanks;
    Split<float, 4> grads;
    Split<float, 2> weights;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      grads.set(j, grad_raw[(first_step + lane_group + j % 2 * 8) * kRow + lane + j / 2 * 4]);
#pragma unroll
    for (int j = 0; j < 2; ++j)
      weights.set(j, parameters.values[parameters.dt_weight(lane + j * 4) + first_rank + lane_group]);
    float sums[4] = {};
    multiply_add(sums, grads, weights);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int rank = first_rank + lane * 2 + n % 2, step = first_step + lane_group + n / 2 * 8;
      if (rank < s.layout.rank) s.grad_dt_rows[rank * kTile + step] += sums[n];
    }
  }
};

template <class Memory>
__host__ __device__ Storage::Storage(Memory& memory, const Ss2d& p, bool one_group)
    : layout(p, one_group),
      values(memory),
      pixels(memory),
      step_sums(memory.template take<float>(ShortRuns::kWarps * 2 * kChannels, "step_sums")),
      starts(memory.template take<float>(2 * TwoChains::kCount, "starts")),
      offsets(memory.template take<int64_t>(kOffsets, "offsets")),
      parameters(memory.template take<float>(2 * DirectionParameters::size(layout), "parameters")),
      rows(memory.template take<float>(kTile * layout.row, "rows")),
      grad_dt_rows(memory.template take<float>(kTile * layout.rank, "grad_dt_rows")),
      weight_parts(memory.template take<float>(WeightGradients::floats(layout.rank), "weight_parts")) {}

// Adds up dB or dC of the block's channels into its part of one tile; `part` is at B or C of pixel 0, and
// `pitch` leads to the next pixel.
__device__ inline void write_matrix(const Place<ShortRuns>& at, const MatrixGradients::Values& values,
                                    const Ss2d& p, const PixelTable& pixels, int tile, int group, float* part,
                                    int pitch, bool accumulate) {
  const ChannelSums sums(at, values);
  const int pixel = pixels.at(tile, at.step(sums.step));
  if (pixel < 0) return;
#pragma unroll
  for (int j = 0; j < ChannelSums::kCount; ++j) {
    const int state = group * kGroup + sums.state + j;
    if (state >= p.state) continue;
    float* to = part + int64_t(pixel) * pitch + state;
    *to = accumulate ? *to + sums.values[j] : sums.values[j];
  }
}

// What a block of the gradient kernel has: one tile of steps and a part of the channels.
struct Position {
  int tile, part, batch;
  __device__ Position(const Arguments& arguments, int64_t block) {
    const int64_t tiles = divide_up(arguments.p.length(), kTile);
    tile = int(block % tiles);
    part = int(block / tiles % arguments.parts);
    batch = int(block / (tiles * arguments.parts));
  }
  // What follows from these numbers does not wait in registers.
  __device__ Position anew() const {
    Position position = *this;
    position.tile = computed_anew(tile);
    position.batch = computed_anew(batch);
    return position;
  }
};

// The sum over the steps that a warp's lanes have of one channel.
__device__ inline float sum_steps_of_warp(float value) {
#pragma unroll
  for (int lanes = kChannels; lanes < 32; lanes *= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
  return value;
}

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(ShortRuns::kThreads, 1) gradient_kernel(Arguments arguments) {
  static_assert(ShortRuns::kItems == 1);
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p, kOneGroup);
  const Position position(arguments, blockIdx.x);
  const Rows rows(p);
  const int direction = arguments.direction, groups = s.layout.state_padded / kGroup;
  const int tiles = int(divide_up(p.length(), kTile)), saved = tiles - 1;
  const int pitch = kDirections * int(p.projected());
  const auto projected_part = [&] {
    const Position here = position.anew();
    return arguments.projected_parts + (here.part * p.batch + here.batch) * p.length() * pitch +
           direction * p.projected();
  };

  const int dim = int(p.dim), channel_tiles = (dim + kChannels - 1) / kChannels;
  const int first_tile = position.part * arguments.tiles_per_part;
  const int end_tile = first_tile + arguments.tiles_per_part < channel_tiles
                           ? first_tile + arguments.tiles_per_part
                           : channel_tiles;

  for (int i = threadIdx.x; i < kTile * s.layout.row; i += ShortRuns::kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += ShortRuns::kThreads) s.grad_dt_rows[i] = 0.0f;
  if (threadIdx.x == 0) {
    const int64_t sequence = direction * p.batch + position.batch, of_states = p.state * p.dim;
    s.offsets[kImage] = position.batch * p.length() * p.dim;
    s.offsets[kStates] = (sequence * saved + position.tile - 1) * of_states;
    s.offsets[kAdjoint] = (sequence * saved + position.tile) * of_states;
    s.offsets[kTileRows] = (int64_t(position.batch) * tiles + position.tile) * rows.count() * p.dim;
  }
  s.pixels.fill(p, direction, position.tile);
  __syncthreads();
  s.layout.fetch<ShortRuns::kThreads>(
      static_cast<const float*>(p.projected_x) +
          (position.batch * p.length() * kDirections + direction) * p.projected_row(),
      s.pixels, position.tile, s.rows);

  // What the tile of channels needs is on its way while that before is in use: parameters to shared memory,
  // and of the thread's one step of one channel, x and dy to registers.
  float next_u = 0, next_dy = 0;
  const auto fetch = [&](int channel_tile) {
    const int size = DirectionParameters::size(s.layout), to = (channel_tile & 1) * size;
    const float* from = at_row(arguments.parameters, direction * channel_tiles + channel_tile, size);
#pragma unroll 1
    for (int i = 4 * threadIdx.x; i < size; i += 4 * ShortRuns::kThreads)
      copy_async<4>(s.parameters, to + i, from + i);
    copy_async_commit();
    const PixelItem<ShortRuns> item(computed_anew(threadIdx.x), 0);
    const int pixel = s.pixels.at(computed_anew(position.tile), item.step);
    const int channel = channel_tile * kChannels + item.channel;
    next_u = next_dy = 0;
    if (channel < dim && pixel >= 0) {
      const int64_t offset = s.offsets[kImage] + channel;
      next_u = to_float(*at_row(static_cast<const T*>(p.x) + offset, pixel, dim));
      next_dy = *at_row(static_cast<const float*>(p.grad_out) + offset, pixel, dim);
    }
  };
  fetch(first_tile);

  MatrixGradients matrices;
  matrices.clear();
#pragma unroll 1
  for (int channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const int first_channel = channel_tile * kChannels;
    const DirectionParameters parameters(
        s.parameters + (channel_tile & 1) * DirectionParameters::size(s.layout), s.layout);
    copy_async_wait<0>();
    __syncthreads();
    const float u = next_u;
    float slope = 0;
    {
      const PixelItem<ShortRuns> item(0);
      const bool inside = first_channel + item.channel < dim && s.pixels.at(position.tile, item.step) >= 0;
      float raw[1];
      parameters.expand_dt<0>(s.rows, s.layout, item.step, item.channel, raw);
      const Softplus softplus = softplus_with_derivative(raw[0]);
      const float dt = inside ? softplus.value : 0.0f;
      slope = inside ? softplus.derivative : 0.0f;
      s.values.dt[item.value()] = dt;
      s.values.dt_u[item.value()] = dt * u;
      s.values.grad_y[item.value()] = next_dy;
    }
    __syncthreads();

    float before = 0;  // in the gradient of x
#pragma unroll 1
    for (int group = 0; group < groups; ++group) {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      const Matrix B = s.layout.B(s.rows), C = s.layout.C(s.rows);
      // Between this tile and its neighbours: here when the local passes are done.
      {
        const TwoChains chain(computed_anew(threadIdx.x));
        const int state = group * kGroup + chain.state, tile = computed_anew(position.tile);
        if (chain.active && state < int(p.state) && first_channel + chain.channel < dim &&
            (chain.adjoint ? tile < saved : tile > 0)) {
          const float* between = chain.adjoint ? arguments.adjoint : static_cast<const float*>(p.states);
          const int64_t offset = s.offsets[chain.adjoint ? kAdjoint : kStates];
          copy_async<1>(s.starts, threadIdx.x,
                        at_row(between + offset + first_channel + chain.channel, state, dim));
        } else if (chain.active) {
          s.starts[threadIdx.x] = 0.0f;
        }
        copy_async_commit();
      }
      BackwardTile backward;
      backward.local(at, s.values, B, C, parameters.rates, group);
      copy_async_wait<0>();
      __syncthreads();
      TwoChains(computed_anew(threadIdx.x)).run(s.values, s.starts);
      __syncthreads();
      backward.gradients<false>(at, s.values, B, C, parameters.rates, group, matrices, s.values.dt);

      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        const int tile = computed_anew(position.tile);
        float* to = projected_part() + p.rank;
        write_matrix(at, matrices.B, p, s.pixels, tile, group, to, pitch, accumulate);
        write_matrix(at, matrices.C, p, s.pixels, tile, group, to + p.state, pitch, accumulate);
        matrices.clear();
      }
      if (direction > 0 && group == groups - 1) {
        const PixelItem<ShortRuns> item(computed_anew(threadIdx.x), 0);
        const int pixel = s.pixels.at(computed_anew(position.tile), item.step);
        if (first_channel + item.channel < dim && pixel >= 0)
          before = *at_row(arguments.grad_x + s.offsets[kImage] + first_channel + item.channel, pixel, dim);
      }
      __syncthreads();

      const TwoChains chain(computed_anew(threadIdx.x));
      const int state = group * kGroup + chain.state;
      if (!chain.adjoint && state < int(p.state) && first_channel + chain.channel < dim)
        *at_row(arguments.tile_rows + s.offsets[kTileRows] + first_channel + chain.channel, state, dim) =
            sum_warps(s.values.warps.decay, chain.channel, chain.state);
      if (group < groups - 1) __syncthreads();
    }

    {
      const PixelItem<ShortRuns> item(computed_anew(threadIdx.x), 0);
      const int pixel = s.pixels.at(computed_anew(position.tile), item.step);
      const int channel = first_channel + item.channel;
      const float input = s.values.state_input[item.value()], dy = s.values.grad_y[item.value()];
      const float grad_raw = fmaf(u, input, float(s.values.state_decay[item.value()])) * slope;
      s.values.state_decay[item.value()] = grad_raw;
      if (channel < dim && pixel >= 0) {
        const float skip = parameters.values[parameters.D(item.channel)];
        *at_row(arguments.grad_x + s.offsets[kImage] + channel, pixel, dim) =
            before + fmaf(float(s.values.dt[item.value()]), input, skip * dy);
      }
      // Sums over the four steps of the warp: of the bias, of D.
      const float of_bias = sum_steps_of_warp(grad_raw), of_D = sum_steps_of_warp(dy * u);
      const int lane = threadIdx.x % 32;
      if (lane < 2 * kChannels)
        s.step_sums[threadIdx.x / 32 * 2 * kChannels + lane] = lane < kChannels ? of_bias : of_D;
    }
    __syncthreads();

    // state_decay now has the gradient of dt before softplus. Its products with the projected numbers, summed
    // over steps, and with the weights, summed over channels, are shared out among the warps.
    const int weight_units = WeightGradients::rank_tiles(s.layout.rank) * WeightGradients::kParts;
    const int units = weight_units + RowGradients::units(s.layout.rank);
#pragma unroll 1
    for (int unit = threadIdx.x / 32; unit < units; unit += ShortRuns::kWarps)
      if (unit < weight_units)
        WeightGradients::multiply(s, s.values.state_decay, unit);
      else
        RowGradients::add(s, s.values.state_decay, parameters, unit - weight_units);
    if (channel_tile + 1 < end_tile) fetch(channel_tile + 1);
    __syncthreads();
    const int outputs = kChannels * (s.layout.rank + 2);
#pragma unroll 1
    for (int output = threadIdx.x; output < outputs; output += ShortRuns::kThreads) {
      const int channel = output % kChannels, r = output / kChannels;
      float sum = 0;
      if (r < s.layout.rank) {
        sum = WeightGradients::sum(s, r, channel);
      } else {
#pragma unroll 4
        for (int i = 0; i < ShortRuns::kWarps; ++i)
          sum += s.step_sums[(2 * i + r - s.layout.rank) * kChannels + channel];
      }
      if (first_channel + channel < dim)
        *at_row(arguments.tile_rows + s.offsets[kTileRows] + first_channel + channel, int(rows.weight()) + r,
                dim) = sum;
    }
  }
  __syncthreads();

  float* to = projected_part();
  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += ShortRuns::kThreads) {
    const int pixel = s.pixels.at(position.tile, i % kTile);
    if (pixel >= 0) to[int64_t(pixel) * pitch + i / kTile] = s.grad_dt_rows[i];
  }
}

constexpr int kFinishThreads = 256;

// The parameters of each direction and tile of channels, as the gradient kernel wants them.
__global__ void __launch_bounds__(kFinishThreads) pack_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  const ProjectedRows layout(p, p.state <= kGroup);
  const int size = DirectionParameters::size(layout), tiles = int(divide_up(p.dim, kChannels));
  const int64_t index = int64_t(blockIdx.x) * kFinishThreads + threadIdx.x;
  if (index >= int64_t(kDirections) * tiles * size) return;
  const int tile = int(index / size);
  arguments.parameters[index] = DirectionParameters(Shared<float>{}, layout)
                                    .number(p, tile / tiles, tile % tiles * kChannels, int(index % size));
}

// Sums over images, each direction's gradients to their own arrays.
__global__ void __launch_bounds__(kFinishThreads) finish_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  const Rows rows(p);
  const int64_t index = int64_t(blockIdx.x) * kFinishThreads + threadIdx.x, numbers = rows.count() * p.dim;
  if (index >= kDirections * numbers) return;
  const int64_t direction = index / numbers, row = index % numbers / p.dim;
  const int64_t parameter = direction * p.dim + index % p.dim;
  const float* image_rows = arguments.image_rows + direction * p.batch * numbers + index % numbers;
  float sum = 0;
  for (int64_t b = 0; b < p.batch; ++b) sum += image_rows[b * numbers];
  if (row < p.state) {
    const int64_t to = parameter * p.state + row;
    // A = -exp(A_logs) is its own derivative.
    static_cast<float*>(p.grad_A_logs)[to] = -sum * expf(static_cast<const float*>(p.A_logs)[to]);
  } else if (row < rows.bias()) {
    static_cast<float*>(p.grad_dt_projs_weight)[parameter * p.rank + row - rows.weight()] = sum;
  } else {
    static_cast<float*>(row == rows.bias() ? p.grad_dt_projs_bias : p.grad_Ds)[parameter] = sum;
  }
}

// The scans' gradients of one direction.
const char* run_direction(Arguments arguments, int direction, Stream stream) {
  const Ss2dBackward& p = arguments.p;
  const int64_t tiles = arguments.tiles(), rows = Rows(p).count() * p.dim;
  arguments.direction = direction;
  SharedSize size;
  Storage(size, p, p.state <= kGroup);
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) {
      return launch(gradient_kernel<decltype(element), one_group>, p.batch * arguments.parts * tiles,
                    ShortRuns::kThreads, size.bytes(), stream, arguments);
    });
  });
  if (error) return error;
  float* image_rows = arguments.image_rows + direction * p.batch * rows;
  return sum_parts({p.batch, tiles, rows, Type::kFloat32, arguments.tile_rows, image_rows}, stream);
}

// What the gradient of the projected numbers means for x and the projections' weights.
const char* run_products(const Arguments& arguments, int multiprocessors, Stream stream) {
  const Ss2dBackward& p = arguments.p;
  const int64_t pixels = arguments.pixels(), numbers = arguments.numbers();
  MatrixProduct of_weights{};
  of_weights.rows = numbers, of_weights.columns = p.dim, of_weights.inner = pixels;
  of_weights.type = p.type, of_weights.left = arguments.grad_projected_x, of_weights.right = p.x;
  of_weights.out = p.grad_x_proj_weight, of_weights.parts = arguments.product_parts;
  if (const char* error = multiply_tn(of_weights, multiprocessors, stream)) return error;

  MatrixProduct of_x{};
  of_x.rows = pixels, of_x.columns = p.dim, of_x.inner = numbers;
  of_x.type = p.type, of_x.left = arguments.grad_projected_x, of_x.right = p.x_proj_weight;
  of_x.add = arguments.grad_x, of_x.out = p.grad_x, of_x.parts = arguments.product_parts;
  return multiply_nn(of_x, multiprocessors, stream);
}

}  // namespace

int64_t ss2d_backward_workspace(const Ss2d& p, int multiprocessors) {
  Arguments arguments{};
  static_cast<Ss2d&>(arguments.p) = p;
  return arguments.place(multiprocessors);
}

const char* ss2d_backward(const Ss2dBackward& p, int multiprocessors, Stream stream) {
  if (const char* error = check_image(p)) return error;
  Arguments arguments{};
  arguments.p = p;
  arguments.place(multiprocessors);
  const char* error = nullptr;
  if (arguments.tiles() > 1) {
    SharedSize size;
    AdjointStorage(size, p, p.state <= kGroup);
    error = for_groups(p.state, [&](auto one_group) {
      return launch(adjoint_kernel<one_group>, kDirections * p.batch * divide_up(p.dim, kChannels),
                    LongRuns::kThreads, size.bytes(), stream, arguments);
    });
  }
  if (!error)
    error = launch(pack_kernel,
                   divide_up(kDirections * divide_up(p.dim, kChannels) *
                                 DirectionParameters::size(ProjectedRows(p, p.state <= kGroup)),
                             kFinishThreads),
                   kFinishThreads, 0, stream, arguments);
  for (int direction = 0; direction < kDirections && !error; ++direction)
    error = run_direction(arguments, direction, stream);
  if (error) return error;
  const int64_t parameters = kDirections * Rows(p).count() * p.dim;
  error = launch(finish_kernel, divide_up(parameters, kFinishThreads), kFinishThreads, 0, stream, arguments);
  if (!error && arguments.parts > 1)
    error = sum_parts({1, arguments.parts, arguments.pixels() * arguments.numbers(), Type::kFloat32,
                       arguments.projected_parts, arguments.grad_projected_x},
                      stream);
  return error ? error : run_products(arguments, multiprocessors, stream);
}

}  // namespace swin_umamba::cuda
