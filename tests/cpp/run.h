// A problem's kernel, run on arrays by name; the problem has its sizes and options.
#pragma once

#include <utility>

#include "compare.h"
#include "kernels/cpu/backend.h"
#include "kernels/given.h"
#include "threads.h"

namespace swin_umamba::tests {

using Range = std::pair<double, double>;

// Those inputs of `p` that have a range, with random numbers from it; optional ones, if `leave_out`, by coin.
template <class P>
Arrays random_arrays(P p, const std::map<std::string, Range>& ranges, Random& random,
                     bool leave_out = false) {
  Arrays arrays;
  for (const Input& input : p.inputs()) {
    const auto range = ranges.find(input.name);
    if (range == ranges.end() || (leave_out && input.optional && random.coin())) continue;
    const auto [low, high] = range->second;
    arrays.emplace(input.name, random.array(input.type.value, input.shape.elements(), low, high));
  }
  return arrays;
}

// The results by name.
template <class P>
Arrays run(P p, const Arrays& inputs) {
  const Cpu cpu{run_in_threads};
  cpu.lay_out(p);
  for (const Input& input : p.inputs())
    *input.data = inputs.count(input.name) ? inputs.at(input.name).data() : nullptr;
  Arrays results;
  for (const Output& output : p.outputs()) {
    if (!output.data) continue;
    const Array array(output.type.value, output.shape.elements());
    *output.data = array.data();
    results.emplace(output.name, array);
  }
  const Array workspace(p.compute(), cpu.workspace(p));
  p.workspace = workspace.data();
  cpu.run(p);
  return results;
}

inline Arrays without_saved(Arrays results) {
  results.erase("states");
  results.erase("projected_x");
  return results;
}

// Of the forward pass alone, which then saves no states.
template <class Forward>
Arrays infer(Forward p, const Arrays& inputs) {
  p.save_states = false;
  return without_saved(run(p, inputs));
}

// Of both passes; the gradient of an input is "grad_" and its name.
template <class Forward, class Backward>
Arrays run_both(const Forward& forward, const Backward& backward, Arrays inputs) {
  Arrays results = run(forward, inputs);
  inputs.insert(results.begin(), results.end());
  results = without_saved(results);
  for (const auto& [name, array] : run(backward, inputs)) results.emplace("grad_" + name, array);
  return results;
}

}  // namespace swin_umamba::tests
