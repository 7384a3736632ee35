// ss2d, backward. A first pass runs the adjoint alone, from the end of each direction, for its values between
// tiles. Then every tile is on its own: a block has one tile of steps and goes through many channels, so that
// the sums over channels of dB and dC stay in registers. The directions follow one another and add to the
// same gradient of x, or run at once where there are few blocks, and their gradients are added. Two matrix
// products bring the gradient of the projected numbers back to x and to the weights.
#include "scan_tile_backward.h"
#include "ss2d_tile.h"

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

// How the gradient kernel is launched: how many tiles of channels a block goes through, and how many
// directions run at once. One block fits on a multiprocessor, so the time is that of the waves of blocks
// times their length, a tile more for what a block does once. The fewer parts the less is written, and the
// least with one direction after the other: more must save a tenth. All directions at once take more memory,
// too, and only where one alone has few blocks.
struct Division {
  int tiles_per_part, directions;
};
inline Division best_division(int64_t channel_tiles, int64_t blocks_of_part, int multiprocessors) {
  constexpr int kMost = 24;
  const bool few = divide_up(channel_tiles, kMost) * blocks_of_part < 2 * multiprocessors;
  Division best{};
  double least = 0;
  for (int directions = 1; directions <= (few ? kDirections : 1); directions += kDirections - 1)
    for (int tiles = kMost; tiles >= 3; tiles /= 2) {
      const int64_t blocks = divide_up(channel_tiles, tiles) * blocks_of_part * directions;
      const int64_t waves = divide_up(blocks, multiprocessors) * (kDirections / directions);
      const double time = double(waves) * ((tiles < channel_tiles ? tiles : channel_tiles) + 1);
      if (least == 0 || time < 0.9 * least) best = {tiles, directions}, least = time;
    }
  return best;
}

struct Arguments {
  Ss2dBackward p;
  ProjectedRows layout;
  int length, x_bytes, y_bytes, grad_bytes;  // of a pixel; the last of the projected numbers' gradients
  int direction, directions;                 // of this launch: the first, and how many
  int tiles_per_part, parts;                 // of channels
  float* grad_x;                             // (B, H*W, D): the scans' part
  float* direction_grads[kDirections];       // of one direction each, or all the same
  float* grad_projected_x;                   // (B, H*W, 4, R+2N)
  float* adjoint;                            // (4, B, tiles - 1, N, D): before the last tile, after each
  float* projected_parts;                    // (parts, B, H*W, 4, R+2N): the sum's own place if
                                             // there is one part
  float* parameters;                         // (4, channel tiles, DirectionParameters::size)
  float* tile_rows;                          // (directions, B, tiles, rows, D) of a launch
  float* image_rows;                         // (4, B, rows, D)
  float* product_parts;                      // of the matrix products, in the place of what the
                                             // scans needed

  explicit Arguments(const Ss2dBackward& problem)
      : p(problem),
        layout(p),
        length(int(p.length())),
        x_bytes(int(p.dim) * (p.type == Type::kFloat32 ? 4 : 2)),
        y_bytes(int(p.dim) * 4),
        grad_bytes(int(numbers()) * 4),
        direction(0),
        directions(1) {}

  int64_t tiles() const { return divide_up(p.length(), kTile); }
  int64_t pixels() const { return p.batch * p.length(); }
  constexpr int64_t numbers() const { return kDirections * p.projected(); }

  // Takes the arrays from the workspace; returns how many floats they are.
  int64_t place(int multiprocessors) {
    const int64_t channel_tiles = divide_up(p.dim, kChannels), rows = Rows(p).count();
    const Division division = best_division(channel_tiles, p.batch * tiles(), multiprocessors);
    tiles_per_part = division.tiles_per_part, directions = division.directions;
    parts = int(divide_up(channel_tiles, tiles_per_part));
    Workspace<float> workspace{static_cast<float*>(p.workspace)};
    // First, as it is copied 16 bytes at a time.
    parameters = workspace.take(kDirections * channel_tiles * DirectionParameters::size(layout));
    grad_projected_x = workspace.take(pixels() * numbers());
    grad_x = p.type == Type::kFloat32 ? static_cast<float*>(p.grad_x) : workspace.take(pixels() * p.dim);
    Workspace<float> products = workspace;
    product_parts = products.take(larger(product_workspace(pixels(), p.dim, numbers(), multiprocessors),
                                         product_workspace(numbers(), p.dim, pixels(), multiprocessors)));
    adjoint = workspace.take(kDirections * p.batch * (tiles() - 1) * p.state * p.dim);
    projected_parts = parts == 1 ? grad_projected_x : workspace.take(parts * pixels() * numbers());
    tile_rows = workspace.take(directions * p.batch * tiles() * rows * p.dim);
    for (float*& grads : direction_grads) grads = directions == 1 ? grad_x : workspace.take(pixels() * p.dim);
    image_rows = workspace.take(kDirections * p.batch * rows * p.dim);
    return larger(workspace.used, products.used);
  }

 private:
  static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
};

struct AdjointStorage {
  Shared<float> dt, grad_y;
  WarpStates<LongRuns> warps;
  PixelTable pixels;
  Shared<int64_t> offsets;  // of the direction in projected_x and in `adjoint`
  Shared<float> carry;
  RowBuffer rows;  // of two tiles
  DirectionParameters parameters;

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const ProjectedRows& layout)
      : dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        pixels(memory),
        offsets(memory.template take<int64_t>(2, "offsets")),
        carry(memory.template take<float>(layout.state_padded * kChannels, "carry")),
        rows(memory, layout, 2),
        parameters(memory.template take<float>(DirectionParameters::size(layout), "parameters"), layout) {}
};

template <bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) adjoint_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const ProjectedRows layout = arguments.layout.known<kOneGroup>();
  const AdjointStorage s(memory, layout);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int direction = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t saved = saved_states(p.length());
  const int groups = layout.state_padded / kGroup;
  const int read_channel = channels.read(Place<LongRuns>(threadIdx.x).channel);
  const float* grad_out =
      static_cast<const float*>(p.grad_out) + channels.batch * p.length() * p.dim + read_channel;
  TileReader<float> reader{s.pixels,  s.rows,   static_cast<const float*>(p.projected_x),
                           s.offsets, grad_out, arguments.y_bytes,
                           {},        {}};

  s.rows.clear(2);
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
  if (threadIdx.x == 0) {
    s.offsets[0] = (channels.batch * p.length() * kDirections + direction) * p.projected_row();
    s.offsets[1] = (direction * p.batch + channels.batch) * saved * p.state * p.dim + channels.first;
  }
  s.parameters.load(p, channels, direction, DirectionParameters::size(layout));
  s.pixels.fill(p, direction, saved);
  __syncthreads();
  reader.fetch(Place<LongRuns>(threadIdx.x), int(saved));
  s.pixels.fill(p, direction, saved - 1);

  // The first tile's own adjoint is of no use.
  for (int tile = int(saved); tile > 0; --tile) {
    const Place<LongRuns> at(computed_anew(threadIdx.x));
    float grad_y[LongRuns::kItems], dt[LongRuns::kItems];
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i)
      grad_y[i] = tile * kTile + at.item_step(i) < arguments.length ? reader.next[i] : 0.0f;
    copy_async_wait<0>();
    __syncthreads();

    if (tile > 1) {
      reader.fetch(at, tile - 1);
      s.pixels.fill(p, direction, tile - 2);
    }
    const RowBuffer rows(s.rows, tile & 1);
    s.parameters.expand_dt(rows, at, dt);
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) dt[i] = softplus_with_derivative(dt[i]).value;
    store_items(s.dt, at, dt);
    store_items(s.grad_y, at, grad_y);
    __syncwarp();

    for (int group = 0; group < groups; ++group) {
      local_adjoint_only(at, s.dt, s.grad_y, layout.C<kOneGroup>(rows.matrices), s.parameters.rates, group,
                         s.warps.decay, s.warps.end);
      __syncthreads();
      const Chain chain(computed_anew(threadIdx.x));
      if (chain.active) {
        const float2 v = chain_warps<LongRuns, true>(s.warps.decay, s.warps.end, chain,
                                                     load2(s.carry, chain.index(group)), false);
        store2(s.carry, chain.index(group), v);
        const int state = group * kGroup + chain.state;
        if (chain.channel < channels.count) {
          float* to = at_row(arguments.adjoint + s.offsets[1] + chain.channel,
                             (tile - 1) * layout.state + state, int(p.dim));
          if (state < layout.state) *to = v.x;
          if (state + 1 < layout.state) to[p.dim] = v.y;
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
  Shared<float> grad_raw;  // of dt before softplus
  PixelTable pixels;
  StepSums step_sums;       // of the bias and of D
  Shared<int64_t> offsets;  // by Offset
  RowBuffer rows;
  Shared<float> parameters;    // DirectionParameters of two tiles
  Shared<float> grad_dt_rows;  // [rank][step]
  Shared<float> weight_parts;  // of WeightGradients

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const ProjectedRows& layout);
};

// The gradient of the dt weights, of one tile: grad_raw (channels, steps) by the projected numbers (steps,
// ranks), on the tensor cores. A warp takes eight ranks and a quarter of the steps.
struct WeightGradients {
  static constexpr int kRanks = ProjectedRows::kRankTile, kParts = 4, kSize = kRanks * kChannels;
  __host__ __device__ static int units(const ProjectedRows& layout) { return layout.rank_tiles * kParts; }

  __device__ static void multiply(const Storage& s, unsigned unit) {
    const int lane_group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4, row = s.rows.layout.dt_row;
    const int rank = unit / kParts * kRanks + lane_group, first_step = unit % kParts * (kTile / kParts);
    const int number = (first_step + lane) * row + rank,
              grad = (first_step / 4 * kChannels + lane_group) * 4 + lane;
    float sums[4] = {};
#pragma unroll
    for (int k = 0; k < kTile / kParts; k += 8) {
      Split<float, 2> numbers, grads;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        numbers.set(j, s.rows.numbers[number + (k + 4 * j) * row]);
        grads.set(j, s.grad_raw[grad + (k + 4 * j) * kChannels]);
      }
      multiply_add_stacked(sums, {grads.big[0], grads.small[0], grads.big[1], grads.small[1]}, numbers);
    }
    store2(s.weight_parts, unit * kSize + lane_group * kRanks + 2 * lane,
           {sums[0] + sums[2], sums[1] + sums[3]});
  }
  // Of one rank and channel.
  __device__ static float sum(const Storage& s, int rank, int channel) {
    const int first = rank / kRanks * kParts * kSize + channel * kRanks + rank % kRanks;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) sum += s.weight_parts[first + i * kSize];
    return sum;
  }
};

// The gradient of the projected numbers of dt, of one tile: grad_raw (steps, channels) by the dt weights
// (channels, ranks), added to grad_dt_rows, on the tensor cores. A warp takes 16 steps and 8 ranks.
struct RowGradients {
  static constexpr int kSteps = 16, kParts = kTile / kSteps;
  __device__ static int units(const ProjectedRows& layout) { return layout.rank_tiles * kParts; }

  __device__ static void add(const Storage& s, const DirectionParameters& parameters, unsigned unit) {
    const int lane_group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
    const int first_step = unit % kParts * kSteps, rank_tile = unit / kParts;
    const int grad = ((first_step + lane_group) / 4 * kChannels + lane) * 4 + lane_group % 4;
    const int weight = parameters.weight(rank_tile, lane, lane_group);
    Split<float, 4> grads;
    Split<float, 2> weights;
#pragma unroll
    for (int j = 0; j < 4; ++j) grads.set(j, s.grad_raw[grad + j % 2 * 8 * kChannels + j / 2 * 16]);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float2 w = load2(parameters.values, weight + j * 64);  // four channels on
      weights.big[j] = w.x, weights.small[j] = w.y;
    }
    float sums[4] = {};
    multiply_add(sums, grads, weights);
    const int rank = rank_tile * ProjectedRows::kRankTile + 2 * lane,
              to = rank * kTile + first_step + lane_group;
#pragma unroll
    for (int n = 0; n < 4; ++n) s.grad_dt_rows[to + n % 2 * kTile + n / 2 * 8] += sums[n];
  }
};

template <class Memory>
__host__ __device__ Storage::Storage(Memory& memory, const ProjectedRows& layout)
    : values(memory),
      grad_raw(memory.template take<float>(kTileSize, "grad_raw")),
      pixels(memory),
      step_sums(memory),
      offsets(memory.template take<int64_t>(kOffsets, "offsets")),
      rows(memory, layout, 1),
      parameters(memory.template take<float>(2 * DirectionParameters::size(layout), "parameters")),
      grad_dt_rows(
          memory.template take<float>(kTile * ProjectedRows::kRankTile * layout.rank_tiles, "grad_dt_rows")),
      weight_parts(memory.template take<float>(WeightGradients::units(layout) * WeightGradients::kSize,
                                               "weight_parts")) {}

// Adds up dB or dC of the block's channels into its part of one tile; `part` is at B or C of pixel 0.
__device__ inline void write_matrix(const Place<ShortRuns>& at, const MatrixGradients::Values& values,
                                    const Arguments& arguments, const PixelTable& pixels, int tile, int group,
                                    float* part, bool accumulate) {
  const ChannelSums sums(at, values);
  const int step = at.step(sums.step);
  if (tile * kTile + step >= arguments.length) return;
#pragma unroll
  for (int j = 0; j < ChannelSums::kCount; ++j) {
    const int state = group * kGroup + sums.state + j;
    if (state >= arguments.layout.state) continue;
    float* to = at_row_of_bytes(part, pixels.at(tile, step), arguments.grad_bytes) + state;
    *to = accumulate ? *to + sums.values[j] : sums.values[j];
  }
}

// What a block of the gradient kernel has: one tile of steps of one direction and a part of the channels.
struct Position {
  int tile, part, batch, launched;  // launched: of the launch's directions
  __device__ Position(const Arguments& arguments, int64_t block) {
    const int64_t tiles = divide_up(arguments.p.length(), kTile);
    tile = int(block % tiles);
    part = int(block / tiles % arguments.parts);
    const int64_t sequence = block / (tiles * arguments.parts);
    batch = int(sequence % arguments.p.batch);
    launched = int(sequence / arguments.p.batch);
  }
  // What follows from these numbers does not wait in registers.
  __device__ Position anew() const {
    Position position = *this;
    position.tile = computed_anew(tile);
    position.batch = computed_anew(batch);
    return position;
  }
};

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(ShortRuns::kThreads, 1) gradient_kernel(Arguments arguments) {
  static_assert(ShortRuns::kItems == 1);
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const ProjectedRows layout = arguments.layout.known<kOneGroup>();
  const Storage s(memory, layout);
  const Position position(arguments, blockIdx.x);
  const Rows rows(p);
  const int direction = arguments.direction + position.launched, groups = layout.state_padded / kGroup;
  const int tiles = int(divide_up(arguments.length, kTile)), saved = tiles - 1;
  const auto projected_part = [&] {
    const Position here = position.anew();
    return arguments.projected_parts + (here.part * p.batch + here.batch) * p.length() * arguments.numbers() +
           direction * p.projected();
  };

  const int dim = int(p.dim), channel_tiles = (dim + kChannels - 1) / kChannels;
  const int first_tile = position.part * arguments.tiles_per_part;
  const int end_tile = first_tile + arguments.tiles_per_part < channel_tiles
                           ? first_tile + arguments.tiles_per_part
                           : channel_tiles;
  const int numbers = kTile * ProjectedRows::kRankTile * layout.rank_tiles;

  s.rows.clear(1);
  for (int i = threadIdx.x; i < numbers; i += ShortRuns::kThreads) s.grad_dt_rows[i] = 0.0f;
  if (threadIdx.x == 0) {
    const int64_t sequence = direction * p.batch + position.batch, of_states = p.state * p.dim;
    s.offsets[kBorders] = (sequence * saved + position.tile - 1) * of_states;
    s.offsets[kBorders + 1] = (sequence * saved + position.tile) * of_states;
    s.offsets[kTileRows] =
        ((position.launched * p.batch + position.batch) * tiles + position.tile) * rows.count() * p.dim;
  }
  s.pixels.fill(p, direction, position.tile);
  __syncthreads();
  s.rows.fetch<ShortRuns::kThreads>(
      static_cast<const float*>(p.projected_x) +
          (position.batch * p.length() * kDirections + direction) * p.projected_row(),
      s.pixels, position.tile);

  // A thread has one step of one channel of each tile of channels. `item` is the place of that in x and what
  // is shaped like it, `left` says how many channels from there on are inside.
  int64_t item;
  int left;
  {
    const Place<ShortRuns> at(threadIdx.x);
    const int step = at.item_step(0), channel = first_tile * kChannels + at.channel;
    item = (position.batch * p.length() + s.pixels.at(position.tile, step)) * p.dim + channel;
    left = position.tile * kTile + step < arguments.length ? dim - channel : 0;
  }
  const bool adds =
      arguments.directions == 1 && direction > 0;  // to what the directions before have left there
  // What the tile of channels needs is on its way while that before is in use: parameters to shared memory,
  // and of the thread's item, x and dy to registers.
  float next_u = 0, next_dy = 0;
  const auto fetch = [&](int channel_tile) {
    const int size = DirectionParameters::size(layout), to = (channel_tile & 1) * size;
    const float* from = at_row(arguments.parameters, direction * channel_tiles + channel_tile, size);
#pragma unroll 1
    for (int i = 4 * threadIdx.x; i < size; i += 4 * ShortRuns::kThreads)
      copy_async<4>(s.parameters, to + i, from + i);
    copy_async_commit();
    next_u = next_dy = 0;
    if (left > 0) {
      next_u = to_float(static_cast<const T*>(p.x)[item]);
      next_dy = static_cast<const float*>(p.grad_out)[item];
    }
  };
  fetch(first_tile);

  MatrixGradients matrices;
  matrices.clear();
#pragma unroll 1
  for (int channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const int first_channel = channel_tile * kChannels;
    const DirectionParameters parameters(
        s.parameters + (channel_tile & 1) * DirectionParameters::size(layout), layout);
    copy_async_wait<0>();
    __syncthreads();
    const float u = next_u;
    float slope;
    {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      float raw[1];
      parameters.expand_dt(s.rows, at, raw);
      const Softplus dt = softplus_with_derivative(raw[0]);
      slope = dt.derivative;
      s.values.dt[at.items()] = dt.value;
      s.values.dt_u[at.items()] = dt.value * u;
      s.values.grad_y[at.items()] = next_dy;
    }
    __syncwarp();

    StateSums sums;
    float before = 0;  // in the gradient of x
#pragma unroll 1
    for (int group = 0; group < groups; ++group) {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      const auto B = layout.B<kOneGroup>(s.rows.matrices), C = layout.C<kOneGroup>(s.rows.matrices);
      // Between this tile and its neighbours: here when the local passes are done.
      float2 start{0, 0};
      const TwoChains border(computed_anew(threadIdx.x));
      if (border.active) {
        const int state = group * kGroup + border.state, tile = computed_anew(position.tile);
        if (first_channel + border.channel < dim && (border.adjoint ? tile < saved : tile > 0)) {
          const float* from = border.adjoint ? arguments.adjoint : static_cast<const float*>(p.states);
          from = at_row(from + s.offsets[kBorders + border.adjoint] + first_channel + border.channel, state,
                        dim);
          if (state < layout.state) start.x = *from;
          if (state + 1 < layout.state) start.y = from[dim];
        }
      }
      BackwardTile backward;
      backward.local(at, s.values, B, C, parameters.rates, group);
      __syncthreads();
      const TwoChains chain(computed_anew(threadIdx.x));
      if (chain.active) {
        chain.run(s.values, start, false);
      }
      __syncthreads();
      if (adds && group == groups - 1 && left > 0)
        before = arguments.direction_grads[position.launched][item];
      backward.gradients<false>(at, s.values, B, C, parameters.rates, group, matrices, sums);

      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        const int tile = computed_anew(position.tile);
        float* to = projected_part() + p.rank;
        write_matrix(at, matrices.B, arguments, s.pixels, tile, group, to, accumulate);
        write_matrix(at, matrices.C, arguments, s.pixels, tile, group, to + p.state, accumulate);
        matrices.clear();
      }
      if (group == groups - 1) {
        const float dy = s.values.grad_y[at.items()];
        const float grad_raw = fmaf(u, sums.input, sums.decay * kLn2) * slope;
        s.grad_raw[at.items()] = grad_raw;
        if (left > 0) {
          const float skip = parameters.values[parameters.D(at.channel)];
          arguments.direction_grads[position.launched][item] =
              before + fmaf(float(s.values.dt[at.items()]), sums.input, skip * dy);
        }
        s.step_sums.add(at, grad_raw, dy * u);
      }
      __syncthreads();

      const Chain rates(computed_anew(threadIdx.x));
      if (rates.active) {
        const int state = group * kGroup + rates.state;
        const float2 sum = sum_warps(s.values.warps.decay, rates);
        if (first_channel + rates.channel < dim) {
          float* to =
              at_row(arguments.tile_rows + s.offsets[kTileRows] + first_channel + rates.channel, state, dim);
          if (state < layout.state) *to = sum.x;
          if (state + 1 < layout.state) to[dim] = sum.y;
        }
      }
      if (group < groups - 1) __syncthreads();
    }

    // The products of the gradient of dt with the projected numbers, summed over steps, and with the weights,
    // summed over channels, are shared out among the warps, from the last on: the first were adding up.
    const unsigned weight_units = WeightGradients::units(layout);
    const unsigned units = weight_units + RowGradients::units(layout);
#pragma unroll 1
    for (unsigned unit = ShortRuns::kWarps - 1 - unsigned(computed_anew(threadIdx.x)) / 32; unit < units;
         unit += ShortRuns::kWarps)
      if (unit < weight_units)
        WeightGradients::multiply(s, unit);
      else
        RowGradients::add(s, parameters, unit - weight_units);
    item += kChannels, left -= kChannels;
    if (channel_tile + 1 < end_tile) fetch(channel_tile + 1);
    __syncthreads();
    const int outputs = kChannels * (layout.rank + 2);
#pragma unroll 1
    for (int output = threadIdx.x; output < outputs; output += ShortRuns::kThreads) {
      const int channel = output % kChannels, r = output / kChannels;
      const float sum =
          r < layout.rank ? WeightGradients::sum(s, r, channel) : s.step_sums.sum(r - layout.rank, channel);
      if (first_channel + channel < dim)
        *at_row(arguments.tile_rows + s.offsets[kTileRows] + first_channel + channel, int(rows.weight()) + r,
                dim) = sum;
    }
  }
  __syncthreads();

  float* to = projected_part();
  for (int i = threadIdx.x; i < kTile * layout.rank; i += ShortRuns::kThreads) {
    const int step = i % kTile;
    if (position.tile * kTile + step < arguments.length)
      at_row_of_bytes(to, s.pixels.at(position.tile, step), arguments.grad_bytes)[i / kTile] =
          s.grad_dt_rows[i];
  }
}

constexpr int kFinishThreads = 256;

// The parameters of each direction and tile of channels, as the gradient kernel wants them.
__global__ void __launch_bounds__(kFinishThreads) pack_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  const ProjectedRows& layout = arguments.layout;
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

// The scans' gradients of the directions of one launch.
const char* run_directions(Arguments arguments, int direction, Stream stream) {
  const Ss2dBackward& p = arguments.p;
  const int64_t tiles = arguments.tiles(), rows = Rows(p).count() * p.dim;
  arguments.direction = direction;
  SharedSize size;
  Storage(size, arguments.layout);
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) {
      return launch(gradient_kernel<decltype(element), one_group>,
                    arguments.directions * p.batch * arguments.parts * tiles, ShortRuns::kThreads,
                    size.bytes(), stream, arguments);
    });
  });
  if (error) return error;
  float* image_rows = arguments.image_rows + direction * p.batch * rows;
  return sum_parts(
      {arguments.directions * p.batch, tiles, rows, Type::kFloat32, arguments.tile_rows, image_rows}, stream);
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
  Ss2dBackward problem{};
  static_cast<Ss2d&>(problem) = p;
  return Arguments(problem).place(multiprocessors);
}

const char* ss2d_backward(const Ss2dBackward& p, int multiprocessors, Stream stream) {
  if (const char* error = check_image(p)) return error;
  if (reinterpret_cast<uintptr_t>(p.projected_x) % 16)
    return "ss2d's projected_x must begin at a multiple of 16 bytes, as ss2d gives it; clone it";
  Arguments arguments(p);
  arguments.place(multiprocessors);
  const char* error = nullptr;
  if (arguments.tiles() > 1) {
    SharedSize size;
    AdjointStorage(size, arguments.layout);
    error = for_groups(p.state, [&](auto one_group) {
      return launch(adjoint_kernel<one_group>, kDirections * p.batch * divide_up(p.dim, kChannels),
                    LongRuns::kThreads, size.bytes(), stream, arguments);
    });
  }
  if (!error)
    error = launch(
        pack_kernel,
        divide_up(kDirections * divide_up(p.dim, kChannels) * DirectionParameters::size(arguments.layout),
                  kFinishThreads),
        kFinishThreads, 0, stream, arguments);
  for (int direction = 0; direction < kDirections && !error; direction += arguments.directions)
    error = run_directions(arguments, direction, stream);
  if (!error && arguments.directions > 1)
    error = sum_parts({1, arguments.directions, arguments.pixels() * p.dim, Type::kFloat32,
                       arguments.direction_grads[0], arguments.grad_x},
                      stream);
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
