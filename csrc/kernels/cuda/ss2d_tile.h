// How a tile of an image comes into shared memory along a direction; for ss2d, forward and backward.
#pragma once

#include "../directions.h"
#include "scan_tile.h"

namespace swin_umamba::cuda {

// The 8 channels that a block works on.
struct ImageTile {
  int batch, first, count;
  __device__ ImageTile(const Ss2d& p, int64_t image, int64_t first_channel)
      : batch(int(image)),
        first(int(first_channel)),
        count(int(p.dim - first_channel < kChannels ? p.dim - first_channel : kChannels)) {}
};

// The step and channel of a thread's i-th item: neighbouring threads have neighbouring channels.
template <class Team>
struct PixelItem {
  static constexpr int kApart = Team::kThreads / kChannels;  // steps, from one item of a thread to the next
  int step, channel;
  __device__ explicit PixelItem(int i) : PixelItem(threadIdx.x, i) {}
  __device__ PixelItem(unsigned thread, int i)
      : step(thread / kChannels + i * kApart), channel(thread % kChannels) {}
  __device__ int value() const { return step * kRow + channel; }
};

// The pixels of some consecutive tiles: one is filled in while those before and after it are in use.
struct PixelTable {
  static constexpr int kTiles = 4;
  Shared<int> pixels;
  template <class Memory>
  __host__ __device__ explicit PixelTable(Memory& memory)
      : pixels(memory.template take<int>(kTiles * kTile, "pixels")) {}

  __device__ void fill(const Ss2d& p, int direction, int64_t tile) const {
    if (threadIdx.x >= kTile) return;
    const int64_t step = tile * kTile + threadIdx.x;
    pixels[int(tile & (kTiles - 1)) * kTile + threadIdx.x] =
        step < p.length() ? int(pixel_at(direction, unsigned(step), unsigned(p.height), unsigned(p.width)))
                          : -1;
  }
  // -1 beyond the end.
  __device__ int at(int64_t tile, int step) const { return pixels[int(tile & (kTiles - 1)) * kTile + step]; }
};

// The projected numbers of a tile's pixels in shared memory, [step][dt, B, C], dt padded to a multiple of 4
// (in projected_x too) and B and C to a multiple of 16 with zeros.
struct ProjectedRows {
  int rank, state, rank_padded, state_padded, row;

  explicit __host__ __device__ ProjectedRows(const Ss2d& p)
      : rank(int(p.rank)),
        state(int(p.state)),
        rank_padded(int(divide_up(p.rank, 4)) * 4),
        state_padded(padded_states(p.state)),
        row(rank_padded + 2 * state_padded) {}

  __device__ Matrix B(const Shared<float>& rows) const { return {rows + rank_padded, row, 0}; }
  __device__ Matrix C(const Shared<float>& rows) const { return {rows + rank_padded + state_padded, row, 0}; }

  // Starts the copies of one tile for a block of kThreads. `source`: one image of projected_x, at the
  // direction. Steps beyond the end keep what the buffer held: their dt is zero.
  template <int kThreads>
  __device__ void fetch(const float* source, const PixelTable& pixels, int64_t tile,
                        const Shared<float>& rows) const {
    constexpr int kLanes = kThreads / kTile;  // to a row
    const int step = threadIdx.x / kLanes, lane = threadIdx.x % kLanes, width = rank_padded + 2 * state;
    const int pixel = pixels.at(tile, step);
    if (pixel < 0) return;
    const float* from = at_row(source, pixel, kDirections * width);
    if (state == state_padded) {  // the rows are the same in both memories
      int to = step * row + 4 * lane;
      const int end = step * row + row;
#pragma unroll 1
      for (from += 4 * lane; to < end; to += 4 * kLanes, from += 4 * kLanes) copy_async<4>(rows, to, from);
    } else {
#pragma unroll 1
      for (int column = lane; column < width; column += kLanes)
        copy_async<1>(rows, step * row + place(column), from + column);
    }
  }

 private:
  __device__ int place(int column) const {
    return column < rank_padded + state ? column : column - state + state_padded;
  }
};

// The parameters of one direction and the tile's channels.
struct DirectionParameters {
  DecayRates rates;
  Shared<float> bias;       // of dt
  Shared<float> dt_weight;  // [channel][rank]
  int dt_row;

  template <class Memory>
  __host__ __device__ DirectionParameters(Memory& memory, const ProjectedRows& rows)
      : rates{memory.template take<float>(kChannels * (rows.state_padded + 4), "rates"),
              rows.state_padded + 4},
        bias(memory.template take<float>(kChannels, "bias")),
        dt_weight(memory.template take<float>(kChannels * (rows.rank_padded + 4), "dt_weight")),
        dt_row(rows.rank_padded + 4) {}

  __device__ void load(const Ss2d& p, const ImageTile& channels, int direction) const {
    const int64_t first = direction * p.dim + channels.first;
    const float* A_logs = static_cast<const float*>(p.A_logs);
    const float* weight = static_cast<const float*>(p.dt_projs_weight);
    if (threadIdx.x < kChannels) {
      const bool inside = int(threadIdx.x) < channels.count;
      bias[threadIdx.x] = inside ? static_cast<const float*>(p.dt_projs_bias)[first + threadIdx.x] : 0.0f;
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < kChannels * rates.row; i += blockDim.x) {
      const int channel = i / rates.row, state = i % rates.row;
      const bool inside = channel < channels.count && state < p.state;
      rates.values[i] = inside ? -expf(A_logs[(first + channel) * p.state + state]) * kLog2E : 0.0f;
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < kChannels * dt_row; i += blockDim.x) {
      const int channel = i / dt_row, r = i % dt_row;
      const bool inside = channel < channels.count && r < p.rank;
      dt_weight[i] = inside ? weight[(first + channel) * p.rank + r] : 0.0f;
    }
  }

  // dt before softplus of a thread's items, which are of one channel and kApart steps apart.
  template <int kApart, int kItems>
  __device__ void expand_dt(const Shared<float>& rows, const ProjectedRows& layout, int step, int channel,
                            float (&sums)[kItems]) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) sums[i] = bias[channel];
#pragma unroll 1
    for (int r = 0; r < layout.rank_padded; r += 4) {
      const float4 w = load4(dt_weight, channel * dt_row + r);
#pragma unroll
      for (int i = 0; i < kItems; ++i) {
        const float4 v = load4(rows, (step + i * kApart) * layout.row + r);
        sums[i] = fmaf(w.x, v.x, sums[i]);
        sums[i] = fmaf(w.y, v.y, sums[i]);
        sums[i] = fmaf(w.z, v.z, sums[i]);
        sums[i] = fmaf(w.w, v.w, sums[i]);
      }
    }
  }
};

// What a block reads of its tiles, one after the other along a direction: the projected numbers on their way
// to shared memory and its channels of an image on their way to registers, a tile ahead of the computation.
template <class T>
struct TileReader {
  const ProjectedRows& layout;
  const PixelTable& pixels;
  Shared<float> rows;      // of two tiles
  const float* projected;  // of the image, at the direction
  const T* values;         // of the image, at the thread's channel: all its items are of one
  int dim;
  bool channel_inside;
  float next[LongRuns::kItems];

  __device__ void fetch(int tile) {
    layout.fetch<LongRuns::kThreads>(projected, pixels, tile, rows_of(tile));
    copy_async_commit();
#pragma unroll
    for (int i = 0; i < LongRuns::kItems; ++i) {
      const int pixel = this->pixel(tile, i);
      next[i] = pixel < 0 ? 0.0f : to_float(*at_row(values, pixel, dim));
    }
  }
  // Of the thread's item; -1 where there is none.
  __device__ int pixel(int tile, int item) const {
    return channel_inside ? pixels.at(tile, PixelItem<LongRuns>(item).step) : -1;
  }
  __device__ Shared<float> rows_of(int tile) const { return rows + (tile & 1) * kTile * layout.row; }
};

inline const char* check_image(const Ss2d& p) {
  if (p.type == Type::kFloat64)
    return "ss2d takes float32, bfloat16 and float16, not float64; for gradient checks in float64 move the "
           "tensors to the CPU";
  if (p.length() > 2147483647) return "ss2d on CUDA takes images of at most 2^31 - 1 pixels";
  return p.dim > 2147483647 / 4 ? "ss2d on CUDA takes fewer than 2^29 channels" : nullptr;
}

}  // namespace swin_umamba::cuda
