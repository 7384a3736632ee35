// The parts that backward kernels leave, added by the kernel for it.
#pragma once

#include "array.h"
#include "kernels/cpu/kernels.h"
#include "python/threads.h"

namespace swin_umamba::tests {

// (outer, count, inner) -> (outer, inner) in `type`.
inline Array sum_of_parts(int64_t outer, int64_t count, const Array& parts, Type type) {
  const int64_t inner = parts.count() / (outer * count);
  Array sum(type, outer * inner);
  cpu_kernels(type).sum_parts({outer, count, inner, type, parts.data(), sum.data()}, run_in_threads);
  return sum;
}

}  // namespace swin_umamba::tests
