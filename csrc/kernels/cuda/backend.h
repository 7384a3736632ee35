// The CUDA backend as adapters use it; cpu/backend.h says what the functions are for.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels.h"

namespace swin_umamba {

struct Cuda {
  int multiprocessors;
  cuda::Stream stream;

  static void lay_out(Problem&) {}
  static void lay_out(SelectiveScan& p) { p.saved = cuda::saved_states(p.length); }
  // One matrix product of x with the weights of all directions makes projected_x, whose rows are copied 16
  // bytes at a time.
  static void lay_out(Ss2d& p) {
    p.saved = cuda::saved_states(p.length()), p.pixels_outermost = true, p.padding = (4 - p.rank % 4) % 4;
  }

  static int64_t workspace(const Problem&) { return 0; }
  static int64_t workspace(const SelectiveScanBackward& p) {
    return cuda::selective_scan_backward_workspace(p);
  }
  int64_t workspace(const Ss2dForward& p) const { return cuda::ss2d_forward_workspace(p, multiprocessors); }
  int64_t workspace(const Ss2dBackward& p) const { return cuda::ss2d_backward_workspace(p, multiprocessors); }

  void run(const CrossScan& p) const { check(cuda::cross_scan(p, stream)); }
  void run(const CrossMerge& p) const { check(cuda::cross_merge(p, stream)); }
  void run(const SelectiveScanForward& p) const { check(cuda::selective_scan_forward(p, stream)); }
  void run(const SelectiveScanBackward& p) const { check(cuda::selective_scan_backward(p, stream)); }
  void run(const Ss2dForward& p) const { check(cuda::ss2d_forward(p, multiprocessors, stream)); }
  void run(const Ss2dBackward& p) const { check(cuda::ss2d_backward(p, multiprocessors, stream)); }

 private:
  static void check(const char* error) {
    if (error) throw std::runtime_error(std::string("swin_umamba on CUDA: ") + error);
  }
};

}  // namespace swin_umamba
