// Layer normalisation and gate, backward. A task takes some rows, whose moments it computes again, and makes
// its part of the sums over all rows that weight and bias have as gradients.
#include "gated_layer_norm_part.h"
#include "sum_parts.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
struct Sums {
  Parts<V> weight, bias;
  Sums(Workspace<Element<V>>& workspace, const GatedLayerNormBackward& p)
      : weight(workspace, p.grad_weight, p.compute(), row_parts(p.rows), p.dim),
        bias(workspace, p.grad_bias, p.compute(), row_parts(p.rows), p.dim) {}
};

template <class V>
class RowsTask {
  using E = Element<V>;
  static constexpr int64_t W = Lanes<V>::kCount;

 public:
  RowsTask(Scratch& scratch, const GatedLayerNormBackward& p) : p_(p), grad_normed_(scratch.take<E>(p.dim)) {}

  void run(int64_t begin, int64_t end, E* grad_weight, E* grad_bias) {
    memset(grad_weight, 0, p_.dim * sizeof(E));
    memset(grad_bias, 0, p_.dim * sizeof(E));
    for (int64_t row = begin; row < end; ++row) run_row(row, grad_weight, grad_bias);
  }

 private:
  // With n = (y - mean) rstd, and g the gradient of n, that of y is rstd (g - mean(g) - n mean(g n)).
  void run_row(int64_t row, E* grad_weight, E* grad_bias) {
    const NormedRow<V> normed = norm_row<V>(p_, row);
    const E *weight = static_cast<const E*>(p_.weight), *bias = static_cast<const E*>(p_.bias);
    V sum{}, sum_of_products{};
    for (int64_t i = 0; i < p_.dim; i += W) {
      // Lanes past the row read a gradient of zero.
      const int64_t count = p_.dim - i;
      V z, grad;
      read(z, p_.z, p_.type, row * p_.z_row + i, count);
      read(grad, p_.grad_out, p_.type, row * p_.dim + i, count);
      const V n = normed.at(i, count), w = load_some(weight + i, count), s = sigmoid(z);
      const V affine = fma(n, w, V{} + load_some(bias + i, count)), grad_affine = grad * (z * s);
      write(p_.grad_z, p_.type, row * p_.dim + i, grad * affine * (s * fma(z, 1.0f - s, broadcast<V>(1))),
            count);
      store_some(grad_weight + i, fma(grad_affine, n, V{} + load_some(grad_weight + i, count)), count);
      store_some(grad_bias + i, load_some(grad_bias + i, count) + grad_affine, count);
      const V g = grad_affine * w;
      store_some(grad_normed_ + i, g, count);
      sum += g;
      sum_of_products = fma(g, n, sum_of_products);
    }
    const E mean = sum_lanes(sum) / E(p_.dim), slope = sum_lanes(sum_of_products) / E(p_.dim);
    E* grad_y = static_cast<E*>(p_.grad_y) + row * p_.dim;
    for (int64_t i = 0; i < p_.dim; i += W) {
      const int64_t count = p_.dim - i;
      const V centred = load_some(grad_normed_ + i, count) - mean;
      store_some(grad_y + i, (centred - normed.at(i, count) * slope) * normed.rstd, count);
    }
  }

  const GatedLayerNormBackward& p_;
  E* grad_normed_;
};

template <class V>
void run(const GatedLayerNormBackward& p, ParallelFor parallel) {
  Workspace<Element<V>> workspace{static_cast<Element<V>*>(p.workspace)};
  const Sums<V> sums(workspace, p);
  const int64_t parts = row_parts(p.rows), rows = (p.rows + parts - 1) / parts;
  for_each_task(parallel, parts, [&](int64_t part) {
    InScratch<RowsTask<V>> task(p);
    task->run(minimum(p.rows, part * rows), minimum(p.rows, (part + 1) * rows), sums.weight[part],
              sums.bias[part]);
  });
  sums.weight.add(parallel);
  sums.bias.add(parallel);
}

}  // namespace

void gated_layer_norm_backward(const GatedLayerNormBackward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

int64_t gated_layer_norm_backward_workspace(const GatedLayerNormBackward& p) {
  return for_compute_type(p.type, [&](auto v) {
    Workspace<Element<decltype(v)>> counter;
    Sums<decltype(v)>(counter, p);
    return counter.used;
  });
}

}  // namespace swin_umamba::SWIN_ISA
