// Tensors as the arrays of a problem.
#pragma once

#include <dlfcn.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <exception>
#include <optional>

#include "../kernels/given.h"

namespace swin_umamba {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline ScalarType scalar_type(Type type) {
  return type == Type::kFloat64    ? ScalarType::Double
         : type == Type::kFloat32  ? ScalarType::Float
         : type == Type::kBFloat16 ? ScalarType::BFloat16
                                   : ScalarType::Half;
}

// Whether a tensor is a matrix whose rows, of the last dimension, lie equally far apart: `row`.
inline bool rows_apart(const Tensor& tensor, int64_t& row) {
  int64_t dimension = tensor.dim() - 1, next = -1, first = row;
  if (dimension < 1 || tensor.stride(dimension) != 1) return false;
  while (--dimension >= 0) {
    if (tensor.size(dimension) == 1) continue;
    if (next < 0) next = first = tensor.stride(dimension);
    if (tensor.stride(dimension) != next) return false;
    next *= tensor.size(dimension);
  }
  row = first;
  return true;
}

inline Given given(const std::optional<Tensor>& tensor, const Input& input) {
  if (!tensor) return {};
  Given array{true, tensor->const_data_ptr(), {}, std::vector<int64_t>(tensor->dim())};
  for (size_t i = 0; i < array.shape.size(); ++i) array.shape[i] = tensor->size(int64_t(i));
  const bool in_rows = input.row_field && rows_apart(*tensor, array.row);
  STD_TORCH_CHECK(in_rows || tensor->is_contiguous(), "swin_umamba: ", input.name,
                  " must be contiguous; call swin_umamba_ext's functions instead");
  const ScalarType dtype = tensor->scalar_type();
  for (Type type : {Type::kFloat32, Type::kBFloat16, Type::kFloat16, Type::kFloat64}) {
    array.type = type;
    if (dtype == scalar_type(type)) return array;
  }
  STD_TORCH_CHECK(false, "swin_umamba: ", input.name, " must be float32, bfloat16, float16 or float64");
}

// What torch said of the call that has failed last, in words; later versions than 2.10 can be asked.
inline std::string torch_message() {
  using Get = const char* (*)();
  static const Get get =
      reinterpret_cast<Get>(dlsym(RTLD_DEFAULT, "torch_exception_get_what_without_backtrace"));
  const char* text = get ? get() : nullptr;
  return text && *text ? text : "out of memory?";
}

inline Tensor new_tensor(const Tensor& like, const std::vector<int64_t>& shape, Type type) {
  try {
    return torch::stable::new_empty(like, shape, scalar_type(type));
  } catch (const std::exception&) {
    // The stable ABI's own error names the call alone, and the user must see that memory is short.
    STD_TORCH_CHECK(false, "swin_umamba cannot have a new tensor of shape ", shape_text(shape), ": ",
                    torch_message());
  }
}

// Null if empty.
inline void* data(Tensor& tensor) { return tensor.numel() ? tensor.mutable_data_ptr() : nullptr; }

}  // namespace swin_umamba
