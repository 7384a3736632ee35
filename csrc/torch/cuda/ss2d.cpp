// Fused 2-D selective scan on CUDA.
#include "../problems.h"
#include "launch.h"

namespace swin_umamba {
namespace {

void require_half_or_float(const Ss2d& p) {
  STD_TORCH_CHECK(
      p.type != Type::kFloat64,
      "swin_umamba on CUDA: ss2d takes float32, bfloat16 and float16, not float64; for gradient checks in "
      "float64 move the tensors to the CPU");
}

// projected_x goes from the forward to the backward pass and to nobody else: on CUDA its numbers lie as
// (B, H*W, 4, R+2N).
std::tuple<Tensor, Tensor, Tensor> ss2d(Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
                                        Tensor dt_projs_bias, Tensor A_logs, Tensor Ds, bool save_states) {
  Ss2dForward p{};
  static_cast<Ss2d&>(p) = ss2d_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  require_half_or_float(p);
  const OnDeviceOf device(x);
  const int multiprocessors = cuda::multiprocessors();
  Tensor y = new_tensor(x, {p.batch, p.height, p.width, p.dim}, ScalarType::Float);
  Tensor projected_x = new_tensor(x, {kDirections, p.batch, p.length(), p.projected()}, ScalarType::Float);
  Tensor states = new_tensor(
      x, {kDirections, p.batch, save_states ? saved_states(p.length(), kCudaChunk) : 0, p.state, p.dim},
      ScalarType::Float);
  Tensor workspace = new_tensor(x, {cuda::ss2d_forward_workspace(p, multiprocessors)}, ScalarType::Float);
  p.out = out(y), p.projected_x = out(projected_x), p.states = out(states), p.workspace = out(workspace);
  check_launch(cuda::ss2d_forward(p, multiprocessors, device.stream()));
  return {y, save_states ? projected_x : new_tensor(x, {0}, ScalarType::Float), states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> ss2d_backward(
    Tensor grad_y, Tensor projected_x, Tensor states, Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
    Tensor dt_projs_bias, Tensor A_logs, Tensor Ds) {
  Ss2dBackward p{};
  static_cast<Ss2d&>(p) = ss2d_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  require_half_or_float(p);
  const ScalarType compute = ScalarType::Float;
  const int64_t B = p.batch, D = p.dim, K = kDirections;
  require(grad_y, "grad_y", {B, p.height, p.width, D}, compute);
  require(projected_x, "projected_x", {K, B, p.length(), p.projected()}, compute);
  require(states, "states", {K, B, saved_states(p.length(), kCudaChunk), p.state, D}, compute);
  p.grad_out = data(grad_y), p.projected_x = data(projected_x), p.states = data(states);

  const OnDeviceOf device(x);
  const int multiprocessors = cuda::multiprocessors();
  Tensor grad_x = new_tensor(x, {B, p.height, p.width, D}, x.scalar_type());
  Tensor grad_x_proj = new_tensor(x, {K, p.projected(), D}, compute);
  Tensor grad_dt_projs = new_tensor(x, {K, D, p.rank}, compute);
  Tensor grad_bias = new_tensor(x, {K, D}, compute);
  Tensor grad_A_logs = new_tensor(x, {K * D, p.state}, compute);
  Tensor grad_Ds = new_tensor(x, {K * D}, compute);
  p.grad_x = out(grad_x), p.grad_x_proj_weight = out(grad_x_proj);
  p.grad_dt_projs_weight = out(grad_dt_projs), p.grad_dt_projs_bias = out(grad_bias);
  p.grad_A_logs = out(grad_A_logs), p.grad_Ds = out(grad_Ds);
  Tensor workspace = new_tensor(x, {cuda::ss2d_backward_workspace(p, multiprocessors)}, compute);
  p.workspace = out(workspace);
  check_launch(cuda::ss2d_backward(p, multiprocessors, device.stream()));
  return {grad_x, grad_x_proj, grad_dt_projs, grad_bias, grad_A_logs, grad_Ds};
}

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CUDA, m) {
  m.impl("ss2d", TORCH_BOX(&swin_umamba::ss2d));
  m.impl("ss2d_backward", TORCH_BOX(&swin_umamba::ss2d_backward));
}
