// Chooses the kernels for the processor at hand.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace swin_umamba {

#define SWIN_FLAGS(flags)

// Every set's functions, and a table of them.
#define SWIN_DECLARATION(result, kernel, arguments) result kernel arguments;
#define SWIN_NAME(result, kernel, arguments) kernel,
#define SWIN_SET(set, flags, runs)                                \
  namespace set {                                                 \
  SWIN_KERNELS(SWIN_DECLARATION)                                  \
  constexpr CpuKernels kernels = {#set, SWIN_KERNELS(SWIN_NAME)}; \
  }
#include "instruction_sets.def"
#undef SWIN_SET

namespace {

#if defined(__x86_64__)
// Clang before 16 has no __builtin_cpu_supports("f16c").
[[maybe_unused]] bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

struct Entry {
  const CpuKernels& kernels;
  bool runs;
};

// Narrowest first.
const Entry* entries(int& count) {
#define SWIN_SET(set, flags, runs) {set::kernels, bool(runs)},
  static const Entry all[] = {
#include "instruction_sets.def"
  };
#undef SWIN_SET
  count = int(sizeof all / sizeof all[0]);
  return all;
}

const CpuKernels& choose() {
  int count;
  const Entry* all = entries(count);
  const char* wanted = std::getenv("SWIN_UMAMBA_CPU");
  if (wanted && *wanted) {
    for (int i = 0; i < count; ++i)
      if (std::strcmp(all[i].kernels.name, wanted) == 0 && all[i].runs) return all[i].kernels;
    throw std::runtime_error(std::string("SWIN_UMAMBA_CPU is \"") + wanted +
                             "\", but this build and processor have only: " + available_cpu_kernels());
  }
  int best = 0;
  for (int i = 0; i < count; ++i)
    if (all[i].runs) best = i;
  return all[best].kernels;
}

}  // namespace

const CpuKernels& cpu_kernels(Type type) {
  static const CpuKernels& chosen = choose();
  return type == Type::kFloat64 ? portable::kernels : chosen;
}

const char* available_cpu_kernels() {
  static const std::string names = [] {
    std::string text;
    int count;
    const Entry* all = entries(count);
    for (int i = 0; i < count; ++i)
      if (all[i].runs) text += (text.empty() ? "" : " ") + std::string(all[i].kernels.name);
    return text;
  }();
  return names.c_str();
}

}  // namespace swin_umamba
