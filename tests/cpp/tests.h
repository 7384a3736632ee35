// Tests that main.cpp runs by name. CMakeLists.txt reads the names from the sources: a test is run with each
// instruction set, or once if what it tests is the same in all.
#pragma once

#include <vector>

namespace swin_umamba::tests {

struct Test {
  const char* name;
  void (*run)();
};
std::vector<Test>& all_tests();

struct Listed {
  Listed(const char* name, void (*run)()) { all_tests().push_back({name, run}); }
};

#define SWIN_TEST(name)                                  \
  static void test_##name();                             \
  static const Listed listed_##name(#name, test_##name); \
  static void test_##name()
#define SWIN_TEST_ONCE(name) SWIN_TEST(name)

}  // namespace swin_umamba::tests
