// Matrix products of the sizes that a scan needs, with the same bits for any number of threads, which
// the vendors' libraries do not promise.
#pragma once

#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// How a product's left side is read: element (m, k) is data[m * row + k * column].
template <class E>
struct Left {
  const E* data;
  int64_t row, column;
};

template <class V, int ROWS, int VECTORS>
SWIN_INLINE void gemm_block(int64_t depth, Left<Element<V>> a, const Element<V>* b, int64_t b_row,
                            Element<V>* c, int64_t c_row, bool accumulate, int64_t last_count) {
  constexpr int W = Lanes<V>::kCount;
  V sum[ROWS][VECTORS] = {};
  for (int64_t k = 0; k < depth; ++k) {
    V right[VECTORS];
    SWIN_UNROLL(4)
    for (int j = 0; j < VECTORS; ++j)
      right[j] =
          j + 1 < VECTORS ? load<V>(b + k * b_row + j * W) : load_some(b + k * b_row + j * W, last_count);
    SWIN_UNROLL(16)
    for (int i = 0; i < ROWS; ++i) {
      const V left = broadcast<V>(a.data[i * a.row + k * a.column]);
      SWIN_UNROLL(4)
      for (int j = 0; j < VECTORS; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
    }
  }
  SWIN_UNROLL(16)
  for (int i = 0; i < ROWS; ++i) {
    SWIN_UNROLL(4)
    for (int j = 0; j < VECTORS; ++j) {
      Element<V>* p = c + i * c_row + j * W;
      const int64_t count = j + 1 < VECTORS ? W : last_count;
      store_some(p, accumulate ? load_some(p, count) + sum[i][j] : sum[i][j], count);
    }
  }
}

// The rows from m on: whole blocks of ROWS, and what is left in blocks of half the size, as one row at a
// time has too few sums to keep the multipliers busy.
template <class V, int ROWS, int VECTORS>
SWIN_INLINE void gemm_rows(int64_t m, int64_t rows, int64_t depth, Left<Element<V>> a, const Element<V>* b,
                           int64_t b_row, Element<V>* c, int64_t c_row, bool accumulate, int64_t last_count) {
  for (; m + ROWS <= rows; m += ROWS)
    gemm_block<V, ROWS, VECTORS>(depth, {a.data + m * a.row, a.row, a.column}, b, b_row, c + m * c_row, c_row,
                                 accumulate, last_count);
  if constexpr (ROWS > 1)
    gemm_rows<V, ROWS / 2, VECTORS>(m, rows, depth, a, b, b_row, c, c_row, accumulate, last_count);
}

template <class V, int VECTORS>
void gemm_panel(int64_t rows, int64_t depth, Left<Element<V>> a, const Element<V>* b, int64_t b_row,
                Element<V>* c, int64_t c_row, bool accumulate, int64_t last_count) {
  gemm_rows<V, kProductRows, VECTORS>(0, rows, depth, a, b, b_row, c, c_row, accumulate, last_count);
}

// c (rows, columns) = or += a (rows, depth) b (depth, columns); rows of b and c are contiguous.
template <class V>
void gemm(int64_t rows, int64_t columns, int64_t depth, Left<Element<V>> a, const Element<V>* b,
          int64_t b_row, Element<V>* c, int64_t c_row, bool accumulate) {
  constexpr int W = Lanes<V>::kCount;
  // Rows of b that stay in the second-level cache while all rows of a pass.
  constexpr int64_t kDepth = 256;
  for (int64_t k = 0; k < depth; k += kDepth) {
    const int64_t depth_now = minimum(kDepth, depth - k);
    const Left<Element<V>> left{a.data + k * a.column, a.row, a.column};
    for (int64_t n = 0; n < columns;) {
      const int64_t vectors = minimum<int64_t>(3, (columns - n + W - 1) / W);
      const int64_t last = minimum<int64_t>(W, columns - n - (vectors - 1) * W);
      const Element<V>* right = b + k * b_row + n;
      Element<V>* out = c + n;
      const bool add = accumulate || k > 0;
      if (vectors == 3)
        gemm_panel<V, 3>(rows, depth_now, left, right, b_row, out, c_row, add, last);
      else if (vectors == 2)
        gemm_panel<V, 2>(rows, depth_now, left, right, b_row, out, c_row, add, last);
      else
        gemm_panel<V, 1>(rows, depth_now, left, right, b_row, out, c_row, add, last);
      n += vectors * W;
    }
  }
}

}  // namespace swin_umamba::SWIN_ISA
