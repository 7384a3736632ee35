// What `python -m swin_umamba_ext` asks the library, through ctypes.
#include <string>

#include "../../kernels/cpu/kernels.h"

extern "C" const char* swin_umamba_available_cpu_kernels() { return swin_umamba::available_cpu_kernels(); }

// The set in use, or, after "error: ", why there is none.
extern "C" const char* swin_umamba_cpu_kernels() {
  static const std::string text = [] {
    try {
      return std::string(swin_umamba::cpu_kernels(swin_umamba::Type::kFloat32).name);
    } catch (const std::exception& error) {
      return std::string("error: ") + error.what();
    }
  }();
  return text.c_str();
}
