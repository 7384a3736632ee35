// Tiles: a chunk of steps by one vector of channels, in compute type, whatever the layout and the
// type in memory. A tile is `steps` vectors; lanes past `count` channels are zero.
#pragma once

#include <type_traits>

#include "../directions.h"
#include "vector_math.h"

namespace swin_umamba::SWIN_ISA {

SWIN_INLINE float bfloat16_to_float(uint16_t h) {
  const uint32_t bits = uint32_t(h) << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// To nearest even; NaN stays NaN.
SWIN_INLINE uint16_t float_to_bfloat16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? uint16_t((bits >> 16) | 0x40) : uint16_t(rounded);
}

SWIN_INLINE float float16_to_float(uint16_t h) {
  // Exponent and mantissa in place, then one product puts the bias right and normalises subnormals.
  const uint32_t magnitude = uint32_t(h & 0x7fff) << 13;
  const uint32_t scale_bits = 0x77800000;  // 2^112
  float f, scale;
  memcpy(&f, &magnitude, sizeof f);
  memcpy(&scale, &scale_bits, sizeof scale);
  f *= scale;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if ((h & 0x7c00) == 0x7c00) bits = magnitude | 0x7f800000;
  bits |= uint32_t(h & 0x8000) << 16;
  memcpy(&f, &bits, sizeof f);
  return f;
}

SWIN_INLINE uint16_t float_to_float16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7c00;
  if (bits < 0x38800000) {
    // Subnormal: adding 1/2 leaves the rounded value in the low bits.
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, sizeof bits);
    return sign | uint16_t(bits - 0x3f000000);
  }
  return sign | uint16_t((bits + 0xc8000fff + ((bits >> 13) & 1)) >> 13);
}

// A vector from, or to, half the bytes; the templates are for sets without instructions for it.
template <class Half>
SWIN_INLINE Float widen_bfloat16(const Half* p) {
  float lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = bfloat16_to_float(p[i]);
  return load<Float>(lanes);
}
template <class Half>
SWIN_INLINE Float widen_float16(const Half* p) {
  float lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = float16_to_float(p[i]);
  return load<Float>(lanes);
}
template <class Half>
SWIN_INLINE void narrow_bfloat16(Half* p, Float v) {
  float lanes[kWidth];
  store<Float>(lanes, v);
  for (int i = 0; i < kWidth; ++i) p[i] = float_to_bfloat16(lanes[i]);
}
template <class Half>
SWIN_INLINE void narrow_float16(Half* p, Float v) {
  float lanes[kWidth];
  store<Float>(lanes, v);
  for (int i = 0; i < kWidth; ++i) p[i] = float_to_float16(lanes[i]);
}

// The first `count` lanes; the others are zero.
template <int W>
SWIN_INLINE void copy_lanes(uint16_t (&lanes)[W], const uint16_t* p, int64_t count) {
  for (int i = 0; i < W; ++i) lanes[i] = i < count ? p[i] : 0;
}
template <int W>
SWIN_INLINE void store_lanes(uint16_t* p, const uint16_t (&lanes)[W], int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

// Calls function(constant) with `type` as a constant.
template <Type TYPE>
struct TypeConstant {
  static constexpr Type value = TYPE;
};
template <class Function>
SWIN_INLINE void for_type(Type type, Function function) {
  if (type == Type::kFloat32)
    function(TypeConstant<Type::kFloat32>());
  else if (type == Type::kBFloat16)
    function(TypeConstant<Type::kBFloat16>());
  else
    function(TypeConstant<Type::kFloat16>());
}

// One vector from, or to, `index` elements into an array of type TYPE.
template <Type TYPE>
SWIN_INLINE Float read_full(const void* base, int64_t index) {
  if constexpr (TYPE == Type::kFloat32) return load<Float>(static_cast<const float*>(base) + index);
  const uint16_t* p = static_cast<const uint16_t*>(base) + index;
  return TYPE == Type::kBFloat16 ? widen_bfloat16(p) : widen_float16(p);
}
template <Type TYPE>
SWIN_INLINE void write_full(void* base, int64_t index, Float v) {
  if constexpr (TYPE == Type::kFloat32) {
    store<Float>(static_cast<float*>(base) + index, v);
  } else {
    uint16_t* p = static_cast<uint16_t*>(base) + index;
    if constexpr (TYPE == Type::kBFloat16)
      narrow_bfloat16(p, v);
    else
      narrow_float16(p, v);
  }
}

// The first `count` lanes, of a type known at run time.
SWIN_INLINE void read(Float& v, const void* base, Type type, int64_t index, int64_t count) {
  if (type == Type::kFloat32) {
    v = load_some(static_cast<const float*>(base) + index, count);
    return;
  }
  const uint16_t* p = static_cast<const uint16_t*>(base) + index;
  uint16_t lanes[kWidth];
  if (count < kWidth) {
    copy_lanes(lanes, p, count);
    p = lanes;
  }
  v = type == Type::kBFloat16 ? widen_bfloat16(p) : widen_float16(p);
}
SWIN_INLINE void read(double& v, const void* base, Type, int64_t index, int64_t) {
  v = static_cast<const double*>(base)[index];
}

SWIN_INLINE void write(void* base, Type type, int64_t index, Float v, int64_t count) {
  if (type == Type::kFloat32) return store_some(static_cast<float*>(base) + index, v, count);
  uint16_t* p = static_cast<uint16_t*>(base) + index;
  uint16_t lanes[kWidth];
  uint16_t* target = count < kWidth ? lanes : p;
  if (type == Type::kBFloat16)
    narrow_bfloat16(target, v);
  else
    narrow_float16(target, v);
  if (count < kWidth) store_lanes(p, lanes, count);
}
SWIN_INLINE void write(void* base, Type, int64_t index, double v, int64_t) {
  static_cast<double*>(base)[index] = v;
}

// What follows is of a type that is a constant.
template <Type TYPE>
using VectorOf = std::conditional_t<TYPE == Type::kFloat64, double, Float>;

// for_type with the vectors, float64 among them.
template <class Function>
void for_data_type(Type type, Function function) {
  if constexpr (kWithDouble)
    if (type == Type::kFloat64) return function(TypeConstant<Type::kFloat64>());
  for_type(type, function);
}

template <Type TYPE>
SWIN_INLINE VectorOf<TYPE> get(const void* base, int64_t index, int64_t count) {
  if constexpr (TYPE != Type::kFloat64)
    if (count >= kWidth) return read_full<TYPE>(base, index);
  VectorOf<TYPE> v;
  read(v, base, TYPE, index, count);
  return v;
}
template <Type TYPE>
SWIN_INLINE void put(void* base, int64_t index, VectorOf<TYPE> v, int64_t count) {
  if constexpr (TYPE != Type::kFloat64)
    if (count >= kWidth) return write_full<TYPE>(base, index, v);
  write(base, TYPE, index, v, count);
}

// body(index, count) for each vector of a row, with a constant count but for the last.
template <class V, class Body>
SWIN_INLINE void for_vectors(int64_t size, Body body) {
  constexpr int64_t W = Lanes<V>::kCount;
  int64_t i = 0;
  for (; i + W <= size; i += W) body(i, W);
  if (i < size) body(i, size - i);
}

// Whole squares of load_channel_rows and store_channel_rows, all in registers.
template <Type TYPE>
SWIN_INLINE void load_square(Float* tile, const void* base, int64_t offset, int64_t stride,
                             int64_t tile_row) {
  Float rows[kWidth];
  SWIN_UNROLL(16)
  for (int c = 0; c < kWidth; ++c) rows[c] = read_full<TYPE>(base, offset + c * stride);
  transpose(rows);
  SWIN_UNROLL(16)
  for (int t = 0; t < kWidth; ++t) tile[t * tile_row] = rows[t];
}
template <Type TYPE>
SWIN_INLINE void store_square(const Float* tile, void* base, int64_t offset, int64_t stride,
                              int64_t tile_row) {
  Float rows[kWidth];
  SWIN_UNROLL(16)
  for (int t = 0; t < kWidth; ++t) rows[t] = tile[t * tile_row];
  transpose(rows);
  SWIN_UNROLL(16)
  for (int c = 0; c < kWidth; ++c) write_full<TYPE>(base, offset + c * stride, rows[c]);
}

// The distance of vectors that lie together: 1, as a constant for a copy of the code of its own.
struct Together {
  constexpr operator int64_t() const { return 1; }
};

// Channels are rows of `stride` elements, steps are contiguous:
// tile[t * tile_row] = { base[offset + c * stride + t] }_c.
template <class V, class Row = Together>
void load_channel_rows(V* tile, const void* base, Type type, int64_t offset, int64_t stride, int64_t steps,
                       int64_t count, Row tile_row = {}) {
  constexpr int W = Lanes<V>::kCount;
  int64_t t = 0;
  if constexpr (W > 1) {
    const int64_t whole = count >= W ? steps / W * W : 0;
    for_type(type, [&](auto constant) {
      for (; t < whole; t += W)
        load_square<decltype(constant)::value>(tile + t * tile_row, base, offset + t, stride, tile_row);
    });
  }
  for (; t < steps; t += W) {
    V rows[W] = {};
    const int64_t n = minimum<int64_t>(W, steps - t);
    for (int64_t c = 0; c < minimum<int64_t>(count, W); ++c)
      read(rows[c], base, type, offset + c * stride + t, n);
    transpose(rows);
    for (int64_t i = 0; i < n; ++i) tile[(t + i) * tile_row] = rows[i];
  }
}

// The inverse.
template <class V, class Row = Together>
void store_channel_rows(const V* tile, void* base, Type type, int64_t offset, int64_t stride, int64_t steps,
                        int64_t count, Row tile_row = {}) {
  constexpr int W = Lanes<V>::kCount;
  int64_t t = 0;
  if constexpr (W > 1) {
    const int64_t whole = count >= W ? steps / W * W : 0;
    for_type(type, [&](auto constant) {
      for (; t < whole; t += W)
        store_square<decltype(constant)::value>(tile + t * tile_row, base, offset + t, stride, tile_row);
    });
  }
  for (; t < steps; t += W) {
    V rows[W] = {};
    const int64_t n = minimum<int64_t>(W, steps - t);
    for (int64_t i = 0; i < n; ++i) rows[i] = tile[(t + i) * tile_row];
    transpose(rows);
    for (int64_t c = 0; c < minimum<int64_t>(count, W); ++c)
      write(base, type, offset + c * stride + t, rows[c], n);
  }
}

// A matrix (rows, columns) becomes (columns, rows), both in compute type.
template <class V>
void transpose_matrix(Element<V>* target, int64_t target_row, const Element<V>* source, int64_t rows,
                      int64_t columns, int64_t source_row) {
  constexpr int W = Lanes<V>::kCount;
  for (int64_t r = 0; r < rows; r += W) {
    const int64_t count = minimum<int64_t>(W, rows - r);
    for (int64_t c = 0; c < columns; c += W) {
      const int64_t n = minimum<int64_t>(W, columns - c);
      const Element<V>* from = source + r * source_row + c;
      Element<V>* to = target + c * target_row + r;
      V block[W];  // which stays in registers where no loop's end depends on the sizes
      if (count == W && n == W) {
        SWIN_UNROLL(16) for (int i = 0; i < W; ++i) block[i] = load<V>(from + i * source_row);
        transpose(block);
        SWIN_UNROLL(16) for (int i = 0; i < W; ++i) store<V>(to + i * target_row, block[i]);
      } else {
        SWIN_UNROLL(16)
        for (int i = 0; i < W; ++i) block[i] = i < count ? load_some(from + i * source_row, n) : V{};
        transpose(block);
        SWIN_UNROLL(16)
        for (int i = 0; i < W; ++i)
          if (i < n) store_some(to + i * target_row, block[i], count);
      }
    }
  }
}

// A short row; a call of memcpy takes longer than its work.
template <class V>
SWIN_INLINE void copy_row(Element<V>* target, const Element<V>* source, int64_t count) {
  constexpr int W = Lanes<V>::kCount;
  int64_t i = 0;
  for (; i + W <= count; i += W) store<V>(target + i, load<V>(source + i));
  if (i < count) store_some(target + i, load_some(source + i, count - i), count - i);
}

template <class V>
SWIN_INLINE void add_row(Element<V>* target, const Element<V>* source, int64_t count) {
  constexpr int W = Lanes<V>::kCount;
  for (int64_t i = 0; i < count; i += W)
    store_some(target + i, load_some(target + i, count - i) + load_some(source + i, count - i), count - i);
}

// A row in memory to and from compute type, the type looked at once.
SWIN_INLINE void widen_row(float* to, const void* base, Type type, int64_t index, int64_t count) {
  for_type(type, [&](auto constant) {
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth)
      store<Float>(to + i, read_full<decltype(constant)::value>(base, index + i));
    if (i == count) return;
    Float rest;
    read(rest, base, type, index + i, count - i);
    store_some(to + i, rest, count - i);
  });
}
SWIN_INLINE void narrow_row(void* base, Type type, int64_t index, const float* from, int64_t count) {
  for_type(type, [&](auto constant) {
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth)
      write_full<decltype(constant)::value>(base, index + i, load<Float>(from + i));
    if (i < count) write(base, type, index + i, load_some(from + i, count - i), count - i);
  });
}
// float64 has no half type.
SWIN_INLINE void widen_row(double*, const void*, Type, int64_t, int64_t) {}
SWIN_INLINE void narrow_row(void*, Type, int64_t, const double*, int64_t) {}

}  // namespace swin_umamba::SWIN_ISA
