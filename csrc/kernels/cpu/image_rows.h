// Rows of a channels-last image in compute type.
#pragma once

#include "tile.h"

namespace swin_umamba::SWIN_ISA {

// Rows of a half type to and from float, the type looked at once for each.
template <Type TYPE>
SWIN_INLINE void widen_row(float* to, const void* base, int64_t index, int64_t count) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store<Float>(to + i, read_full<TYPE>(base, index + i));
  if (i == count) return;
  Float rest;
  read(rest, base, TYPE, index + i, count - i);
  store_some(to + i, rest, count - i);
}
template <Type TYPE>
SWIN_INLINE void narrow_row(void* base, int64_t index, const float* from, int64_t count) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) write_full<TYPE>(base, index + i, load<Float>(from + i));
  if (i < count) write(base, TYPE, index + i, load_some(from + i, count - i), count - i);
}
SWIN_INLINE void widen_row(float* to, const void* base, Type type, int64_t index, int64_t count) {
  if (type == Type::kBFloat16)
    widen_row<Type::kBFloat16>(to, base, index, count);
  else
    widen_row<Type::kFloat16>(to, base, index, count);
}
SWIN_INLINE void narrow_row(void* base, Type type, int64_t index, const float* from, int64_t count) {
  if (type == Type::kBFloat16)
    narrow_row<Type::kBFloat16>(base, index, from, count);
  else
    narrow_row<Type::kFloat16>(base, index, from, count);
}
// float64 has no half type.
SWIN_INLINE void widen_row(double*, const void*, Type, int64_t, int64_t) {}
SWIN_INLINE void narrow_row(void*, Type, int64_t, const double*, int64_t) {}

// Elements of the copy that image_rows makes.
template <class V>
SWIN_INLINE int64_t image_copy(Type type, int64_t rows, int64_t columns) {
  return type == compute_type<V>() ? 0 : rows * columns;
}

// `columns` channels from `column` on of `rows` pixels from `pixel` on: the image itself if it is
// stored in compute type, else a copy in `scratch` (rows, columns). `row` is set to the row stride.
template <class V>
const Element<V>* image_rows(const void* image, Type type, int64_t dim, int64_t pixel, int64_t rows,
                             int64_t column, int64_t columns, Element<V>* scratch, int64_t& row) {
  if (type == compute_type<V>()) {
    row = dim;
    return static_cast<const Element<V>*>(image) + pixel * dim + column;
  }
  row = columns;
  for (int64_t r = 0; r < rows; ++r)
    widen_row(scratch + r * columns, image, type, (pixel + r) * dim + column, columns);
  return scratch;
}

}  // namespace swin_umamba::SWIN_ISA
