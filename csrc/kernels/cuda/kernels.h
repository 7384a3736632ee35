// The CUDA backend: what the operators call. No torch, no CUDA headers.
//
// Each function queues kernels on `stream` of the current device and returns null, or says what is
// wrong. Nothing here allocates, synchronizes or copies to the host, so that calls can be captured in
// a CUDA graph. Workspaces are float32 and come from the caller; data are float32, bfloat16 or float16, of
// cross_scan and cross_merge also float64.
#pragma once

#include "../problem.h"

struct CUstream_st;

namespace swin_umamba::cuda {

using Stream = CUstream_st*;

// Steps between two saved states, which are those at the start of every chunk but the first.
constexpr int kChunk = 64;
static constexpr int64_t saved_states(int64_t length) { return (length - 1) / kChunk; }

const char* cross_scan(const CrossScan& p, Stream stream);
const char* cross_merge(const CrossScan& p, Stream stream);

const char* selective_scan_forward(const SelectiveScanForward& p, Stream stream);

int64_t selective_scan_backward_workspace(const SelectiveScan& p);
const char* selective_scan_backward(const SelectiveScanBackward& p, Stream stream);

// `multiprocessors` of the device decides how the work is divided among blocks where there is little of it:
// how many directions one block scans after another, and with it how much is written before the merge (0, 2
// or 4 images of partial sums), and how long the sums of the matrix products are.
int64_t ss2d_forward_workspace(const Ss2d& p, int multiprocessors);
const char* ss2d_forward(const Ss2dForward& p, int multiprocessors, Stream stream);

// Here also how many channels a block sums dB and dC over.
int64_t ss2d_backward_workspace(const Ss2d& p, int multiprocessors);
const char* ss2d_backward(const Ss2dBackward& p, int multiprocessors, Stream stream);

// out (rows, columns) = left right, of float32 accuracy. The letters are those of BLAS: t for a factor that
// lies transposed in memory.
struct MatrixProduct {
  int64_t rows, columns, inner;
  Type type;
  const void *left, *right;
  const float* add;  // (rows, columns), added to the product; null: none. It may be `out`.
  void* out;
  float* parts;  // product_workspace(...) floats
  // Of multiply_nt: where `gap` zeros lie in each row of `out`, after the first `before_gap` of every `group`
  // columns.
  int64_t group = 0, before_gap = 0, gap = 0;
};
int64_t product_workspace(int64_t rows, int64_t columns, int64_t inner, int multiprocessors);
// left (rows, inner) of `type`, right (columns, inner) and out float32.
const char* multiply_nt(const MatrixProduct& p, int multiprocessors, Stream stream);
// left (rows, inner) and right (inner, columns) float32, out of `type`.
const char* multiply_nn(const MatrixProduct& p, int multiprocessors, Stream stream);
// left (inner, rows) float32, right (inner, columns) of `type`, out float32.
const char* multiply_tn(const MatrixProduct& p, int multiprocessors, Stream stream);

struct SumParts {
  int64_t outer, count, inner;
  Type type;           // of the sum
  const float* parts;  // (outer, count, inner)
  void* sum;           // (outer, inner)
};
const char* sum_parts(const SumParts& p, Stream stream);

// Of the current device, or why they cannot be counted.
const char* multiprocessors(int& count);

}  // namespace swin_umamba::cuda
