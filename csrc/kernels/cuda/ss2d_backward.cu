// ss2d, backward, down to the gradient of the projected pixels. A first pass runs the adjoint alone, from
// the end of each direction, for its values between tiles. Then every tile is on its own: a block has one
// tile of steps and goes through many channels, so that the sums over channels of dB and dC stay in
// registers. The directions follow one another and add to the same gradient of x.
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

struct Arguments {
  Ss2dBackward p;
  int direction;
  int64_t tiles_per_part, parts;  // of channels
  float* adjoint;                 // (4, B, tiles - 1, N, D): before the last tile, after each
  float* projected_parts;         // (parts, B, H*W, R+2N), one direction
  float* grad_projected_x;        // (B, H*W, 4, R+2N)
  float* tile_rows;               // (B, tiles, rows, D), one direction
  float* image_rows;              // (B, rows, D), one direction

  int64_t tiles() const { return divide_up(p.length(), kTile); }

  // Takes the arrays from `workspace`; returns how many floats they are.
  int64_t place(float* workspace, int multiprocessors) {
    const int64_t channel_tiles = divide_up(p.dim, kChannels), rows = Rows(p).count();
    // The fewer parts the less is written, but two blocks for each multiprocessor come first.
    for (tiles_per_part = 24; tiles_per_part > 6; tiles_per_part /= 2)
      if (divide_up(channel_tiles, tiles_per_part) * p.batch * tiles() >= 2 * multiprocessors) break;
    parts = divide_up(channel_tiles, tiles_per_part);
    int64_t used = 0;
    const auto take = [&](int64_t count) {
      float* array = workspace + used;
      used += count;
      return array;
    };
    adjoint = take(kDirections * p.batch * (tiles() - 1) * p.state * p.dim);
    projected_parts = take(parts * p.batch * p.length() * p.projected());
    tile_rows = take(p.batch * tiles() * rows * p.dim);
    image_rows = take(p.batch * rows * p.dim);
    return used;
  }
};

struct AdjointStorage {
  ProjectedRows layout;
  Shared<float> dt, grad_y;
  WarpStates warps;
  PixelTable pixels;
  Shared<float> carry, rows;  // rows: of two tiles
  DirectionParameters parameters;

  template <class Memory>
  __host__ __device__ AdjointStorage(Memory& memory, const Ss2d& p)
      : layout(p),
        dt(memory.template take<float>(kTileSize, "dt")),
        grad_y(memory.template take<float>(kTileSize, "grad_y")),
        warps(memory),
        pixels(memory),
        carry(memory.template take<float>(layout.state_padded * kChannels, "carry")),
        rows(memory.template take<float>(2 * kTile * layout.row, "rows")),
        parameters(memory, layout) {}
};

__global__ void __launch_bounds__(kThreads, 2) adjoint_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p);
  const Place at(threadIdx.x);
  const Chain chain(threadIdx.x);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int direction = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t sequence = direction * p.batch + channels.batch, saved = saved_states(p.length(), kCudaChunk);
  const float* grad_out =
      static_cast<const float*>(p.grad_out) + channels.batch * p.length() * p.dim + channels.first;
  const float* projected = static_cast<const float*>(p.projected_x) +
                           (channels.batch * p.length() * kDirections + direction) * p.projected();
  const int groups = s.layout.state_padded / kGroup;
  const int item_channel = PixelItem(0).channel;
  const bool channel_inside = item_channel < channels.count;
  const float bias =
      channel_inside
          ? static_cast<const float*>(p.dt_projs_bias)[direction * p.dim + channels.first + item_channel]
          : 0.0f;

  float next_grad[kItems];
  bool next_inside[kItems];
  const auto fetch = [&](int64_t tile) {
    s.layout.fetch(projected, s.pixels, tile, s.rows + int(tile & 1) * kTile * s.layout.row);
    copy_async_commit();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int pixel = s.pixels.at(tile, PixelItem(i).step);
      next_inside[i] = channel_inside && pixel >= 0;
      next_grad[i] = next_inside[i] ? grad_out[pixel * p.dim + item_channel] : 0.0f;
    }
  };

  for (int i = threadIdx.x; i < 2 * kTile * s.layout.row; i += kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += kThreads) s.carry[i] = 0.0f;
  s.parameters.load(p, channels, direction);
  s.pixels.fill(p, direction, saved);
  __syncthreads();
  fetch(saved);
  s.pixels.fill(p, direction, saved - 1);

  // The first tile's own adjoint is of no use.
  for (int64_t tile = saved; tile > 0; --tile) {
    float item_grad[kItems];
    bool inside[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      item_grad[i] = next_grad[i];
      inside[i] = next_inside[i];
    }
    copy_async_wait<0>();
    __syncthreads();

    if (tile > 1) fetch(tile - 1);
    const Shared<float> rows = s.rows + int(tile & 1) * kTile * s.layout.row;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const PixelItem item(i);
      const float raw = s.parameters.expand_dt(rows, s.layout, item) + bias;
      s.dt[item.value()] = inside[i] ? softplus_with_derivative(raw).value : 0.0f;
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
        const float v =
            chain_warps<true>(s.warps.decay, s.warps.end, chain.channel, chain.state, s.carry[index]);
        s.carry[index] = v;
        if (state < p.state && chain.channel < channels.count)
          arguments.adjoint[((sequence * saved + tile - 1) * p.state + state) * p.dim + channels.first +
                            chain.channel] = v;
      }
      __syncthreads();
    }
  }
}

struct Storage {
  ProjectedRows layout;
  BackwardValues values;
  PixelTable pixels;
  Shared<float> rows, grad_dt_rows;  // grad_dt_rows: [rank][step]
  DirectionParameters parameters;

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const Ss2d& p)
      : layout(p),
        values(memory),
        pixels(memory),
        rows(memory.template take<float>(kTile * layout.row, "rows")),
        grad_dt_rows(memory.template take<float>(kTile * layout.rank, "grad_dt_rows")),
        parameters(memory, layout) {}
};

// Adds up dB or dC of the block's channels into its part of one tile, whose pixels are rows of R+2N;
// `part` is at B or C of pixel 0.
__device__ inline void write_matrix(const Place& at, const float (&values)[kSteps][kStates], const Ss2d& p,
                                    int group, int pixel, float* part, bool accumulate) {
  float sums[kStates];
  sum_channels(values, at.channel, sums);
  if (pixel < 0) return;
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    const int state = group * kGroup + at.quarter * kStates + j;
    if (state >= p.state) continue;
    float* to = part + pixel * p.projected() + state;
    *to = accumulate ? *to + sums[j] : sums[j];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) gradient_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p);
  const Place at(threadIdx.x);
  const TwoChains chain;
  const Rows rows(p);
  const int direction = arguments.direction;
  const int groups = s.layout.state_padded / kGroup;
  const int64_t tiles = divide_up(p.length(), kTile), saved = tiles - 1;
  const int64_t tile = blockIdx.x % tiles, part = blockIdx.x / tiles % arguments.parts;
  const int64_t batch = blockIdx.x / (tiles * arguments.parts), sequence = direction * p.batch + batch;
  const int64_t image = batch * p.length() * p.dim;
  const float* projected = static_cast<const float*>(p.projected_x) +
                           (batch * p.length() * kDirections + direction) * p.projected();
  const float* states = static_cast<const float*>(p.states);
  float* projected_part = arguments.projected_parts + (part * p.batch + batch) * p.length() * p.projected();
  float* tile_rows = arguments.tile_rows + (batch * tiles + tile) * rows.count() * p.dim;

  const int64_t channel_tiles = divide_up(p.dim, kChannels), first_tile = part * arguments.tiles_per_part;
  const int64_t end_tile = first_tile + arguments.tiles_per_part < channel_tiles
                               ? first_tile + arguments.tiles_per_part
                               : channel_tiles;
  // A thread's items are of one channel of each tile.
  const int item_channel = PixelItem(0).channel;

  for (int i = threadIdx.x; i < kTile * s.layout.row; i += kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += kThreads) s.grad_dt_rows[i] = 0.0f;
  s.pixels.fill(p, direction, tile);
  __syncthreads();
  s.layout.fetch(projected, s.pixels, tile, s.rows);
  copy_async_commit();
  int64_t pixel_offset[kItems];  // of the image's pixel, or -1
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int pixel = s.pixels.at(tile, PixelItem(i).step);
    pixel_offset[i] = pixel < 0 ? -1 : image + pixel * p.dim;
  }
  // After sum_channels a thread has the sums of one step.
  const int summed_pixel = s.pixels.at(tile, at.warp * kSteps + at.channel);
  copy_async_wait<0>();
  __syncthreads();

  MatrixGradients matrices;
  matrices.clear();
  for (int64_t channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const ImageTile channels(p, batch, channel_tile * kChannels);
    const bool channel_inside = item_channel < channels.count;
    const int64_t parameter = direction * p.dim + channels.first + item_channel;
    s.parameters.load(p, channels, direction);
    float item_u[kItems], item_slope[kItems], before[kItems];
    int64_t offset[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const bool inside = channel_inside && pixel_offset[i] >= 0;
      offset[i] = inside ? pixel_offset[i] + channels.first + item_channel : -1;
      item_u[i] = inside ? to_float(static_cast<const T*>(p.x)[offset[i]]) : 0.0f;
      before[i] = inside && direction > 0 ? static_cast<const float*>(p.grad_x)[offset[i]] : 0.0f;
      s.values.grad_y[PixelItem(i).value()] =
          inside ? static_cast<const float*>(p.grad_out)[offset[i]] : 0.0f;
    }
    const float bias = channel_inside ? static_cast<const float*>(p.dt_projs_bias)[parameter] : 0.0f;
    const float skip = channel_inside ? static_cast<const float*>(p.Ds)[parameter] : 0.0f;
    __syncthreads();

#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const PixelItem item(i);
      const Softplus dt = softplus_with_derivative(s.parameters.expand_dt(s.rows, s.layout, item) + bias);
      const float value = offset[i] < 0 ? 0.0f : dt.value;
      item_slope[i] = offset[i] < 0 ? 0.0f : dt.derivative;
      s.values.dt[item.value()] = value;
      s.values.dt_u[item.value()] = value * item_u[i];
    }
    __syncthreads();

    for (int group = 0; group < groups; ++group) {
      const int state = group * kGroup + chain.state;
      const int64_t channel = channels.first + chain.channel;
      const bool chain_inside = state < p.state && chain.channel < channels.count;
      float chain_start = 0;
      if (chain_inside && (chain.adjoint ? tile < saved : tile > 0)) {
        const float* between = chain.adjoint ? arguments.adjoint : states;
        const int64_t index = chain.adjoint ? tile : tile - 1;
        chain_start = between[((sequence * saved + index) * p.state + state) * p.dim + channel];
      }

      const Matrix B = s.layout.B(s.rows), C = s.layout.C(s.rows);
      BackwardTile backward;
      backward.local(at, s.values, B, C, s.parameters.rates, group);
      __syncthreads();
      if (chain.adjoint)
        chain_warps<true>(s.values.warps.decay, s.values.adjoint, chain.channel, chain.state, chain_start);
      else
        chain_warps<false>(s.values.warps.decay, s.values.warps.end, chain.channel, chain.state, chain_start);
      __syncthreads();
      backward.gradients<false>(at, s.values, B, C, s.parameters.rates, group, matrices, s.values.dt);

      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        write_matrix(at, matrices.B, p, group, summed_pixel, projected_part + p.rank, accumulate);
        write_matrix(at, matrices.C, p, group, summed_pixel, projected_part + p.rank + p.state, accumulate);
        matrices.clear();
      }
      __syncthreads();

      if (!chain.adjoint && chain_inside)
        tile_rows[state * p.dim + channel] = sum_warps(s.values.warps.decay, chain.channel, chain.state);
      if (group < groups - 1) __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int index = PixelItem(i).value();
      const float input = s.values.state_input[index], dy = s.values.grad_y[index], dt = s.values.dt[index];
      s.values.state_decay[index] =
          fmaf(item_u[i], input, float(s.values.state_decay[index])) * item_slope[i];
      s.values.state_input[index] = dy * item_u[i];
      if (offset[i] >= 0) static_cast<float*>(p.grad_x)[offset[i]] = before[i] + fmaf(dt, input, skip * dy);
    }
    __syncthreads();

    // state_decay now has the gradient of dt before softplus. Its products with the weights, summed over
    // channels,
    {
      const int step = threadIdx.x % kTile;
      float grad_raw[kChannels];
#pragma unroll
      for (int c = 0; c < kChannels; ++c) grad_raw[c] = s.values.state_decay[step * kRow + c];
      for (int r = threadIdx.x / kTile; r < p.rank; r += kThreads / kTile) {
        float sum = s.grad_dt_rows[r * kTile + step];
#pragma unroll
        for (int c = 0; c < kChannels; ++c)
          sum = fmaf(grad_raw[c], float(s.parameters.dt_weight[c * s.parameters.dt_row + r]), sum);
        s.grad_dt_rows[r * kTile + step] = sum;
      }
    }
    // and with the projected numbers, summed over steps; so are the gradients of the bias and of D.
    const int outputs = kChannels * int(p.rank + 2);
    for (int output = threadIdx.x / kColumnLanes; output < outputs; output += kThreads / kColumnLanes) {
      const int channel = output % kChannels, r = output / kChannels;
      float sum = 0;
      for (int step = threadIdx.x % kColumnLanes; step < kTile; step += kColumnLanes) {
        const int index = step * kRow + channel;
        if (r < p.rank)
          sum = fmaf(s.values.state_decay[index], float(s.rows[step * s.layout.row + r]), sum);
        else
          sum += r == p.rank ? s.values.state_decay[index] : s.values.state_input[index];
      }
      sum = sum_column_lanes(sum);
      if (threadIdx.x % kColumnLanes == 0 && channel < channels.count)
        tile_rows[(rows.weight() + r) * p.dim + channels.first + channel] = sum;
    }
    __syncthreads();
  }

  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += kThreads) {
    const int pixel = s.pixels.at(tile, i % kTile);
    if (pixel >= 0) projected_part[pixel * p.projected() + i / kTile] = s.grad_dt_rows[i];
  }
}

// Sums over the parts of the channels, to the direction's place in grad_projected_x.
__global__ void __launch_bounds__(kThreads) projected_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  const int64_t width = p.projected(), numbers = p.batch * p.length() * width;
  const int64_t index = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= numbers) return;
  float sum = 0;
#pragma unroll 4
  for (int64_t i = 0; i < arguments.parts; ++i) sum += arguments.projected_parts[i * numbers + index];
  arguments.grad_projected_x[(index / width * kDirections + arguments.direction) * width + index % width] =
      sum;
}

// Sums over images, each gradient of the direction to its own array.
__global__ void __launch_bounds__(kThreads) finish_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  const Rows rows(p);
  const int64_t index = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= rows.count() * p.dim) return;
  const int64_t row = index / p.dim, parameter = arguments.direction * p.dim + index % p.dim;
  float sum = 0;
  for (int64_t b = 0; b < p.batch; ++b) sum += arguments.image_rows[b * rows.count() * p.dim + index];
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

Arguments make_arguments(const Ss2dBackward& p, int multiprocessors, int64_t* floats) {
  Arguments arguments{};
  arguments.p = p;
  *floats = arguments.place(static_cast<float*>(p.workspace), multiprocessors);
  return arguments;
}

}  // namespace

int64_t ss2d_backward_workspace(const Ss2d& p, int multiprocessors) {
  Ss2dBackward problem{};
  static_cast<Ss2d&>(problem) = p;
  int64_t floats;
  make_arguments(problem, multiprocessors, &floats);
  return floats;
}

const char* ss2d_backward(const Ss2dBackward& p, int multiprocessors, float* grad_projected_x,
                          Stream stream) {
  if (const char* error = check_image(p)) return error;
  int64_t floats;
  Arguments arguments = make_arguments(p, multiprocessors, &floats);
  arguments.grad_projected_x = grad_projected_x;
  const int64_t tiles = arguments.tiles(), rows = Rows(p).count(),
                projected = p.batch * p.length() * p.projected();
  SharedSize size, adjoint_size;
  Storage(size, p);
  AdjointStorage(adjoint_size, p);
  const char* error = nullptr;
  if (tiles > 1)
    error = launch(adjoint_kernel, kDirections * p.batch * divide_up(p.dim, kChannels), kThreads,
                   adjoint_size.bytes(), stream, arguments);
  for (int direction = 0; direction < kDirections && !error; ++direction) {
    arguments.direction = direction;
    error = for_element(p.type, [&](auto element) {
      return launch(gradient_kernel<decltype(element)>, p.batch * arguments.parts * tiles, kThreads,
                    size.bytes(), stream, arguments);
    });
    if (!error)
      error = launch(projected_kernel, divide_up(projected, kThreads), kThreads, 0, stream, arguments);
    if (!error)
      error = sum_parts(
          {p.batch, tiles, rows * p.dim, Type::kFloat32, arguments.tile_rows, arguments.image_rows}, stream);
    if (!error)
      error = launch(finish_kernel, divide_up(rows * p.dim, kThreads), kThreads, 0, stream, arguments);
  }
  return error;
}

}  // namespace swin_umamba::cuda
