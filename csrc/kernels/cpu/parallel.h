// Independent tasks from a lambda.
#pragma once

#include "../problem.h"
#include "simd.h"

namespace swin_umamba::SWIN_ISA {

// Runs body(task) for every task in [0, tasks).
template <class Body>
void for_each_task(ParallelFor parallel, int64_t tasks, Body body) {
  parallel(
      tasks,
      [](int64_t begin, int64_t end, void* context) {
        Body& run = *static_cast<Body*>(context);
        for (int64_t task = begin; task < end; ++task) run(task);
      },
      &body);
}

}  // namespace swin_umamba::SWIN_ISA
