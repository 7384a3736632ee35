// The CPU backend as adapters use it.
#pragma once

#include "growing.h"
#include "kernels.h"
#include "tuning.h"

namespace swin_umamba {

struct Cpu {
  ParallelFor parallel;

  // Chooses the shapes of what the forward pass saves for the backward pass; sizes are known.
  static void lay_out(Problem&) {}
  static void lay_out(SelectiveScan& p) { p.saved = saved_states(p.length); }
  static void lay_out(Ss2d& p) {
    p.saved = ss2d_saved_states(p.length()), p.pixels_outermost = false, p.padding = 0;
  }

  // Elements of the workspace; inputs are known.
  static int64_t workspace(const Problem&) { return 0; }
  static int64_t workspace(const SelectiveScanBackward& p) {
    return cpu_kernels(p.type).selective_scan_backward_workspace(p);
  }
  static int64_t workspace(const Ss2dBackward& p) { return cpu_kernels(p.type).ss2d_backward_workspace(p); }
  static int64_t workspace(const InstanceNorm& p) {
    const int64_t parts = p.channels_last ? norm_parts(p.pixels(), p.channels) : 1;
    return 2 * p.batch * parts * p.channels * (type_size(Type::kFloat64) / type_size(p.compute()));
  }
  static int64_t workspace(const DepthwiseConvSiluBackward& p) {
    return cpu_kernels(p.type).depthwise_conv_silu_backward_workspace(p);
  }
  static int64_t workspace(const GatedLayerNormBackward& p) {
    return cpu_kernels(p.type).gated_layer_norm_backward_workspace(p);
  }

  void run(const CrossScan& p) const { cpu_kernels(p.type).cross_scan(p, parallel); }
  void run(const CrossMerge& p) const { cpu_kernels(p.type).cross_merge(p, parallel); }
  void run(const SelectiveScanForward& p) const {
    cpu_kernels(p.type).selective_scan_forward(p, parallel);
    complete_growing(p, parallel);
  }
  void run(const SelectiveScanBackward& p) const {
    cpu_kernels(p.type).selective_scan_backward(p, parallel);
    complete_growing(p, parallel);
  }
  void run(const Ss2dForward& p) const { cpu_kernels(p.type).ss2d_forward(p, parallel); }
  void run(const Ss2dBackward& p) const { cpu_kernels(p.type).ss2d_backward(p, parallel); }
  void run(const InstanceNormForward& p) const { cpu_kernels(p.type).instance_norm_forward(p, parallel); }
  void run(const InstanceNormBackward& p) const { cpu_kernels(p.type).instance_norm_backward(p, parallel); }
  void run(const DepthwiseConvSiluForward& p) const {
    cpu_kernels(p.type).depthwise_conv_silu_forward(p, parallel);
  }
  void run(const DepthwiseConvSiluBackward& p) const {
    cpu_kernels(p.type).depthwise_conv_silu_backward(p, parallel);
  }
  void run(const GatedLayerNormForward& p) const {
    cpu_kernels(p.type).gated_layer_norm_forward(p, parallel);
  }
  void run(const GatedLayerNormBackward& p) const {
    cpu_kernels(p.type).gated_layer_norm_backward(p, parallel);
  }
};

}  // namespace swin_umamba
