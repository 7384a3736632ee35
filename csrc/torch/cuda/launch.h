// Where CUDA kernels run: the device of the tensors, its current stream.
#pragma once

#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>

#include "../../kernels/cuda/kernels.h"
#include "../tensors.h"

namespace swin_umamba {

// The current stream, from torch's CUDA library. That library is loaded wherever this one is, but its names
// are not visible to others, and this library is also built beside a torch that lacks it: hence no linking.
inline cuda::Stream current_stream(int32_t device) {
  using Get = AOTITorchError (*)(int32_t device, void** stream);
  static const Get get = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return reinterpret_cast<Get>(
        dlsym(library ? library : RTLD_DEFAULT, "aoti_torch_get_current_cuda_stream"));
  }();
  STD_TORCH_CHECK(get != nullptr, "swin_umamba on CUDA: this torch has no CUDA streams");
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(get(device, &stream));
  return static_cast<cuda::Stream>(stream);
}

// Makes the device of `tensor` current for its lifetime.
class __attribute__((visibility("hidden"))) OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& tensor) : index_(tensor.get_device_index()), guard_(index_) {}

  cuda::Stream stream() const { return current_stream(index_); }

 private:
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
};

inline void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "swin_umamba on CUDA: ", error);
}

}  // namespace swin_umamba
