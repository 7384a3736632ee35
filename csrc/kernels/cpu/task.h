// Independent tasks from a lambda, and the memory of one.
#pragma once

#include <cstring>
#include <new>

#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// Runs body(begin, end) for neighbouring tasks of [0, tasks), few where there are many threads. How they are
// divided must not show in the results.
template <class Body>
void for_each_range(ParallelFor parallel, int64_t tasks, Body body) {
  parallel(
      tasks, [](int64_t begin, int64_t end, void* context) { (*static_cast<Body*>(context))(begin, end); },
      &body);
}

// Runs body(task) for every task in [0, tasks).
template <class Body>
void for_each_task(ParallelFor parallel, int64_t tasks, Body body) {
  for_each_range(parallel, tasks, [&body](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) body(task);
  });
}

SWIN_INLINE int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// One aligned block, handed out in order. One without bytes only counts, and its arrays are null.
class Scratch {
 public:
  static constexpr int64_t kAlignment = 64;

  Scratch() = default;
  explicit Scratch(int64_t bytes)
      : base_(static_cast<char*>(::operator new(bytes, std::align_val_t(kAlignment)))) {}
  ~Scratch() { ::operator delete(base_, std::align_val_t(kAlignment)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = round_up(count * int64_t(sizeof(T)), kAlignment);
    char* array = base_ ? base_ + used_ : nullptr;
    // Cleared: whole groups of steps are computed, also where a chunk ends before them.
    if (array) memset(array, 0, bytes);
    used_ += bytes;
    return reinterpret_cast<T*>(array);
  }
  int64_t used() const { return used_; }

 private:
  char* base_ = nullptr;
  int64_t used_ = 0;
};

// What a task works with: T, whose constructor takes its arrays from a Scratch, first to count their bytes
// and then to have them.
template <class T>
class InScratch {
 public:
  template <class... Arguments>
  explicit InScratch(const Arguments&... arguments)
      : scratch_(bytes(arguments...)), value_(scratch_, arguments...) {}
  T* operator->() { return &value_; }
  T& operator*() { return value_; }

 private:
  template <class... Arguments>
  static int64_t bytes(const Arguments&... arguments) {
    Scratch counter;
    T(counter, arguments...);
    return counter.used();
  }
  Scratch scratch_;
  T value_;
};

}  // namespace swin_umamba::SWIN_ISA
