// Selective scan on the CPU.
#include "../../kernels/cpu/kernels.h"
#include "../problems.h"

namespace swin_umamba {
namespace {

std::tuple<Tensor, Tensor, Tensor> selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                  std::optional<Tensor> D, std::optional<Tensor> z,
                                                  std::optional<Tensor> delta_bias, bool delta_softplus,
                                                  bool save_states) {
  SelectiveScanForward p{selective_scan_problem(u, delta, A, B, C, D, z, delta_bias, delta_softplus), nullptr,
                         nullptr, nullptr};
  const ScalarType compute = compute_dtype(p.type);
  Tensor y = new_tensor(u, {p.batch, p.dim, p.length}, u.scalar_type());
  Tensor last_state = new_tensor(u, {p.batch, p.dim, p.state}, compute);
  Tensor states = new_tensor(u, {p.batch, save_states ? saved_states(p.length) : 0, p.state, p.dim}, compute);
  p.out = out(y), p.last_state = out(last_state), p.states = out(states);
  cpu_kernels(p.type).selective_scan_forward(p, torch_threads);
  return {y, last_state, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward(
    Tensor grad_out, std::optional<Tensor> grad_last_state, Tensor states, Tensor u, Tensor delta, Tensor A,
    Tensor B, Tensor C, std::optional<Tensor> D, std::optional<Tensor> z, std::optional<Tensor> delta_bias,
    bool delta_softplus) {
  SelectiveScanBackward p{};
  static_cast<SelectiveScan&>(p) =
      selective_scan_problem(u, delta, A, B, C, D, z, delta_bias, delta_softplus);
  const ScalarType dtype = u.scalar_type(), compute = compute_dtype(p.type);
  require(grad_out, "grad_out", {p.batch, p.dim, p.length}, dtype);
  require(states, "states", {p.batch, saved_states(p.length), p.state, p.dim}, compute);
  if (grad_last_state) require(*grad_last_state, "grad_last_state", {p.batch, p.dim, p.state}, compute);
  p.states = data(states), p.grad_out = data(grad_out), p.grad_last_state = data(grad_last_state);

  const auto coefficient = [&](bool constant) {
    return constant ? new_tensor(u, {p.dim, p.state}, compute)
                    : new_tensor(u, {p.batch, p.groups, p.state, p.length}, dtype);
  };
  Tensor grad_u = new_tensor(u, {p.batch, p.dim, p.length}, dtype);
  Tensor grad_delta = new_tensor(u, {p.batch, p.dim, p.length}, dtype);
  Tensor grad_A = new_tensor(u, {p.dim, p.state}, compute);
  Tensor grad_B = coefficient(p.constant_B), grad_C = coefficient(p.constant_C);
  Tensor grad_D = new_tensor(u, {D ? p.dim : 0}, compute);
  Tensor grad_z = z ? new_tensor(u, {p.batch, p.dim, p.length}, dtype) : new_tensor(u, {0}, dtype);
  Tensor grad_delta_bias = new_tensor(u, {delta_bias ? p.dim : 0}, compute);
  Tensor workspace = new_tensor(u, {cpu_kernels(p.type).selective_scan_backward_workspace(p)}, compute);
  p.grad_u = out(grad_u), p.grad_delta = out(grad_delta), p.grad_A = out(grad_A), p.grad_B = out(grad_B);
  p.grad_C = out(grad_C), p.grad_D = out(grad_D), p.grad_z = out(grad_z),
  p.grad_delta_bias = out(grad_delta_bias), p.workspace = out(workspace);
  cpu_kernels(p.type).selective_scan_backward(p, torch_threads);
  return {grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_z, grad_delta_bias};
}

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CPU, m) {
  m.impl("selective_scan", TORCH_BOX(&swin_umamba::selective_scan));
  m.impl("selective_scan_backward", TORCH_BOX(&swin_umamba::selective_scan_backward));
}
