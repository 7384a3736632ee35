// What a kernel may use of the device, under nvcc or in emulation on the host.
//
// The kernels' sources compile in both worlds. Without nvcc, csrc/emulation/cuda_model.h gives the
// execution model, inline PTX is replaced by plain arithmetic, and each access to shared memory is
// checked. SWIN_PTX is the one macro that tells the two apart.
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define SWIN_PTX 1
#else
#include "../../emulation/cuda_model.h"
#define SWIN_PTX 0
#endif

#include <cstdint>
#include <type_traits>

#include "../problem.h"
#include "kernels.h"

namespace swin_umamba::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// --- element types -------------------------------------------------------------------------------

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T, class S>
__device__ inline T convert(S x) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(x);
  } else {
    return T(x);
  }
}

// Calls function(T{}) with the type of the data. float64 is left to the CPU.
template <class Function>
const char* for_element(Type type, Function function) {
  switch (type) {
    case Type::kFloat32:
      return function(float{});
    case Type::kBFloat16:
      return function(__nv_bfloat16{});
    case Type::kFloat16:
      return function(__half{});
    default:
      return "the CUDA kernels of the selective scan take float32, bfloat16 and float16, not float64; for "
             "gradient checks in float64 move the tensors to the CPU";
  }
}

// --- shared memory -------------------------------------------------------------------------------

// A kernel's shared arrays are the members of a struct whose constructor takes them one after the
// other from a memory: SharedMemory in the kernel, SharedSize on the host to learn the bytes.
#if SWIN_PTX

template <class T>
using Shared = T*;

class SharedMemory {
 public:
  __device__ SharedMemory() {
    extern __shared__ float4 shared_pool[];
    next_ = reinterpret_cast<char*>(shared_pool);
  }
  template <class T>
  __device__ Shared<T> take(int64_t count, const char*) {
    T* array = reinterpret_cast<T*>(next_);
    next_ += (count * sizeof(T) + 15) / 16 * 16;
    return array;
  }

 private:
  char* next_;
};

#define SWIN_STATIC_SHARED(type, name, count) __shared__ type name[count]

__device__ inline float4 load4(const float* array, int index) {
  return *reinterpret_cast<const float4*>(array + index);
}
// The same from a place in bytes, which saves its multiplication.
__device__ inline float4 load4_from_byte(const float* array, int byte) {
  return *reinterpret_cast<const float4*>(reinterpret_cast<const char*>(array) + byte);
}
__device__ inline void store4(float* array, int index, float4 value) {
  *reinterpret_cast<float4*>(array + index) = value;
}
__device__ inline float2 load2(const float* array, int index) {
  return *reinterpret_cast<const float2*>(array + index);
}
__device__ inline void store2(float* array, int index, float2 value) {
  *reinterpret_cast<float2*>(array + index) = value;
}

#else

using emulation::Shared;

class SharedMemory {
 public:
  template <class T>
  Shared<T> take(int64_t count, const char* name) {
    emulation::Shadow* shadow;
    T* data = static_cast<T*>(emulation::next_dynamic_array(count * sizeof(T), count, &shadow));
    return {data, shadow, count, name};
  }
};

inline float4 load4(const Shared<float>& array, int index) {
  array.check_alignment(index, 16);
  return {array[index], array[index + 1], array[index + 2], array[index + 3]};
}
inline float4 load4_from_byte(const Shared<float>& array, int byte) { return load4(array, byte / 4); }
inline void store4(const Shared<float>& array, int index, float4 value) {
  array.check_alignment(index, 16);
  array[index] = value.x;
  array[index + 1] = value.y;
  array[index + 2] = value.z;
  array[index + 3] = value.w;
}
inline float2 load2(const Shared<float>& array, int index) {
  array.check_alignment(index, 8);
  return {array[index], array[index + 1]};
}
inline void store2(const Shared<float>& array, int index, float2 value) {
  array.check_alignment(index, 8);
  array[index] = value.x;
  array[index + 1] = value.y;
}

#endif

class SharedSize {
 public:
  template <class T>
  __host__ __device__ Shared<T> take(int64_t count, const char*) {
    bytes_ += (count * int64_t(sizeof(T)) + 15) / 16 * 16;
    return Shared<T>{};
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// Row `index` of an array whose rows have `bytes` bytes: one multiplication of 32 bits to an address of 64.
template <class E>
__device__ inline E* at_row_of_bytes(E* array, int index, int bytes) {
  using Byte = std::conditional_t<std::is_const_v<E>, const char, char>;
  int64_t offset;
#if SWIN_PTX
  asm("mul.wide.s32 %0, %1, %2;" : "=l"(offset) : "r"(index), "r"(bytes));
#else
  offset = int64_t(index) * bytes;
#endif
  return reinterpret_cast<E*>(reinterpret_cast<Byte*>(array) + offset);
}
// The same of an array whose rows have `pitch` elements.
template <class E>
__device__ inline E* at_row(E* array, int index, int pitch) {
  return at_row_of_bytes(array, index, pitch * int(sizeof(E)));
}

// Returns x as a value that the compiler does not know: what depends on it is computed again inside a
// loop and does not wait in registers through it.
__device__ inline int computed_anew(int x) {
#if SWIN_PTX
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// --- asynchronous copies from global to shared memory --------------------------------------------

// Copies kCount elements, 4, 8 or 16 bytes; both sides are aligned to them.
template <int kCount, class T>
__device__ inline void copy_async(const Shared<T>& to, int index, const T* from) {
  static_assert(kCount * sizeof(T) == 4 || kCount * sizeof(T) == 8 || kCount * sizeof(T) == 16);
#if SWIN_PTX
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to + index));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(address), "l"(from), "n"(kCount * sizeof(T))
               : "memory");
#else
  to.start_copy(index, kCount, from);
  emulation::copy_async([=] {
    for (int i = 0; i < kCount; ++i) to[index + i] = from[i];
  });
#endif
}
__device__ inline void copy_async_commit() {
#if SWIN_PTX
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::copy_async_commit();
#endif
}
// Waits until at most kGroups committed groups of this thread are in flight.
template <int kGroups>
__device__ inline void copy_async_wait() {
#if SWIN_PTX
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#else
  emulation::copy_async_wait(kGroups);
#endif
}

// --- launches ----------------------------------------------------------------------------------------

__host__ __device__ inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr const char* kTooLittleSharedMemory =
    "the state size or dt rank is too large for the shared memory of this GPU";

#if SWIN_PTX
// Lets a kernel have all the shared memory that the device gives to one block, or says why not. Always all:
// what one launch asks for is then never below what another thread's launch of the same kernel needs.
template <class Argument>
const char* allow_shared_memory(void (*kernel)(Argument), int64_t shared_bytes) {
  int device = 0, most = 0;
  cudaFuncAttributes attributes{};
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
  most -= int(attributes.sharedSizeBytes);
  if (error == cudaSuccess && shared_bytes > most) return kTooLittleSharedMemory;
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  if (error == cudaSuccess) return nullptr;
  (void)cudaGetLastError();
  return cudaGetErrorString(error);
}
#else
// Of a block, on compute capabilities 8.6, 8.9 and 12.0. Others have more.
constexpr int64_t kLeastSharedMemory = 99 * 1024;
#endif

// Runs kernel(argument) on a grid of one dimension, or says why not.
template <class Argument>
const char* launch(void (*kernel)(Argument), int64_t blocks, int threads, int64_t shared_bytes, Stream stream,
                   const Argument& argument) {
  if (blocks > 2147483647)
    return "the problem needs more thread blocks than a CUDA grid holds; split the batch";
#if SWIN_PTX
  // Beyond 48 KiB a kernel must ask.
  if (shared_bytes > 48 * 1024)
    if (const char* error = allow_shared_memory(kernel, shared_bytes)) return error;
  kernel<<<unsigned(blocks), threads, shared_bytes, stream>>>(argument);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
#else
  (void)stream;
  if (shared_bytes > kLeastSharedMemory) return kTooLittleSharedMemory;
  emulation::run(dim3(unsigned(blocks)), dim3(threads), shared_bytes, [&] { kernel(argument); });
  return nullptr;
#endif
}

}  // namespace swin_umamba::cuda
