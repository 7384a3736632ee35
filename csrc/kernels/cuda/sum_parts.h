// Sums of parts that different blocks made, in the order of the parts: the same bits on every run.
#pragma once

#include "device.h"

namespace swin_umamba::cuda {

const char* sum_parts(const SumParts& p, Stream stream);

}  // namespace swin_umamba::cuda
