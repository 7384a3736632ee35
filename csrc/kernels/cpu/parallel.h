// Independent tasks from a lambda.
#pragma once

#include "../problem.h"
#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// Runs body(begin, end) for neighbouring tasks of [0, tasks), few where there are many threads. How they are
// divided must not show in the results.
template <class Body>
void for_each_range(ParallelFor parallel, int64_t tasks, Body body) {
  parallel(
      tasks, [](int64_t begin, int64_t end, void* context) { (*static_cast<Body*>(context))(begin, end); },
      &body);
}

// Runs body(task) for every task in [0, tasks).
template <class Body>
void for_each_task(ParallelFor parallel, int64_t tasks, Body body) {
  for_each_range(parallel, tasks, [&body](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) body(task);
  });
}

}  // namespace swin_umamba::SWIN_ISA
