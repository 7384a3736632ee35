// The CPU backend: one set of kernels for each instruction set, and the choice among them.
#pragma once

#include "../problem.h"

namespace swin_umamba {

// (count, size) numbers in compute type -> their sum, (size) of `type`, in order. The first part lies alone;
// its place may be that of the sum.
struct SumParts {
  int64_t count, size;
  Type type;
  const void *first, *others;
  void* sum;
};

struct CpuKernels {
  const char* name;
  void (*cross_scan)(const CrossScan&, ParallelFor);
  void (*cross_merge)(const CrossScan&, ParallelFor);
  void (*selective_scan_forward)(const SelectiveScanForward&, ParallelFor);
  void (*selective_scan_backward)(const SelectiveScanBackward&, ParallelFor);
  void (*ss2d_forward)(const Ss2dForward&, ParallelFor);
  void (*ss2d_backward)(const Ss2dBackward&, ParallelFor);
  void (*sum_parts)(const SumParts&, ParallelFor);
  // Elements of compute type; the problems need no arrays yet.
  int64_t (*selective_scan_backward_workspace)(const SelectiveScanBackward&);
  int64_t (*ss2d_backward_workspace)(const Ss2dBackward&);
};

// The widest set that the processor has, or the one that the environment variable SWIN_UMAMBA_CPU
// names (portable, avx2, avx512). Throws std::runtime_error if that one is not to be had here.
// float64 always runs the portable set.
const CpuKernels& cpu_kernels(Type type);

// The sets that were compiled and that this processor runs, separated by spaces.
const char* available_cpu_kernels();

#define SWIN_DECLARE_KERNELS(isa)                                          \
  namespace isa {                                                          \
  void cross_scan(const CrossScan&, ParallelFor);                          \
  void cross_merge(const CrossScan&, ParallelFor);                         \
  void selective_scan_forward(const SelectiveScanForward&, ParallelFor);   \
  void selective_scan_backward(const SelectiveScanBackward&, ParallelFor); \
  void ss2d_forward(const Ss2dForward&, ParallelFor);                      \
  void ss2d_backward(const Ss2dBackward&, ParallelFor);                    \
  void sum_parts(const SumParts&, ParallelFor);                            \
  int64_t selective_scan_backward_workspace(const SelectiveScanBackward&); \
  int64_t ss2d_backward_workspace(const Ss2dBackward&);                    \
  }

SWIN_DECLARE_KERNELS(portable)
#if defined(SWIN_X86)
SWIN_DECLARE_KERNELS(avx2)
SWIN_DECLARE_KERNELS(avx512)
#endif
#undef SWIN_DECLARE_KERNELS

}  // namespace swin_umamba
