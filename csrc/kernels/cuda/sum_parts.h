// Sums of parts that different blocks made, in the order of the parts: the same bits on every run.
#pragma once

#include "device.h"

namespace swin_umamba::cuda {

// output[o, i] = sum over p of input[o, p, i]; with `accumulate` added to what output holds.
struct SumParts {
  int64_t outer, parts, inner;
  const float* input;
  void* output;
  bool accumulate;
};

// `type` is that of the output.
const char* sum_parts(const SumParts& p, Type type, Stream stream);

}  // namespace swin_umamba::cuda
