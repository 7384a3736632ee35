// Tasks divided among threads of the standard library.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

#include "kernels/problem.h"

namespace swin_umamba {

// How many threads run_in_threads uses when called from this thread.
inline int& thread_count() {
  thread_local int count = 1;
  return count;
}

inline void run_in_threads(int64_t tasks, TaskBody body, void* context) {
  const int64_t threads = std::min<int64_t>(thread_count(), tasks);
  std::vector<std::thread> running;
  for (int64_t i = 1; i < threads; ++i)
    running.emplace_back(body, tasks * i / threads, tasks * (i + 1) / threads, context);
  if (threads > 0) body(0, tasks / threads, context);
  for (std::thread& thread : running) thread.join();
}

}  // namespace swin_umamba
