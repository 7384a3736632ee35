#include "array.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#if !defined(SWIN_UMAMBA_SANITIZE)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace swin_umamba::tests {
namespace {

#if defined(SWIN_UMAMBA_SANITIZE)
std::shared_ptr<void> allocate(int64_t bytes) { return {std::malloc(bytes), std::free}; }
#else
std::shared_ptr<void> allocate(int64_t bytes) {
  const int64_t page = sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  void* base = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || mprotect(static_cast<char*>(base) + room, page, PROT_NONE) != 0)
    throw std::bad_alloc();
  return {static_cast<char*>(base) + room - bytes, [=](void*) { munmap(base, room + page); }};
}
#endif

// A 16-bit format: bits of the mantissa, and the exponent's bias, which is also its largest finite value.
struct Format {
  int mantissa, bias;
  int infinity() const { return (2 * bias + 1) << mantissa; }
};
constexpr Format kBFloat16Format{7, 127}, kFloat16Format{10, 15};

double decode(int bits, Format f) {
  const int magnitude = bits & 0x7fff, exponent = magnitude >> f.mantissa, one = 1 << f.mantissa;
  const int fraction = magnitude - exponent * one;
  double value = magnitude > f.infinity()    ? NAN
                 : magnitude == f.infinity() ? INFINITY
                 : exponent == 0             ? std::ldexp(fraction, 1 - f.bias - f.mantissa)
                                             : std::ldexp(fraction + one, exponent - f.bias - f.mantissa);
  return bits & 0x8000 ? -value : value;
}

int encode(double value, Format f) {
  const int sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7fff;
  if (std::isinf(value)) return sign | f.infinity();
  value = std::fabs(value);
  const int exponent = value > 0 ? std::max(std::ilogb(value), 1 - f.bias) : 1 - f.bias;
  const int mantissa = int(std::nearbyint(std::ldexp(value, f.mantissa - exponent)));
  // The mantissa's leading one, there or reached by rounding, adds one to the exponent's field.
  return sign |
         std::min(((std::min(exponent, f.bias + 1) + f.bias - 1) << f.mantissa) + mantissa, f.infinity());
}

}  // namespace

Array::Array(Type type, int64_t count)
    : type_(type), count_(count), memory_(allocate(count * type_size(type))) {
  std::memset(memory_.get(), 0xff, bytes());
}

int64_t Array::bytes() const { return count_ * type_size(type_); }

double Array::operator[](int64_t index) const {
  switch (type_) {
    case Type::kFloat64:
      return static_cast<const double*>(memory_.get())[index];
    case Type::kFloat32:
      return static_cast<const float*>(memory_.get())[index];
    case Type::kBFloat16:
      return decode(static_cast<const uint16_t*>(memory_.get())[index], kBFloat16Format);
    default:
      return decode(static_cast<const uint16_t*>(memory_.get())[index], kFloat16Format);
  }
}

void Array::set(int64_t index, double value) {
  switch (type_) {
    case Type::kFloat64:
      static_cast<double*>(memory_.get())[index] = value;
      return;
    case Type::kFloat32:
      static_cast<float*>(memory_.get())[index] = float(value);
      return;
    case Type::kBFloat16:
      static_cast<uint16_t*>(memory_.get())[index] = uint16_t(encode(value, kBFloat16Format));
      return;
    case Type::kFloat16:
      static_cast<uint16_t*>(memory_.get())[index] = uint16_t(encode(value, kFloat16Format));
  }
}

Array Array::as(Type type) const {
  Array result(type, count_);
  for (int64_t i = 0; i < count_; ++i) result.set(i, (*this)[i]);
  return result;
}

bool Array::operator==(const Array& other) const {
  return type_ == other.type_ && count_ == other.count_ &&
         std::memcmp(memory_.get(), other.memory_.get(), bytes()) == 0;
}

Arrays as_double(const Arrays& arrays) {
  Arrays result;
  for (const auto& [name, array] : arrays) result.emplace(name, array.as(Type::kFloat64));
  return result;
}

Array Random::array(Type type, int64_t count, double low, double high) {
  Array result(type, count);
  for (int64_t i = 0; i < count; ++i) result.set(i, uniform(low, high));
  return result;
}

}  // namespace swin_umamba::tests
