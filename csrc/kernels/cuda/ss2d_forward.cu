// ss2d, forward. One matrix product projects every pixel for all directions. Then a block goes through 8
// channels of one image along one, two or all four directions, one after the other, and adds to what it wrote
// before.
#include "ss2d_tile.h"

namespace swin_umamba::cuda {
namespace {

struct Storage {
  ProjectedRows layout;
  // Arrays of fixed size come first: their places are then known to the compiler.
  Shared<float> dt, dt_u, y;
  WarpStates<LongRuns> warps;
  PixelTable pixels;
  Shared<int64_t> offsets;  // of the direction in projected_x and in the states:
                            // they wait here, not in registers
  Shared<float> carry;
  DirectionParameters parameters;
  Shared<float> rows;  // of two tiles

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const Ss2d& p, bool one_group)
      : layout(p, one_group),
        dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        y(memory.template take<float>(kTileSize, "y")),
        warps(memory),
        pixels(memory),
        offsets(memory.template take<int64_t>(2, "offsets")),
        carry(memory.template take<float>(layout.state_padded * kChannels, "carry")),
        parameters(memory.template take<float>(DirectionParameters::size(layout), "parameters"), layout),
        rows(memory.template take<float>(2 * kTile * layout.row, "rows")) {}
};

struct Arguments {
  Ss2dForward p;
  int directions_per_block;
  float* parts;  // (4 / directions_per_block, B, H, W, D)
};

int64_t blocks(const Ss2d& p, int directions_per_block) {
  return kDirections / directions_per_block * p.batch * divide_up(p.dim, kChannels);
}

// As many as leave two blocks for each multiprocessor.
int directions_per_block(const Ss2d& p, int multiprocessors) {
  for (const int n : {4, 2})
    if (blocks(p, n) >= 2 * multiprocessors) return n;
  return 1;
}

template <class T, bool kOneGroup>
__global__ void __launch_bounds__(LongRuns::kThreads, 2) forward_kernel(Arguments arguments) {
  const Ss2dForward& p = arguments.p;
  SharedMemory memory;
  const Storage s(memory, p, kOneGroup);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int part = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t image_size = p.length() * p.dim;
  const int dim = int(p.dim);
  const int tiles = int(divide_up(p.length(), kTile));
  const int groups = s.layout.state_padded / kGroup;
  // All items of a thread are of one channel.
  const int item_channel = PixelItem<LongRuns>(0).channel;
  const bool channel_inside = item_channel < channels.count;
  const int64_t first_value = channels.first + item_channel;
  const T* x = static_cast<const T*>(p.x) + channels.batch * image_size + first_value;
  float* out = arguments.parts + (part * p.batch + channels.batch) * image_size + first_value;

  for (int i = threadIdx.x; i < 2 * kTile * s.layout.row; i += LongRuns::kThreads) s.rows[i] = 0.0f;

  for (int turn = 0; turn < arguments.directions_per_block; ++turn) {
    // Part 0 has the directions by rows, part 1 those by columns; one part has 0, 2, 1, 3 in this order.
    const int number = part * arguments.directions_per_block + turn;
    const int direction = arguments.directions_per_block == 1 ? number : number / 2 + number % 2 * 2;
    const float skip =
        channel_inside ? static_cast<const float*>(p.Ds)[direction * p.dim + first_value] : 0.0f;
    TileReader<T> reader{s.layout,  s.pixels, s.rows, static_cast<const float*>(p.projected_x),
                         s.offsets, x,        dim,    channel_inside,
                         {}};

    if (turn > 0) __syncthreads();  // the last tile's pixels are still being read
    s.parameters.load(p, channels, direction);
    if (threadIdx.x == 0) {
      s.offsets[0] = (channels.batch * p.length() * kDirections + direction) * p.projected_row();
      s.offsets[1] = (direction * p.batch + channels.batch) * (tiles - 1) * p.state * p.dim + channels.first;
    }
    for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
    s.pixels.fill(p, direction, 0);
    __syncthreads();
    reader.fetch(0);
    s.pixels.fill(p, direction, 1);

    for (int tile = 0; tile < tiles; ++tile) {
      const int thread = computed_anew(threadIdx.x);
      const Place<LongRuns> at(thread);
      const Chain chain(thread);
      float item_u[LongRuns::kItems], before[LongRuns::kItems];
#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i) {
        const int pixel = reader.pixel(tile, i);
        item_u[i] = reader.next[i];
        before[i] = turn == 0 || pixel < 0 ? 0.0f : *at_row(out, pixel, dim);
      }
      copy_async_wait<0>();
      __syncthreads();

      if (tile + 1 < tiles) reader.fetch(tile + 1);
      const Shared<float> rows = reader.rows_of(tile);
      float raw[LongRuns::kItems];
      const PixelItem<LongRuns> first_item(0);
      s.parameters.expand_dt<PixelItem<LongRuns>::kApart>(rows, s.layout, first_item.step, first_item.channel,
                                                          raw);
#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i) {
        const PixelItem<LongRuns> item(i);
        const Softplus softplus = softplus_with_derivative(raw[i]);
        const float dt = reader.pixel(tile, i) < 0 ? 0.0f : softplus.value;
        s.dt[item.value()] = dt;
        s.dt_u[item.value()] = dt * item_u[i];
      }
      __syncthreads();
      s.pixels.fill(p, direction, tile + 2);

#pragma unroll 1
      for (int group = 0; group < groups; ++group) {
        ForwardTile forward;
        forward.local(at, s.dt, s.dt_u, s.layout.B(rows), s.parameters.rates, group, s.warps);
        __syncthreads();
        if (chain.active) {
          const int state = group * kGroup + chain.state, index = state * kChannels + chain.channel;
          const float start = s.carry[index];
          s.carry[index] =
              chain_warps<LongRuns, false>(s.warps.decay, s.warps.end, chain.channel, chain.state, start);
          if (p.states && tile > 0 && state < int(p.state) && chain.channel < channels.count)
            *at_row(static_cast<float*>(p.states) + s.offsets[1] + chain.channel,
                    (tile - 1) * int(p.state) + state, dim) = start;
        }
        __syncthreads();
        forward.outputs(at, s.dt_u, s.layout.B(rows), s.layout.C(rows), group, s.warps, s.y);
      }
      __syncthreads();

#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i) {
        const int pixel = reader.pixel(tile, i);
        if (pixel < 0) continue;
        const float y = fmaf(skip, item_u[i], s.y[PixelItem<LongRuns>(i).value()]);
        *at_row(out, pixel, dim) = before[i] + y;
      }
    }
  }
}

}  // namespace

// Of the parts that are merged, or of the projections' sums: one after the other.
int64_t ss2d_forward_workspace(const Ss2d& p, int multiprocessors) {
  const int n = directions_per_block(p, multiprocessors);
  const int64_t merged = n == kDirections ? 0 : kDirections / n * p.batch * p.length() * p.dim;
  const int64_t projection =
      product_workspace(p.batch * p.length(), kDirections * p.projected(), p.dim, multiprocessors);
  return merged > projection ? merged : projection;
}

const char* ss2d_forward(const Ss2dForward& p, int multiprocessors, Stream stream) {
  if (const char* error = check_image(p)) return error;
  float* workspace = static_cast<float*>(p.workspace);
  const MatrixProduct projection{p.batch * p.length(),
                                 kDirections * p.projected(),
                                 p.dim,
                                 p.type,
                                 p.x,
                                 p.x_proj_weight,
                                 nullptr,
                                 p.projected_x,
                                 workspace,
                                 p.projected(),
                                 p.rank,
                                 p.padding};
  if (const char* error = multiply_nt(projection, multiprocessors, stream)) return error;

  const int n = directions_per_block(p, multiprocessors);
  float* parts = n == kDirections ? static_cast<float*>(p.out) : workspace;
  SharedSize size;
  Storage(size, p, p.state <= kGroup);
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) {
      return launch(forward_kernel<decltype(element), one_group>, blocks(p, n), LongRuns::kThreads,
                    size.bytes(), stream, Arguments{p, n, parts});
    });
  });
  if (error || n == kDirections) return error;
  return sum_parts({1, kDirections / n, p.batch * p.length() * p.dim, Type::kFloat32, parts, p.out}, stream);
}

}  // namespace swin_umamba::cuda
