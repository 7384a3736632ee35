// Gradients against finite differences, in float64.
#pragma once

#include <cmath>
#include <functional>

#include "compare.h"

namespace swin_umamba::tests {

// sum over i of a_i b_i
inline double dot(const Array& a, const Array& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.count(); ++i) sum += a[i] * b[i];
  return sum;
}

// For every result "grad_NAME", the derivative of `loss` along a random direction of input NAME.
inline void check_gradients(const Arrays& inputs, const Arrays& results,
                            const std::function<double(const Arrays&)>& loss, Random& random) {
  constexpr double kStep = 1e-5;
  for (const auto& [name, gradient] : results) {
    if (name.rfind("grad_", 0) != 0) continue;
    const std::string input = name.substr(5);
    const Array direction = random.array(Type::kFloat64, gradient.count(), -1, 1);
    const auto moved = [&](double step) {
      Arrays at = inputs;
      Array values = inputs.at(input).as(Type::kFloat64);
      for (int64_t i = 0; i < values.count(); ++i) values.set(i, values[i] + step * direction[i]);
      at.insert_or_assign(input, values);
      return loss(at);
    };
    const double wanted = (moved(kStep) - moved(-kStep)) / (2 * kStep), got = dot(gradient, direction);
    const double error = std::fabs(got - wanted), scale = std::sqrt(dot(gradient, gradient));
    if (!(error <= 1e-6 * scale)) fail(name + ": " + text(got) + ", finite difference " + text(wanted));
  }
}

}  // namespace swin_umamba::tests
