// The operators of schemas.cpp, for any backend.
//
// The functions of swin_umamba_ext check first and speak to the user; the checks here keep a direct call of
// torch.ops.swin_umamba.* from reading out of bounds, or one device's memory from another.
#pragma once

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <utility>

#include "tensors.h"

namespace swin_umamba {

using Optional = std::optional<Tensor>;

// Solves a problem with its inputs, in the order of their list, and returns its outputs likewise.
template <class Backend, class P>
std::vector<Tensor> solve(P& p, const std::vector<Optional>& inputs) {
  const Tensor& like = *inputs[0];
  for (const Optional& input : inputs)
    STD_TORCH_CHECK(
        !input || input->device() == like.device(),
        "swin_umamba: all tensors must be on one device; call swin_umamba_ext's functions instead");
  const Backend backend(like);
  std::vector<Given> arrays;
  arrays.reserve(inputs.size());
  for (const Input& input : p.inputs()) arrays.push_back(given(inputs[arrays.size()], input));
  const Wrong wrong = take_inputs(p, backend, arrays);
  STD_TORCH_CHECK(wrong.what.empty(), "swin_umamba: ", wrong.name,
                  wrong.name.empty() ? "" : " has a wrong shape or dtype: it ", wrong.what,
                  "; call swin_umamba_ext's functions instead");

  std::vector<Tensor> results;
  for (const Output& output : p.outputs()) {
    results.push_back(
        new_tensor(like, output.data ? output.shape.values() : std::vector<int64_t>{0}, output.type.value));
    if (output.data) *output.data = data(results.back());
  }
  Tensor workspace;
  if (const int64_t size = backend.workspace(p)) {
    workspace = new_tensor(like, {size}, p.compute());
    p.workspace = data(workspace);
  }
  backend.run(p);
  return results;
}

template <size_t... I>
auto tuple_of(const std::vector<Tensor>& tensors, std::index_sequence<I...>) {
  return std::make_tuple(tensors[I]...);
}
template <size_t kCount>
auto tuple_of(const std::vector<Tensor>& tensors) {
  return tuple_of(tensors, std::make_index_sequence<kCount>());
}

template <class Backend>
Tensor cross_scan(Tensor x) {
  CrossScan p{};
  return solve<Backend>(p, {x})[0];
}

template <class Backend>
Tensor cross_merge(Tensor y, int64_t height, int64_t width) {
  CrossMerge p{};
  p.height = height, p.width = width;
  return solve<Backend>(p, {y})[0];
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C,
                                                  Optional D, Optional z, Optional delta_bias,
                                                  bool delta_softplus, bool save_states) {
  SelectiveScanForward p{};
  p.softplus = delta_softplus, p.constant_B = B.dim() == 2, p.constant_C = C.dim() == 2;
  p.save_states = save_states;
  return tuple_of<3>(solve<Backend>(p, {u, delta, A, B, C, D, z, delta_bias}));
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward(
    Tensor grad_out, Optional grad_last_state, Tensor states, Tensor u, Tensor delta, Tensor A, Tensor B,
    Tensor C, Optional D, Optional z, Optional delta_bias, bool delta_softplus) {
  SelectiveScanBackward p{};
  p.softplus = delta_softplus, p.constant_B = B.dim() == 2, p.constant_C = C.dim() == 2;
  return tuple_of<8>(
      solve<Backend>(p, {u, delta, A, B, C, D, z, delta_bias, states, grad_out, grad_last_state}));
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> ss2d(Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
                                        Tensor dt_projs_bias, Tensor A_logs, Tensor Ds, bool save_states) {
  Ss2dForward p{};
  p.save_states = save_states;
  std::vector<Tensor> results =
      solve<Backend>(p, {x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds});
  if (!save_states) results[1] = new_tensor(x, {0}, p.compute());
  return tuple_of<3>(results);
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> ss2d_backward(
    Tensor grad_y, Tensor projected_x, Tensor states, Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight,
    Tensor dt_projs_bias, Tensor A_logs, Tensor Ds) {
  Ss2dBackward p{};
  return tuple_of<6>(solve<Backend>(
      p, {x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds, projected_x, states, grad_y}));
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> instance_norm(Tensor x, Optional weight, Optional bias, Optional residual,
                                                 double eps, double negative_slope, bool channels_last) {
  InstanceNormForward p{};
  p.eps = eps, p.negative_slope = negative_slope, p.channels_last = channels_last;
  return tuple_of<3>(solve<Backend>(p, {x, weight, bias, residual}));
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor> instance_norm_backward(Tensor grad_y, Tensor x, Optional weight,
                                                                  Optional bias, Tensor mean, Tensor rstd,
                                                                  Optional y, double negative_slope,
                                                                  bool channels_last) {
  InstanceNormBackward p{};
  p.negative_slope = negative_slope, p.channels_last = channels_last;
  return tuple_of<4>(solve<Backend>(p, {x, weight, bias, mean, rstd, y, grad_y}));
}

template <class Backend>
Tensor depthwise_conv_silu(Tensor x, Tensor weight, Tensor bias) {
  DepthwiseConvSiluForward p{};
  return solve<Backend>(p, {x, weight, bias})[0];
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> depthwise_conv_silu_backward(Tensor grad_out, Tensor x, Tensor weight,
                                                                Tensor bias) {
  DepthwiseConvSiluBackward p{};
  return tuple_of<3>(solve<Backend>(p, {x, weight, bias, grad_out}));
}

template <class Backend>
Tensor gated_layer_norm(Tensor y, Tensor z, Tensor weight, Tensor bias, double eps) {
  GatedLayerNormForward p{};
  p.eps = eps;
  return solve<Backend>(p, {y, z, weight, bias})[0];
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor> gated_layer_norm_backward(Tensor grad_out, Tensor y, Tensor z,
                                                                     Tensor weight, Tensor bias, double eps) {
  GatedLayerNormBackward p{};
  p.eps = eps;
  return tuple_of<4>(solve<Backend>(p, {y, z, weight, bias, grad_out}));
}

template <class Backend, class Library>
void implement(Library& m) {
  m.impl("cross_scan", TORCH_BOX(&cross_scan<Backend>));
  m.impl("cross_merge", TORCH_BOX(&cross_merge<Backend>));
  m.impl("selective_scan", TORCH_BOX(&selective_scan<Backend>));
  m.impl("selective_scan_backward", TORCH_BOX(&selective_scan_backward<Backend>));
  m.impl("ss2d", TORCH_BOX(&ss2d<Backend>));
  m.impl("ss2d_backward", TORCH_BOX(&ss2d_backward<Backend>));
}

}  // namespace swin_umamba
