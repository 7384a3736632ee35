// cross_scan and cross_merge of channels-first images: copies, and a transpose through shared memory.
#include "device.h"

namespace swin_umamba::cuda {
namespace {

constexpr int kSide = 32;  // of the square tile that one block transposes
constexpr int kRows = 8;   // of threads; each thread has kSide / kRows pixels

// One tile of one channel's plane.
struct Tile {
  int64_t plane, image, channel, row, column;

  __device__ Tile(const CrossScan& p, int64_t block) {
    const int64_t columns = divide_up(p.width, kSide), rows = divide_up(p.height, kSide);
    plane = block / (rows * columns);
    image = plane / p.channels;
    channel = plane % p.channels;
    row = block / columns % rows * kSide;
    column = block % columns * kSide;
  }
  // Where the sequence of a direction starts in the unrolled array.
  __device__ int64_t sequence(const CrossScan& p, int direction) const {
    return ((image * kDirections + direction) * p.channels + channel) * p.height * p.width;
  }
};

int64_t tiles(const CrossScan& p) {
  return p.batch * p.channels * divide_up(p.height, kSide) * divide_up(p.width, kSide);
}

template <class T>
__global__ void __launch_bounds__(kSide* kRows) scan_kernel(CrossScan p) {
  // One more column than needed: a column of the tile then lies in 32 banks.
  SWIN_STATIC_SHARED(T, pixels, kSide * (kSide + 1));
  const Tile tile(p, blockIdx.x);
  const int lane = threadIdx.x % kSide, line = threadIdx.x / kSide;
  const int64_t length = p.height * p.width;
  const T* input = static_cast<const T*>(p.input) + tile.plane * length;
  T* rows = static_cast<T*>(p.output) + tile.sequence(p, 0);
  T* columns = static_cast<T*>(p.output) + tile.sequence(p, 1);
  T* rows_reversed = static_cast<T*>(p.output) + tile.sequence(p, 2) + length - 1;
  T* columns_reversed = static_cast<T*>(p.output) + tile.sequence(p, 3) + length - 1;

  for (int i = line; i < kSide; i += kRows) {
    const int64_t row = tile.row + i, column = tile.column + lane;
    if (row >= p.height || column >= p.width) continue;
    const T value = input[row * p.width + column];
    rows[row * p.width + column] = value;
    rows_reversed[-(row * p.width + column)] = value;
    pixels[i * (kSide + 1) + lane] = value;
  }
  __syncthreads();
  for (int i = line; i < kSide; i += kRows) {
    const int64_t row = tile.row + lane, column = tile.column + i;
    if (row >= p.height || column >= p.width) continue;
    const T value = pixels[lane * (kSide + 1) + i];
    columns[column * p.height + row] = value;
    columns_reversed[-(column * p.height + row)] = value;
  }
}

__device__ inline double to_sum(double x) { return x; }
template <class T>
__device__ inline float to_sum(T x) {
  return to_float(x);
}
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
__global__ void __launch_bounds__(kSide* kRows) merge_kernel(CrossScan p) {
  SWIN_STATIC_SHARED(Sum<T>, sums, kSide * (kSide + 1));
  const Tile tile(p, blockIdx.x);
  const int lane = threadIdx.x % kSide, line = threadIdx.x / kSide;
  const int64_t length = p.height * p.width;
  const T* rows = static_cast<const T*>(p.input) + tile.sequence(p, 0);
  const T* columns = static_cast<const T*>(p.input) + tile.sequence(p, 1);
  const T* rows_reversed = static_cast<const T*>(p.input) + tile.sequence(p, 2) + length - 1;
  const T* columns_reversed = static_cast<const T*>(p.input) + tile.sequence(p, 3) + length - 1;
  T* output = static_cast<T*>(p.output) + tile.plane * length;

  for (int i = line; i < kSide; i += kRows) {
    const int64_t row = tile.row + lane, column = tile.column + i;
    if (row >= p.height || column >= p.width) continue;
    const int64_t step = column * p.height + row;
    sums[lane * (kSide + 1) + i] = to_sum(columns[step]) + to_sum(columns_reversed[-step]);
  }
  __syncthreads();
  for (int i = line; i < kSide; i += kRows) {
    const int64_t row = tile.row + i, column = tile.column + lane;
    if (row >= p.height || column >= p.width) continue;
    const int64_t step = row * p.width + column;
    const Sum<T> sum = to_sum(rows[step]) + to_sum(rows_reversed[-step]);
    output[step] = convert<T>(sum + sums[i * (kSide + 1) + lane]);
  }
}

}  // namespace

const char* cross_scan(const CrossScan& p, Stream stream) {
  // Only copies: the width of the type is all that matters.
  const auto kernel = p.type == Type::kFloat64   ? scan_kernel<uint64_t>
                      : p.type == Type::kFloat32 ? scan_kernel<uint32_t>
                                                 : scan_kernel<uint16_t>;
  return launch(kernel, tiles(p), kSide * kRows, 0, stream, p);
}

const char* cross_merge(const CrossScan& p, Stream stream) {
  if (p.type == Type::kFloat64) return launch(merge_kernel<double>, tiles(p), kSide * kRows, 0, stream, p);
  return for_element(p.type, [&](auto element) {
    return launch(merge_kernel<decltype(element)>, tiles(p), kSide * kRows, 0, stream, p);
  });
}

}  // namespace swin_umamba::cuda
