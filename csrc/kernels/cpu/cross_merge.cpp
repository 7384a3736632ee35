// Cross-merge, the adjoint of the cross-scan: four walks are put back in place and added, in compute
// type, always in the order (0 + 2) + (1 + 3).
#include "parallel.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {
namespace {

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

template <class V>
void run(const CrossScan& p, ParallelFor parallel) {
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

void cross_merge(const CrossScan& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
