#include "selective_scan_problem.h"

#include <cmath>
#include <utility>

#include "run.h"

namespace swin_umamba::tests {

std::string ScanSizes::describe() const {
  std::string text = std::string(type_name(type)) + " batch " + std::to_string(batch) + " groups " +
                     std::to_string(groups) + " channels " + std::to_string(channels) + " length " +
                     std::to_string(length) + " state " + std::to_string(state);
  if (softplus) text += " softplus";
  if (constant_B) text += " constant B";
  if (constant_C) text += " constant C";
  if (D) text += " D";
  if (z) text += " z";
  if (delta_bias) text += " delta_bias";
  if (grad_last_state) text += " grad_last_state";
  return text;
}

namespace {

template <class P>
P problem(const ScanSizes& s) {
  P p{};
  p.batch = s.batch, p.dim = s.dim(), p.length = s.length, p.state = s.state, p.groups = s.groups;
  p.type = s.type, p.softplus = s.softplus, p.constant_B = s.constant_B, p.constant_C = s.constant_C;
  return p;
}

}  // namespace

Arrays random_inputs(const ScanSizes& s, Random& random) {
  // Mostly positive, so that long sums do not cancel and the error has a scale to be held against.
  std::map<std::string, std::pair<double, double>> ranges{
      {"u", {-0.3, 1}},        {"delta", {0.01, 0.5}},
      {"A", {-3, 2}},          {"B", {-0.3, 1}},
      {"C", {-0.3, 1}},        {"D", {-0.3, 1}},
      {"z", {-1, 2}},          {"delta_bias", {0, 0.5}},
      {"grad_out", {-0.3, 1}}, {"grad_last_state", {-0.3, 1}}};
  if (s.softplus) ranges["delta"] = {-3, 1};
  if (!s.D) ranges.erase("D");
  if (!s.z) ranges.erase("z");
  if (!s.delta_bias) ranges.erase("delta_bias");
  if (!s.grad_last_state) ranges.erase("grad_last_state");
  Arrays in = random_arrays(problem<SelectiveScanBackward>(s), ranges, random);
  Array& A = in.at("A");
  for (int64_t i = 0; i < A.count(); ++i) A.set(i, -std::exp(A[i]));
  return in;
}

Arrays run_inference(const ScanSizes& s, const Arrays& in) {
  return infer(problem<SelectiveScanForward>(s), in);
}

Arrays run_kernels(const ScanSizes& s, const Arrays& in) {
  return run_both(problem<SelectiveScanForward>(s), problem<SelectiveScanBackward>(s), in);
}

}  // namespace swin_umamba::tests
