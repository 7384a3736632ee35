#include "device.h"

namespace swin_umamba::cuda {

#if SWIN_PTX
const char* multiprocessors(int& count) {
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess) return nullptr;
  (void)cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    return "there is no NVIDIA driver, or it is older than the CUDA toolkit that compiled these kernels; "
           "update it, or compile them with the toolkit of torch's CUDA version";
  return cudaGetErrorString(error);
}
#endif

}  // namespace swin_umamba::cuda
