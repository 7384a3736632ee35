// What forward and backward of gated_layer_norm share: the moments of a row.
#pragma once

#include "task.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

// Rows of one task of the forward pass.
constexpr int64_t kNormedRows = 16;

// A row as (y - mean) rstd.
template <class V>
struct NormedRow {
  using E = Element<V>;
  const E* y;
  E mean, rstd;

  SWIN_INLINE V at(int64_t i, int64_t count) const { return (load_some(y + i, count) - mean) * rstd; }
};

// The sum over a row of function(i, count), of which lanes past `count` do not count. Several sums at a time:
// an addition waits for the one before.
template <class V, class Function>
SWIN_INLINE Element<V> sum_row(int64_t dim, Function function) {
  constexpr int64_t W = Lanes<V>::kCount;
  V sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * W <= dim; i += 4 * W) {
    SWIN_UNROLL(4)
    for (int j = 0; j < 4; ++j) sums[j] += function(i + j * W, W);
  }
  for (; i + W <= dim; i += W) sums[0] += function(i, W);
  if (i < dim) {
    Element<V> lanes[W];
    store<V>(lanes, function(i, dim - i));
    sums[1] += load_some(lanes, dim - i);
  }
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class V>
SWIN_INLINE NormedRow<V> norm_row(const GatedLayerNorm& p, int64_t row) {
  using E = Element<V>;
  const E* y = static_cast<const E*>(p.y) + row * p.dim;
  const E mean =
      sum_row<V>(p.dim, [y](int64_t i, int64_t count) { return V{} + load_some(y + i, count); }) / E(p.dim);
  const E squares = sum_row<V>(p.dim, [y, mean](int64_t i, int64_t count) {
    const V d = load_some(y + i, count) - broadcast<V>(mean);
    return d * d;
  });
  return {y, mean, E(1) / std::sqrt(squares / E(p.dim) + E(p.eps))};
}

}  // namespace swin_umamba::SWIN_ISA
