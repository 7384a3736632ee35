#include "problems.h"

#include <cmath>

namespace swin_umamba::tests {
namespace {

template <class Pass, class Problem>
Pass pass(const Problem& problem) {
  Pass p{};
  static_cast<Problem&>(p) = problem;
  return p;
}

template <class P>
std::string shapes(P p, const Arrays& inputs) {
  std::string text = type_name(p.type);
  for (const Input& input : p.inputs())
    if (inputs.count(input.name))
      text += std::string(", ") + input.name + " " + shape_text(input.shape.values());
  return text;
}

}  // namespace

Arrays random_inputs(const SelectiveScan& problem, Random& random, bool leave_out) {
  // Mostly positive, so that long sums do not cancel and the error has a scale to be held against.
  Arrays inputs = random_arrays(pass<SelectiveScanBackward>(problem),
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
  return random_arrays(pass<Ss2dBackward>(problem),
                       {{"x", {-0.3, 1}},
                        {"x_proj_weight", {-0.6 / dim, 2 / dim}},
                        {"dt_projs_weight", {-1 / rank, 1 / rank}},
                        {"dt_projs_bias", {-3, 0}},
                        {"A_logs", {-2, 1.5}},
                        {"Ds", {-0.3, 1}},
                        {"grad_y", {-0.3, 1}}},
                       random);
}

std::string describe(const SelectiveScan& problem, const Arrays& inputs) {
  return "selective_scan" + std::string(problem.softplus ? " with softplus: " : ": ") +
         shapes(pass<SelectiveScanBackward>(problem), inputs);
}

std::string describe(const Ss2d& problem, const Arrays& inputs) {
  return "ss2d: " + shapes(pass<Ss2dBackward>(problem), inputs);
}

Arrays run_kernels(const SelectiveScan& problem, const Arrays& inputs) {
  return run_both(pass<SelectiveScanForward>(problem), pass<SelectiveScanBackward>(problem), inputs);
}

Arrays run_kernels(const Ss2d& problem, const Arrays& inputs) {
  return run_both(pass<Ss2dForward>(problem), pass<Ss2dBackward>(problem), inputs);
}

Arrays run_inference(const SelectiveScan& problem, const Arrays& inputs) {
  return infer(pass<SelectiveScanForward>(problem), inputs);
}

Arrays run_inference(const Ss2d& problem, const Arrays& inputs) {
  return infer(pass<Ss2dForward>(problem), inputs);
}

}  // namespace swin_umamba::tests
