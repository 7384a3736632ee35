// Chooses the kernels for the processor at hand.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.h"

#if defined(SWIN_X86)
#include <cpuid.h>
#endif

namespace swin_umamba {
namespace {

#if defined(SWIN_X86)
// Clang before 16 has no __builtin_cpu_supports("f16c").
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#define SWIN_KERNELS(isa)                  \
  {#isa,                                   \
   isa::cross_scan,                        \
   isa::cross_merge,                       \
   isa::selective_scan_forward,            \
   isa::selective_scan_backward,           \
   isa::ss2d_forward,                      \
   isa::ss2d_backward,                     \
   isa::sum_parts,                         \
   isa::selective_scan_backward_workspace, \
   isa::ss2d_backward_workspace}

struct Entry {
  CpuKernels kernels;
  bool runs;
};

// Narrowest first.
const Entry* entries(int& count) {
  static const Entry all[] = {
      {SWIN_KERNELS(portable), true},
#if defined(SWIN_X86)
      {SWIN_KERNELS(avx2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()},
      {SWIN_KERNELS(avx512), __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")},
#endif
  };
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
  int count;
  return type == Type::kFloat64 ? entries(count)[0].kernels : chosen;
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
