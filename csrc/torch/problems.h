// The inputs of the scans as plain problems, checked.
#pragma once

#include <utility>

#include "tensors.h"

namespace swin_umamba {

inline SelectiveScan selective_scan_problem(const Tensor& u, const Tensor& delta, const Tensor& A,
                                            const Tensor& B, const Tensor& C, const std::optional<Tensor>& D,
                                            const std::optional<Tensor>& z,
                                            const std::optional<Tensor>& delta_bias, bool softplus) {
  require_dim(u, "u", 3);
  require_dim(A, "A", 2);
  SelectiveScan p{};
  p.batch = u.size(0), p.dim = u.size(1), p.length = u.size(2), p.state = A.size(1);
  p.type = data_type(u, "u");
  p.softplus = softplus;
  p.constant_B = B.dim() == 2, p.constant_C = C.dim() == 2;
  p.groups = !p.constant_B ? B.size(1) : !p.constant_C ? C.size(1) : 1;
  STD_TORCH_CHECK(p.groups > 0 && p.dim % p.groups == 0,
                  "swin_umamba: the groups of B and C must divide the channels");
  const ScalarType dtype = u.scalar_type(), compute = compute_dtype(p.type);
  require(u, "u", {p.batch, p.dim, p.length}, dtype);
  require(delta, "delta", {p.batch, p.dim, p.length}, dtype);
  require(A, "A", {p.dim, p.state}, compute);
  for (const auto& [tensor, name] : {std::pair{&B, "B"}, std::pair{&C, "C"}}) {
    if (tensor->dim() == 2)
      require(*tensor, name, {p.dim, p.state}, compute);
    else
      require(*tensor, name, {p.batch, p.groups, p.state, p.length}, dtype);
  }
  if (D) require(*D, "D", {p.dim}, compute);
  if (z) require(*z, "z", {p.batch, p.dim, p.length}, dtype);
  if (delta_bias) require(*delta_bias, "delta_bias", {p.dim}, compute);
  p.u = data(u), p.delta = data(delta), p.A = data(A), p.B = data(B), p.C = data(C);
  p.D = data(D), p.z = data(z), p.delta_bias = data(delta_bias);
  return p;
}

inline Ss2d ss2d_problem(const Tensor& x, const Tensor& x_proj_weight, const Tensor& dt_projs_weight,
                         const Tensor& dt_projs_bias, const Tensor& A_logs, const Tensor& Ds) {
  require_dim(x, "x", 4);
  require_dim(dt_projs_weight, "dt_projs_weight", 3);
  require_dim(A_logs, "A_logs", 2);
  Ss2d p{};
  p.batch = x.size(0), p.height = x.size(1), p.width = x.size(2), p.dim = x.size(3);
  p.rank = dt_projs_weight.size(2), p.state = A_logs.size(1);
  p.type = data_type(x, "x");
  const ScalarType compute = compute_dtype(p.type);
  require(x, "x", {p.batch, p.height, p.width, p.dim}, x.scalar_type());
  require(x_proj_weight, "x_proj_weight", {kDirections, p.projected(), p.dim}, compute);
  require(dt_projs_weight, "dt_projs_weight", {kDirections, p.dim, p.rank}, compute);
  require(dt_projs_bias, "dt_projs_bias", {kDirections, p.dim}, compute);
  require(A_logs, "A_logs", {kDirections * p.dim, p.state}, compute);
  require(Ds, "Ds", {kDirections * p.dim}, compute);
  p.x = data(x), p.x_proj_weight = data(x_proj_weight), p.dt_projs_weight = data(dt_projs_weight);
  p.dt_projs_bias = data(dt_projs_bias), p.A_logs = data(A_logs), p.Ds = data(Ds);
  return p;
}

}  // namespace swin_umamba
