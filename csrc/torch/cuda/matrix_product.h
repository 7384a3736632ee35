// The matrix product of torch's library, written to a given tensor.
//
// The `out` overload is not in autocast's lists: under autocast it stays in float32, as the operators
// promise. Whether float32 products may use TF32 is torch's setting.
#pragma once

#include <array>

#include "../tensors.h"

namespace swin_umamba {

// result = a b.
inline void multiply(const Tensor& a, const Tensor& b, Tensor& result) {
  std::array<StableIValue, 3> stack{torch::stable::detail::from(a), torch::stable::detail::from(b),
                                    torch::stable::detail::from(result)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);
}

}  // namespace swin_umamba
