// ss2d, backward. A first pass runs the adjoint alone, from the end of each direction, for its values between
// tiles. Then every tile is on its own: a block has one tile of steps and goes through many channels, so that
// the sums over channels of dB and dC stay in registers. The directions follow one another and add to the
// same gradient of x. Two matrix products bring the gradient of the projected numbers back to x and to the
// weights.
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
  int tiles_per_part, parts;  // of channels
  float* grad_x;              // (B, H*W, D): the scans' part
  float* grad_projected_x;    // (B, H*W, 4, R+2N)
  float* adjoint;             // (4, B, tiles - 1, N, D): before the last tile, after each
  float* projected_parts;     // (parts, B, H*W, 4, R+2N): the sum's own place if there is one part
  float* tile_rows;           // (B, tiles, rows, D), one direction
  float* image_rows;          // (4, B, rows, D)
  float* product_parts;       // of the matrix products, in the place of what the scans needed

  int64_t tiles() const { return divide_up(p.length(), kTile); }
  int64_t pixels() const { return p.batch * p.length(); }
  int64_t numbers() const { return kDirections * p.projected(); }

  // Takes the arrays from the workspace; returns how many floats they are.
  int64_t place(int multiprocessors) {
    const int64_t channel_tiles = divide_up(p.dim, kChannels), rows = Rows(p).count();
    // The fewer parts the less is written, but two blocks for each multiprocessor come first.
    for (tiles_per_part = 24; tiles_per_part > 6; tiles_per_part /= 2)
      if (divide_up(channel_tiles, tiles_per_part) * p.batch * tiles() >= 2 * multiprocessors) break;
    parts = int(divide_up(channel_tiles, tiles_per_part));
    Workspace<float> workspace{static_cast<float*>(p.workspace)};
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

__global__ void __launch_bounds__(LongRuns::kThreads, 2) adjoint_kernel(Arguments arguments) {
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const AdjointStorage s(memory, p);
  const Place<LongRuns> at(threadIdx.x);
  const Chain chain(threadIdx.x);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int direction = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t sequence = direction * p.batch + channels.batch, saved = saved_states(p.length());
  const float* grad_out =
      static_cast<const float*>(p.grad_out) + channels.batch * p.length() * p.dim + channels.first;
  const float* projected = static_cast<const float*>(p.projected_x) +
                           (channels.batch * p.length() * kDirections + direction) * p.projected_row();
  const int groups = s.layout.state_padded / kGroup;
  const int item_channel = PixelItem<LongRuns>(0).channel;
  const bool channel_inside = item_channel < channels.count;

  TileReader<float> reader{s.layout,   s.pixels,       s.rows, projected, grad_out + item_channel,
                           int(p.dim), channel_inside, {}};

  for (int i = threadIdx.x; i < 2 * kTile * s.layout.row; i += LongRuns::kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
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
      s.dt[item.value()] = inside[i] ? softplus_with_derivative(raw[i]).value : 0.0f;
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
  // Of a pixel's channel in an array (B, H*W, D).
  __device__ int64_t offset(const Ss2d& p, int pixel, int channel) const {
    return (batch * p.length() + pixel) * p.dim + channel;
  }
};

template <class T>
__global__ void __launch_bounds__(ShortRuns::kThreads, 1) gradient_kernel(Arguments arguments) {
  static_assert(ShortRuns::kItems == 1);
  const Ss2dBackward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p);
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

  const int channel_tiles = int(divide_up(p.dim, kChannels));
  const int first_tile = position.part * arguments.tiles_per_part;
  const int end_tile = first_tile + arguments.tiles_per_part < channel_tiles
                           ? first_tile + arguments.tiles_per_part
                           : channel_tiles;

  for (int i = threadIdx.x; i < kTile * s.layout.row; i += ShortRuns::kThreads) s.rows[i] = 0.0f;
  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += ShortRuns::kThreads) s.grad_dt_rows[i] = 0.0f;
  s.pixels.fill(p, direction, position.tile);
  __syncthreads();
  s.layout.fetch<ShortRuns::kThreads>(
      static_cast<const float*>(p.projected_x) +
          (position.batch * p.length() * kDirections + direction) * p.projected_row(),
      s.pixels, position.tile, s.rows);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();

  MatrixGradients matrices;
  matrices.clear();
#pragma unroll 1
  for (int channel_tile = first_tile; channel_tile < end_tile; ++channel_tile) {
    const ImageTile channels(p, position.batch, channel_tile * kChannels);
    s.parameters.load(p, channels, direction);
    // Each thread has one step of one channel in what goes before and after the recurrence.
    float u = 0, slope = 0;
    {
      const PixelItem<ShortRuns> item(0);
      const Position here = position.anew();
      const int pixel = s.pixels.at(here.tile, item.step), channel = channels.first + item.channel;
      const bool inside = item.channel < channels.count && pixel >= 0;
      float dy = 0;
      if (inside) {
        const int64_t offset = here.offset(p, pixel, channel);
        u = to_float(static_cast<const T*>(p.x)[offset]);
        dy = static_cast<const float*>(p.grad_out)[offset];
      }
      __syncthreads();
      float raw[1];
      s.parameters.expand_dt<0>(s.rows, s.layout, item.step, item.channel, raw);
      const Softplus dt = inside ? softplus_with_derivative(raw[0]) : Softplus{0, 0};
      slope = dt.derivative;
      s.values.dt[item.value()] = dt.value;
      s.values.dt_u[item.value()] = dt.value * u;
      s.values.grad_y[item.value()] = dy;
    }
    __syncthreads();

#pragma unroll 1
    for (int group = 0; group < groups; ++group) {
      const Place<ShortRuns> at(computed_anew(threadIdx.x));
      const Matrix B = s.layout.B(s.rows), C = s.layout.C(s.rows);
      BackwardTile backward;
      backward.local(at, s.values, B, C, s.parameters.rates, group);
      __syncthreads();
      {
        const TwoChains chain(computed_anew(threadIdx.x));
        const Position here = position.anew();
        const int state = group * kGroup + chain.state;
        float start = 0;
        if (chain.active && state < p.state && chain.channel < channels.count &&
            (chain.adjoint ? here.tile < saved : here.tile > 0)) {
          const float* between = chain.adjoint ? arguments.adjoint : static_cast<const float*>(p.states);
          const int64_t sequence = direction * p.batch + here.batch;
          const int64_t index = sequence * saved + here.tile - !chain.adjoint;
          start = between[(index * p.state + state) * p.dim + channels.first + chain.channel];
        }
        chain.run(s.values, start);
      }
      __syncthreads();
      backward.gradients<false>(at, s.values, B, C, s.parameters.rates, group, matrices, s.values.dt);

      // With one group of states the sums over channels stay in registers until the last tile.
      if (groups > 1 || channel_tile == end_tile - 1) {
        const bool accumulate = groups > 1 && channel_tile > first_tile;
        const int tile = computed_anew(position.tile);
        float* to = projected_part() + p.rank;
        write_matrix(at, matrices.B, p, s.pixels, tile, group, to, pitch, accumulate);
        write_matrix(at, matrices.C, p, s.pixels, tile, group, to + p.state, pitch, accumulate);
        matrices.clear();
      }
      __syncthreads();

      const TwoChains chain(computed_anew(threadIdx.x));
      const int state = group * kGroup + chain.state;
      if (!chain.adjoint && state < p.state && chain.channel < channels.count) {
        const Position here = position.anew();
        const int64_t row = (int64_t(here.batch) * tiles + here.tile) * rows.count() + state;
        arguments.tile_rows[row * p.dim + channels.first + chain.channel] =
            sum_warps(s.values.warps.decay, chain.channel, chain.state);
      }
      if (group < groups - 1) __syncthreads();
    }

    {
      const PixelItem<ShortRuns> item(computed_anew(threadIdx.x), 0);
      const Position here = position.anew();
      const int pixel = s.pixels.at(here.tile, item.step), channel = channels.first + item.channel;
      const float input = s.values.state_input[item.value()], dy = s.values.grad_y[item.value()];
      s.values.state_decay[item.value()] = fmaf(u, input, float(s.values.state_decay[item.value()])) * slope;
      s.values.state_input[item.value()] = dy * u;
      if (item.channel < channels.count && pixel >= 0) {
        float* to = arguments.grad_x + here.offset(p, pixel, channel);
        const float skip = static_cast<const float*>(p.Ds)[direction * p.dim + channel];
        const float before = direction > 0 ? *to : 0.0f;
        *to = before + fmaf(float(s.values.dt[item.value()]), input, skip * dy);
      }
    }
    __syncthreads();

    // state_decay now has the gradient of dt before softplus. Its products with the weights, summed over
    // channels,
    {
      const int step = threadIdx.x % kTile;
      float grad_raw[kChannels];
#pragma unroll
      for (int c = 0; c < kChannels; ++c) grad_raw[c] = s.values.state_decay[step * kRow + c];
#pragma unroll 1
      for (int r = threadIdx.x / kTile; r < p.rank; r += ShortRuns::kThreads / kTile) {
        float sum = s.grad_dt_rows[r * kTile + step];
#pragma unroll
        for (int c = 0; c < kChannels; ++c)
          sum = fmaf(grad_raw[c], float(s.parameters.dt_weight[c * s.parameters.dt_row + r]), sum);
        s.grad_dt_rows[r * kTile + step] = sum;
      }
    }
    // and with the projected numbers, summed over steps; so are the gradients of the bias and of D.
    const int outputs = kChannels * int(p.rank + 2);
#pragma unroll 1
    for (int output = threadIdx.x / kColumnLanes; output < outputs;
         output += ShortRuns::kThreads / kColumnLanes) {
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
      if (threadIdx.x % kColumnLanes == 0 && channel < channels.count) {
        const Position here = position.anew();
        const int64_t row = (int64_t(here.batch) * tiles + here.tile) * rows.count() + rows.weight() + r;
        arguments.tile_rows[row * p.dim + channels.first + channel] = sum;
      }
    }
    __syncthreads();
  }

  float* to = projected_part();
  for (int i = threadIdx.x; i < kTile * s.layout.rank; i += ShortRuns::kThreads) {
    const int pixel = s.pixels.at(position.tile, i % kTile);
    if (pixel >= 0) to[int64_t(pixel) * pitch + i / kTile] = s.grad_dt_rows[i];
  }
}

constexpr int kFinishThreads = 256;

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
  Storage(size, p);
  const char* error = for_element(p.type, [&](auto element) {
    return launch(gradient_kernel<decltype(element)>, p.batch * arguments.parts * tiles, ShortRuns::kThreads,
                  size.bytes(), stream, arguments);
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
    AdjointStorage(size, p);
    error = launch(adjoint_kernel, kDirections * p.batch * divide_up(p.dim, kChannels), LongRuns::kThreads,
                   size.bytes(), stream, arguments);
  }
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
