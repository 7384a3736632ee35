// The CUDA execution model on the host, for running kernels where there is no GPU.
//
// A launch runs its blocks one after the other. The threads of a block are fibers that give way at
// barriers and warp collectives. What a GPU would punish in silence is an error here
// (std::runtime_error out of `launch`, with kernel position, block and thread):
//   - a barrier that not all threads of the block reach, or reach at different lines;
//   - a warp collective that a named lane does not join, or a shuffle from a lane that is not there;
//   - a read of shared memory that nothing has written;
//   - an access outside a shared array, or a misaligned vector access or asynchronous copy;
//   - two threads touching one shared element between barriers, at least one of them writing.
// Accesses outside global memory are left to the address sanitizer, which knows the fibers.
//
// Shared memory must be declared through SharedMemory or SWIN_STATIC_SHARED, so that each access
// passes a check. Asynchronous copies happen when they are waited for, not earlier; as a GPU may write at
// once, their places count as written, and as not to be read, from the start.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// The built-in variables, set whenever a fiber resumes.
inline dim3 gridDim, blockDim, blockIdx, threadIdx;

// --- half types: bits, converted through float with round to nearest even ------------------------

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (std::isnan(value)) return {uint16_t((bits >> 16) | 0x40)};
  return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
float __half2float(__half value);
__half __float2half_rn(float value);

namespace emulation {

// --- the running block --------------------------------------------------------------------------

// Ends the launch with an error that names block and thread. Called from a kernel.
[[noreturn]] void fail(const std::string& what);

void barrier(int line);

enum class Collective { kShuffle, kShuffleUp, kShuffleDown, kShuffleXor, kBallot, kSync, kTogether };

// Joins the lanes of `mask`; returns the bits of the value that this lane receives.
uint64_t collective(Collective kind, unsigned mask, uint64_t bits, int argument, int width, int line);

// An operation that a whole warp does as one: `operation` is called once, with what each lane gave.
using WarpOperation = void (*)(void* const* lanes);
void together(void* mine, WarpOperation operation, int line = __builtin_LINE());

int linear_thread();

// --- shared memory --------------------------------------------------------------------------------

// What is known of one shared element. Epochs count the barriers of the block and of each warp.
struct Shadow {
  bool initialized = false;
  int writer = -1, writer_epoch = -1, writer_warp_epoch = -1;
  int reader = -1, reader_epoch = -1, reader_warp = -1, reader_warp_epoch = -1;
};

constexpr int kSeveral = -2;

// A plain view of the running thread, kept up to date by the scheduler.
struct Running {
  int thread = 0, warp = 0, epoch = 0, warp_epoch = 0;
};
inline Running running;

[[noreturn]] void fail_race(const char* name, int64_t index, const char* access, int other);
[[noreturn]] void fail_uninitialized(const char* name, int64_t index);
[[noreturn]] void fail_bounds(const char* name, int64_t index, int64_t size);
[[noreturn]] void fail_alignment(const char* name, int64_t index, int bytes);

inline bool ordered(int other, int other_warp, int other_epoch, int other_warp_epoch) {
  return other_epoch != running.epoch || other == running.thread ||
         (other_warp == running.warp && other_warp_epoch < running.warp_epoch);
}

inline void on_read(Shadow& s, const char* name, int64_t index) {
  if (!s.initialized) fail_uninitialized(name, index);
  if (s.writer >= 0 && !ordered(s.writer, s.writer / 32, s.writer_epoch, s.writer_warp_epoch))
    fail_race(name, index, "reads", s.writer);
  // Readers before the barrier of a block or of their own warp need not be known any more.
  if (s.reader_epoch != running.epoch ||
      (s.reader_warp == running.warp && s.reader_warp_epoch < running.warp_epoch)) {
    s.reader = running.thread;
    s.reader_warp = running.warp;
    s.reader_warp_epoch = running.warp_epoch;
    s.reader_epoch = running.epoch;
    return;
  }
  if (s.reader != running.thread) s.reader = kSeveral;
  if (s.reader_warp != running.warp) s.reader_warp = kSeveral;
  s.reader_warp_epoch = std::max(s.reader_warp_epoch, running.warp_epoch);
}

inline void on_write(Shadow& s, const char* name, int64_t index) {
  if (s.writer >= 0 && !ordered(s.writer, s.writer / 32, s.writer_epoch, s.writer_warp_epoch))
    fail_race(name, index, "writes", s.writer);
  if (!ordered(s.reader, s.reader_warp, s.reader_epoch, s.reader_warp_epoch))
    fail_race(name, index, "writes", s.reader);
  s.initialized = true;
  s.writer = running.thread;
  s.writer_epoch = running.epoch;
  s.writer_warp_epoch = running.warp_epoch;
}

template <class T>
class Element {
 public:
  Element(T* value, Shadow* shadow, const char* name, int64_t index)
      : value_(value), shadow_(shadow), name_(name), index_(index) {}
  operator T() const {
    on_read(*shadow_, name_, index_);
    return *value_;
  }
  T operator=(T value) {
    on_write(*shadow_, name_, index_);
    return *value_ = value;
  }
  T operator=(const Element& other) { return *this = T(other); }
  T operator+=(T value) { return *this = T(*this) + value; }
  // For atomics: no other access to this element may run between barriers but atomics themselves.
  T* atomic() {
    if (!shadow_->initialized) fail_uninitialized(name_, index_);
    return value_;
  }

 private:
  T* value_;
  Shadow* shadow_;
  const char* name_;
  int64_t index_;
};

template <class T>
class Shared {
 public:
  Shared() = default;
  Shared(T* data, Shadow* shadow, int64_t size, const char* name)
      : data_(data), shadow_(shadow), size_(size), name_(name) {}
  Element<T> operator[](int64_t index) const {
    if (index < 0 || index >= size_) fail_bounds(name_, index, size_);
    return {data_ + index, shadow_ + index, name_, index};
  }
  // A view from `offset` on.
  Shared operator+(int64_t offset) const {
    if (offset < 0 || offset > size_) fail_bounds(name_, offset, size_);
    return {data_ + offset, shadow_ + offset, size_ - offset, name_};
  }
  void check_alignment(int64_t index, int bytes) const {
    if (reinterpret_cast<uintptr_t>(data_ + index) % bytes) fail_alignment(name_, index, bytes);
  }
  // Of an asynchronous copy of `count` elements.
  void start_copy(int64_t index, int count, const T* from) const {
    const int bytes = count * int(sizeof(T));
    check_alignment(index, bytes);
    if (reinterpret_cast<uintptr_t>(from) % bytes)
      fail("asynchronous copy from an address that is not aligned to " + std::to_string(bytes) + " bytes");
    for (int64_t i = index; i < index + count; ++i) {
      if (i < 0 || i >= size_) fail_bounds(name_, i, size_);
      on_write(shadow_[i], name_, i);
      shadow_[i].initialized = false;
    }
  }

 private:
  T* data_ = nullptr;
  Shadow* shadow_ = nullptr;
  int64_t size_ = 0;
  const char* name_ = "";
};

// The storage of one shared array of the running block, found by the order of requests (dynamic) or
// by the place of its declaration (static).
void* shared_storage(const void* key, int64_t bytes, int64_t elements, Shadow** shadow);
void* next_dynamic_array(int64_t bytes, int64_t elements, Shadow** shadow);

template <class T>
Shared<T> static_shared(const char* place, const char* name, int64_t count) {
  Shadow* shadow;
  T* data = static_cast<T*>(shared_storage(place, count * sizeof(T), count, &shadow));
  return {data, shadow, count, name};
}

// --- asynchronous copies, done when waited for ------------------------------------------------------

void copy_async(std::function<void()> copy);
void copy_async_commit();
void copy_async_wait(int groups_in_flight);

// --- launches ---------------------------------------------------------------------------------------

void run(dim3 grid, dim3 block, int64_t shared_bytes, const std::function<void()>& body);

}  // namespace emulation

#define SWIN_STATIC_SHARED(type, name, count) \
  const auto name = emulation::static_shared<type>(__FILE__ "#" #name, #name, count)

// --- what CUDA C++ gives a kernel -------------------------------------------------------------------

inline void __syncthreads(int line = __builtin_LINE()) { emulation::barrier(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
  emulation::collective(emulation::Collective::kSync, mask, 0, 0, 32, line);
}

namespace emulation {
template <class T>
T shuffle(Collective kind, unsigned mask, T value, int argument, int width, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = collective(kind, mask, bits, argument, width, line);
  memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
  return emulation::shuffle(emulation::Collective::kShuffle, mask, value, source, width, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32, int line = __builtin_LINE()) {
  return emulation::shuffle(emulation::Collective::kShuffleUp, mask, value, delta, width, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32, int line = __builtin_LINE()) {
  return emulation::shuffle(emulation::Collective::kShuffleDown, mask, value, delta, width, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, int line = __builtin_LINE()) {
  return emulation::shuffle(emulation::Collective::kShuffleXor, mask, value, lanes, width, line);
}
inline unsigned __ballot_sync(unsigned mask, bool vote, int line = __builtin_LINE()) {
  return unsigned(emulation::collective(emulation::Collective::kBallot, mask, vote, 0, 32, line));
}
inline bool __any_sync(unsigned mask, bool vote, int line = __builtin_LINE()) {
  return __ballot_sync(mask, vote, line) != 0;
}
inline bool __all_sync(unsigned mask, bool vote, int line = __builtin_LINE()) {
  return __ballot_sync(mask, vote, line) == mask;
}

// Fibers give way only at collectives, so a plain update is atomic.
template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = old + value;
  return old;
}
template <class T>
T atomicAdd(emulation::Element<T> element, T value) {
  return atomicAdd(element.atomic(), value);
}
