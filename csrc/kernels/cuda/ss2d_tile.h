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

  __host__ __device__ ProjectedRows(const Ss2d& p, bool one_group)
      : rank(int(p.rank)),
        state(int(p.state)),
        rank_padded(int(divide_up(p.rank, 4)) * 4),
        state_padded(padded_states(p.state, one_group)),
        row(rank_padded + 2 * state_padded) {}

  __device__ Matrix B(const Shared<float>& rows) const { return {rows, rank_padded, row, 0}; }
  __device__ Matrix C(const Shared<float>& rows) const { return {rows, rank_padded + state_padded, row, 0}; }

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
    if (state == state_padded)
      fetch_whole<kLanes>(from, lane, step * row, rows);
    else
      fetch_numbers<kLanes>(from, lane, step * row, rows);
  }

 private:
  // A row that is the same in both memories.
  template <int kLanes>
  __device__ void fetch_whole(const float* from, int lane, int to, const Shared<float>& rows) const {
    const int end = to + row;
    to += 4 * lane;
#pragma unroll 1
    for (from += 4 * lane; to < end; to += 4 * kLanes, from += 4 * kLanes) copy_async<4>(rows, to, from);
  }
  template <int kLanes>
  __device__ void fetch_numbers(const float* from, int lane, int to, const Shared<float>& rows) const {
#pragma unroll 1
    for (int column = lane; column < rank_padded + 2 * state; column += kLanes)
      copy_async<1>(rows, to + place(column), from + column);
  }
  __device__ int place(int column) const {
    return column < rank_padded + state ? column : column - state + state_padded;
  }
};

// The parameters of one direction and the tile's channels, one after the other and padded with zeros: the
// rates of decay, the dt weights [channel][rank], the bias of dt and D.
struct DirectionParameters {
  Shared<float> values;
  DecayRates rates;
  int dt_row;

  // The places of a number in `values`.
  __host__ __device__ DirectionParameters(const Shared<float>& array, const ProjectedRows& rows)
      : values(array), rates{array, rows.state_padded + 4}, dt_row(rows.rank_padded + 4) {}
  __host__ __device__ static int size(const ProjectedRows& rows) {
    return kChannels * (rows.state_padded + 4 + rows.rank_padded + 4 + 2);
  }
  __device__ int dt_weight(int channel) const { return kChannels * rates.row + channel * dt_row; }
  __device__ int bias(int channel) const { return kChannels * (rates.row + dt_row) + channel; }
  __device__ int D(int channel) const { return bias(kChannels) + channel; }

  // Number `i` of `values`, from the operator's arguments.
  __device__ float number(const Ss2d& p, int direction, int first_channel, int i) const {
    const int rates_end = kChannels * rates.row, weights_end = rates_end + kChannels * dt_row;
    const int channel = i < rates_end     ? i / rates.row
                        : i < weights_end ? (i - rates_end) / dt_row
                                          : (i - weights_end) % kChannels;
    if (first_channel + channel >= p.dim) return 0.0f;
    const int64_t parameter = direction * p.dim + first_channel + channel;
    if (i < rates_end) {
      const int state = i % rates.row;
      if (state >= p.state) return 0.0f;
      return -expf(static_cast<const float*>(p.A_logs)[parameter * p.state + state]) * kLog2E;
    }
    if (i < weights_end) {
      const int r = (i - rates_end) % dt_row;
      return r < p.rank ? static_cast<const float*>(p.dt_projs_weight)[parameter * p.rank + r] : 0.0f;
    }
    return static_cast<const float*>(i < weights_end + kChannels ? p.dt_projs_bias : p.Ds)[parameter];
  }
  __device__ void load(const Ss2d& p, const ImageTile& channels, int direction) const {
#pragma unroll 1
    for (int i = threadIdx.x; i < D(kChannels); i += blockDim.x)
      values[i] = number(p, direction, channels.first, i);
  }

  // dt before softplus of a thread's items, which are of one channel and kApart steps apart.
  template <int kApart, int kItems>
  __device__ void expand_dt(const Shared<float>& rows, const ProjectedRows& layout, int step, int channel,
                            float (&sums)[kItems]) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) sums[i] = values[bias(channel)];
#pragma unroll 1
    for (int r = 0; r < layout.rank_padded; r += 4) {
      const float4 w = load4(values, dt_weight(channel) + r);
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
  Shared<float> rows;  // of two tiles
  const float* projected;
  Shared<int64_t> offset;  // of the image and direction there
  const T* values;         // of the image, at the thread's channel: all its items are of one
  int dim;
  bool channel_inside;
  float next[LongRuns::kItems];

  __device__ void fetch(int tile) {
    layout.fetch<LongRuns::kThreads>(projected + offset[0], pixels, tile, rows_of(tile));
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
