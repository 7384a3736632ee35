// A problem from the arrays that a caller gives.
#pragma once

#include "problem.h"

namespace swin_umamba {

struct Given {
  bool there = false;
  const void* data = nullptr;
  Type type{};
  std::vector<int64_t> shape;
  int64_t row = -1;  // distance of rows; that of a contiguous array unless it is given
};

inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

// Nothing, if `what` is empty.
struct Wrong {
  std::string name;  // of an input, or empty
  std::string what;
};

// Points the problem to its inputs, in the order of their list, with the sizes that they tell, and lets the
// backend lay out its arrays.
template <class Backend, class P>
Wrong take_inputs(P& p, const Backend& backend, const std::vector<Given>& given) {
  int next = 0;
  for (const Input& input : p.inputs()) {
    const Given& array = given[next++];
    if (!array.there) {
      if (input.optional) continue;
      return {input.name, "is missing"};
    }
    *input.data = array.data;
    if (input.type.field) *input.type.field = array.type;
    const bool fits = int(array.shape.size()) == input.shape.dimensions();
    int dimension = 0;
    for (const Told<int64_t>& size : input.shape) {
      if (size.field && *size.field == 0) {
        if (!fits || array.shape[dimension] == 0)
          return {input.name, "must have " + std::to_string(input.shape.dimensions()) +
                                  " dimensions and not be empty, got shape " + shape_text(array.shape)};
        *size.field = array.shape[dimension];
      }
      ++dimension;
    }
  }
  if (std::string wrong = p.complete(); !wrong.empty()) return {{}, wrong};
  backend.lay_out(p);
  next = 0;
  for (const Input& input : p.inputs()) {
    const Given& array = given[next++];
    if (!array.there) continue;
    if (const std::vector<int64_t> shape = input.shape.values(); array.shape != shape)
      return {input.name, "must have shape " + shape_text(shape) + ", got " + shape_text(array.shape)};
    if (array.type != input.type.value)
      return {input.name,
              std::string("must be ") + type_name(input.type.value) + ", got " + type_name(array.type)};
    if (input.row_field) *input.row_field = array.row < 0 ? array.shape.back() : array.row;
  }
  return {};
}

}  // namespace swin_umamba
