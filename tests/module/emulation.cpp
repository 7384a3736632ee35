// The Python module `swin_umamba_emulation`: the CUDA kernels over numpy arrays, run on the host by an
// emulation of the CUDA execution model.
#include "kernels/cuda/backend.h"
#include "operators.h"
#include "wrong_kernels.h"

namespace swin_umamba::tests {
namespace {

// Option `multiprocessors` of the emulated device, 1 unless it is given.
struct NumpyCuda : Cuda {
  explicit NumpyCuda(py::kwargs& arguments) : Cuda{take(arguments, "multiprocessors", 1), nullptr} {}
};

// left right + add for one of the forms "nt", "nn" and "tn"; `dtype` is the type that the form leaves open.
py::array multiply(const std::string& form, const py::array& left, const py::array& right,
                   const py::object& add, const std::string& dtype, int multiprocessors) {
  cuda::MatrixProduct p{};
  p.rows = left.shape(form[0] == 't'), p.inner = left.shape(form[0] != 't');
  p.columns = right.shape(form[1] != 't');
  p.type = dtype == "float32" ? Type::kFloat32 : dtype == "float16" ? Type::kFloat16 : Type::kBFloat16;
  const auto contiguous = [](const py::object& array) {
    return py::array::ensure(array, py::array::c_style);
  };
  const py::array kept[] = {contiguous(left), contiguous(right), contiguous(add)};
  p.left = kept[0].data(), p.right = kept[1].data();
  p.add = add.is_none() ? nullptr : static_cast<const float*>(kept[2].data());
  py::array out = new_array(form == "nn" ? p.type : Type::kFloat32, {p.rows, p.columns});
  py::array parts =
      new_array(Type::kFloat32, {cuda::product_workspace(p.rows, p.columns, p.inner, multiprocessors)});
  p.out = out.mutable_data(), p.parts = static_cast<float*>(parts.mutable_data());
  const char* error = (form == "nt"   ? cuda::multiply_nt
                       : form == "nn" ? cuda::multiply_nn
                                      : cuda::multiply_tn)(p, multiprocessors, nullptr);
  if (error) throw std::runtime_error(error);
  return out;
}

}  // namespace
}  // namespace swin_umamba::tests

PYBIND11_MODULE(swin_umamba_emulation, m) {
  using namespace swin_umamba::tests;
  define_operators<NumpyCuda>(m);
  m.def("multiply", multiply);
  m.def("run_test_kernel", [](const std::string& name) {
    py::array_t<float> output(64);
    emulation::run_test_kernel(name, output.mutable_data());
    return output;
  });
}
