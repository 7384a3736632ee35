// How a tile of an image comes into shared memory along a direction; for ss2d, forward and backward.
#pragma once

#include "../directions.h"
#include "scan_tile.h"
#include "tensor_cores.h"

namespace swin_umamba::cuda {

// The 8 channels that a block works on.
struct ImageTile {
  int batch, first, count;
  // The one that a thread reads: beyond the last it is the last, and nothing is kept of what comes of it.
  __device__ int read(int channel) const { return first + (channel < count ? channel : count - 1); }
  __device__ ImageTile(const Ss2d& p, int64_t image, int64_t first_channel)
      : batch(int(image)),
        first(int(first_channel)),
        count(int(p.dim - first_channel < kChannels ? p.dim - first_channel : kChannels)) {}
};

// The pixels of some consecutive tiles: one is filled in while those before and after it are in use. Steps
// beyond the end have the last pixel, so that all can be read; nothing is kept of them.
struct PixelTable {
  static constexpr int kTiles = 4;
  Shared<int> pixels;
  template <class Memory>
  __host__ __device__ explicit PixelTable(Memory& memory)
      : pixels(memory.template take<int>(kTiles * kTile, "pixels")) {}

  __device__ void fill(const Ss2d& p, int direction, int64_t tile) const {
    if (threadIdx.x >= kTile) return;
    const int64_t step = tile * kTile + threadIdx.x, last = p.length() - 1;
    pixels[int(tile & (kTiles - 1)) * kTile + threadIdx.x] =
        int(pixel_at(direction, unsigned(step < last ? step : last), unsigned(p.height), unsigned(p.width)));
  }
  __device__ int at(int tile, int step) const { return pixels[(tile & (kTiles - 1)) * kTile + step]; }
};

// The projected numbers of a tile's pixels in shared memory: B and C, padded to a multiple of 16 with zeros,
// [step][B, C], and dt, padded to a multiple of 8 and by four numbers that put neighbouring rows into
// different banks. In projected_x dt comes first, padded to a multiple of 4.
struct ProjectedRows {
  int rank, state, rank_padded, state_padded;
  int rank_tiles;  // of kRankTile ranks
  int dt_row;
  int pixel_bytes;  // of all directions in projected_x
  static constexpr int kRankTile = 8;

  __host__ __device__ explicit ProjectedRows(const Ss2d& p)
      : rank(int(p.rank)),
        state(int(p.state)),
        rank_padded(int(divide_up(p.rank, 4)) * 4),
        state_padded(padded_states(p.state, false)),
        rank_tiles(int(divide_up(p.rank, kRankTile))),
        dt_row(rank_tiles * kRankTile + 4),
        pixel_bytes(4 * kDirections * (rank_padded + 2 * state)) {}

  // With what a kernel for at most kGroup states knows.
  template <bool kOneGroup>
  __host__ __device__ ProjectedRows known() const {
    ProjectedRows rows = *this;
    if (kOneGroup) rows.state_padded = kGroup;
    return rows;
  }
  template <bool kOneGroup>
  using Row = std::conditional_t<kOneGroup, std::integral_constant<int, 2 * kGroup>, int>;
  template <bool kOneGroup>
  __device__ Matrix<Row<kOneGroup>> B(const Shared<float>& matrices) const {
    return {matrices, 0, row<kOneGroup>(), 0};
  }
  template <bool kOneGroup>
  __device__ Matrix<Row<kOneGroup>> C(const Shared<float>& matrices) const {
    return {matrices, state_padded, row<kOneGroup>(), 0};
  }

 private:
  template <bool kOneGroup>
  __device__ Row<kOneGroup> row() const {
    if constexpr (kOneGroup)
      return {};
    else
      return 2 * state_padded;
  }
};

// The rows of one or two tiles.
struct RowBuffer {
  const ProjectedRows& layout;
  Shared<float> matrices, numbers;

  template <class Memory>
  __host__ __device__ RowBuffer(Memory& memory, const ProjectedRows& rows, int tiles)
      : layout(rows),
        matrices(memory.template take<float>(tiles * kTile * 2 * rows.state_padded, "matrices")),
        numbers(memory.template take<float>(tiles * kTile * rows.dt_row, "numbers of dt")) {}
  __device__ RowBuffer(const RowBuffer& all, int tile)
      : layout(all.layout),
        matrices(all.matrices + tile * kTile * 2 * layout.state_padded),
        numbers(all.numbers + tile * kTile * layout.dt_row) {}

  // Padding stays zero.
  __device__ void clear(int tiles) const {
    for (int i = threadIdx.x; i < tiles * kTile * 2 * layout.state_padded; i += blockDim.x)
      matrices[i] = 0.0f;
    for (int i = threadIdx.x; i < tiles * kTile * layout.dt_row; i += blockDim.x) numbers[i] = 0.0f;
  }

  // Starts the copies of one tile for a block of kThreads. `source`: one image of projected_x, at the
  // direction.
  template <int kThreads>
  __device__ void fetch(const float* source, const PixelTable& pixels, int tile) const {
    constexpr int kLanes = kThreads / kTile;  // to a row
    const int step = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    const float* from = at_row_of_bytes(source, pixels.at(tile, step), layout.pixel_bytes);
    if (layout.state == layout.state_padded)
      fetch_whole<kLanes>(from + 4 * lane, step, 4 * lane);
    else
      fetch_numbers<kLanes>(from, step, lane);
  }

 private:
  // In parts of 16 bytes.
  template <int kLanes>
  __device__ void fetch_whole(const float* from, int step, int first) const {
    const int matrix_row = 2 * layout.state_padded, place = step * matrix_row + first;
    const float* from_B = from + layout.rank_padded;
#pragma unroll
    for (int i = 0; i < matrix_row; i += 4 * kLanes) copy_async<4>(matrices, place + i, from_B + i);
    const int end = step * layout.dt_row + layout.rank_padded;
#pragma unroll 1
    for (int to = step * layout.dt_row + first; to < end; to += 4 * kLanes, from += 4 * kLanes)
      copy_async<4>(numbers, to, from);
  }
  template <int kLanes>
  __device__ void fetch_numbers(const float* from, int step, int lane) const {
#pragma unroll 1
    for (int column = lane; column < layout.rank_padded + 2 * layout.state; column += kLanes) {
      const int i = column - layout.rank_padded;
      if (i < 0)
        copy_async<1>(numbers, step * layout.dt_row + column, from + column);
      else
        copy_async<1>(
            matrices,
            step * 2 * layout.state_padded + i + (i < layout.state ? 0 : layout.state_padded - layout.state),
            from + column);
    }
  }
};

// The parameters of one direction and the tile's channels, one after the other and padded with zeros: the
// rates of decay, the bias of dt, D, and the dt weights as a warp's lanes take them for a product on the
// tensor cores: [8 ranks][lane][of rank t: the weight rounded to TF32, what is left of it; the same of rank t
// + 4].
struct DirectionParameters {
  Shared<float> values;
  DecayRates rates;

  // The places of a number in `values`.
  __host__ __device__ DirectionParameters(const Shared<float>& array, const ProjectedRows& rows)
      : values(array), rates{array, rows.state_padded + 4} {}
  __host__ __device__ static int size(const ProjectedRows& rows) {
    return kChannels * (rows.state_padded + 4 + 2) + kWeights * rows.rank_tiles;
  }
  static constexpr int kWeights = 32 * 4;  // of a rank tile
  __device__ int bias(int channel) const { return kChannels * rates.row + channel; }
  __device__ int D(int channel) const { return bias(kChannels) + channel; }
  __device__ int weights(int rank_tile, int lane) const {
    return D(kChannels) + kWeights * rank_tile + 4 * lane;
  }
  // The weight of a channel and a rank of the tile; what is left of it comes after it.
  __device__ int weight(int rank_tile, int channel, int rank) const {
    return weights(rank_tile, 4 * channel + rank % 4) + rank / 4 * 2;
  }

  // Number `i` of `values`, from the operator's arguments.
  __device__ float number(const Ss2d& p, int direction, int first_channel, int i) const {
    const int end_of_rates = kChannels * rates.row, weight = i - weights(0, 0);
    const int channel = i < end_of_rates ? i / rates.row
                        : weight < 0     ? i % kChannels
                                         : weight % kWeights / 16;
    if (first_channel + channel >= p.dim) return 0.0f;
    const int64_t parameter = direction * p.dim + first_channel + channel;
    if (i < end_of_rates) {
      const int state = i % rates.row;
      if (state >= p.state) return 0.0f;
      return -expf(static_cast<const float*>(p.A_logs)[parameter * p.state + state]) * kLog2E;
    }
    if (weight < 0) return static_cast<const float*>(i < D(0) ? p.dt_projs_bias : p.Ds)[parameter];
    const int rank = weight / kWeights * ProjectedRows::kRankTile + weight % 4 / 2 * 4 + weight / 4 % 4;
    if (rank >= p.rank) return 0.0f;
    Split<float, 1> split;
    split.set(0, static_cast<const float*>(p.dt_projs_weight)[parameter * p.rank + rank]);
    return weight % 2 ? split.small[0] : split.big[0];
  }
  __device__ void load(const Ss2d& p, const ImageTile& channels, int direction, int size) const {
#pragma unroll 1
    for (int i = threadIdx.x; i < size; i += blockDim.x) values[i] = number(p, direction, channels.first, i);
  }

  // dt before softplus of the thread's items: a product of the weights (channels, ranks) and the numbers
  // (ranks, steps of the warp). In a warp with four steps each has two of the eight columns.
  template <class Team>
  __device__ void expand_dt(const RowBuffer& rows, const Place<Team>& at,
                            float (&items)[Team::kItems]) const {
    const float first = values[bias(at.channel)];
    float sums[4] = {first, first, 0, 0};
    const int column = at.step(at.channel * Team::kSteps / 8) * rows.layout.dt_row + at.quarter;
    const int lane_weights = weights(0, at.lane);
    int rank_tile = 0;
#pragma unroll 1
    do {
      const float4 w = load4(values, lane_weights + kWeights * rank_tile);
      Split<float, 2> numbers;
#pragma unroll
      for (int j = 0; j < 2; ++j)
        numbers.set(j, rows.numbers[column + ProjectedRows::kRankTile * rank_tile + 4 * j]);
      multiply_add_stacked(sums, {w.x, w.y, w.z, w.w}, numbers);
    } while (++rank_tile < rows.layout.rank_tiles);
#pragma unroll
    for (int i = 0; i < Team::kItems; ++i) items[i] = sums[i] + sums[i + 2];
  }
};

// What a block reads of its tiles, one after the other along a direction: the projected numbers on their way
// to shared memory and its channels of an image on their way to registers, a tile ahead of the computation.
template <class T>
struct TileReader {
  static constexpr int kItems = LongRuns::kItems;
  const PixelTable& pixels;
  const RowBuffer& rows;  // of two tiles
  const float* projected;
  Shared<int64_t> offset;  // of the image and direction there
  const T* values;         // of the image, at the thread's channel
  int pixel_bytes;
  int next_pixels[kItems];
  T next[kItems];

  __device__ void fetch(const Place<LongRuns>& at, int tile) {
    RowBuffer(rows, tile & 1).template fetch<LongRuns::kThreads>(projected + offset[0], pixels, tile);
    copy_async_commit();
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      next_pixels[i] = pixels.at(tile, at.item_step(i));
      next[i] = *at_row_of_bytes(values, next_pixels[i], pixel_bytes);
    }
  }
};

inline const char* check_image(const Ss2d& p) {
  if (p.type == Type::kFloat64)
    return "ss2d takes float32, bfloat16 and float16, not float64; for gradient checks in float64 move the "
           "tensors to the CPU";
  if (p.length() > 2147483647) return "ss2d on CUDA takes images of at most 2^31 - 1 pixels";
  return p.dim > 2147483647 / 4 ? "ss2d on CUDA takes fewer than 2^29 channels" : nullptr;
}

}  // namespace swin_umamba::cuda
