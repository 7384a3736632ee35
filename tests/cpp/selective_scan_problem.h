// One selective scan: its sizes, random inputs, and both kernels run on them.
#pragma once

#include "array.h"

namespace swin_umamba::tests {

struct ScanSizes {
  int64_t batch, groups, channels;  // channels of one group
  int64_t length, state;
  Type type;
  bool softplus, constant_B, constant_C, D, z, delta_bias, grad_last_state;

  int64_t dim() const { return groups * channels; }
  std::string describe() const;
};

// u, delta, A, B, C, grad_out and, where wanted, D, z, delta_bias, grad_last_state.
Arrays random_inputs(const ScanSizes& sizes, Random& random);

// out and last_state, and the gradient of each input under "grad_" and its name.
Arrays run_kernels(const ScanSizes& sizes, const Arrays& inputs);

// out and last_state alone, without saving states for the backward kernel.
Arrays run_inference(const ScanSizes& sizes, const Arrays& inputs);

}  // namespace swin_umamba::tests
