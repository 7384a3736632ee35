// Kernels that are wrong on purpose, one for each thing that the emulation must refuse.
#include "wrong_kernels.h"

#include <map>

#include "kernels/cuda/tensor_cores.h"

namespace swin_umamba::cuda {
namespace {

struct Arguments {
  float* output;  // 64 floats
};

struct Array {
  Shared<float> values;
  explicit Array(SharedMemory& memory) : values(memory.take<float>(64, "values")) {}
};

__global__ void right(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  SWIN_STATIC_SHARED(float, count, 1);
  const int t = threadIdx.x;
  if (t == 0) count[0] = 0.0f;
  s.values[t] = float(t);
  __syncthreads();
  const float neighbour = s.values[t ^ 1];
  const bool all = __all_sync(kAllLanes, t < 64), any = __any_sync(kAllLanes, t % 32 == 31);
  atomicAdd(count[0], 1.0f);
  __syncwarp();
  const float first = __shfl_sync(kAllLanes, neighbour, 0);
  const float above = __shfl_up_sync(kAllLanes, neighbour, 1),
              below = __shfl_down_sync(kAllLanes, neighbour, 1);
  __syncthreads();
  s.values[t] =
      neighbour + first + above - below + (all && any && __ballot_sync(kAllLanes, true) == kAllLanes);
  p.output[t] = float(s.values[t]) + float(count[0]);
}

__global__ void warp_exchange(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  const int t = threadIdx.x;
  s.values[t] = float(t);
  __syncwarp();
  p.output[t] = s.values[t ^ 1];
}

__global__ void barrier_in_branch(Arguments p) {
  if (threadIdx.x < 32) __syncthreads();
  p.output[threadIdx.x] = 0;
}

__global__ void two_barriers(Arguments p) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  p.output[threadIdx.x] = 0;
}

__global__ void shuffle_without_lane(Arguments p) {
  if (threadIdx.x % 32 == 7) return;
  p.output[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);
}

__global__ void shuffle_outside_mask(Arguments p) {
  if (threadIdx.x % 32 < 16) p.output[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 16);
}

__global__ void vote_without_lane(Arguments p) {
  if (threadIdx.x % 32 < 16) p.output[threadIdx.x] = float(__ballot_sync(kAllLanes, true));
}

__global__ void matrix_without_lane(Arguments p) {
  if (threadIdx.x % 32 == 31) return;
  float c[4] = {};
  const float a[4] = {1, 1, 1, 1}, b[2] = {1, 1};
  multiply_add(c, a, b);
  p.output[threadIdx.x] = c[0];
}

__global__ void read_before_write(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  if (threadIdx.x != 5) s.values[threadIdx.x] = 1.0f;
  __syncthreads();
  p.output[threadIdx.x] = s.values[threadIdx.x];
}

__global__ void read_before_copy_arrives(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  copy_async<1>(s.values, threadIdx.x, p.output + threadIdx.x);
  copy_async_commit();
  p.output[threadIdx.x] = s.values[threadIdx.x];
  copy_async_wait<0>();
}

// While warps read a buffer another may not start to fill it, whenever that copy is waited for.
__global__ void race_of_copy_and_reader(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 1.0f;
  __syncthreads();
  if (threadIdx.x < 32)
    p.output[threadIdx.x] = s.values[63 - threadIdx.x];
  else
    copy_async<1>(s.values, threadIdx.x, p.output + threadIdx.x);
  copy_async_commit();
  __syncthreads();
  copy_async_wait<0>();
}

__global__ void read_during_copy(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 1.0f;
  copy_async<1>(s.values, threadIdx.x, p.output + threadIdx.x);
  copy_async_commit();
  __syncthreads();
  p.output[threadIdx.x] = s.values[threadIdx.x];
  copy_async_wait<0>();
}

__global__ void misaligned_copy_target(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  if (threadIdx.x == 0) copy_async<2>(s.values, 1, p.output);
}

__global__ void misaligned_copy_source(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  if (threadIdx.x == 0) copy_async<4>(s.values, 0, p.output + 1);
}

__global__ void outside_shared(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x + 1] = 1.0f;
  p.output[threadIdx.x] = 0;
}

__global__ void outside_global(Arguments p) { p.output[threadIdx.x + 1] = 1.0f; }

__global__ void misaligned_vector(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 1.0f;
  __syncthreads();
  if (threadIdx.x == 0) p.output[0] = load4(s.values, 2).x;
}

__global__ void race_of_writers(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x / 2] = 1.0f;
  p.output[threadIdx.x] = 0;
}

__global__ void race_read_after_write(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 1.0f;
  p.output[threadIdx.x] = threadIdx.x ? float(s.values[threadIdx.x - 1]) : 0.0f;
}

__global__ void race_write_after_read(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 1.0f;
  __syncthreads();
  if (threadIdx.x < 32)
    p.output[threadIdx.x] = s.values[63 - threadIdx.x];
  else
    s.values[threadIdx.x] = 2.0f;
}

// Threads of different warps are not ordered by a barrier of one warp.
__global__ void race_across_warps(Arguments p) {
  SharedMemory memory;
  const Array s(memory);
  s.values[threadIdx.x] = 0.0f;
  __syncthreads();
  s.values[threadIdx.x] = 1.0f;
  __syncwarp();
  p.output[threadIdx.x] = s.values[(threadIdx.x + 32) % 64];
}

const std::map<std::string, void (*)(Arguments)>& kernels() {
#define SWIN_KERNEL(name) \
  {                       \
    #name, name           \
  }
  static const std::map<std::string, void (*)(Arguments)> all{SWIN_KERNEL(right),
                                                              SWIN_KERNEL(warp_exchange),
                                                              SWIN_KERNEL(barrier_in_branch),
                                                              SWIN_KERNEL(two_barriers),
                                                              SWIN_KERNEL(shuffle_without_lane),
                                                              SWIN_KERNEL(shuffle_outside_mask),
                                                              SWIN_KERNEL(vote_without_lane),
                                                              SWIN_KERNEL(matrix_without_lane),
                                                              SWIN_KERNEL(read_before_write),
                                                              SWIN_KERNEL(read_before_copy_arrives),
                                                              SWIN_KERNEL(race_of_copy_and_reader),
                                                              SWIN_KERNEL(read_during_copy),
                                                              SWIN_KERNEL(misaligned_copy_target),
                                                              SWIN_KERNEL(misaligned_copy_source),
                                                              SWIN_KERNEL(outside_shared),
                                                              SWIN_KERNEL(outside_global),
                                                              SWIN_KERNEL(misaligned_vector),
                                                              SWIN_KERNEL(race_of_writers),
                                                              SWIN_KERNEL(race_read_after_write),
                                                              SWIN_KERNEL(race_write_after_read),
                                                              SWIN_KERNEL(race_across_warps)};
#undef SWIN_KERNEL
  return all;
}

}  // namespace
}  // namespace swin_umamba::cuda

namespace emulation {

void run_test_kernel(const std::string& name, float* output) {
  using namespace swin_umamba::cuda;
  launch(kernels().at(name), 1, 64, 64 * sizeof(float), nullptr, Arguments{output});
}

}  // namespace emulation
