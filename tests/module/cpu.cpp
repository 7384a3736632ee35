// The Python module `swin_umamba_kernels`: the CPU kernels over numpy arrays.
#include "../cpp/threads.h"
#include "kernels/cpu/backend.h"
#include "operators.h"

namespace swin_umamba::tests {
namespace {

// Option `threads`, 1 unless it is given.
struct NumpyCpu : Cpu {
  explicit NumpyCpu(py::kwargs& arguments) : Cpu{run_in_threads} {
    const int threads = take(arguments, "threads", 1);
    if (threads < 1 || threads > 256)
      throw std::invalid_argument("threads must be from 1 to 256, got " + std::to_string(threads));
    thread_count() = threads;
  }
};

template <class P>
py::dict instance_norm(py::kwargs arguments) {
  const NumpyCpu backend(arguments);
  P p{};
  p.eps = take(arguments, "eps", 1e-5), p.negative_slope = take(arguments, "negative_slope", 1.0);
  p.channels_last = take(arguments, "channels_last", false);
  return solve(p, backend, arguments);
}

template <class P>
py::dict gated_layer_norm(py::kwargs arguments) {
  const NumpyCpu backend(arguments);
  P p{};
  p.eps = take(arguments, "eps", 1e-5);
  return solve(p, backend, arguments);
}

template <class P>
py::dict depthwise_conv_silu(py::kwargs arguments) {
  const NumpyCpu backend(arguments);
  P p{};
  return solve(p, backend, arguments);
}

}  // namespace
}  // namespace swin_umamba::tests

PYBIND11_MODULE(swin_umamba_kernels, m) {
  using namespace swin_umamba;
  m.def("available_cpu_kernels", available_cpu_kernels,
        "Instruction sets to be had here, separated by spaces.");
  m.def("cpu_kernels", [] { return cpu_kernels(Type::kFloat32).name; }, "The instruction set in use.");
  tests::define_operators<tests::NumpyCpu>(m);
  m.def("instance_norm", tests::instance_norm<InstanceNormForward>);
  m.def("instance_norm_backward", tests::instance_norm<InstanceNormBackward>);
  m.def("depthwise_conv_silu", tests::depthwise_conv_silu<DepthwiseConvSiluForward>);
  m.def("depthwise_conv_silu_backward", tests::depthwise_conv_silu<DepthwiseConvSiluBackward>);
  m.def("gated_layer_norm", tests::gated_layer_norm<GatedLayerNormForward>);
  m.def("gated_layer_norm_backward", tests::gated_layer_norm<GatedLayerNormBackward>);
}
