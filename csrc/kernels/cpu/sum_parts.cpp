// Adds parts in order: the end of every reduction that tasks share.
#include "sum_parts.h"

#include "task.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
void run(const SumParts& p, ParallelFor parallel) {
  using E = Element<V>;
  constexpr int64_t kSlice = 4096;
  for_each_task(parallel, (p.size + kSlice - 1) / kSlice, [&p](int64_t task) {
    const E* others = static_cast<const E*>(p.others);
    for (int64_t i = task * kSlice; i < minimum(p.size, (task + 1) * kSlice); i += Lanes<V>::kCount) {
      V sum = V{} + load_some(static_cast<const E*>(p.first) + i, p.size - i);
      for (int64_t part = 0; part < p.count - 1; ++part)
        sum += load_some(others + part * p.size + i, p.size - i);
      write(p.sum, p.type, i, sum, p.size - i);
    }
  });
}

}  // namespace

void sum_parts(const SumParts& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
