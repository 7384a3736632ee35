// Cross-scan: each image plane is written in the four scan orders. Every walk is written from one end to the
// other, which memory takes faster than short pieces far apart.
#include "parallel.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// to[i] = from[count - 1 - i]
template <class T>
void copy_reversed(T* __restrict to, const T* __restrict from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[count - 1 - i];
}

// to (columns, rows) = the transpose of from (rows, columns of rows of `row` elements)
template <class T>
void transpose_columns(T* to, const T* from, int64_t rows, int64_t columns, int64_t row) {
  if constexpr (sizeof(T) == sizeof(float)) {
    transpose_matrix<Float>(reinterpret_cast<float*>(to), rows, reinterpret_cast<const float*>(from), rows,
                            columns, row);
  } else {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r) to[c * rows + r] = from[r * row + c];
  }
}

template <class T>
void run(const CrossScan& p, ParallelFor parallel) {
  // What is copied at a time: it is still in the cache when it is copied again, reversed.
  constexpr int64_t kPiece = 4096 / sizeof(T), kColumns = 16;
  const int64_t pixels = p.height * p.width;
  for_each_task(parallel, p.batch * p.channels, [&p, pixels](int64_t task) {
    const int64_t image = task / p.channels, channel = task % p.channels;
    const T* plane = static_cast<const T*>(p.input) + task * pixels;
    T* walks[kDirections];
    for (int k = 0; k < kDirections; ++k)
      walks[k] = static_cast<T*>(p.output) + ((image * kDirections + k) * p.channels + channel) * pixels;
    for (int64_t i = 0; i < pixels; i += kPiece) {
      const int64_t count = minimum(kPiece, pixels - i);
      memcpy(walks[0] + i, plane + i, count * sizeof(T));
      copy_reversed(walks[2] + pixels - i - count, plane + i, count);
    }
    for (int64_t c = 0; c < p.width; c += kColumns) {
      const int64_t columns = minimum(kColumns, p.width - c), count = columns * p.height, i = c * p.height;
      transpose_columns(walks[1] + i, plane + c, p.height, columns, p.width);
      copy_reversed(walks[3] + pixels - i - count, walks[1] + i, count);
    }
  });
}

}  // namespace

void cross_scan(const CrossScan& p, ParallelFor parallel) {
  switch (p.type) {
    case Type::kFloat64:
      return run<uint64_t>(p, parallel);
    case Type::kFloat32:
      return run<uint32_t>(p, parallel);
    default:
      return run<uint16_t>(p, parallel);
  }
}

}  // namespace swin_umamba::SWIN_ISA
