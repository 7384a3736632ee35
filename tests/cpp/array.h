// Arrays of any element type, and random numbers to fill them with.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "kernels/arrays.h"

namespace swin_umamba::tests {

// `count` elements in exactly as many bytes as they need. One byte further is a fault: the address
// sanitizer finds it, and in a build without it, a page without access right behind the array, which
// masked vector instructions cannot pass either. A new array holds NaN, so that an element that a kernel
// leaves out shows.
class Array {
 public:
  Array(Type type, int64_t count);

  Type type() const { return type_; }
  int64_t count() const { return count_; }
  int64_t bytes() const;
  // Null if empty.
  void* data() const { return count_ ? memory_.get() : nullptr; }

  double operator[](int64_t index) const;
  // Rounds to nearest, ties to even.
  void set(int64_t index, double value);

  Array as(Type type) const;
  bool operator==(const Array& other) const;  // the same bits

 private:
  Type type_;
  int64_t count_;
  std::shared_ptr<void> memory_;
};

using Arrays = std::map<std::string, Array>;

// The same numbers in float64.
Arrays as_double(const Arrays& arrays);

// The same numbers on every platform, unlike the standard library's distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * double(engine_() >> 11) * 0x1p-53; }
  bool coin() { return engine_() >> 63; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[engine_() % from.size()];
  }
  Array array(Type type, int64_t count, double low, double high);

 private:
  std::mt19937_64 engine_;
};

}  // namespace swin_umamba::tests
