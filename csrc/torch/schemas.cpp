// The operators as torch sees them. swin_umamba_ext/ops calls them with data tensors of one dtype
// and parameters in compute dtype (float32, or float64 for float64 data), all contiguous but for the rows of
// a matrix where problem.h lets them lie apart.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(swin_umamba, m) {
  m.def("cross_scan(Tensor x) -> Tensor");
  m.def("cross_merge(Tensor y, SymInt height, SymInt width) -> Tensor");
  m.def(
      "selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
      "Tensor? delta_bias, bool delta_softplus, bool save_states) -> (Tensor out, Tensor last_state, Tensor "
      "states)");
  m.def(
      "selective_scan_backward(Tensor grad_out, Tensor? grad_last_state, Tensor states, Tensor u, Tensor "
      "delta, "
      "Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, bool delta_softplus) -> "
      "(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor z, Tensor delta_bias)");
  m.def(
      "ss2d(Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight, Tensor dt_projs_bias, Tensor A_logs, "
      "Tensor Ds, "
      "bool save_states) -> (Tensor y, Tensor projected_x, Tensor states)");
  m.def(
      "ss2d_backward(Tensor grad_y, Tensor projected_x, Tensor states, Tensor x, Tensor x_proj_weight, "
      "Tensor dt_projs_weight, Tensor dt_projs_bias, Tensor A_logs, Tensor Ds) -> "
      "(Tensor x, Tensor x_proj_weight, Tensor dt_projs_weight, Tensor dt_projs_bias, Tensor A_logs, Tensor "
      "Ds)");
  m.def(
      "instance_norm(Tensor x, Tensor? weight, Tensor? bias, Tensor? residual, float eps, float "
      "negative_slope, bool channels_last) -> (Tensor y, Tensor mean, Tensor rstd)");
  m.def(
      "instance_norm_backward(Tensor grad_y, Tensor x, Tensor? weight, Tensor? bias, Tensor mean, Tensor "
      "rstd, "
      "Tensor? y, float negative_slope, bool channels_last) -> (Tensor x, Tensor weight, Tensor bias, Tensor "
      "residual)");
  m.def("depthwise_conv_silu(Tensor x, Tensor weight, Tensor bias) -> Tensor");
  m.def(
      "depthwise_conv_silu_backward(Tensor grad_out, Tensor x, Tensor weight, Tensor bias) -> (Tensor x, "
      "Tensor "
      "weight, Tensor bias)");
  m.def("gated_layer_norm(Tensor y, Tensor z, Tensor weight, Tensor bias, float eps) -> Tensor");
  m.def(
      "gated_layer_norm_backward(Tensor grad_out, Tensor y, Tensor z, Tensor weight, Tensor bias, float eps) "
      "-> (Tensor y, Tensor z, Tensor weight, Tensor bias)");
}
