// Selective scans with decays above one. On the way to numbers that float32 holds they may leave its range:
// an infinite decay of a state that is zero, an infinite gradient of an input that is, a state that grows and
// shrinks again. Results that are not finite are then taken from float64, in which the whole problem is
// solved again.
#pragma once

#include <atomic>
#include <cmath>
#include <memory>
#include <string_view>

#include "kernels.h"
#include "task.h"
#include "tile.h"

namespace swin_umamba {

// Whether decays may be above one.
inline bool may_grow(const SelectiveScan& p) {
  const int32_t* rates = static_cast<const int32_t*>(p.A);  // the bits of a number above zero are above zero
  int32_t above = 0;
  for (int64_t i = 0; i < p.dim * p.state; ++i) above |= rates[i] > 0;
  return above || !p.softplus;
}

// Whether no number of an array is infinite or NaN, whose exponents have every bit of `exponent`.
template <class Bits>
bool all_finite(const void* array, int64_t elements, Bits exponent, ParallelFor parallel) {
  constexpr int64_t kSlice = 1 << 16;
  std::atomic<bool> finite{true};
  SWIN_ISA::for_each_task(parallel, (elements + kSlice - 1) / kSlice, [&](int64_t task) {
    const Bits* bits = static_cast<const Bits*>(array);
    Bits found = 0;
    for (int64_t i = task * kSlice; i < SWIN_ISA::minimum(elements, (task + 1) * kSlice); ++i)
      found |= Bits((bits[i] & exponent) == exponent);
    if (found) finite = false;
  });
  return finite;
}
inline bool all_finite(const Output& output, ParallelFor parallel) {
  const int64_t elements = output.shape.elements();
  if (output.type.value == Type::kFloat32)
    return all_finite<uint32_t>(*output.data, elements, 0x7f800000, parallel);
  return all_finite<uint16_t>(*output.data, elements, output.type.value == Type::kBFloat16 ? 0x7f80 : 0x7c00,
                              parallel);
}

// A problem in float64, and its arrays.
template <class P>
class InFloat64 {
 public:
  P p;

  explicit InFloat64(P from) : p(from) {
    p.type = Type::kFloat64;
    const std::vector<Input> inputs = from.inputs(), wide = p.inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!*inputs[i].data) continue;
      double* array = take(inputs[i].shape.elements());
      for (int64_t j = 0; j < inputs[i].shape.elements(); ++j)
        array[j] = element(*inputs[i].data, inputs[i].type.value, j);
      *wide[i].data = array;
    }
    make_outputs(p);
  }

  // Null for no elements, as the kernels expect it of states that are not to be saved.
  double* take(int64_t elements) {
    if (elements == 0) return nullptr;
    arrays_.emplace_back(new double[elements]);
    return arrays_.back().get();
  }
  template <class Any>
  void make_outputs(Any& problem) {
    for (const Output& output : problem.outputs())
      if (output.data) *output.data = take(output.shape.elements());
  }

  // Gives `to` those of its results that it has not got.
  void complete(P to) {
    const std::vector<Output> outputs = to.outputs(), wide = p.outputs();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].data || !*outputs[i].data) continue;
      const double* results = static_cast<const double*>(*wide[i].data);
      for (int64_t j = 0; j < outputs[i].shape.elements(); ++j)
        if (!std::isfinite(element(*outputs[i].data, outputs[i].type.value, j)))
          store(*outputs[i].data, outputs[i].type.value, j, float(results[j]));
    }
  }

 private:
  static double element(const void* array, Type type, int64_t i) {
    if (type == Type::kFloat32) return static_cast<const float*>(array)[i];
    const uint16_t half = static_cast<const uint16_t*>(array)[i];
    return type == Type::kBFloat16 ? SWIN_ISA::bfloat16_to_float(half) : SWIN_ISA::float16_to_float(half);
  }
  static void store(void* array, Type type, int64_t i, float value) {
    if (type == Type::kFloat32)
      static_cast<float*>(array)[i] = value;
    else
      static_cast<uint16_t*>(array)[i] =
          type == Type::kBFloat16 ? SWIN_ISA::float_to_bfloat16(value) : SWIN_ISA::float_to_float16(value);
  }

  std::vector<std::unique_ptr<double[]>> arrays_;
};

inline void solve(InFloat64<SelectiveScanForward>& wide, ParallelFor parallel) {
  cpu_kernels(Type::kFloat64).selective_scan_forward(wide.p, parallel);
}
inline void solve(InFloat64<SelectiveScanBackward>& wide, ParallelFor parallel) {
  const CpuKernels& kernels = cpu_kernels(Type::kFloat64);
  SelectiveScanForward forward{};
  const SelectiveScan& scan = wide.p;
  static_cast<SelectiveScan&>(forward) = scan;
  wide.make_outputs(forward);
  kernels.selective_scan_forward(forward, parallel);
  wide.p.states = forward.states;
  wide.p.workspace = wide.take(kernels.selective_scan_backward_workspace(wide.p));
  kernels.selective_scan_backward(wide.p, parallel);
}

// After the kernels have run.
template <class P>
void complete_growing(P p, ParallelFor parallel) {
  if (p.type == Type::kFloat64 || !may_grow(p)) return;
  // The gradients of u are not looked at: what spoils them also spoils those of delta, but for their own
  // overflow.
  for (const Output& output : p.outputs())
    if (output.data && *output.data && std::string_view(output.name) != "u" &&
        !all_finite(output, parallel)) {
      InFloat64<P> wide(p);
      solve(wide, parallel);
      return wide.complete(p);
    }
}

}  // namespace swin_umamba
