// One fused 2-D selective scan: its sizes, random inputs, and both kernels run on them.
#pragma once

#include "array.h"

namespace swin_umamba::tests {

struct ImageSizes {
  int64_t batch, height, width, dim, state, rank;
  Type type;

  int64_t pixels() const { return height * width; }
  int64_t projected() const { return rank + 2 * state; }
  std::string describe() const;
};

// x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds and grad_y.
Arrays random_inputs(const ImageSizes& sizes, Random& random);

// y, and the gradient of each input under "grad_" and its name.
Arrays run_kernels(const ImageSizes& sizes, const Arrays& inputs);

// y alone, without saving states for the backward kernel.
Arrays run_inference(const ImageSizes& sizes, const Arrays& inputs);

}  // namespace swin_umamba::tests
