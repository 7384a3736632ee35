// The fused 2-D selective scan: every instruction set against float64, float64 against the definition and
// finite differences.
#include <cmath>
#include <utility>
#include <vector>

#include "compare.h"
#include "gradients.h"
#include "kernels/cpu/tuning.h"
#include "kernels/directions.h"
#include "problems.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

Ss2d problem(int64_t batch, int64_t height, int64_t width, int64_t dim, int64_t state, int64_t rank,
             Type type) {
  Ss2d p{};
  p.batch = batch, p.height = height, p.width = width, p.dim = dim, p.state = state, p.rank = rank,
  p.type = type;
  return p;
}

// The definition: for every direction, project each pixel that is visited, and scan.
Array definition(const Ss2d& s, const Arrays& in) {
  Array out(Type::kFloat64, s.batch * s.length() * s.dim);
  for (int64_t i = 0; i < out.count(); ++i) out.set(i, 0);
  const int64_t P = s.projected(), R = s.rank, N = s.state, D = s.dim;
  std::vector<double> projected(P), h(D * N);
  for (int64_t image = 0; image < s.batch; ++image)
    for (int k = 0; k < kDirections; ++k) {
      h.assign(D * N, 0);
      for (int64_t step = 0; step < s.length(); ++step) {
        const int64_t first = (image * s.length() + pixel_at(k, step, s.height, s.width)) * D;
        for (int64_t p = 0; p < P; ++p) {
          projected[p] = 0;
          for (int64_t d = 0; d < D; ++d)
            projected[p] += in.at("x_proj_weight")[(k * P + p) * D + d] * in.at("x")[first + d];
        }
        for (int64_t d = 0; d < D; ++d) {
          double dt = in.at("dt_projs_bias")[k * D + d];
          for (int64_t r = 0; r < R; ++r) dt += in.at("dt_projs_weight")[(k * D + d) * R + r] * projected[r];
          dt = std::log1p(std::exp(dt));
          const double x = in.at("x")[first + d];
          double y = in.at("Ds")[k * D + d] * x;
          for (int64_t n = 0; n < N; ++n) {
            double& state = h[d * N + n];
            const double A = -std::exp(in.at("A_logs")[(k * D + d) * N + n]);
            state = std::exp(dt * A) * state + dt * x * projected[R + n];
            y += projected[R + N + n] * state;
          }
          out.set(first + d, out[first + d] + y);
        }
      }
    }
  return out;
}

}  // namespace

SWIN_TEST(ss2d) {
  Random random(6);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16};
  const std::pair<int64_t, int64_t> images[] = {{1, 1},  {1, kChunk - 1}, {kChunk, 1}, {1, kChunk + 1},
                                                {5, 13}, {7, 9},          {43, 3}};
  int next = 0;
  for (int64_t dim : {1, 3, 16, 17, 47, 48, 49, 100})
    for (const auto& [height, width] : images) {
      const int64_t state = random.pick({1, 3, 4, 5, 16, 17}), rank = random.pick({1, 2, 7});
      const int64_t batch = dim < 20 ? random.pick({1, 2}) : 1;
      const Ss2d s = problem(batch, height, width, dim, state, rank, types[next++ % 3]);
      const Arrays inputs = random_inputs(s, random);
      set_case("ss2d: " + describe(s, inputs));
      expect_close(run_kernels(s, inputs), run_in_float64(s, inputs), s.length());
    }

  // Of the second, each sum over channels holds several parts.
  for (int64_t dim : {int64_t(100), kMostSums * kChannelsPerPart + 49}) {
    const Ss2d s = problem(2, 11, 12, dim, 5, 2, Type::kFloat32);
    const Arrays inputs = random_inputs(s, random);
    set_case("ss2d without states and in threads: " + describe(s, inputs));
    expect_close(run_kernels(s, inputs), run_in_float64(s, inputs), s.length());
    check_same_bits(s, inputs);
  }
}

SWIN_TEST_ONCE(ss2d_float64) {
  Random random(7);
  const std::pair<int64_t, int64_t> images[] = {{1, 1}, {1, 70}, {kChunk + 1, 1}, {8, 8}, {7, 19}};
  for (const auto& [height, width] : images)
    for (int64_t dim : {1, 3, 49}) {
      const int64_t batch = random.pick({1, 2}), state = random.pick({1, 5}), rank = random.pick({1, 3});
      const Ss2d s = problem(batch, height, width, dim, state, rank, Type::kFloat64);
      const Arrays inputs = random_inputs(s, random);
      set_case("ss2d: " + describe(s, inputs));
      const Arrays results = run_kernels(s, inputs);
      expect_close("y", results.at("y"), definition(s, inputs), 1e-12);
      const auto loss = [&](const Arrays& at) { return dot(run_kernels(s, at).at("y"), at.at("grad_y")); };
      check_gradients(inputs, results, loss, random);
    }
}

}  // namespace swin_umamba::tests
