// The arrays of a problem as data: what checks, allocates or fills them goes through a list of these.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace swin_umamba {

enum class Type : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kFloat64 = 3 };

// In bytes.
static inline int64_t type_size(Type type) {
  return type == Type::kFloat64 ? 8 : type == Type::kFloat32 ? 4 : 2;
}
// The type of parameters, states and sums beside data of `type`.
static constexpr Type compute_type(Type type) { return type == Type::kFloat64 ? type : Type::kFloat32; }

static inline const char* type_name(Type type) {
  return type == Type::kFloat64    ? "float64"
         : type == Type::kFloat32  ? "float32"
         : type == Type::kBFloat16 ? "bfloat16"
                                   : "float16";
}

// A value, or, by its address, a field of the problem, zero until an array that is given tells it.
template <class T>
struct Told {
  T value;
  T* field = nullptr;
  constexpr Told(T value = T()) : value(value) {}
  constexpr Told(T* field) : value(*field), field(field) {}
};

// Sizes, the last of which runs fastest.
class Shape {
 public:
  Shape(std::initializer_list<Told<int64_t>> sizes) {
    for (const Told<int64_t>& size : sizes) sizes_[count_++] = size;
  }
  int dimensions() const { return count_; }
  const Told<int64_t>* begin() const { return sizes_; }
  const Told<int64_t>* end() const { return sizes_ + count_; }
  std::vector<int64_t> values() const {
    std::vector<int64_t> values(count_);
    for (int i = 0; i < count_; ++i) values[i] = sizes_[i].value;
    return values;
  }
  int64_t elements() const {
    int64_t elements = 1;
    for (const Told<int64_t>& size : *this) elements *= size.value;
    return elements;
  }

 private:
  int count_ = 0;
  Told<int64_t> sizes_[5];
};

// A contiguous array, or one whose rows, of the last dimension, may lie apart. `data` is the problem's
// pointer to it.
template <class Pointer>
struct ArrayOf {
  const char* name;
  Pointer* data;
  Told<Type> type;
  Shape shape;
  bool optional = false;         // the pointer may be null
  int64_t* row_field = nullptr;  // is told how far rows lie apart, where they may
};
using Input = ArrayOf<const void*>;
using Output = ArrayOf<void*>;

// The gradients of inputs, with their names, shapes and types. Those of inputs that are not there have no
// `data`.
inline std::vector<Output> gradients_of(const std::vector<Input>& inputs,
                                        const std::vector<void**>& gradients) {
  std::vector<Output> outputs;
  outputs.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    outputs.push_back(
        {inputs[i].name, *inputs[i].data ? gradients[i] : nullptr, inputs[i].type, inputs[i].shape});
  return outputs;
}

}  // namespace swin_umamba
