// ss2d, forward. One matrix product projects every pixel for all directions. Then a block goes through 8
// channels of one image along one, two or all four directions, one after the other, and adds to what it wrote
// before.
#include "ss2d_tile.h"

namespace swin_umamba::cuda {
namespace {

struct Storage {
  // Arrays of fixed size come first: their places are then known to the compiler.
  Shared<float> dt, dt_u;
  WarpStates<LongRuns> warps;
  PixelTable pixels;
  Shared<int64_t> offsets;  // of the direction in projected_x and in the states:
                            // they wait here, not in registers
  Shared<float> carry;
  RowBuffer rows;  // of two tiles
  DirectionParameters parameters;

  template <class Memory>
  __host__ __device__ Storage(Memory& memory, const ProjectedRows& layout)
      : dt(memory.template take<float>(kTileSize, "dt")),
        dt_u(memory.template take<float>(kTileSize, "dt_u")),
        warps(memory),
        pixels(memory),
        offsets(memory.template take<int64_t>(2, "offsets")),
        carry(memory.template take<float>(layout.state_padded * kChannels, "carry")),
        rows(memory, layout, 2),
        parameters(memory.template take<float>(DirectionParameters::size(layout), "parameters"), layout) {}
};

struct Arguments {
  Ss2dForward p;
  ProjectedRows layout;
  int length, x_bytes, out_bytes;  // of a pixel
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
  const ProjectedRows layout = arguments.layout.known<kOneGroup>();
  const Storage s(memory, layout);
  const int64_t channel_tiles = divide_up(p.dim, kChannels);
  const ImageTile channels(p, blockIdx.x / channel_tiles % p.batch, blockIdx.x % channel_tiles * kChannels);
  const int part = int(blockIdx.x / (channel_tiles * p.batch));
  const int64_t image_size = p.length() * p.dim;
  const int tiles = int(divide_up(arguments.length, kTile));
  const int groups = layout.state_padded / kGroup;
  // All items of a thread are of one channel.
  const int item_channel = Place<LongRuns>(threadIdx.x).channel, read_channel = channels.read(item_channel);
  const T* x = static_cast<const T*>(p.x) + channels.batch * image_size + read_channel;
  float* out = arguments.parts + (part * p.batch + channels.batch) * image_size + read_channel;
  const int end = item_channel < channels.count ? arguments.length : 0;  // of the steps to write

  s.rows.clear(2);

  for (int turn = 0; turn < arguments.directions_per_block; ++turn) {
    // Part 0 has the directions by rows, part 1 those by columns; one part has 0, 2, 1, 3 in this order.
    const int number = part * arguments.directions_per_block + turn;
    const int direction = arguments.directions_per_block == 1 ? number : number / 2 + number % 2 * 2;
    const float skip = static_cast<const float*>(p.Ds)[direction * p.dim + read_channel];
    TileReader<T> reader{
        s.pixels, s.rows, static_cast<const float*>(p.projected_x), s.offsets, x, arguments.x_bytes, {}, {}};

    if (turn > 0) __syncthreads();  // the last tile's pixels are still being read
    s.parameters.load(p, channels, direction, DirectionParameters::size(layout));
    if (threadIdx.x == 0) {
      s.offsets[0] = (channels.batch * p.length() * kDirections + direction) * p.projected_row();
      s.offsets[1] = (direction * p.batch + channels.batch) * (tiles - 1) * p.state * p.dim + channels.first;
    }
    for (int i = threadIdx.x; i < groups * kGroup * kChannels; i += LongRuns::kThreads) s.carry[i] = 0.0f;
    s.pixels.fill(p, direction, 0);
    __syncthreads();
    reader.fetch(Place<LongRuns>(threadIdx.x), 0);
    s.pixels.fill(p, direction, 1);

    for (int tile = 0; tile < tiles; ++tile) {
      const Place<LongRuns> at(computed_anew(threadIdx.x));
      float item_u[LongRuns::kItems], before[LongRuns::kItems], dt[LongRuns::kItems], dt_u[LongRuns::kItems];
      float y[LongRuns::kItems];
      int pixels[LongRuns::kItems];
#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i) {
        pixels[i] = reader.next_pixels[i];
        item_u[i] = to_float(reader.next[i]);
        before[i] = turn == 0 ? 0.0f : *at_row_of_bytes(out, pixels[i], arguments.out_bytes);
      }
      copy_async_wait<0>();
      __syncthreads();

      if (tile + 1 < tiles) reader.fetch(at, tile + 1);
      s.pixels.fill(p, direction, tile + 2);
      const RowBuffer rows(s.rows, tile & 1);
      s.parameters.expand_dt(rows, at, dt);
#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i) {
        dt[i] = softplus_with_derivative(dt[i]).value;
        dt_u[i] = dt[i] * item_u[i];
      }
      store_items(s.dt, at, dt);
      store_items(s.dt_u, at, dt_u);
      __syncwarp();
      const auto B = layout.B<kOneGroup>(rows.matrices), C = layout.C<kOneGroup>(rows.matrices);

#pragma unroll 1
      for (int group = 0; group < groups; ++group) {
        ForwardTile forward;
        forward.local(at, s.dt, s.dt_u, B, s.parameters.rates, group, s.warps);
        __syncthreads();
        const Chain chain(computed_anew(threadIdx.x));
        if (chain.active) {
          const float2 start = load2(s.carry, chain.index(group));
          store2(s.carry, chain.index(group),
                 chain_warps<LongRuns, false>(s.warps.decay, s.warps.end, chain, start, false));
          const int state = group * kGroup + chain.state;
          if (p.states && tile > 0 && chain.channel < channels.count) {
            float* to = at_row(static_cast<float*>(p.states) + s.offsets[1] + chain.channel,
                               (tile - 1) * layout.state + state, int(p.dim));
            if (state < layout.state) *to = start.x;
            if (state + 1 < layout.state) to[p.dim] = start.y;
          }
        }
        __syncthreads();
        forward.outputs(at, s.dt_u, B, C, group, s.warps, y);
      }

#pragma unroll
      for (int i = 0; i < LongRuns::kItems; ++i)
        if (tile * kTile + at.item_step(i) < end)
          *at_row_of_bytes(out, pixels[i], arguments.out_bytes) = before[i] + fmaf(skip, item_u[i], y[i]);
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
  const ProjectedRows layout(p);
  SharedSize size;
  Storage(size, layout);
  const int dim = int(p.dim);
  const char* error = for_element(p.type, [&](auto element) {
    return for_groups(p.state, [&](auto one_group) {
      return launch(forward_kernel<decltype(element), one_group>, blocks(p, n), LongRuns::kThreads,
                    size.bytes(), stream,
                    Arguments{p, layout, int(p.length()), dim * int(sizeof(element)), 4 * dim, n, parts});
    });
  });
  if (error || n == kDirections) return error;
  return sum_parts({1, kDirections / n, p.batch * p.length() * p.dim, Type::kFloat32, parts, p.out}, stream);
}

}  // namespace swin_umamba::cuda
