// Adds parts in order: the end of every reduction that tasks share.
#include "kernels.h"
#include "parallel.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
void run(const SumParts& p, ParallelFor parallel) {
  using E = Element<V>;
  constexpr int64_t kSlice = 4096;
  const int64_t slices = (p.inner + kSlice - 1) / kSlice;
  for_each_task(parallel, p.outer * slices, [&p, slices](int64_t task) {
    const int64_t outer = task / slices, first = task % slices * kSlice;
    const E* parts = static_cast<const E*>(p.parts) + outer * p.count * p.inner;
    for (int64_t i = first; i < minimum(p.inner, first + kSlice); i += Lanes<V>::kCount) {
      V sum{};
      for (int64_t part = 0; part < p.count; ++part)
        sum += load_some(parts + part * p.inner + i, p.inner - i);
      write(p.sum, p.type, outer * p.inner + i, sum, p.inner - i);
    }
  });
}

}  // namespace

void sum_parts(const SumParts& p, ParallelFor parallel) {
#if defined(SWIN_WITH_DOUBLE)
  if (p.type == Type::kFloat64) return run<double>(p, parallel);
#endif
  run<Float>(p, parallel);
}

}  // namespace swin_umamba::SWIN_ISA
