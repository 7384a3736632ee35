#include "device.h"

namespace swin_umamba::cuda {

#if SWIN_PTX
int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}
#endif

}  // namespace swin_umamba::cuda
