// The matrix products of ss2d's projections. A block makes 64 x 64 results, slab by slab of the inner
// dimension; the next slab is on its way while one is multiplied. Where results are few, the inner dimension
// is divided among blocks and their parts are added in order.
#include "tensor_cores.h"

namespace swin_umamba::cuda {
namespace {

constexpr int kSide = 64;
constexpr int kSlab = 32;  // of the inner dimension
constexpr int kProductThreads = 128;
// A warp has a quarter of the block's results, 32 x 32, in pieces of 16 x 8.
constexpr int kWarpSide = 32;
constexpr int kRowPieces = kWarpSide / 16, kColumnPieces = kWarpSide / 8;
// At least this much of the inner dimension for each part.
constexpr int kLeastInner = 256;

// One factor: (outer, inner) if kInnerContiguous, else (inner, outer), where outer are the rows or columns of
// the result.
template <class T, bool kInnerContiguous>
struct Factor {
  static constexpr int kUnit = 4;  // numbers that a thread moves at a time
  static constexpr int kUnits = kSide * kSlab / kUnit / kProductThreads;
  // In shared memory [outer][inner] or [inner][outer], padded so that the lanes of a fragment read different
  // banks.
  static constexpr int kPitch = kInnerContiguous ? kSlab + 16 / int(sizeof(T)) : kSide + 8;
  static constexpr int kSize = kInnerContiguous ? kSide * kPitch : kSlab * kPitch;

  const T* data;  // the thread's first number of the next slab
  int64_t pitch;
  int outer_left;    // from the block's first on
  bool whole_units;  // a unit is aligned, and inside or outside as a whole

  // From row or column `first` and slab `begin` on.
  __device__ Factor(const void* matrix, int64_t outer, int64_t inner, int64_t first, int64_t begin)
      : pitch(kInnerContiguous ? inner : outer),
        outer_left(int(outer - first < kSide ? outer - first : kSide)),
        whole_units(pitch % kUnit == 0 && reinterpret_cast<uintptr_t>(matrix) % (kUnit * sizeof(T)) == 0) {
    const int64_t o = first + unit_outer(0), k = begin + unit_inner(0);
    data = static_cast<const T*>(matrix) + (kInnerContiguous ? o * pitch + k : k * pitch + o);
  }

  __device__ static int unit_outer(int i) {
    const int unit = threadIdx.x + i * kProductThreads;
    return kInnerContiguous ? unit / (kSlab / kUnit) : unit % (kSide / kUnit) * kUnit;
  }
  __device__ static int unit_inner(int i) {
    const int unit = threadIdx.x + i * kProductThreads;
    return kInnerContiguous ? unit % (kSlab / kUnit) * kUnit : unit / (kSide / kUnit);
  }
  __device__ static int place(int at_outer, int at_inner) {
    return kInnerContiguous ? at_outer * kPitch + at_inner : at_inner * kPitch + at_outer;
  }

  // Starts the copies of the thread's share of the next slab; zeros outside the matrix. Numbers of
  // two bytes are waited for where units are not whole.
  __device__ void fetch(int inner_left, const Shared<T>& slab) {
    // From one unit of a thread to the next.
    constexpr int kStep = kProductThreads * kUnit / (kInnerContiguous ? kSlab : kSide);
    const T* from = data;
    data += kInnerContiguous ? kSlab : kSlab * pitch;
#pragma unroll
    for (int i = 0; i < kUnits; ++i, from += kStep * pitch) {
      const int o = unit_outer(i), k = unit_inner(i), to = place(o, k);
      const bool inside = o < outer_left && k < inner_left;
      if (inside && whole_units) {
        copy_async<kUnit>(slab, to, from);
        continue;
      }
      const int left = !inside ? 0 : kInnerContiguous ? inner_left - k : outer_left - o;
#pragma unroll
      for (int j = 0; j < kUnit; ++j)
        if (j >= left)
          slab[to + j] = convert<T>(0.0f);
        else if constexpr (sizeof(T) == 4)
          copy_async<1>(slab, to + j, from + j);
        else
          slab[to + j] = from[j];
    }
  }
};

// Of two slabs.
template <class Left, class Right>
struct Storage {
  Shared<Left> left;
  Shared<Right> right;
  template <class Memory>
  __host__ __device__ explicit Storage(Memory& memory, int left_size, int right_size)
      : left(memory.template take<Left>(2 * left_size, "left")),
        right(memory.template take<Right>(2 * right_size, "right")) {}
};

struct Arguments {
  MatrixProduct p;
  int64_t row_tiles, column_tiles, inner_of_part, parts;
};

Arguments divide(const MatrixProduct& p, int multiprocessors) {
  Arguments a{p, divide_up(p.rows, kSide), divide_up(p.columns, kSide), 0, 0};
  // Three blocks fit on a multiprocessor.
  const int64_t wanted = 3 * multiprocessors / (a.row_tiles * a.column_tiles), most = p.inner / kLeastInner;
  const int64_t parts = wanted < most ? wanted : most;
  a.inner_of_part = divide_up(divide_up(p.inner, parts > 1 ? parts : 1), kSlab) * kSlab;
  a.parts = divide_up(p.inner, a.inner_of_part);
  return a;
}

// Sets a result, and the zeros of the gap that follows it.
template <class Out>
__device__ void set_result(const MatrixProduct& p, int64_t row, int64_t column, float value) {
  Out* out = static_cast<Out*>(p.out) + row * p.columns + column;
  if (p.gap > 0) {
    const int groups = int(p.columns / p.group), group = int(column) / int(p.group);
    const int within = int(column) - group * int(p.group);
    out += (row * groups + group + (within >= p.before_gap)) * p.gap;
    if (within == p.before_gap - 1)
      for (int i = 1; i <= p.gap; ++i) out[i] = convert<Out>(0.0f);
  }
  *out = convert<Out>(value);
}

template <class Left, bool kLeftInner, class Right, bool kRightInner, class Out>
__global__ void __launch_bounds__(kProductThreads, 3) product_kernel(Arguments arguments) {
  const MatrixProduct& p = arguments.p;
  using LeftFactor = Factor<Left, kLeftInner>;
  using RightFactor = Factor<Right, kRightInner>;
  SharedMemory memory;
  const Storage<Left, Right> s(memory, LeftFactor::kSize, RightFactor::kSize);
  const int64_t column_tile = blockIdx.x % arguments.column_tiles;
  const int64_t row_tile = blockIdx.x / arguments.column_tiles % arguments.row_tiles;
  const int64_t part = blockIdx.x / (arguments.column_tiles * arguments.row_tiles);
  const int64_t begin = part * arguments.inner_of_part;
  const int64_t end = begin + arguments.inner_of_part < p.inner ? begin + arguments.inner_of_part : p.inner;

  const int warp = threadIdx.x / 32, lane_group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
  const int warp_row = warp / 2 * kWarpSide, warp_column = warp % 2 * kWarpSide;
  float sums[kRowPieces][kColumnPieces][4] = {};

  LeftFactor left(p.left, p.rows, p.inner, row_tile * kSide, begin);
  RightFactor right(p.right, p.columns, p.inner, column_tile * kSide, begin);
  const auto fetch = [&](int64_t start, int buffer) {
    const int inner_left = int(end - start < kSlab ? end - start : kSlab);
    left.fetch(inner_left, s.left + buffer * LeftFactor::kSize);
    right.fetch(inner_left, s.right + buffer * RightFactor::kSize);
    copy_async_commit();
  };
  fetch(begin, 0);

  int buffer = 0;
#pragma unroll 1
  for (int64_t start = begin; start < end; start += kSlab, buffer ^= 1) {
    copy_async_wait<0>();
    __syncthreads();
    if (start + kSlab < end) fetch(start + kSlab, buffer ^ 1);
    const Shared<Left> left_slab = s.left + buffer * LeftFactor::kSize;
    const Shared<Right> right_slab = s.right + buffer * RightFactor::kSize;

    // The tensor cores cut off what they add to a sum, the FMA units round it: only a slab's sums are theirs.
    float slab_sums[kRowPieces][kColumnPieces][4] = {};
#pragma unroll
    for (int k = 0; k < kSlab; k += 8) {
      Split<Left, 4> a[kRowPieces];
      Split<Right, 2> b[kColumnPieces];
#pragma unroll
      for (int i = 0; i < kRowPieces; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          a[i].set(j, to_float(Left(left_slab[LeftFactor::place(warp_row + i * 16 + lane_group + j % 2 * 8,
                                                                k + lane + j / 2 * 4)])));
#pragma unroll
      for (int i = 0; i < kColumnPieces; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          b[i].set(j,
                   to_float(Right(
                       right_slab[RightFactor::place(warp_column + i * 8 + lane_group, k + lane + j * 4)])));
#pragma unroll
      for (int i = 0; i < kRowPieces; ++i)
#pragma unroll
        for (int j = 0; j < kColumnPieces; ++j) multiply_add(slab_sums[i][j], a[i], b[j]);
    }
#pragma unroll
    for (int i = 0; i < kRowPieces; ++i)
#pragma unroll
      for (int j = 0; j < kColumnPieces; ++j)
#pragma unroll
        for (int n = 0; n < 4; ++n) sums[i][j][n] += slab_sums[i][j][n];
  }

#pragma unroll
  for (int i = 0; i < kRowPieces; ++i)
#pragma unroll
    for (int j = 0; j < kColumnPieces; ++j)
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int64_t row = row_tile * kSide + warp_row + i * 16 + lane_group + n / 2 * 8;
        const int64_t column = column_tile * kSide + warp_column + j * 8 + lane * 2 + n % 2;
        if (row >= p.rows || column >= p.columns) continue;
        const int64_t index = row * p.columns + column;
        if (arguments.parts > 1)
          p.parts[part * p.rows * p.columns + index] = sums[i][j][n];
        else
          set_result<Out>(p, row, column, p.add ? p.add[index] + sums[i][j][n] : sums[i][j][n]);
      }
}

template <class Out>
__global__ void __launch_bounds__(kProductThreads) add_parts_kernel(Arguments arguments) {
  const MatrixProduct& p = arguments.p;
  const int64_t index = int64_t(blockIdx.x) * kProductThreads + threadIdx.x, numbers = p.rows * p.columns;
  if (index >= numbers) return;
  float sum = p.add ? p.add[index] : 0.0f;
#pragma unroll 8
  for (int64_t i = 0; i < arguments.parts; ++i) sum += p.parts[i * numbers + index];
  set_result<Out>(p, index / p.columns, index % p.columns, sum);
}

template <class Left, bool kLeftInner, class Right, bool kRightInner, class Out>
const char* multiply(const MatrixProduct& p, int multiprocessors, Stream stream) {
  const Arguments arguments = divide(p, multiprocessors);
  SharedSize size;
  Storage<Left, Right>(size, Factor<Left, kLeftInner>::kSize, Factor<Right, kRightInner>::kSize);
  const char* error = launch(product_kernel<Left, kLeftInner, Right, kRightInner, Out>,
                             arguments.parts * arguments.row_tiles * arguments.column_tiles, kProductThreads,
                             size.bytes(), stream, arguments);
  if (error || arguments.parts == 1) return error;
  return launch(add_parts_kernel<Out>, divide_up(p.rows * p.columns, kProductThreads), kProductThreads, 0,
                stream, arguments);
}

}  // namespace

int64_t product_workspace(int64_t rows, int64_t columns, int64_t inner, int multiprocessors) {
  MatrixProduct p{};
  p.rows = rows, p.columns = columns, p.inner = inner;
  const int64_t parts = divide(p, multiprocessors).parts;
  return parts > 1 ? parts * rows * columns : 0;
}

const char* multiply_nt(const MatrixProduct& p, int multiprocessors, Stream stream) {
  return for_element(p.type, [&](auto element) {
    return multiply<decltype(element), true, float, true, float>(p, multiprocessors, stream);
  });
}
const char* multiply_nn(const MatrixProduct& p, int multiprocessors, Stream stream) {
  return for_element(p.type, [&](auto element) {
    return multiply<float, true, float, false, decltype(element)>(p, multiprocessors, stream);
  });
}
const char* multiply_tn(const MatrixProduct& p, int multiprocessors, Stream stream) {
  return for_element(p.type, [&](auto element) {
    return multiply<float, false, decltype(element), false, float>(p, multiprocessors, stream);
  });
}

}  // namespace swin_umamba::cuda
