// The operators on the CPU.
#include "../operators.h"

#include <mutex>
#include <new>

#include "../../kernels/cpu/backend.h"

namespace swin_umamba {
namespace {

// The kernels' tasks on torch's threads, so that torch.set_num_threads is obeyed.
void torch_threads(int64_t tasks, TaskBody body, void* context) {
  std::exception_ptr failure;
  std::mutex mutex;
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    try {
      body(begin, end, context);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      failure = std::current_exception();
    }
  });
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    STD_TORCH_CHECK(false, "swin_umamba: out of memory for what one task of a kernel needs");
  }
}

struct TorchCpu : Cpu {
  explicit TorchCpu(const Tensor&) : Cpu{torch_threads} {}
};

}  // namespace
}  // namespace swin_umamba

STABLE_TORCH_LIBRARY_IMPL(swin_umamba, CPU, m) {
  using Backend = swin_umamba::TorchCpu;
  swin_umamba::implement<Backend>(m);
  m.impl("instance_norm", TORCH_BOX(&swin_umamba::instance_norm<Backend>));
  m.impl("instance_norm_backward", TORCH_BOX(&swin_umamba::instance_norm_backward<Backend>));
  m.impl("depthwise_conv_silu", TORCH_BOX(&swin_umamba::depthwise_conv_silu<Backend>));
  m.impl("depthwise_conv_silu_backward", TORCH_BOX(&swin_umamba::depthwise_conv_silu_backward<Backend>));
  m.impl("gated_layer_norm", TORCH_BOX(&swin_umamba::gated_layer_norm<Backend>));
  m.impl("gated_layer_norm_backward", TORCH_BOX(&swin_umamba::gated_layer_norm_backward<Backend>));
}
