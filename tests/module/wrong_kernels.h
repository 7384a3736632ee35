#pragma once

#include <string>

namespace emulation {

// Runs one block of 64 threads; `output` has 64 floats.
void run_test_kernel(const std::string& name, float* output);

}  // namespace emulation
