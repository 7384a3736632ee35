// The CPU kernels over numpy arrays, for tests without torch. bfloat16 is uint16 here: its bits.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "threads.h"

namespace py = pybind11;

namespace swin_umamba {
namespace {

using Array = py::array;
using Optional = std::optional<py::array>;
using Shape = std::vector<py::ssize_t>;

py::dtype dtype_of(Type type) {
  switch (type) {
    case Type::kFloat64:
      return py::dtype::of<double>();
    case Type::kFloat32:
      return py::dtype::of<float>();
    case Type::kBFloat16:
      return py::dtype::of<uint16_t>();
    default:
      return py::dtype("float16");
  }
}

Type type_of(const Array& array, const char* name) {
  for (Type type : {Type::kFloat32, Type::kFloat64, Type::kFloat16, Type::kBFloat16})
    if (array.dtype().equal(dtype_of(type))) return type;
  throw std::invalid_argument(std::string(name) +
                              " must be float32, float64, float16 or uint16 (the bits of bfloat16), got " +
                              std::string(py::str(array.dtype())));
}

Type compute_type(Type type) { return type == Type::kFloat64 ? type : Type::kFloat32; }

std::string text(const Shape& shape) { return py::str(py::tuple(py::cast(shape))); }

Shape shape_of(const Array& array) { return {array.shape(), array.shape() + array.ndim()}; }

void require_dimensions(const Array& array, const char* name, py::ssize_t dimensions) {
  if (array.ndim() != dimensions || array.size() == 0)
    throw std::invalid_argument(std::string(name) + " must have " + std::to_string(dimensions) +
                                " dimensions and not be empty, got shape " + text(shape_of(array)));
}

// The arrays of one call: contiguous inputs, kept until the kernels have run.
class Inputs {
 public:
  const void* add(const Array& array, const char* name, const Shape& shape, Type type) {
    if (shape_of(array) != shape)
      throw std::invalid_argument(std::string(name) + " must have shape " + text(shape) + ", got " +
                                  text(shape_of(array)));
    if (!array.dtype().equal(dtype_of(type)))
      throw std::invalid_argument(std::string(name) + " must be " + std::string(py::str(dtype_of(type))) +
                                  ", got " + std::string(py::str(array.dtype())));
    kept_.push_back(Array::ensure(array, Array::c_style));
    return kept_.back().data();
  }
  const void* add(const Optional& array, const char* name, const Shape& shape, Type type) {
    return array ? add(*array, name, shape, type) : nullptr;
  }

 private:
  std::vector<Array> kept_;
};

// Filled with NaN, so that an element that a kernel leaves out shows.
Array new_array(Type type, const Shape& shape) {
  Array array(dtype_of(type), shape);
  std::memset(array.mutable_data(), 0xff, array.nbytes());
  return array;
}

void* out(Array& array) { return array.size() ? array.mutable_data() : nullptr; }

void use_threads(int threads) {
  if (threads < 1 || threads > 256)
    throw std::invalid_argument("threads must be from 1 to 256, got " + std::to_string(threads));
  thread_count() = threads;
}

Array cross_scan(const Array& x, int threads) {
  require_dimensions(x, "x", 4);
  const Type type = type_of(x, "x");
  use_threads(threads);
  Inputs inputs;
  const auto B = x.shape(0), C = x.shape(1), H = x.shape(2), W = x.shape(3);
  Array y = new_array(type, {B, kDirections, C, H * W});
  const void* data = inputs.add(x, "x", shape_of(x), type);
  cpu_kernels(type).cross_scan({B, C, H, W, type, data, out(y)}, run_in_threads);
  return y;
}

Array cross_merge(const Array& y, py::ssize_t height, py::ssize_t width, int threads) {
  require_dimensions(y, "y", 4);
  const Type type = type_of(y, "y");
  if (height < 1 || width < 1)
    throw std::invalid_argument("height and width must be at least 1, got " + std::to_string(height) +
                                " and " + std::to_string(width));
  use_threads(threads);
  Inputs inputs;
  const auto B = y.shape(0), C = y.shape(2);
  const void* data = inputs.add(y, "y", {B, kDirections, C, height * width}, type);
  Array x = new_array(type, {B, C, height, width});
  cpu_kernels(type).cross_merge({B, C, height, width, type, data, out(x)}, run_in_threads);
  return x;
}

SelectiveScan scan_problem(Inputs& inputs, const Array& u, const Array& delta, const Array& A, const Array& B,
                           const Array& C, const Optional& D, const Optional& z, const Optional& delta_bias,
                           bool softplus) {
  require_dimensions(u, "u", 3);
  require_dimensions(A, "A", 2);
  SelectiveScan p{};
  p.batch = u.shape(0), p.dim = u.shape(1), p.length = u.shape(2), p.state = A.shape(1);
  p.type = type_of(u, "u");
  p.softplus = softplus;
  p.constant_B = B.ndim() == 2, p.constant_C = C.ndim() == 2;
  p.groups = B.ndim() == 4 ? B.shape(1) : C.ndim() == 4 ? C.shape(1) : 1;
  if (p.groups < 1 || p.dim % p.groups != 0)
    throw std::invalid_argument("the groups of B and C must divide the " + std::to_string(p.dim) +
                                " channels, got " + std::to_string(p.groups));
  const Type compute = compute_type(p.type);
  const Shape sequence{p.batch, p.dim, p.length}, matrix{p.dim, p.state};
  const Shape steps{p.batch, p.groups, p.state, p.length};
  p.u = inputs.add(u, "u", sequence, p.type), p.delta = inputs.add(delta, "delta", sequence, p.type);
  p.A = inputs.add(A, "A", matrix, compute);
  p.B = inputs.add(B, "B", p.constant_B ? matrix : steps, p.constant_B ? compute : p.type);
  p.C = inputs.add(C, "C", p.constant_C ? matrix : steps, p.constant_C ? compute : p.type);
  p.D = inputs.add(D, "D", {p.dim}, compute), p.z = inputs.add(z, "z", sequence, p.type);
  p.delta_bias = inputs.add(delta_bias, "delta_bias", {p.dim}, compute);
  return p;
}

py::tuple selective_scan(const Array& u, const Array& delta, const Array& A, const Array& B, const Array& C,
                         const Optional& D, const Optional& z, const Optional& delta_bias,
                         bool delta_softplus, int threads) {
  use_threads(threads);
  Inputs inputs;
  SelectiveScanForward p{};
  static_cast<SelectiveScan&>(p) = scan_problem(inputs, u, delta, A, B, C, D, z, delta_bias, delta_softplus);
  const Type compute = compute_type(p.type);
  Array y = new_array(p.type, {p.batch, p.dim, p.length});
  Array last_state = new_array(compute, {p.batch, p.dim, p.state});
  Array states = new_array(compute, {p.batch, saved_states(p.length), p.state, p.dim});
  p.out = out(y), p.last_state = out(last_state), p.states = out(states);
  cpu_kernels(p.type).selective_scan_forward(p, run_in_threads);
  return py::make_tuple(y, last_state, states);
}

py::dict selective_scan_backward(const Array& grad_out, const Optional& grad_last_state, const Array& states,
                                 const Array& u, const Array& delta, const Array& A, const Array& B,
                                 const Array& C, const Optional& D, const Optional& z,
                                 const Optional& delta_bias, bool delta_softplus, int threads) {
  use_threads(threads);
  Inputs inputs;
  SelectiveScanBackward p{};
  static_cast<SelectiveScan&>(p) = scan_problem(inputs, u, delta, A, B, C, D, z, delta_bias, delta_softplus);
  const Type compute = compute_type(p.type);
  const Shape sequence{p.batch, p.dim, p.length}, matrices{p.batch, p.dim, p.state};
  p.states = inputs.add(states, "states", {p.batch, saved_states(p.length), p.state, p.dim}, compute);
  p.grad_out = inputs.add(grad_out, "grad_out", sequence, p.type);
  p.grad_last_state = inputs.add(grad_last_state, "grad_last_state", matrices, compute);

  const Shape matrix{p.dim, p.state}, steps{p.batch, p.groups, p.state, p.length};
  const auto coefficient = [&](bool constant) {
    return constant ? new_array(compute, matrix) : new_array(p.type, steps);
  };
  Array grad_u = new_array(p.type, sequence), grad_delta = new_array(p.type, sequence);
  Array grad_A = new_array(compute, matrix), grad_B = coefficient(p.constant_B);
  Array grad_C = coefficient(p.constant_C), grad_D = new_array(compute, {D ? p.dim : 0});
  Array grad_z = new_array(p.type, z ? sequence : Shape{0});
  Array grad_delta_bias = new_array(compute, {delta_bias ? p.dim : 0});
  Array workspace = new_array(compute, {cpu_kernels(p.type).selective_scan_backward_workspace(p)});
  p.grad_u = out(grad_u), p.grad_delta = out(grad_delta), p.grad_A = out(grad_A), p.grad_B = out(grad_B);
  p.grad_C = out(grad_C), p.grad_D = out(grad_D), p.grad_z = out(grad_z);
  p.grad_delta_bias = out(grad_delta_bias), p.workspace = out(workspace);
  cpu_kernels(p.type).selective_scan_backward(p, run_in_threads);

  py::dict gradients;
  gradients["u"] = grad_u, gradients["delta"] = grad_delta, gradients["A"] = grad_A;
  gradients["B"] = grad_B, gradients["C"] = grad_C;
  if (D) gradients["D"] = grad_D;
  if (z) gradients["z"] = grad_z;
  if (delta_bias) gradients["delta_bias"] = grad_delta_bias;
  return gradients;
}

Ss2d image_problem(Inputs& inputs, const Array& x, const Array& x_proj_weight, const Array& dt_projs_weight,
                   const Array& dt_projs_bias, const Array& A_logs, const Array& Ds) {
  require_dimensions(x, "x", 4);
  require_dimensions(dt_projs_weight, "dt_projs_weight", 3);
  require_dimensions(A_logs, "A_logs", 2);
  Ss2d p{};
  p.batch = x.shape(0), p.height = x.shape(1), p.width = x.shape(2), p.dim = x.shape(3);
  p.rank = dt_projs_weight.shape(2), p.state = A_logs.shape(1);
  p.type = type_of(x, "x");
  const Type compute = compute_type(p.type);
  constexpr py::ssize_t K = kDirections;
  p.x = inputs.add(x, "x", {p.batch, p.height, p.width, p.dim}, p.type);
  p.x_proj_weight = inputs.add(x_proj_weight, "x_proj_weight", {K, p.projected(), p.dim}, compute);
  p.dt_projs_weight = inputs.add(dt_projs_weight, "dt_projs_weight", {K, p.dim, p.rank}, compute);
  p.dt_projs_bias = inputs.add(dt_projs_bias, "dt_projs_bias", {K, p.dim}, compute);
  p.A_logs = inputs.add(A_logs, "A_logs", {K * p.dim, p.state}, compute);
  p.Ds = inputs.add(Ds, "Ds", {K * p.dim}, compute);
  return p;
}

py::tuple ss2d(const Array& x, const Array& x_proj_weight, const Array& dt_projs_weight,
               const Array& dt_projs_bias, const Array& A_logs, const Array& Ds, int threads) {
  use_threads(threads);
  Inputs inputs;
  Ss2dForward p{};
  static_cast<Ss2d&>(p) = image_problem(inputs, x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  const Type compute = compute_type(p.type);
  Array y = new_array(compute, shape_of(x));
  Array projected_x = new_array(compute, {kDirections, p.batch, p.length(), p.projected()});
  Array states = new_array(compute, {kDirections, p.batch, ss2d_saved_states(p.length()), p.state, p.dim});
  p.out = out(y), p.projected_x = out(projected_x), p.states = out(states);
  cpu_kernels(p.type).ss2d_forward(p, run_in_threads);
  return py::make_tuple(y, projected_x, states);
}

py::dict ss2d_backward(const Array& grad_y, const Array& projected_x, const Array& states, const Array& x,
                       const Array& x_proj_weight, const Array& dt_projs_weight, const Array& dt_projs_bias,
                       const Array& A_logs, const Array& Ds, int threads) {
  use_threads(threads);
  Inputs inputs;
  Ss2dBackward p{};
  static_cast<Ss2d&>(p) = image_problem(inputs, x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  const Type compute = compute_type(p.type);
  constexpr py::ssize_t K = kDirections;
  const py::ssize_t B = p.batch, D = p.dim;
  p.grad_out = inputs.add(grad_y, "grad_y", shape_of(x), compute);
  p.projected_x = inputs.add(projected_x, "projected_x", {K, B, p.length(), p.projected()}, compute);
  p.states = inputs.add(states, "states", {K, B, ss2d_saved_states(p.length()), p.state, D}, compute);

  Array workspace = new_array(compute, {cpu_kernels(p.type).ss2d_backward_workspace(p)});
  Array grad_x = new_array(p.type, shape_of(x)), grad_x_proj = new_array(compute, {K, p.projected(), D});
  Array grad_dt_projs = new_array(compute, {K, D, p.rank}), grad_bias = new_array(compute, {K, D});
  Array grad_A_logs = new_array(compute, {K * D, p.state}), grad_Ds = new_array(compute, {K * D});
  p.workspace = out(workspace), p.grad_x = out(grad_x), p.grad_x_proj_weight = out(grad_x_proj);
  p.grad_dt_projs_weight = out(grad_dt_projs), p.grad_dt_projs_bias = out(grad_bias);
  p.grad_A_logs = out(grad_A_logs), p.grad_Ds = out(grad_Ds);
  cpu_kernels(p.type).ss2d_backward(p, run_in_threads);

  py::dict gradients;
  gradients["x"] = grad_x, gradients["x_proj_weight"] = grad_x_proj;
  gradients["dt_projs_weight"] = grad_dt_projs, gradients["dt_projs_bias"] = grad_bias;
  gradients["A_logs"] = grad_A_logs, gradients["Ds"] = grad_Ds;
  return gradients;
}

}  // namespace
}  // namespace swin_umamba

PYBIND11_MODULE(swin_umamba_kernels, m) {
  m.doc() =
      "The CPU kernels of Swin-UMamba over numpy arrays. Shapes are those of swin_umamba_ext.reference; "
      "bfloat16 is passed as its bits in uint16. Tasks run on `threads` threads.";
  using namespace py::literals;
  using namespace swin_umamba;
  m.def("available_cpu_kernels", available_cpu_kernels,
        "Instruction sets to be had here, separated by spaces.");
  m.def("cpu_kernels", [] { return cpu_kernels(Type::kFloat32).name; }, "The instruction set in use.");
  m.def("cross_scan", cross_scan, "x"_a, "threads"_a = 1, "(B, C, H, W) -> (B, 4, C, H*W)");
  m.def("cross_merge", cross_merge, "y"_a, "height"_a, "width"_a, "threads"_a = 1,
        "(B, 4, C, height*width) -> (B, C, height, width)");
  m.def("selective_scan", selective_scan, "u"_a, "delta"_a, "A"_a, "B"_a, "C"_a, "D"_a = py::none(),
        "z"_a = py::none(), "delta_bias"_a = py::none(), "delta_softplus"_a = false, "threads"_a = 1,
        "Output (B, D, L), last state (B, D, N) and the states that the backward kernel starts from.");
  m.def("selective_scan_backward", selective_scan_backward, "grad_out"_a, "grad_last_state"_a, "states"_a,
        "u"_a, "delta"_a, "A"_a, "B"_a, "C"_a, "D"_a = py::none(), "z"_a = py::none(),
        "delta_bias"_a = py::none(), "delta_softplus"_a = false, "threads"_a = 1,
        "A dictionary of the gradients of the arguments given.");
  m.def("ss2d", ss2d, "x"_a, "x_proj_weight"_a, "dt_projs_weight"_a, "dt_projs_bias"_a, "A_logs"_a, "Ds"_a,
        "threads"_a = 1, "Output (B, H, W, D), and the projected pixels and states for the backward kernel.");
  m.def("ss2d_backward", ss2d_backward, "grad_y"_a, "projected_x"_a, "states"_a, "x"_a, "x_proj_weight"_a,
        "dt_projs_weight"_a, "dt_projs_bias"_a, "A_logs"_a, "Ds"_a, "threads"_a = 1,
        "A dictionary of the gradients of the arguments.");
}
