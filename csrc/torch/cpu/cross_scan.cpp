// Cross-scan and cross-merge on the CPU.
#include "../../kernels/cpu/kernels.h"
#include "../tensors.h"

namespace swin_umamba {
namespace {

Tensor cross_scan(Tensor x) {
  require_dim(x, "x", 4);
  const Type type = data_type(x, "x");
  const int64_t B = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3);
  require(x, "x", {B, C, H, W}, x.scalar_type());
  Tensor y = new_tensor(x, {B, kDirections, C, H * W}, x.scalar_type());
  cpu_kernels(type).cross_scan({B, C, H, W, type, data(x), out(y)}, torch_threads);
  return y;
}

Tensor cross_merge(Tensor y, int64_t height, int64_t width) {
  require_dim(y, "y", 4);
  const Type type = data_type(y, "y");
  const int64_t B = y.size(0), C = y.size(2);
  STD_TORCH_CHECK(height > 0 && width > 0, "swin_umamba: height and width must be at least 1");
  require(y, "y", {B, kDirections, C, height * width}, y.scalar_type());
  Tensor x = new_tensor(y, {B, C, height, width}, y.scalar_type());
  cpu_kernels(type).cross_merge({B, C, height, width, type, data(y), out(x)}, torch_threads);
  return x;
}

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CPU, m) {
  m.impl("cross_scan", TORCH_BOX(&swin_umamba::cross_scan));
  m.impl("cross_merge", TORCH_BOX(&swin_umamba::cross_merge));
}
