// kernel_tests NAME: runs one test with the instruction set that SWIN_UMAMBA_CPU names.
#include <cstdio>
#include <cstring>
#include <exception>

#include "compare.h"
#include "kernels/cpu/kernels.h"
#include "tests.h"

using namespace swin_umamba;

std::vector<tests::Test>& tests::all_tests() {
  static std::vector<Test> all;
  return all;
}

int main(int count, char** arguments) {
  constexpr int kSkipped = 77;
  const char* set;
  try {
    set = cpu_kernels(Type::kFloat32).name;
  } catch (const std::exception& error) {
    std::printf("skipped: %s\n", error.what());
    return kSkipped;
  }
  for (const auto& test : tests::all_tests())
    if (count == 2 && std::strcmp(arguments[1], test.name) == 0) {
      tests::report_faults();
      test.run();
      std::printf("%s, %s kernels: %d failures\n", test.name, set, tests::failures());
      return tests::failures() ? 1 : 0;
    }
  std::fprintf(stderr, "usage: kernel_tests NAME, where NAME is one of:\n");
  for (const auto& test : tests::all_tests()) std::fprintf(stderr, "  %s\n", test.name);
  return 2;
}
