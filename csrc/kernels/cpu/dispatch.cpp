// Chooses the kernels for the processor at hand.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

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

// Those that this processor runs, narrowest first.
const std::vector<const CpuKernels*>& available() {
  static const std::vector<const CpuKernels*> sets = [] {
    std::vector<const CpuKernels*> sets;
#define SWIN_SET(set, flags, runs) \
  if (runs) sets.push_back(&set::kernels);
#include "instruction_sets.def"
    return sets;
  }();
  return sets;
}

const CpuKernels& choose() {
  const char* wanted = std::getenv("SWIN_UMAMBA_CPU");
  if (!wanted || !*wanted) return *available().back();
  for (const CpuKernels* kernels : available())
    if (std::strcmp(kernels->name, wanted) == 0) return *kernels;
  throw std::runtime_error(std::string("SWIN_UMAMBA_CPU is \"") + wanted +
                           "\", but this build and processor have only: " + available_cpu_kernels());
}

}  // namespace

const CpuKernels& cpu_kernels(Type type) {
  static const CpuKernels& chosen = choose();
  return type == Type::kFloat64 ? portable::kernels : chosen;
}

const char* available_cpu_kernels() {
  static const std::string names = [] {
    std::string text;
    for (const CpuKernels* kernels : available())
      text += (text.empty() ? "" : " ") + std::string(kernels->name);
    return text;
  }();
  return names.c_str();
}

}  // namespace swin_umamba
