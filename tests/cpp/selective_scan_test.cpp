// The selective scan: every instruction set against float64, float64 against the recurrence and finite
// differences.
#include <cmath>
#include <vector>

#include "compare.h"
#include "gradients.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tuning.h"
#include "problems.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

// Chooses the options of `s` and gives it inputs.
Arrays random_options(SelectiveScan& s, Random& random) {
  s.softplus = random.coin();
  s.constant_B = random.pick({false, false, true}), s.constant_C = random.pick({false, false, true});
  const Arrays inputs = random_inputs(s, random, true);
  set_case(std::string("selective_scan") + (s.softplus ? " with softplus: " : ": ") + describe(s, inputs));
  return inputs;
}

// out and last_state by the definition (Gu and Dao, "Mamba", arXiv:2312.00752, Algorithm 2), step by step.
Arrays recurrence(const SelectiveScan& s, const Arrays& in) {
  const int64_t channels = s.dim / s.groups;
  Arrays results{{"out", Array(Type::kFloat64, s.batch * s.dim * s.length)},
                 {"last_state", Array(Type::kFloat64, s.batch * s.dim * s.state)}};
  const auto coefficient = [&](const char* name, bool constant, int64_t image, int64_t channel, int64_t n,
                               int64_t t) {
    return constant ? in.at(name)[channel * s.state + n]
                    : in.at(name)[((image * s.groups + channel / channels) * s.state + n) * s.length + t];
  };
  for (int64_t row = 0; row < s.batch * s.dim; ++row) {
    const int64_t image = row / s.dim, channel = row % s.dim;
    std::vector<double> h(s.state);
    for (int64_t t = 0; t < s.length; ++t) {
      const double u = in.at("u")[row * s.length + t];
      double dt = in.at("delta")[row * s.length + t], y = in.count("D") ? in.at("D")[channel] * u : 0;
      if (in.count("delta_bias")) dt += in.at("delta_bias")[channel];
      if (s.softplus) dt = std::log1p(std::exp(dt));
      for (int64_t n = 0; n < s.state; ++n) {
        h[n] = std::exp(dt * in.at("A")[channel * s.state + n]) * h[n] +
               dt * u * coefficient("B", s.constant_B, image, channel, n, t);
        y += coefficient("C", s.constant_C, image, channel, n, t) * h[n];
      }
      if (in.count("z")) {
        const double z = in.at("z")[row * s.length + t];
        y *= z / (1 + std::exp(-z));
      }
      results.at("out").set(row * s.length + t, y);
    }
    for (int64_t n = 0; n < s.state; ++n) results.at("last_state").set(row * s.state + n, h[n]);
  }
  return results;
}

// With delta = 0 and D = 1 the output is the input, so that every number of a 16-bit type is read and
// written.
void check_every_number(Type type) {
  const int64_t finite = type == Type::kBFloat16 ? 0x7f80 : 0x7c00;
  for (int64_t channels : {3, 17}) {
    SelectiveScan s{};
    s.batch = s.groups = s.state = 1, s.dim = channels, s.length = 2 * finite, s.type = type;
    s.constant_B = s.constant_C = true;
    Random random(3);
    Arrays in = random_inputs(s, random);
    for (const char* name : {"z", "delta_bias", "grad_last_state"}) in.erase(name);
    set_case("selective_scan that does nothing: " + describe(s, in));
    in.insert_or_assign("delta", random.array(type, channels * s.length, 0, 0));
    in.insert_or_assign("D", random.array(Type::kFloat32, channels, 1, 1));
    const auto bits = static_cast<uint16_t*>(in.at("u").data());
    for (int64_t i = 0; i < channels * s.length; ++i)
      bits[i] = uint16_t(i % finite | (i / finite % 2 ? 0x8000 : 0));
    const Arrays results = run_kernels(s, in);
    for (int64_t i = 0; i < channels * s.length; ++i)
      if (results.at("out")[i] != in.at("u")[i]) return fail("the output is not the input");
  }
}

}  // namespace

SWIN_TEST(selective_scan) {
  Random random(4);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16};
  int next = 0;
  for (int64_t channels : {1, 3, 16, 17, 47, 48, 49, 100})
    for (int64_t length : {int64_t(1), kChunk - 1, kChunk, kChunk + 1, int64_t(63), int64_t(129)})
      for (int repeat = 0; repeat < 2; ++repeat) {
        SelectiveScan s{};
        s.groups = channels < 20 ? random.pick({1, 1, 2, 3}) : 1;
        s.batch = channels < 20 ? random.pick({1, 2}) : 1;
        s.dim = s.groups * channels, s.length = length;
        s.state = random.pick({1, 3, 4, 5, 16, 17});
        s.type = types[next++ % 3];
        const Arrays inputs = random_options(s, random);
        expect_close(run_kernels(s, inputs), run_in_float64(s, inputs), length);
      }

  for (Type type : {Type::kBFloat16, Type::kFloat16}) check_every_number(type);

  SelectiveScan s{};
  s.batch = 2, s.groups = 1, s.dim = 100, s.length = 130, s.state = 5, s.softplus = true;
  Arrays inputs = random_inputs(s, random);
  inputs.erase("D");
  set_case("selective_scan without states and in threads: " + describe(s, inputs));
  check_same_bits(s, inputs);

  s.length = 20, s.softplus = false;  // decays up to e^30: no results are NaN, but many are infinite
  inputs = random_inputs(s, random);
  inputs.insert_or_assign("A", random.array(Type::kFloat32, s.dim * s.state, 0, 0.2));
  inputs.insert_or_assign("delta", random.array(Type::kFloat32, s.batch * s.dim * s.length, 50, 150));
  set_case("selective_scan that grows: " + describe(s, inputs));
  check_same_bits(s, inputs);
}

SWIN_TEST_ONCE(selective_scan_float64) {
  Random random(5);
  for (int64_t length : {int64_t(1), kChunk, kChunk + 1, 2 * kChunk + 1, int64_t(200)})
    for (int repeat = 0; repeat < 4; ++repeat) {
      SelectiveScan s{};
      s.batch = random.pick({1, 2}), s.groups = random.pick({1, 2}),
      s.dim = s.groups * random.pick({1, 3, 49});
      s.length = length, s.state = random.pick({1, 4, 5}), s.type = Type::kFloat64;
      const Arrays inputs = random_options(s, random), results = run_kernels(s, inputs);
      const Arrays wanted = recurrence(s, inputs);
      for (const auto& [name, array] : wanted) expect_close(name, results.at(name), array, 1e-12);
      const auto loss = [&](const Arrays& at) {
        const Arrays y = run_kernels(s, at);
        return dot(y.at("out"), at.at("grad_out")) +
               (at.count("grad_last_state") ? dot(y.at("last_state"), at.at("grad_last_state")) : 0);
      };
      check_gradients(inputs, results, loss, random);
    }
}

}  // namespace swin_umamba::tests
