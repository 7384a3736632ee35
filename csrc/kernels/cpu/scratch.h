// Memory of one task: one aligned block, handed out in order.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>

#include "simd.h"

namespace swin_umamba::SWIN_ISA {

class Scratch {
 public:
  static constexpr int64_t kAlignment = 64;

  explicit Scratch(int64_t bytes)
      : base_(static_cast<char*>(::operator new(bytes, std::align_val_t(kAlignment)))), next_(base_) {}
  ~Scratch() { ::operator delete(base_, std::align_val_t(kAlignment)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  static constexpr int64_t bytes(int64_t count) {
    return (count * int64_t(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
  }
  template <class T>
  T* take(int64_t count) {
    // Cleared: whole groups of steps are computed, also where a chunk ends before them.
    memset(next_, 0, bytes<T>(count));
    T* p = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return p;
  }

 private:
  char* base_;
  char* next_;
};

}  // namespace swin_umamba::SWIN_ISA
