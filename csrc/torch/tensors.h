// What every operator needs of tensors: checks of direct calls, pointers, new tensors, threads.
//
// The Python functions check first and speak to the user; these checks keep a direct call of
// torch.ops.swin_umamba.* from reading out of bounds.
#pragma once

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <exception>
#include <initializer_list>
#include <mutex>
#include <new>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "../kernels/problem.h"

namespace swin_umamba {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Type data_type(const Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return Type::kFloat32;
    case ScalarType::BFloat16:
      return Type::kBFloat16;
    case ScalarType::Half:
      return Type::kFloat16;
    case ScalarType::Double:
      return Type::kFloat64;
    default:
      STD_TORCH_CHECK(false, name, " must be float32, bfloat16, float16 or float64");
  }
}

inline ScalarType compute_dtype(Type type) {
  return type == Type::kFloat64 ? ScalarType::Double : ScalarType::Float;
}

inline void require(const Tensor& tensor, const char* name, std::initializer_list<int64_t> sizes,
                    ScalarType dtype) {
  bool same = tensor.dim() == int64_t(sizes.size());
  int64_t i = 0;
  for (int64_t size : sizes) same = same && tensor.size(i++) == size;
  STD_TORCH_CHECK(same, "swin_umamba: ", name,
                  " has a wrong shape; call swin_umamba_ext's functions instead");
  STD_TORCH_CHECK(tensor.scalar_type() == dtype, "swin_umamba: ", name,
                  " has a wrong dtype; call swin_umamba_ext's functions instead");
  STD_TORCH_CHECK(tensor.is_contiguous(), "swin_umamba: ", name,
                  " must be contiguous; call swin_umamba_ext's functions instead");
}

inline void require_dim(const Tensor& tensor, const char* name, int64_t dim) {
  STD_TORCH_CHECK(tensor.dim() == dim && tensor.numel() > 0, "swin_umamba: ", name, " must have ", dim,
                  " dimensions and not be empty");
}

inline const void* data(const Tensor& tensor) { return tensor.const_data_ptr(); }
inline const void* data(const std::optional<Tensor>& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}
inline void* out(Tensor& tensor) { return tensor.numel() ? tensor.mutable_data_ptr() : nullptr; }

// What torch said of the call that has failed last, in words; later versions than 2.10 can be asked.
inline std::string torch_message() {
  using Get = const char* (*)();
  static const Get get =
      reinterpret_cast<Get>(dlsym(RTLD_DEFAULT, "torch_exception_get_what_without_backtrace"));
  const char* text = get ? get() : nullptr;
  return text && *text ? text : "out of memory?";
}

inline Tensor new_tensor(const Tensor& like, std::vector<int64_t> sizes, ScalarType dtype) {
  try {
    return torch::stable::new_empty(like, sizes, dtype);
  } catch (const std::exception&) {
    // The stable ABI's own error names the call alone, and the user must see that memory is short.
    std::ostringstream shape;
    for (size_t i = 0; i < sizes.size(); ++i) shape << (i ? ", " : "") << sizes[i];
    STD_TORCH_CHECK(false, "swin_umamba cannot have a new tensor of shape (", shape.str(),
                    "): ", torch_message());
  }
}

// The kernels' tasks on torch's threads, so that torch.set_num_threads is obeyed.
inline void torch_threads(int64_t tasks, TaskBody body, void* context) {
  std::exception_ptr failure;
  std::mutex mutex;
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    try {
      body(begin, end, context);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      failure = std::current_exception();
    }
  });
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    STD_TORCH_CHECK(false, "swin_umamba: out of memory for what one task of a kernel needs");
  }
}

}  // namespace swin_umamba
