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

// KERNEL(result, name, arguments) for each function that an instruction set has. Workspaces are elements of
// compute type; their problems have inputs, and no outputs yet.
#define SWIN_KERNELS(KERNEL)                                                                  \
  KERNEL(void, cross_scan, (const CrossScan&, ParallelFor))                                   \
  KERNEL(void, cross_merge, (const CrossScan&, ParallelFor))                                  \
  KERNEL(void, selective_scan_forward, (const SelectiveScanForward&, ParallelFor))            \
  KERNEL(void, selective_scan_backward, (const SelectiveScanBackward&, ParallelFor))          \
  KERNEL(void, ss2d_forward, (const Ss2dForward&, ParallelFor))                               \
  KERNEL(void, ss2d_backward, (const Ss2dBackward&, ParallelFor))                             \
  KERNEL(void, instance_norm_forward, (const InstanceNormForward&, ParallelFor))              \
  KERNEL(void, instance_norm_backward, (const InstanceNormBackward&, ParallelFor))            \
  KERNEL(void, depthwise_conv_silu_forward, (const DepthwiseConvSiluForward&, ParallelFor))   \
  KERNEL(void, depthwise_conv_silu_backward, (const DepthwiseConvSiluBackward&, ParallelFor)) \
  KERNEL(void, gated_layer_norm_forward, (const GatedLayerNormForward&, ParallelFor))         \
  KERNEL(void, gated_layer_norm_backward, (const GatedLayerNormBackward&, ParallelFor))       \
  KERNEL(void, sum_parts, (const SumParts&, ParallelFor))                                     \
  KERNEL(int64_t, selective_scan_backward_workspace, (const SelectiveScanBackward&))          \
  KERNEL(int64_t, ss2d_backward_workspace, (const Ss2dBackward&))                             \
  KERNEL(int64_t, depthwise_conv_silu_backward_workspace, (const DepthwiseConvSiluBackward&)) \
  KERNEL(int64_t, gated_layer_norm_backward_workspace, (const GatedLayerNormBackward&))

struct CpuKernels {
  const char* name;
#define SWIN_MEMBER(result, kernel, arguments) result(*kernel) arguments;
  SWIN_KERNELS(SWIN_MEMBER)
#undef SWIN_MEMBER
};

// The widest set that the processor has, or the one that the environment variable SWIN_UMAMBA_CPU
// names. Throws std::runtime_error if that one is not to be had here.
// float64 always runs the portable set.
const CpuKernels& cpu_kernels(Type type);

// The sets that were compiled and that this processor runs, separated by spaces.
const char* available_cpu_kernels();

}  // namespace swin_umamba
