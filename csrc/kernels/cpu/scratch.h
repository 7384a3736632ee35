// Memory of one task: one aligned block, handed out in order.
#pragma once

#include <cstring>
#include <new>

#include "simd.h"

namespace swin_umamba::SWIN_ISA {

SWIN_INLINE int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// One without bytes only counts, and its arrays are null.
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

// Runs a task, whose constructor takes the task's arrays: first to count their bytes, then to have them.
template <class Task, class... Arguments>
void run_task(const Arguments&... arguments) {
  Scratch counter;
  Task(counter, arguments...);
  Scratch scratch(counter.used());
  Task(scratch, arguments...).run();
}

}  // namespace swin_umamba::SWIN_ISA
