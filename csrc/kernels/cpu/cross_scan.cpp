// Cross-scan, which writes each plane of an image in the four scan orders, and cross-merge, its adjoint.
#include "task.h"
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

// Every walk is written from one end to the other, which memory takes faster than short pieces far apart.
template <class T>
void scan(const CrossScan& p, ParallelFor parallel) {
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

// One tile of lanes x lanes pixels at (r, c), or what there is of it. `walks` are the first elements of the
// four walks in the input, `plane` that of the plane in the output.
template <class V>
void merge_tile(const CrossScan& p, const int64_t (&walks)[kDirections], int64_t plane, int64_t r,
                int64_t c) {
  constexpr int64_t W = Lanes<V>::kCount;
  const int64_t rows = minimum(W, p.height - r), columns = minimum(W, p.width - c);
  const auto sum_of = [&](int forward, int backward, int64_t i, int64_t count) {
    V a, b;
    read(a, p.input, p.type, walks[forward] + i, count);
    read(b, p.input, p.type, walks[backward] + p.height * p.width - i - count, count);
    return a + reversed(b, count);
  };
  V tile[W] = {};
  for (int64_t i = 0; i < columns; ++i) tile[i] = sum_of(1, 3, (c + i) * p.height + r, rows);
  transpose(tile);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t pixel = (r + i) * p.width + c;
    write(p.output, p.type, plane + pixel, sum_of(0, 2, pixel, columns) + tile[i], columns);
  }
}

// The four walks are put back in place and added, in compute type, always in the order (0 + 2) + (1 + 3).
template <class V>
void merge(const CrossScan& p, ParallelFor parallel) {
  for_each_task(parallel, p.batch * p.channels, [&p](int64_t task) {
    constexpr int64_t W = Lanes<V>::kCount;
    const int64_t image = task / p.channels, channel = task % p.channels, pixels = p.height * p.width;
    int64_t walks[kDirections];
    for (int k = 0; k < kDirections; ++k)
      walks[k] = ((image * kDirections + k) * p.channels + channel) * pixels;
    for (int64_t c = 0; c < p.width; c += W)
      for (int64_t r = 0; r < p.height; r += W) merge_tile<V>(p, walks, task * pixels, r, c);
  });
}

}  // namespace

void cross_scan(const CrossScan& p, ParallelFor parallel) {
  switch (p.type) {
    case Type::kFloat64:
      return scan<uint64_t>(p, parallel);
    case Type::kFloat32:
      return scan<uint32_t>(p, parallel);
    default:
      return scan<uint16_t>(p, parallel);
  }
}

void cross_merge(const CrossScan& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { merge<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
