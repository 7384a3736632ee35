// Where CUDA kernels run: the device of the tensors, its current stream.
#pragma once

#include <torch/csrc/stable/accelerator.h>

#include "../../kernels/cuda/kernels.h"
#include "../tensors.h"

namespace swin_umamba {

// Makes the device of `tensor` current for its lifetime.
class __attribute__((visibility("hidden"))) OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& tensor) : index_(tensor.get_device_index()), guard_(index_) {}

  cuda::Stream stream() const {
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_, &stream));
    return static_cast<cuda::Stream>(stream);
  }

 private:
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
};

inline void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "swin_umamba on CUDA: ", error);
}

inline float* floats(Tensor& tensor) { return static_cast<float*>(out(tensor)); }

}  // namespace swin_umamba
