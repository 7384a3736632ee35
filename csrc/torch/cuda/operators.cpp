// The operators on CUDA: on the device of the tensors and its current stream.
#include "../operators.h"

#include <torch/csrc/stable/accelerator.h>

#include "../../kernels/cuda/backend.h"

namespace swin_umamba {
namespace {

// The current stream, from torch's CUDA library. That library is loaded wherever this one is, but its names
// are not visible to others, and this library is also built beside a torch that lacks it: hence no linking.
cuda::Stream current_stream(int32_t device) {
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

int count_multiprocessors() {
  int count = 0;
  const char* error = cuda::multiprocessors(count);
  STD_TORCH_CHECK(error == nullptr, "swin_umamba on CUDA: ", error);
  return count;
}

// The device of a tensor is the current one as long as this lives.
class TorchCuda : torch::stable::accelerator::DeviceGuard, public Cuda {
 public:
  explicit TorchCuda(const Tensor& tensor)
      : DeviceGuard(tensor.get_device_index()),
        Cuda{count_multiprocessors(), current_stream(tensor.get_device_index())} {}
};

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CUDA, m) { swin_umamba::implement<swin_umamba::TorchCuda>(m); }
