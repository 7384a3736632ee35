// The emulated CUDA kernels with numpy arrays, for tests. bfloat16 is uint16 here: its bits.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../kernels/cuda/kernels.h"
#include "wrong_kernels.h"

namespace py = pybind11;
using namespace swin_umamba;

namespace {

using Array = py::array;
using Floats = py::array_t<float, py::array::c_style>;
using Optional = std::optional<Floats>;

Type type_of(const Array& x) {
  const char kind = x.dtype().kind();
  const auto bytes = x.dtype().itemsize();
  if (kind == 'f' && bytes == 4) return Type::kFloat32;
  if (kind == 'f' && bytes == 8) return Type::kFloat64;
  if (kind == 'f' && bytes == 2) return Type::kFloat16;
  if (kind == 'u' && bytes == 2) return Type::kBFloat16;
  throw std::invalid_argument("arrays must be float32, float64, float16 or uint16 (bfloat16)");
}

Array contiguous(const Array& x) {
  if (!(x.flags() & py::array::c_style)) throw std::invalid_argument("arrays must be contiguous");
  return x;
}

// Filled with NaN, so that what a kernel leaves out shows.
Array poisoned(const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
  Array result(dtype, shape);
  memset(result.mutable_data(), 0xff, result.nbytes());
  return result;
}
Floats floats(const std::vector<py::ssize_t>& shape) { return poisoned(py::dtype::of<float>(), shape); }

const void* data(const std::optional<Array>& x) { return x ? contiguous(*x).data() : nullptr; }
const void* data(const Optional& x) { return x ? x->data() : nullptr; }

void check(const char* error) {
  if (error) throw std::runtime_error(error);
}

Array cross_scan(const Array& x) {
  Array out = poisoned(x.dtype(), {x.shape(0), 4, x.shape(1), x.shape(2) * x.shape(3)});
  check(cuda::cross_scan(
      {x.shape(0), x.shape(1), x.shape(2), x.shape(3), type_of(x), contiguous(x).data(), out.mutable_data()},
      nullptr));
  return out;
}

Array cross_merge(const Array& y, py::ssize_t height, py::ssize_t width) {
  Array out = poisoned(y.dtype(), {y.shape(0), y.shape(2), height, width});
  check(cuda::cross_merge(
      {y.shape(0), y.shape(2), height, width, type_of(y), contiguous(y).data(), out.mutable_data()},
      nullptr));
  return out;
}

// B and C of the scan are (D, N) float32 or (B, G, N, L) of the type of u.
SelectiveScan scan_problem(const Array& u, const Array& delta, const Floats& A, const Array& B,
                           const Array& C, const Optional& D, const std::optional<Array>& z,
                           const Optional& delta_bias, bool softplus) {
  SelectiveScan p{};
  p.batch = u.shape(0), p.dim = u.shape(1), p.length = u.shape(2), p.state = A.shape(1);
  p.groups = B.ndim() == 4 ? B.shape(1) : C.ndim() == 4 ? C.shape(1) : 1;
  p.type = type_of(u);
  p.softplus = softplus;
  p.constant_B = B.ndim() == 2, p.constant_C = C.ndim() == 2;
  p.u = contiguous(u).data(), p.delta = contiguous(delta).data(), p.A = A.data();
  p.B = contiguous(B).data(), p.C = contiguous(C).data();
  p.D = data(D), p.z = data(z), p.delta_bias = data(delta_bias);
  return p;
}

py::tuple selective_scan_forward(const Array& u, const Array& delta, const Floats& A, const Array& B,
                                 const Array& C, const Optional& D, const std::optional<Array>& z,
                                 const Optional& delta_bias, bool softplus) {
  SelectiveScanForward p{scan_problem(u, delta, A, B, C, D, z, delta_bias, softplus), nullptr, nullptr,
                         nullptr};
  Array out = poisoned(u.dtype(), {p.batch, p.dim, p.length});
  Floats last_state = floats({p.batch, p.dim, p.state});
  Floats states = floats({p.batch, saved_states(p.length, kCudaChunk), p.state, p.dim});
  p.out = out.mutable_data(), p.last_state = last_state.mutable_data(), p.states = states.mutable_data();
  check(cuda::selective_scan_forward(p, nullptr));
  return py::make_tuple(out, last_state, states);
}

py::dict selective_scan_backward(const Array& u, const Array& delta, const Floats& A, const Array& B,
                                 const Array& C, const Optional& D, const std::optional<Array>& z,
                                 const Optional& delta_bias, bool softplus, const Floats& states,
                                 const Array& grad_out, const Optional& grad_last_state) {
  SelectiveScanBackward p{};
  static_cast<SelectiveScan&>(p) = scan_problem(u, delta, A, B, C, D, z, delta_bias, softplus);
  p.states = states.data(), p.grad_out = contiguous(grad_out).data(),
  p.grad_last_state = data(grad_last_state);
  py::dict gradients;
  const auto gradient = [&](const char* name, const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
    Array array = poisoned(dtype, shape);
    gradients[name] = array;
    return array.mutable_data();
  };
  const auto like = [&](const char* name, const Array& x) {
    return gradient(name, x.dtype(), std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
  };
  p.grad_u = like("u", u), p.grad_delta = like("delta", delta), p.grad_A = like("A", A);
  p.grad_B = like("B", B), p.grad_C = like("C", C);
  if (D) p.grad_D = like("D", *D);
  if (z) p.grad_z = like("z", *z);
  if (delta_bias) p.grad_delta_bias = like("delta_bias", *delta_bias);
  Floats workspace = floats({cuda::selective_scan_backward_workspace(p)});
  p.workspace = workspace.mutable_data();
  check(cuda::selective_scan_backward(p, nullptr));
  return gradients;
}

Ss2d image_problem(const Array& x, const Floats& x_proj_weight, const Floats& dt_projs_weight,
                   const Floats& dt_projs_bias, const Floats& A_logs, const Floats& Ds) {
  Ss2d p{};
  p.batch = x.shape(0), p.height = x.shape(1), p.width = x.shape(2), p.dim = x.shape(3);
  p.state = A_logs.shape(1), p.rank = dt_projs_weight.shape(2);
  p.type = type_of(x);
  p.x = contiguous(x).data(), p.x_proj_weight = x_proj_weight.data();
  p.dt_projs_weight = dt_projs_weight.data(), p.dt_projs_bias = dt_projs_bias.data();
  p.A_logs = A_logs.data(), p.Ds = Ds.data();
  return p;
}

// y, projected_x (B, H*W, 4, R+2N) and the states.
py::tuple ss2d_forward(const Array& x, const Floats& x_proj_weight, const Floats& dt_projs_weight,
                       const Floats& dt_projs_bias, const Floats& A_logs, const Floats& Ds,
                       int multiprocessors) {
  Ss2dForward p{};
  static_cast<Ss2d&>(p) = image_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  Floats y = floats({p.batch, p.height, p.width, p.dim});
  Floats projected_x = floats({p.batch, p.length(), kDirections, p.projected()});
  Floats states = floats({kDirections, p.batch, saved_states(p.length(), kCudaChunk), p.state, p.dim});
  Floats workspace = floats({cuda::ss2d_forward_workspace(p, multiprocessors)});
  p.projected_x = projected_x.mutable_data(), p.out = y.mutable_data();
  p.states = states.mutable_data(), p.workspace = workspace.mutable_data();
  check(cuda::ss2d_forward(p, multiprocessors, nullptr));
  return py::make_tuple(y, projected_x, states);
}

py::dict ss2d_backward(const Array& x, const Floats& x_proj_weight, const Floats& dt_projs_weight,
                       const Floats& dt_projs_bias, const Floats& A_logs, const Floats& Ds,
                       const Floats& projected_x, const Floats& states, const Floats& grad_out,
                       int multiprocessors) {
  Ss2dBackward p{};
  static_cast<Ss2d&>(p) = image_problem(x, x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds);
  p.projected_x = projected_x.data(), p.states = states.data(), p.grad_out = grad_out.data();
  py::dict gradients;
  const auto gradient = [&](const char* name, const std::vector<py::ssize_t>& shape) {
    Floats array = floats(shape);
    gradients[name] = array;
    return array.mutable_data();
  };
  Array grad_x = poisoned(x.dtype(), {p.batch, p.height, p.width, p.dim});
  gradients["x"] = grad_x;
  p.grad_x = grad_x.mutable_data();
  p.grad_x_proj_weight = gradient("x_proj_weight", {kDirections, p.projected(), p.dim});
  p.grad_dt_projs_weight = gradient("dt_projs_weight", {kDirections, p.dim, p.rank});
  p.grad_dt_projs_bias = gradient("dt_projs_bias", {kDirections, p.dim});
  p.grad_A_logs = gradient("A_logs", {kDirections * p.dim, p.state});
  p.grad_Ds = gradient("Ds", {kDirections * p.dim});
  Floats workspace = floats({cuda::ss2d_backward_workspace(p, multiprocessors)});
  p.workspace = workspace.mutable_data();
  check(cuda::ss2d_backward(p, multiprocessors, nullptr));
  return gradients;
}

// left right + add for one of the forms "nt", "nn" and "tn"; `dtype` is the type that the form leaves open.
Array multiply(const std::string& form, const Array& left, const Array& right, const Optional& add,
               const std::string& dtype, int multiprocessors) {
  cuda::MatrixProduct p{};
  p.rows = left.shape(form[0] == 't'), p.inner = left.shape(form[0] != 't');
  p.columns = right.shape(form[1] != 't');
  p.type = dtype == "float32" ? Type::kFloat32 : dtype == "float16" ? Type::kFloat16 : Type::kBFloat16;
  p.left = contiguous(left).data(), p.right = contiguous(right).data(), p.add = add ? add->data() : nullptr;
  const py::dtype type =
      form == "nn" ? py::dtype(dtype == "bfloat16" ? "uint16" : dtype) : py::dtype("float32");
  Array out = poisoned(type, {p.rows, p.columns});
  Floats parts = floats({cuda::product_workspace(p.rows, p.columns, p.inner, multiprocessors)});
  p.out = out.mutable_data(), p.parts = parts.mutable_data();
  check((form == "nt"   ? cuda::multiply_nt
         : form == "nn" ? cuda::multiply_nn
                        : cuda::multiply_tn)(p, multiprocessors, nullptr));
  return out;
}

}  // namespace

PYBIND11_MODULE(_emulation, m) {
  m.doc() = "The CUDA kernels, run on the host by an emulation of the CUDA execution model.";
  m.def("cross_scan", cross_scan);
  m.def("cross_merge", cross_merge);
  m.def("selective_scan_forward", selective_scan_forward);
  m.def("selective_scan_backward", selective_scan_backward);
  m.def("ss2d_forward", ss2d_forward);
  m.def("ss2d_backward", ss2d_backward);
  m.def("multiply", multiply);
  m.def("run_test_kernel", [](const std::string& name) {
    Floats output({py::ssize_t(64)});
    emulation::run_test_kernel(name, output.mutable_data());
    return output;
  });
}
