// Depthwise convolution and SiLU, forward. A task is a row of an image.
#include "depthwise_conv_silu_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <Type TYPE>
void convolve_row(const DepthwiseConvSiluForward& p, const Taps<VectorOf<TYPE>>& taps, int64_t row) {
  using V = VectorOf<TYPE>;
  for (int64_t column = 0; column < p.width; column += kConvPixels) {
    const Window<TYPE> window(p, p.x, p.x_row, taps.zeros, row, column);
    const int64_t pixels = minimum<int64_t>(kConvPixels, p.width - column);
    const int64_t to = (row * p.width + column) * p.dim;
    for_vectors<V>(p.dim, [&](int64_t c, int64_t count) __attribute__((always_inline)) {
      V x[3][kConvPixels + 2], sum[kConvPixels], s[kConvPixels];
      window.read(x, c, count);
      const V bias = load_some(static_cast<const Element<V>*>(p.bias) + c, count);
      SWIN_UNROLL(4) for (int t = 0; t < kConvPixels; ++t) sum[t] = bias;
      convolve(sum, x, taps.weight + c, taps.row);
      sigmoids(s, sum);
      SWIN_UNROLL(4)
      for (int t = 0; t < kConvPixels; ++t)
        if (t < pixels) put<TYPE>(p.out, to + t * p.dim + c, sum[t] * s[t], count);
    });
  }
}

}  // namespace

void depthwise_conv_silu_forward(const DepthwiseConvSiluForward& p, ParallelFor parallel) {
  for_data_type(p.type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    for_each_range(parallel, p.rows(), [&](int64_t begin, int64_t end) {
      InScratch<Taps<VectorOf<kType>>> taps(p);
      taps->set(p);
      for (int64_t row = begin; row < end; ++row) convolve_row<kType>(p, *taps, row);
    });
  });
}

}  // namespace swin_umamba::SWIN_ISA
