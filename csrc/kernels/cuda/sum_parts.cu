// Sums of parts that different blocks made, in the order of the parts: the same bits on every run.
#include "device.h"

namespace swin_umamba::cuda {
namespace {

constexpr int kSumThreads = 256;

template <class T>
__global__ void __launch_bounds__(kSumThreads) sum_kernel(SumParts p) {
  const int64_t index = int64_t(blockIdx.x) * kSumThreads + threadIdx.x;
  if (index >= p.outer * p.inner) return;
  const int64_t outer = index / p.inner, inner = index % p.inner;
  const float* part = p.parts + outer * p.count * p.inner + inner;
  float sum = 0;
#pragma unroll 8
  for (int64_t i = 0; i < p.count; ++i) sum += part[i * p.inner];
  static_cast<T*>(p.sum)[index] = convert<T>(sum);
}

}  // namespace

const char* sum_parts(const SumParts& p, Stream stream) {
  return for_element(p.type, [&](auto element) {
    return launch(sum_kernel<decltype(element)>, divide_up(p.outer * p.inner, kSumThreads), kSumThreads, 0,
                  stream, p);
  });
}

}  // namespace swin_umamba::cuda
