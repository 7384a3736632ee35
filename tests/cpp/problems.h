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

// Type, options, and the shapes of the arrays that are there.
std::string describe(const SelectiveScan& problem, const Arrays& inputs);
std::string describe(const Ss2d& problem, const Arrays& inputs);

// The results, and the gradient of each input under "grad_" and its name.
Arrays run_kernels(const SelectiveScan& problem, const Arrays& inputs);
Arrays run_kernels(const Ss2d& problem, const Arrays& inputs);

// The results alone, without saving states for the backward kernel.
Arrays run_inference(const SelectiveScan& problem, const Arrays& inputs);
Arrays run_inference(const Ss2d& problem, const Arrays& inputs);

template <class Problem>
Arrays run_in_float64(Problem problem, const Arrays& inputs) {
  problem.type = Type::kFloat64;
  return run_kernels(problem, as_double(inputs));
}

// Other numbers of threads give the bits that one gives, and so does inference.
template <class Problem>
void check_same_bits(const Problem& problem, const Arrays& inputs) {
  const Arrays one = run_kernels(problem, inputs);
  expect_same_bits(run_inference(problem, inputs), one);
  for (int threads : {2, 3, 16}) {
    thread_count() = threads;
    expect_same_bits(run_kernels(problem, inputs), one);
  }
  thread_count() = 1;
}

}  // namespace swin_umamba::tests
