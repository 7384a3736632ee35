// The operators over numpy arrays, for any backend. bfloat16 is uint16 here: its bits.
//
// Arrays go in and come out by the names of their lists (csrc/kernels/problem.h); gradients have the names of
// the inputs.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>

#include "kernels/given.h"

namespace swin_umamba::tests {

namespace py = pybind11;

inline py::dtype dtype_of(Type type) {
  return py::dtype(type == Type::kBFloat16 ? "uint16" : type_name(type));
}

inline Type type_of(const py::array& array, const std::string& name) {
  for (Type type : {Type::kFloat32, Type::kFloat64, Type::kFloat16, Type::kBFloat16})
    if (array.dtype().equal(dtype_of(type))) return type;
  throw std::invalid_argument(name +
                              " must be float32, float64, float16 or uint16 (the bits of bfloat16), got " +
                              std::string(py::str(array.dtype())));
}

// Filled with NaN, so that an element that a kernel leaves out shows.
inline py::array new_array(Type type, const std::vector<int64_t>& shape) {
  py::array array(dtype_of(type), shape);
  std::memset(array.mutable_data(), 0xff, array.nbytes());
  return array;
}

// Takes an argument out of the dictionary.
template <class T>
T take(py::kwargs& arguments, const char* name, T otherwise) {
  return arguments.contains(name) ? arguments.attr("pop")(name).template cast<T>() : otherwise;
}

inline int dimensions(const py::kwargs& arguments, const char* name) {
  return arguments.contains(name) ? int(py::len(arguments[name].attr("shape"))) : 0;
}

template <class Backend, class P>
py::dict solve(P& p, const Backend& backend, py::kwargs& arguments) {
  std::vector<py::array> kept;  // contiguous, until the kernels have run
  std::vector<Given> arrays;
  for (const Input& input : p.inputs()) {
    const py::object argument = take<py::object>(arguments, input.name, py::none());
    arrays.emplace_back();
    if (argument.is_none()) continue;
    kept.push_back(py::array::ensure(argument, py::array::c_style));
    const py::array& array = kept.back();
    arrays.back() = {
        true, array.data(), type_of(array, input.name), {array.shape(), array.shape() + array.ndim()}};
  }
  if (py::len(arguments) > 0)
    throw py::type_error("unexpected arguments: " + std::string(py::str(py::list(arguments))));
  if (const Wrong wrong = take_inputs(p, backend, arrays); !wrong.what.empty())
    throw std::invalid_argument(wrong.name + (wrong.name.empty() ? "" : " ") + wrong.what);

  py::dict results;
  for (const Output& output : p.outputs()) {
    if (!output.data) continue;
    py::array array = new_array(output.type.value, output.shape.values());
    *output.data = array.size() ? array.mutable_data() : nullptr;
    results[output.name] = array;
  }
  py::array workspace = new_array(p.compute(), {backend.workspace(p)});
  p.workspace = workspace.size() ? workspace.mutable_data() : nullptr;
  backend.run(p);
  return results;
}

// `Backend` takes the option that it is made of out of the arguments.
template <class Backend>
void define_operators(py::module_& m) {
  m.def("cross_scan", [](py::kwargs arguments) {
    const Backend backend(arguments);
    CrossScan p{};
    return solve(p, backend, arguments);
  });
  m.def("cross_merge", [](py::kwargs arguments) {
    const Backend backend(arguments);
    CrossMerge p{};
    p.height = take<int64_t>(arguments, "height", 0), p.width = take<int64_t>(arguments, "width", 0);
    return solve(p, backend, arguments);
  });
  const auto scan_options = [](SelectiveScan& p, py::kwargs& arguments) {
    p.softplus = take(arguments, "delta_softplus", false);
    p.constant_B = dimensions(arguments, "B") == 2, p.constant_C = dimensions(arguments, "C") == 2;
  };
  m.def("selective_scan", [=](py::kwargs arguments) {
    const Backend backend(arguments);
    SelectiveScanForward p{};
    scan_options(p, arguments);
    p.save_states = take(arguments, "save_states", true);
    return solve(p, backend, arguments);
  });
  m.def("selective_scan_backward", [=](py::kwargs arguments) {
    const Backend backend(arguments);
    SelectiveScanBackward p{};
    scan_options(p, arguments);
    return solve(p, backend, arguments);
  });
  m.def("ss2d", [](py::kwargs arguments) {
    const Backend backend(arguments);
    Ss2dForward p{};
    p.save_states = take(arguments, "save_states", true);
    return solve(p, backend, arguments);
  });
  m.def("ss2d_backward", [](py::kwargs arguments) {
    const Backend backend(arguments);
    Ss2dBackward p{};
    return solve(p, backend, arguments);
  });
}

}  // namespace swin_umamba::tests
