// Layer normalisation and gate, forward: three passes over a row, which stays in the first-level cache.
#include "gated_layer_norm_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
void run(const GatedLayerNormForward& p, ParallelFor parallel) {
  using E = Element<V>;
  for_each_task(parallel, (p.rows + kNormedRows - 1) / kNormedRows, [&p](int64_t task) {
    const E *weight = static_cast<const E*>(p.weight), *bias = static_cast<const E*>(p.bias);
    for (int64_t row = task * kNormedRows; row < minimum(p.rows, (task + 1) * kNormedRows); ++row) {
      const NormedRow<V> normed = norm_row<V>(p, row);
      for (int64_t i = 0; i < p.dim; i += Lanes<V>::kCount) {
        const int64_t count = p.dim - i;
        V z;
        read(z, p.z, p.type, row * p.z_row + i, count);
        const V affine = fma(normed.at(i, count), load_some(weight + i, count), load_some(bias + i, count));
        write(p.out, p.type, row * p.dim + i, affine * (z * sigmoid(z)), count);
      }
    }
  });
}

}  // namespace

void gated_layer_norm_forward(const GatedLayerNormForward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
