// Random problems of the two scans, and both of their kernels run on them.
//
// A problem is its sizes and options; its list of arrays (kernels/problem.h) says which it takes. Numbers are
// drawn here and not read from the Python tests' problems, so that these tests run where there is no Python.
#pragma once

#include "run.h"

namespace swin_umamba::tests {

// The problem's inputs and the gradients of its results; ones that may be missing are, by coin, if
// `leave_out`.
Arrays random_inputs(const SelectiveScan& problem, Random& random, bool leave_out = false);
Arrays random_inputs(const Ss2d& problem, Random& random);

template <class Problem>
struct Passes;
template <>
struct Passes<SelectiveScan> {
  using Forward = SelectiveScanForward;
  using Backward = SelectiveScanBackward;
};
template <>
struct Passes<Ss2d> {
  using Forward = Ss2dForward;
  using Backward = Ss2dBackward;
};

template <class Pass, class Problem>
Pass pass(const Problem& problem) {
  Pass p{};
  static_cast<Problem&>(p) = problem;
  return p;
}
template <class Problem>
auto forward(const Problem& problem) {
  return pass<typename Passes<Problem>::Forward>(problem);
}
template <class Problem>
auto backward(const Problem& problem) {
  return pass<typename Passes<Problem>::Backward>(problem);
}

// Type and shapes of the arrays that are there.
template <class Problem>
std::string describe(const Problem& problem, const Arrays& inputs) {
  auto p = backward(problem);
  std::string text = type_name(p.type);
  for (const Input& input : p.inputs())
    if (inputs.count(input.name))
      text += std::string(", ") + input.name + " " + shape_text(input.shape.values());
  return text;
}

// The results, and the gradient of each input under "grad_" and its name.
template <class Problem>
Arrays run_kernels(const Problem& problem, const Arrays& inputs) {
  return run_both(forward(problem), backward(problem), inputs);
}

template <class Problem>
Arrays run_in_float64(Problem problem, const Arrays& inputs) {
  problem.type = Type::kFloat64;
  return run_kernels(problem, as_double(inputs));
}

// Other numbers of threads give the bits that one gives, and so does the forward pass alone.
template <class Problem>
void check_same_bits(const Problem& problem, const Arrays& inputs) {
  const Arrays one = run_kernels(problem, inputs);
  expect_same_bits(infer(forward(problem), inputs), one);
  for (int threads : {2, 3, 16}) {
    thread_count() = threads;
    expect_same_bits(run_kernels(problem, inputs), one);
  }
  thread_count() = 1;
}

}  // namespace swin_umamba::tests
