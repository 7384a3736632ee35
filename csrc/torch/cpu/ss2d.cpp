// Fused 2-D selective scan on the CPU.
#include "../../kernels/cpu/kernels.h"
#include "../problems.h"

namespace swin_umamba {
namespace {

std::tuple<Tensor, Tensor, Tensor> ss2d(Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
                                        Tensor dt_projs_bias, Tensor A_logs, Tensor Ds, bool save_states) {
  Ss2dForward p{};
  static_cast<Ss2d&>(p) = ss2d_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  const ScalarType compute = compute_dtype(p.type);
  Tensor y = new_tensor(x, {p.batch, p.height, p.width, p.dim}, compute);
  Tensor projected_x = new_tensor(x, {kDirections, p.batch, p.length(), p.projected()}, compute);
  Tensor states = new_tensor(
      x, {kDirections, p.batch, save_states ? ss2d_saved_states(p.length()) : 0, p.state, p.dim}, compute);
  p.out = out(y), p.projected_x = out(projected_x), p.states = out(states);
  cpu_kernels(p.type).ss2d_forward(p, torch_threads);
  return {y, save_states ? projected_x : new_tensor(x, {0}, compute), states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> ss2d_backward(
    Tensor grad_y, Tensor projected_x, Tensor states, Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
    Tensor dt_projs_bias, Tensor A_logs, Tensor Ds) {
  Ss2dBackward p{};
  static_cast<Ss2d&>(p) = ss2d_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  const ScalarType compute = compute_dtype(p.type);
  const int64_t B = p.batch, D = p.dim, K = kDirections;
  require(grad_y, "grad_y", {B, p.height, p.width, D}, compute);
  require(projected_x, "projected_x", {K, B, p.length(), p.projected()}, compute);
  require(states, "states", {K, B, ss2d_saved_states(p.length()), p.state, D}, compute);
  p.grad_out = data(grad_y), p.projected_x = data(projected_x), p.states = data(states);

  Tensor workspace = new_tensor(x, {cpu_kernels(p.type).ss2d_backward_workspace(p)}, compute);
  Tensor grad_x = new_tensor(x, {B, p.height, p.width, D}, x.scalar_type());
  Tensor grad_x_proj = new_tensor(x, {K, p.projected(), D}, compute);
  Tensor grad_dt_projs = new_tensor(x, {K, D, p.rank}, compute);
  Tensor grad_bias = new_tensor(x, {K, D}, compute);
  Tensor grad_A_logs = new_tensor(x, {K * D, p.state}, compute);
  Tensor grad_Ds = new_tensor(x, {K * D}, compute);
  p.workspace = out(workspace), p.grad_x = out(grad_x), p.grad_x_proj_weight = out(grad_x_proj);
  p.grad_dt_projs_weight = out(grad_dt_projs), p.grad_dt_projs_bias = out(grad_bias);
  p.grad_A_logs = out(grad_A_logs), p.grad_Ds = out(grad_Ds);
  cpu_kernels(p.type).ss2d_backward(p, torch_threads);
  return {grad_x, grad_x_proj, grad_dt_projs, grad_bias, grad_A_logs, grad_Ds};
}

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CPU, m) {
  m.impl("ss2d", TORCH_BOX(&swin_umamba::ss2d));
  m.impl("ss2d_backward", TORCH_BOX(&swin_umamba::ss2d_backward));
}
