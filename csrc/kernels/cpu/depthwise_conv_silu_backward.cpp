// Depthwise convolution and SiLU, backward, in two passes: the gradient of the convolution, which is computed
// again, with a part of the sums that weight and bias have as gradients; and its convolution with the weights
// turned round, the gradient of x.
#include "depthwise_conv_silu_part.h"
#include "sum_parts.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
struct Arrays {
  Element<V>* grad_conv;  // (B*H*W, D)
  Parts<V> weight, bias;

  Arrays(Workspace<Element<V>>& workspace, const DepthwiseConvSiluBackward& p)
      : grad_conv(workspace.take(p.pixels() * p.dim)),
        weight(workspace, p.grad_weight, p.compute(), conv_parts(p.rows()), p.dim * kTaps),
        bias(workspace, p.grad_bias, p.compute(), conv_parts(p.rows()), p.dim) {}
};

template <Type TYPE>
class RowsTask {
  using V = VectorOf<TYPE>;
  using E = Element<V>;

 public:
  RowsTask(Scratch& scratch, const DepthwiseConvSiluBackward& p)
      : p_(p), taps_(scratch, p), grad_taps_(scratch.take<E>(kTaps * taps_.row)) {}

  void run(int64_t begin, int64_t end, E* grad_conv, E* grad_weight, E* grad_bias) {
    taps_.set(p_);
    memset(grad_bias, 0, p_.dim * sizeof(E));
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = 0; column < p_.width; column += kConvPixels)
        run_pixels(row, column, grad_conv, grad_bias);
    transpose_matrix<V>(grad_weight, kTaps, grad_taps_, kTaps, p_.dim, taps_.row);
  }

 private:
  void run_pixels(int64_t row, int64_t column, E* grad_conv, E* grad_bias) {
    const Window<TYPE> window(p_, p_.x, p_.x_row, taps_.zeros, row, column);
    const int64_t pixels = minimum<int64_t>(kConvPixels, p_.width - column);
    const int64_t at = (row * p_.width + column) * p_.dim;
    for_vectors<V>(p_.dim, [&](int64_t c, int64_t count) __attribute__((always_inline)) {
      V x[3][kConvPixels + 2], sum[kConvPixels], s[kConvPixels], grad[kConvPixels] = {};
      window.read(x, c, count);
      const V bias = load_some(static_cast<const E*>(p_.bias) + c, count);
      SWIN_UNROLL(4) for (int t = 0; t < kConvPixels; ++t) sum[t] = bias;
      convolve(sum, x, taps_.weight + c, taps_.row);
      sigmoids(s, sum);
      V total{};
      SWIN_UNROLL(4)
      for (int t = 0; t < kConvPixels; ++t)
        if (t < pixels) {
          const V slope = s[t] * fma(sum[t], 1.0f - s[t], broadcast<V>(1));
          grad[t] = get<TYPE>(p_.grad_out, at + t * p_.dim + c, count) * slope;
          store_some(grad_conv + at + t * p_.dim + c, grad[t], count);
          total += grad[t];
        }
      store_some(grad_bias + c, load_some(grad_bias + c, count) + total, count);
      SWIN_UNROLL(9)
      for (int tap = 0; tap < kTaps; ++tap) {
        E* to = grad_taps_ + tap * taps_.row + c;
        V products = load<V>(to);
        SWIN_UNROLL(4)
        for (int t = 0; t < kConvPixels; ++t) products = fma(grad[t], x[tap / 3][t + tap % 3], products);
        store<V>(to, products);
      }
    });
  }

  const DepthwiseConvSiluBackward& p_;
  Taps<V> taps_;
  E* grad_taps_;  // (9, row)
};

template <Type TYPE>
void grad_x_row(const DepthwiseConvSiluBackward& p, const Taps<VectorOf<TYPE>>& taps,
                const Element<VectorOf<TYPE>>* grad_conv, int64_t row) {
  using V = VectorOf<TYPE>;
  for (int64_t column = 0; column < p.width; column += kConvPixels) {
    const Window<compute_type<V>()> window(p, grad_conv, p.dim, taps.zeros, row, column);
    const int64_t pixels = minimum<int64_t>(kConvPixels, p.width - column);
    const int64_t to = (row * p.width + column) * p.dim;
    for_vectors<V>(p.dim, [&](int64_t c, int64_t count) __attribute__((always_inline)) {
      V x[3][kConvPixels + 2], sum[kConvPixels] = {};
      window.read(x, c, count);
      convolve(sum, x, taps.weight + (kTaps - 1) * taps.row + c, -taps.row);
      SWIN_UNROLL(4)
      for (int t = 0; t < kConvPixels; ++t)
        if (t < pixels) put<TYPE>(p.grad_x, to + t * p.dim + c, sum[t], count);
    });
  }
}

template <Type TYPE>
void run(const DepthwiseConvSiluBackward& p, ParallelFor parallel) {
  using V = VectorOf<TYPE>;
  Workspace<Element<V>> workspace{static_cast<Element<V>*>(p.workspace)};
  const Arrays<V> arrays(workspace, p);
  const int64_t rows = p.rows(), parts = conv_parts(rows);
  for_each_task(parallel, parts, [&](int64_t part) {
    InScratch<RowsTask<TYPE>> task(p);
    task->run(rows * part / parts, rows * (part + 1) / parts, arrays.grad_conv, arrays.weight[part],
              arrays.bias[part]);
  });
  arrays.weight.add(parallel);
  arrays.bias.add(parallel);
  for_each_range(parallel, rows, [&](int64_t begin, int64_t end) {
    InScratch<Taps<V>> taps(p);
    taps->set(p);
    for (int64_t row = begin; row < end; ++row) grad_x_row<TYPE>(p, *taps, arrays.grad_conv, row);
  });
}

}  // namespace

void depthwise_conv_silu_backward(const DepthwiseConvSiluBackward& p, ParallelFor parallel) {
  for_data_type(p.type, [&](auto constant) { run<decltype(constant)::value>(p, parallel); });
}

int64_t depthwise_conv_silu_backward_workspace(const DepthwiseConvSiluBackward& p) {
  return for_compute_type(p.type, [&](auto v) {
    Workspace<Element<decltype(v)>> counter;
    Arrays<decltype(v)>(counter, p);
    return counter.used;
  });
}

}  // namespace swin_umamba::SWIN_ISA
