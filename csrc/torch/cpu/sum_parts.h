// Adds the parts that backward tasks leave, in order.
#pragma once

#include "../../kernels/cpu/kernels.h"
#include "../tensors.h"

namespace swin_umamba {

// (outer, count, inner) in compute type -> `sizes` (outer * inner elements) in `type`. A single part of that
// type is the sum.
inline Tensor sum_parts(const Tensor& parts, int64_t outer, int64_t count, std::vector<int64_t> sizes,
                        Type type) {
  const ScalarType dtype = type == Type::kFloat16    ? ScalarType::Half
                           : type == Type::kBFloat16 ? ScalarType::BFloat16
                                                     : compute_dtype(type);
  if (count == 1 && dtype == parts.scalar_type()) return torch::stable::view(parts, sizes);
  Tensor sum = new_tensor(parts, std::move(sizes), dtype);
  const int64_t inner = sum.numel() / outer;
  cpu_kernels(type).sum_parts({outer, count, inner, type, data(parts), out(sum)}, torch_threads);
  return sum;
}

}  // namespace swin_umamba
