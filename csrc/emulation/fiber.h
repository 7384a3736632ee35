// Cooperative threads of execution with their own stacks, one scheduler, no operating-system threads.
#pragma once

#include <cstddef>

namespace emulation {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  ~Fiber();

  // Takes a stack; `entry` runs at the first resume and must end in to_scheduler(..., true).
  void start(void (*entry)());

  // Called by the scheduler: runs the fiber until it goes back.
  static void resume(Fiber& fiber);
  // Called by the fiber: back to the scheduler; `forever` if it will not be resumed.
  static void to_scheduler(Fiber& fiber, bool forever);

 private:
  void* stack_ = nullptr;
  void* context_ = nullptr;
  void* fake_stack_ = nullptr;
};

}  // namespace emulation
