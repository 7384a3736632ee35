// Layer normalisation and gate: every instruction set against float64, float64 against the definition and
// finite differences; the rows of z together and apart.
#include <cmath>

#include "compare.h"
#include "gradients.h"
#include "run.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

template <class Pass>
Pass problem(int64_t rows, int64_t dim, int64_t z_row, Type type) {
  Pass p{};
  p.rows = rows, p.dim = dim, p.z_row = z_row, p.type = type, p.eps = 1e-5;
  return p;
}

Arrays random_inputs(int64_t rows, int64_t dim, int64_t z_row, Type type, Random& random) {
  Arrays inputs = random_arrays(
      problem<GatedLayerNormBackward>(rows, dim, z_row, type),
      {{"y", {-1, 2}}, {"weight", {0.5, 2}}, {"bias", {-0.3, 1}}, {"grad_out", {-0.3, 1}}}, random);
  inputs.emplace("z", random.array(type, (rows - 1) * z_row + dim, -3, 6));
  return inputs;
}

Arrays run_kernels(int64_t rows, int64_t dim, int64_t z_row, Type type, const Arrays& inputs) {
  return run_both(problem<GatedLayerNormForward>(rows, dim, z_row, type),
                  problem<GatedLayerNormBackward>(rows, dim, z_row, type), inputs);
}

Array definition(int64_t rows, int64_t dim, int64_t z_row, const Arrays& in) {
  Array out(Type::kFloat64, rows * dim);
  for (int64_t row = 0; row < rows; ++row) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < dim; ++i) mean += in.at("y")[row * dim + i] / double(dim);
    for (int64_t i = 0; i < dim; ++i) variance += std::pow(in.at("y")[row * dim + i] - mean, 2) / double(dim);
    for (int64_t i = 0; i < dim; ++i) {
      const double normed = (in.at("y")[row * dim + i] - mean) / std::sqrt(variance + 1e-5);
      const double z = in.at("z")[row * z_row + i];
      out.set(row * dim + i, (normed * in.at("weight")[i] + in.at("bias")[i]) * z / (1 + std::exp(-z)));
    }
  }
  return out;
}

}  // namespace

SWIN_TEST(gated_layer_norm) {
  Random random(8);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16};
  int next = 0;
  for (int64_t dim : {1, 3, 15, 16, 17, 48, 64, 65, 100, 129})
    for (int64_t rows : {1, 2, 16, 33, 65, 530}) {
      const Type type = types[next++ % 3];
      const int64_t z_row = random.coin() ? dim : 2 * dim;
      const Arrays inputs = random_inputs(rows, dim, z_row, type, random);
      set_case("gated_layer_norm: " + std::string(type_name(type)) + ", " + std::to_string(rows) +
               " rows of " + std::to_string(dim) + " channels, " + std::to_string(z_row) + " apart");
      const Arrays seen = run_kernels(rows, dim, z_row, type, inputs);
      expect_close(seen, run_kernels(rows, dim, z_row, Type::kFloat64, as_double(inputs)), rows + dim);
      for (int threads : {2, 3, 16}) {
        thread_count() = threads;
        expect_same_bits(run_kernels(rows, dim, z_row, type, inputs), seen);
      }
      thread_count() = 1;
    }
}

SWIN_TEST_ONCE(gated_layer_norm_float64) {
  Random random(9);
  for (int64_t dim : {1, 3, 20})
    for (int64_t rows : {1, 40}) {
      const int64_t z_row = dim + random.pick({0, 5});
      const Arrays inputs = random_inputs(rows, dim, z_row, Type::kFloat64, random);
      set_case("gated_layer_norm: float64, " + std::to_string(rows) + " rows of " + std::to_string(dim) +
               " channels");
      const Arrays results = run_kernels(rows, dim, z_row, Type::kFloat64, inputs);
      expect_close("out", results.at("out"), definition(rows, dim, z_row, inputs), 1e-12);
      if (z_row != dim) continue;  // the gradient of z lies together
      const auto loss = [&](const Arrays& at) {
        return dot(run_kernels(rows, dim, z_row, Type::kFloat64, at).at("out"), at.at("grad_out"));
      };
      check_gradients(inputs, results, loss, random);
    }
}

}  // namespace swin_umamba::tests
