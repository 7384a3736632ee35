// Depthwise convolution and SiLU: every instruction set against float64, float64 against the definition and
// finite differences; the pixels of x together and apart.
#include <cmath>

#include "compare.h"
#include "gradients.h"
#include "run.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

DepthwiseConvSilu problem(int64_t batch, int64_t height, int64_t width, int64_t dim, int64_t x_row,
                          Type type) {
  DepthwiseConvSilu p{};
  p.batch = batch, p.height = height, p.width = width, p.dim = dim, p.x_row = x_row, p.type = type;
  return p;
}

template <class Pass>
Pass pass(const DepthwiseConvSilu& problem) {
  Pass p{};
  static_cast<DepthwiseConvSilu&>(p) = problem;
  return p;
}

Arrays random_inputs(const DepthwiseConvSilu& p, Random& random) {
  Arrays inputs =
      random_arrays(pass<DepthwiseConvSiluBackward>(p),
                    {{"weight", {-0.5, 1}}, {"bias", {-0.3, 1}}, {"grad_out", {-0.3, 1}}}, random);
  inputs.emplace("x", random.array(p.type, (p.pixels() - 1) * p.x_row + p.dim, -2, 4));
  return inputs;
}

Arrays run_kernels(const DepthwiseConvSilu& p, const Arrays& inputs) {
  return run_both(pass<DepthwiseConvSiluForward>(p), pass<DepthwiseConvSiluBackward>(p), inputs);
}

Array definition(const DepthwiseConvSilu& p, const Arrays& in) {
  Array out(Type::kFloat64, p.pixels() * p.dim);
  for (int64_t row = 0; row < p.rows(); ++row)
    for (int64_t column = 0; column < p.width; ++column)
      for (int64_t c = 0; c < p.dim; ++c) {
        double sum = in.at("bias")[c];
        for (int i = -1; i <= 1; ++i)
          for (int j = -1; j <= 1; ++j) {
            const int64_t h = row % p.height + i, w = column + j;
            if (h < 0 || h >= p.height || w < 0 || w >= p.width) continue;
            sum += in.at("weight")[c * 9 + 3 * (i + 1) + j + 1] *
                   in.at("x")[((row + i) * p.width + w) * p.x_row + c];
          }
        out.set((row * p.width + column) * p.dim + c, sum / (1 + std::exp(-sum)));
      }
  return out;
}

std::string describe(const DepthwiseConvSilu& p) {
  return "depthwise_conv_silu: " + std::string(type_name(p.type)) + ", " +
         shape_text({p.batch, p.height, p.width, p.dim}) + ", pixels " + std::to_string(p.x_row) + " apart";
}

}  // namespace

SWIN_TEST(depthwise_conv_silu) {
  Random random(10);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16};
  int next = 0;
  for (int64_t dim : {1, 15, 16, 17, 48, 100})
    for (int64_t height : {1, 2, 7, 33})
      for (int64_t width : {1, 3, 4, 9}) {
        DepthwiseConvSilu p =
            problem(1 + next % 2, height, width, dim, random.coin() ? dim : 2 * dim, types[next % 3]);
        ++next;
        const Arrays inputs = random_inputs(p, random);
        set_case(describe(p));
        const Arrays seen = run_kernels(p, inputs);
        DepthwiseConvSilu exact = p;
        exact.type = Type::kFloat64;
        expect_close(seen, run_kernels(exact, as_double(inputs)), p.pixels() + 9);
        for (int threads : {2, 3, 16}) {
          thread_count() = threads;
          expect_same_bits(run_kernels(p, inputs), seen);
        }
        thread_count() = 1;
      }
}

SWIN_TEST_ONCE(depthwise_conv_silu_float64) {
  Random random(11);
  for (int64_t dim : {1, 3})
    for (int64_t height : {1, 4})
      for (int64_t width : {1, 6}) {
        const DepthwiseConvSilu p = problem(2, height, width, dim, dim + random.pick({0, 5}), Type::kFloat64);
        const Arrays inputs = random_inputs(p, random);
        set_case(describe(p));
        const Arrays results = run_kernels(p, inputs);
        expect_close("out", results.at("out"), definition(p, inputs), 1e-12);
        if (p.x_row != p.dim) continue;  // the gradient of x lies together
        const auto loss = [&](const Arrays& at) {
          return dot(run_kernels(p, at).at("out"), at.at("grad_out"));
        };
        check_gradients(inputs, results, loss, random);
      }
}

}  // namespace swin_umamba::tests
