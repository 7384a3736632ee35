// What forward and backward of depthwise_conv_silu share: the convolution at a few neighbouring pixels of a
// row.
#pragma once

#include "task.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

constexpr int kTaps = 9;
// Pixels at a time: each weight is read once for all of them, and their exponentials overlap.
constexpr int kConvPixels = 4;

// The weights with a channel in each lane, and a pixel for the border.
template <class V>
struct Taps {
  using E = Element<V>;
  int64_t row;  // channels in whole vectors
  E* weight;    // (9, row)
  E* zeros;     // as large as a pixel of any type

  Taps(Scratch& scratch, const DepthwiseConvSilu& p)
      : row(round_up(p.dim, Lanes<V>::kCount)),
        weight(scratch.take<E>(kTaps * row)),
        zeros(scratch.take<E>(row)) {}
  void set(const DepthwiseConvSilu& p) {
    transpose_matrix<V>(weight, row, static_cast<const E*>(p.weight), p.dim, kTaps, kTaps);
  }
};

// What the convolution reads for kConvPixels pixels from (image row, column) on: those outside of the image
// are `zeros`.
template <Type TYPE>
struct Window {
  using V = VectorOf<TYPE>;
  const void* pixels[3][kConvPixels + 2];

  // `row`: of all images; `distance`: of pixels, in elements.
  Window(const DepthwiseConvSilu& p, const void* images, int64_t distance, const void* zeros, int64_t row,
         int64_t column) {
    const int64_t height = row % p.height, bytes = distance * type_size(TYPE);
    for (int i = 0; i < 3; ++i) {
      const int64_t h = height + i - 1;
      const char* start = static_cast<const char*>(images) + ((row + i - 1) * p.width - 1) * bytes;
      for (int j = 0; j < kConvPixels + 2; ++j) {
        const int64_t w = column + j - 1;
        const bool inside = h >= 0 && h < p.height && w >= 0 && w < p.width;
        pixels[i][j] = inside ? start + (column + j) * bytes : zeros;
      }
    }
  }

  SWIN_INLINE void read(V (&x)[3][kConvPixels + 2], int64_t channel, int64_t count) const {
    SWIN_UNROLL(3)
    for (int i = 0; i < 3; ++i) {
      SWIN_UNROLL(6)
      for (int j = 0; j < kConvPixels + 2; ++j) x[i][j] = get<TYPE>(pixels[i][j], channel, count);
    }
  }
};

// Adds to sum[t] the products of the weights with the neighbours of pixel t. `weight` is that of the first
// tap and `row` leads to the next.
template <class V>
SWIN_INLINE void convolve(V (&sum)[kConvPixels], const V (&x)[3][kConvPixels + 2], const Element<V>* weight,
                          int64_t row) {
  SWIN_UNROLL(3)
  for (int i = 0; i < 3; ++i) {
    SWIN_UNROLL(3)
    for (int j = 0; j < 3; ++j) {
      const V w = load<V>(weight + (3 * i + j) * row);
      SWIN_UNROLL(4) for (int t = 0; t < kConvPixels; ++t) sum[t] = fma(x[i][t + j], w, sum[t]);
    }
  }
}

}  // namespace swin_umamba::SWIN_ISA
