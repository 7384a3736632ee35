// Instance normalisation: every instruction set against float64, float64 against the definition and finite
// differences.
#include <cmath>

#include "gradients.h"
#include "kernels/cpu/tuning.h"
#include "run.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

struct Case {
  int64_t batch, channels, height, width;
  Type type;
  bool channels_last, residual;
  double slope;

  template <class Pass>
  Pass pass() const {
    Pass p{};
    p.batch = batch, p.channels = channels, p.height = height, p.width = width, p.type = type;
    p.channels_last = channels_last, p.negative_slope = slope, p.eps = 1e-5;
    return p;
  }
  std::string text() const {
    return std::string("instance_norm: ") + type_name(type) + (channels_last ? " channels last" : "") + " (" +
           std::to_string(batch) + ", " + std::to_string(channels) + ", " + std::to_string(height) + ", " +
           std::to_string(width) + ")" + (residual ? " with residual" : "");
  }
  int64_t index(int64_t image, int64_t channel, int64_t pixel) const {
    const int64_t pixels = height * width;
    return channels_last ? (image * pixels + pixel) * channels + channel
                         : (image * channels + channel) * pixels + pixel;
  }
};

Arrays random_inputs(const Case& c, Random& random) {
  std::map<std::string, Range> ranges{{"x", {2, 5}},
                                      {"weight", {0.5, 2}},
                                      {"bias", {-0.3, 1}},
                                      {"residual", {-0.3, 1}},
                                      {"grad_y", {-0.3, 1}}};
  if (!c.residual) ranges.erase("residual");
  Arrays inputs = random_arrays(c.pass<InstanceNormForward>(), ranges, random);
  inputs.merge(random_arrays(c.pass<InstanceNormBackward>(), {{"grad_y", {-0.3, 1}}}, random));
  return inputs;
}

Arrays run_both_ways(const Case& c, Arrays inputs) {
  Arrays results = run(c.pass<InstanceNormForward>(), inputs);
  inputs.insert(results.begin(), results.end());
  if (!c.residual) inputs.erase("y");
  for (const auto& [name, array] : run(c.pass<InstanceNormBackward>(), inputs))
    results.emplace("grad_" + name, array);
  // Float64, and no better than the sums of the data's type.
  results.erase("mean"), results.erase("rstd");
  return results;
}

Arrays run_in_float64(Case c, const Arrays& inputs) {
  c.type = Type::kFloat64;
  return run_both_ways(c, as_double(inputs));
}

Array definition(const Case& c, const Arrays& in) {
  const int64_t pixels = c.height * c.width;
  Array y(Type::kFloat64, c.batch * c.channels * pixels);
  for (int64_t image = 0; image < c.batch; ++image)
    for (int64_t channel = 0; channel < c.channels; ++channel) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < pixels; ++i) mean += in.at("x")[c.index(image, channel, i)] / double(pixels);
      for (int64_t i = 0; i < pixels; ++i)
        variance += std::pow(in.at("x")[c.index(image, channel, i)] - mean, 2) / double(pixels);
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t at = c.index(image, channel, i);
        double value = (in.at("x")[at] - mean) / std::sqrt(variance + 1e-5) * in.at("weight")[channel] +
                       in.at("bias")[channel];
        if (c.residual) value += in.at("residual")[at];
        y.set(at, value > 0 ? value : value * c.slope);
      }
    }
  return y;
}

}  // namespace

// Without an activation, whose kink would show rounding.
SWIN_TEST(instance_norm) {
  Random random(8);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16};
  int next = 0;
  for (int64_t channels : {1, 3, 15, 16, 17, 48, 50, 80, 129})
    for (const auto& [height, width] :
         {std::pair<int64_t, int64_t>{3, 4}, {7, 9}, {1, 64}, {13, 5}, {33, 31}})
      for (bool channels_last : {false, true}) {
        const Case c{random.pick({1, 2}), channels,      height,        width,
                     types[next++ % 3],   channels_last, random.coin(), 1};
        const Arrays inputs = random_inputs(c, random);
        set_case(c.text());
        expect_close(run_both_ways(c, inputs), run_in_float64(c, inputs), c.batch * height * width);
      }

  for (bool channels_last : {false, true}) {
    const Case c{2, 50, 61, 37, Type::kFloat32, channels_last, true, 0.01};
    const Arrays inputs = random_inputs(c, random);
    set_case(c.text() + " in threads");
    const Arrays one = run_both_ways(c, inputs);
    for (int threads : {2, 3, 16}) {
      thread_count() = threads;
      expect_same_bits(run_both_ways(c, inputs), one);
    }
    thread_count() = 1;
  }
}

SWIN_TEST_ONCE(instance_norm_float64) {
  Random random(9);
  for (int64_t channels : {1, 5})
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 3}, {5, 7}, {9, 16}})
      for (bool channels_last : {false, true})
        for (double slope : {1.0, 0.1}) {
          const Case c{2, channels, height, width, Type::kFloat64, channels_last, slope < 1, slope};
          const Arrays inputs = random_inputs(c, random);
          set_case(c.text());
          const Arrays results = run_both_ways(c, inputs);
          expect_close("y", results.at("y"), definition(c, inputs), 1e-12);
          const auto loss = [&](const Arrays& at) {
            return dot(run(c.pass<InstanceNormForward>(), at).at("y"), at.at("grad_y"));
          };
          check_gradients(inputs, results, loss, random);
        }
}

}  // namespace swin_umamba::tests
