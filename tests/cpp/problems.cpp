#include "problems.h"

#include <cmath>

namespace swin_umamba::tests {

// Mostly positive, so that long sums do not cancel and the error has a scale to be held against.

Arrays random_inputs(const SelectiveScan& problem, Random& random, bool leave_out) {
  Arrays inputs = random_arrays(backward(problem),
                                {{"u", {-0.3, 1}},
                                 {"delta", problem.softplus ? Range{-3, 1} : Range{0.01, 0.5}},
                                 {"A", {-3, 2}},
                                 {"B", {-0.3, 1}},
                                 {"C", {-0.3, 1}},
                                 {"D", {-0.3, 1}},
                                 {"z", {-1, 2}},
                                 {"delta_bias", {0, 0.5}},
                                 {"grad_out", {-0.3, 1}},
                                 {"grad_last_state", {-0.3, 1}}},
                                random, leave_out);
  Array& A = inputs.at("A");
  for (int64_t i = 0; i < A.count(); ++i) A.set(i, -std::exp(A[i]));
  return inputs;
}

Arrays random_inputs(const Ss2d& problem, Random& random) {
  const double dim = double(problem.dim), rank = double(problem.rank);
  return random_arrays(backward(problem),
                       {{"x", {-0.3, 1}},
                        {"x_proj_weight", {-0.6 / dim, 2 / dim}},
                        {"dt_projs_weight", {-1 / rank, 1 / rank}},
                        {"dt_projs_bias", {-3, 0}},
                        {"A_logs", {-2, 1.5}},
                        {"Ds", {-0.3, 1}},
                        {"grad_y", {-0.3, 1}}},
                       random);
}

}  // namespace swin_umamba::tests
