// Rows of a channels-last image in compute type.
#pragma once

#include "tile.h"

namespace swin_umamba::SWIN_ISA {

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
    for (int64_t c = 0; c < columns; c += Lanes<V>::kCount) {
      const int64_t count = columns - c;
      V v;
      read(v, image, type, (pixel + r) * dim + column + c, count);
      store_some(scratch + r * columns + c, v, count);
    }
  return scratch;
}

}  // namespace swin_umamba::SWIN_ISA
