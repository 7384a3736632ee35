#include "selective_scan_problem.h"

#include <cmath>

#include "kernels/cpu/kernels.h"
#include "python/threads.h"

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

Arrays random_inputs(const ScanSizes& s, Random& random) {
  const int64_t sequence = s.batch * s.dim() * s.length, matrix = s.dim() * s.state;
  const int64_t steps = s.batch * s.groups * s.state * s.length;
  const Type compute = compute_type(s.type);
  Arrays in;
  const auto add = [&](const char* name, Type type, int64_t count, double low, double high) {
    in.emplace(name, random.array(type, count, low, high));
  };
  // Mostly positive, so that long sums do not cancel and the error has a scale to be held against.
  add("u", s.type, sequence, -0.3, 1);
  add("delta", s.type, sequence, s.softplus ? -3 : 0.01, s.softplus ? 1 : 0.5);
  in.emplace("A", Array(compute, matrix));
  for (int64_t i = 0; i < matrix; ++i) in.at("A").set(i, -std::exp(random.uniform(-3, 2)));
  add("B", s.constant_B ? compute : s.type, s.constant_B ? matrix : steps, -0.3, 1);
  add("C", s.constant_C ? compute : s.type, s.constant_C ? matrix : steps, -0.3, 1);
  if (s.D) add("D", compute, s.dim(), -0.3, 1);
  if (s.z) add("z", s.type, sequence, -1, 2);
  if (s.delta_bias) add("delta_bias", compute, s.dim(), 0, 0.5);
  add("grad_out", s.type, sequence, -0.3, 1);
  if (s.grad_last_state) add("grad_last_state", compute, s.batch * matrix, -0.3, 1);
  return in;
}

namespace {

SelectiveScan problem(const ScanSizes& s, const Arrays& in) {
  const auto data = [&](const char* name) { return in.count(name) ? in.at(name).data() : nullptr; };
  SelectiveScan p{};
  p.batch = s.batch, p.dim = s.dim(), p.length = s.length, p.state = s.state, p.groups = s.groups;
  p.type = s.type, p.softplus = s.softplus, p.constant_B = s.constant_B, p.constant_C = s.constant_C;
  p.u = data("u"), p.delta = data("delta"), p.A = data("A"), p.B = data("B"), p.C = data("C");
  p.D = data("D"), p.z = data("z"), p.delta_bias = data("delta_bias");
  return p;
}

Arrays run_forward(const ScanSizes& s, const Arrays& in, void* states) {
  const Array out(s.type, s.batch * s.dim() * s.length);
  const Array last_state(compute_type(s.type), s.batch * s.dim() * s.state);
  cpu_kernels(s.type).selective_scan_forward({problem(s, in), out.data(), last_state.data(), states},
                                             run_in_threads);
  return {{"out", out}, {"last_state", last_state}};
}

}  // namespace

Arrays run_inference(const ScanSizes& s, const Arrays& in) { return run_forward(s, in, nullptr); }

Arrays run_kernels(const ScanSizes& s, const Arrays& in) {
  const Type compute = compute_type(s.type);
  const int64_t dim = s.dim(), sequence = s.batch * dim * s.length, matrix = dim * s.state;
  const Array states(compute, s.batch * saved_states(s.length) * matrix);
  Arrays results = run_forward(s, in, states.data());

  const int64_t steps = s.batch * s.groups * s.state * s.length;
  const Array grad_u(s.type, sequence), grad_delta(s.type, sequence), grad_A(compute, matrix);
  const Array grad_B(s.constant_B ? compute : s.type, s.constant_B ? matrix : steps);
  const Array grad_C(s.constant_C ? compute : s.type, s.constant_C ? matrix : steps);
  const Array grad_D(compute, s.D ? dim : 0), grad_z(s.type, s.z ? sequence : 0);
  const Array grad_delta_bias(compute, s.delta_bias ? dim : 0);
  SelectiveScanBackward backward{};
  static_cast<SelectiveScan&>(backward) = problem(s, in);
  const Array workspace(compute, cpu_kernels(s.type).selective_scan_backward_workspace(backward));
  backward.workspace = workspace.data(), backward.states = states.data(),
  backward.grad_out = in.at("grad_out").data();
  if (s.grad_last_state) backward.grad_last_state = in.at("grad_last_state").data();
  backward.grad_u = grad_u.data(), backward.grad_delta = grad_delta.data(), backward.grad_A = grad_A.data();
  backward.grad_B = grad_B.data(), backward.grad_C = grad_C.data(), backward.grad_D = grad_D.data();
  backward.grad_z = grad_z.data(), backward.grad_delta_bias = grad_delta_bias.data();
  cpu_kernels(s.type).selective_scan_backward(backward, run_in_threads);

  results.insert({{"grad_u", grad_u},
                  {"grad_delta", grad_delta},
                  {"grad_A", grad_A},
                  {"grad_B", grad_B},
                  {"grad_C", grad_C}});
  if (s.D) results.emplace("grad_D", grad_D);
  if (s.z) results.emplace("grad_z", grad_z);
  if (s.delta_bias) results.emplace("grad_delta_bias", grad_delta_bias);
  return results;
}

}  // namespace swin_umamba::tests
