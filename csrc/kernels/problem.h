// The problems that the kernels solve, shared by every backend: sizes, pointers and the list of the arrays
// that these point to. Plain data: no torch, no Python. Functions are constexpr where device code calls them
// (nvcc --expt-relaxed-constexpr).
#pragma once

#include <string>

#include "arrays.h"

namespace swin_umamba {

constexpr int kDirections = 4;

// Runs body(begin, end, context) over [0, tasks). Tasks are independent and each writes its own part
// of the result, so the result does not depend on how they are divided among threads.
using TaskBody = void (*)(int64_t begin, int64_t end, void* context);
using ParallelFor = void (*)(int64_t tasks, TaskBody body, void* context);

// Hands out the arrays of a workspace one after the other. Without one it counts: `used` elements are needed.
template <class E>
struct Workspace {
  E* base = nullptr;
  int64_t used = 0;

  // Inlined, so that no processor is given code of an instruction set that it lacks.
  [[gnu::always_inline]] E* take(int64_t count) {
    E* array = base ? base + used : nullptr;
    used += count;
    return array;
  }
};

struct Problem {
  Type type;        // of the data
  void* workspace;  // as many elements of compute type as the backend says

  constexpr Type compute() const { return compute_type(type); }
  // Completes the sizes that arrays have told, or says what is wrong with them.
  std::string complete() { return {}; }
};

struct CrossScan : Problem {
  int64_t batch, channels, height, width;
  const void* input;
  void* output;

  std::vector<Input> inputs() { return {{"x", &input, &type, {&batch, &channels, &height, &width}}}; }
  std::vector<Output> outputs() {
    return {{"y", &output, type, {batch, kDirections, channels, height * width}}};
  }
};

// Height and width are given.
struct CrossMerge : CrossScan {
  std::vector<Input> inputs() {
    return {{"y", &input, &type, {&batch, kDirections, &channels, height * width}}};
  }
  std::vector<Output> outputs() { return {{"x", &output, type, {batch, channels, height, width}}}; }
  std::string complete() {
    if (height > 0 && width > 0) return {};
    return "height and width must be at least 1, got " + std::to_string(height) + " and " +
           std::to_string(width);
  }
};

struct SelectiveScan : Problem {
  int64_t batch, dim, length, state, groups;
  int64_t saved;  // states of a sequence, each at the start of some chunk, for the backward pass: the
                  // backend's choice
  bool softplus;
  bool constant_B, constant_C;
  const void *u, *delta, *A, *B, *C, *D, *z, *delta_bias;

  std::vector<Input> inputs() {
    const Shape steps{batch, &groups, state, length}, matrix{dim, state};
    return {{"u", &u, &type, {&batch, &dim, &length}},
            {"delta", &delta, type, {batch, dim, length}},
            {"A", &A, compute(), {dim, &state}},
            {"B", &B, constant_B ? compute() : type, constant_B ? matrix : steps},
            {"C", &C, constant_C ? compute() : type, constant_C ? matrix : steps},
            {"D", &D, compute(), {dim}, true},
            {"z", &z, type, {batch, dim, length}, true},
            {"delta_bias", &delta_bias, compute(), {dim}, true}};
  }
  Shape states_shape(bool save = true) const { return {batch, save ? saved : 0, state, dim}; }
  std::string complete() {
    if (constant_B && constant_C) groups = 1;
    if (dim % groups == 0) return {};
    return "the groups of B and C must divide the " + std::to_string(dim) + " channels, got " +
           std::to_string(groups);
  }
};

struct SelectiveScanForward : SelectiveScan {
  bool save_states = true;
  void *out, *last_state;
  void* states;  // null: none to save

  std::vector<Output> outputs() {
    return {{"out", &out, type, {batch, dim, length}},
            {"last_state", &last_state, compute(), {batch, dim, state}},
            {"states", &states, compute(), states_shape(save_states)}};
  }
};

struct SelectiveScanBackward : SelectiveScan {
  const void *states, *grad_out;
  const void* grad_last_state;  // null: zero
  void *grad_u, *grad_delta, *grad_A, *grad_B, *grad_C, *grad_D, *grad_z, *grad_delta_bias;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = SelectiveScan::inputs();
    inputs.push_back({"states", &states, compute(), states_shape()});
    inputs.push_back({"grad_out", &grad_out, type, {batch, dim, length}});
    inputs.push_back({"grad_last_state", &grad_last_state, compute(), {batch, dim, state}, true});
    return inputs;
  }
  std::vector<Output> outputs() {
    return gradients_of(SelectiveScan::inputs(), {&grad_u, &grad_delta, &grad_A, &grad_B, &grad_C, &grad_D,
                                                  &grad_z, &grad_delta_bias});
  }
};

struct Ss2d : Problem {
  int64_t batch, height, width, dim, state, rank;
  int64_t saved;          // as in SelectiveScan
  bool pixels_outermost;  // in projected_x, every pixel's dt before expansion, B and C: the backend's choice
  int64_t padding;        // zeros after dt there: the backend's choice
  const void *x, *x_proj_weight, *dt_projs_weight, *dt_projs_bias, *A_logs, *Ds;

  constexpr int64_t length() const { return height * width; }
  constexpr int64_t projected() const { return rank + 2 * state; }
  constexpr int64_t projected_row() const { return projected() + padding; }

  std::vector<Input> inputs() {
    return {{"x", &x, &type, {&batch, &height, &width, &dim}},
            {"x_proj_weight", &x_proj_weight, compute(), {kDirections, projected(), dim}},
            {"dt_projs_weight", &dt_projs_weight, compute(), {kDirections, dim, &rank}},
            {"dt_projs_bias", &dt_projs_bias, compute(), {kDirections, dim}},
            {"A_logs", &A_logs, compute(), {kDirections * dim, &state}},
            {"Ds", &Ds, compute(), {kDirections * dim}}};
  }
  Shape projected_shape() const {
    return pixels_outermost ? Shape{batch, length(), kDirections, projected_row()}
                            : Shape{kDirections, batch, length(), projected_row()};
  }
  Shape states_shape(bool save = true) const { return {kDirections, batch, save ? saved : 0, state, dim}; }
};

struct Ss2dForward : Ss2d {
  bool save_states = true;
  void *out, *projected_x;
  void* states;  // null: none to save

  std::vector<Output> outputs() {
    return {{"y", &out, compute(), {batch, height, width, dim}},
            {"projected_x", &projected_x, compute(), projected_shape()},
            {"states", &states, compute(), states_shape(save_states)}};
  }
};

struct Ss2dBackward : Ss2d {
  const void *projected_x, *states, *grad_out;
  void *grad_x, *grad_x_proj_weight, *grad_dt_projs_weight, *grad_dt_projs_bias, *grad_A_logs, *grad_Ds;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = Ss2d::inputs();
    inputs.push_back({"projected_x", &projected_x, compute(), projected_shape()});
    inputs.push_back({"states", &states, compute(), states_shape()});
    inputs.push_back({"grad_y", &grad_out, compute(), {batch, height, width, dim}});
    return inputs;
  }
  std::vector<Output> outputs() {
    return gradients_of(Ss2d::inputs(), {&grad_x, &grad_x_proj_weight, &grad_dt_projs_weight,
                                         &grad_dt_projs_bias, &grad_A_logs, &grad_Ds});
  }
};

// y = leaky((x - mean) rstd weight + bias + residual), with the mean and deviation of each plane of each
// image.
struct InstanceNorm : Problem {
  int64_t batch, channels, height, width;
  bool channels_last;
  double eps, negative_slope;
  const void *x, *weight, *bias;

  constexpr int64_t pixels() const { return height * width; }
  Shape image() const {
    return channels_last ? Shape{batch, height, width, channels} : Shape{batch, channels, height, width};
  }
  Shape planes() const { return {batch, channels}; }

  std::vector<Input> inputs() {
    return {{"x", &x, &type,
             channels_last ? Shape{&batch, &height, &width, &channels}
                           : Shape{&batch, &channels, &height, &width}},
            {"weight", &weight, compute(), {channels}, true},
            {"bias", &bias, compute(), {channels}, true}};
  }
};

struct InstanceNormForward : InstanceNorm {
  const void* residual;
  void *y, *mean, *rstd;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = InstanceNorm::inputs();
    inputs.push_back({"residual", &residual, type, image(), true});
    return inputs;
  }
  std::vector<Output> outputs() {
    return {{"y", &y, type, image()},
            {"mean", &mean, Type::kFloat64, planes()},
            {"rstd", &rstd, Type::kFloat64, planes()}};
  }
};

struct InstanceNormBackward : InstanceNorm {
  const void *mean, *rstd, *grad_y;
  const void*
      y;  // where there was a residual, whose gradient then is an output: its sign is the activation's
  void *grad_x, *grad_weight, *grad_bias, *grad_residual;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = InstanceNorm::inputs();
    inputs.push_back({"mean", &mean, Type::kFloat64, planes()});
    inputs.push_back({"rstd", &rstd, Type::kFloat64, planes()});
    inputs.push_back({"y", &y, type, image(), true});
    inputs.push_back({"grad_y", &grad_y, type, image()});
    return inputs;
  }
  std::vector<Output> outputs() {
    std::vector<Output> outputs = gradients_of(InstanceNorm::inputs(), {&grad_x, &grad_weight, &grad_bias});
    outputs.push_back({"residual", y ? &grad_residual : nullptr, type, image()});
    return outputs;
  }
};

// out = c sigmoid(c) of the convolution c, in which each channel has 3x3 weights of its own, with zeros
// around the image.
struct DepthwiseConvSilu : Problem {
  int64_t batch, height, width, dim, x_row;  // x_row: how far the pixels of x lie apart
  const void *x, *weight, *bias;

  int64_t rows() const { return batch * height; }
  int64_t pixels() const { return rows() * width; }
  std::vector<Input> inputs() {
    return {{"x", &x, &type, {&batch, &height, &width, &dim}, false, &x_row},
            {"weight", &weight, compute(), {dim, 1, 3, 3}},
            {"bias", &bias, compute(), {dim}}};
  }
};

struct DepthwiseConvSiluForward : DepthwiseConvSilu {
  void* out;

  std::vector<Output> outputs() { return {{"out", &out, type, {batch, height, width, dim}}}; }
};

struct DepthwiseConvSiluBackward : DepthwiseConvSilu {
  const void* grad_out;
  void *grad_x, *grad_weight, *grad_bias;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = DepthwiseConvSilu::inputs();
    inputs.push_back({"grad_out", &grad_out, type, {batch, height, width, dim}});
    return inputs;
  }
  std::vector<Output> outputs() {
    return gradients_of(DepthwiseConvSilu::inputs(), {&grad_x, &grad_weight, &grad_bias});
  }
};

// out = ((y - mean) rstd weight + bias) z sigmoid(z), with the mean and deviation of each row of y.
struct GatedLayerNorm : Problem {
  int64_t rows, dim, z_row;  // z_row: how far the rows of z lie apart
  double eps;
  const void *y, *z, *weight, *bias;

  std::vector<Input> inputs() {
    return {{"y", &y, compute(), {&rows, &dim}},
            {"z", &z, &type, {rows, dim}, false, &z_row},
            {"weight", &weight, compute(), {dim}},
            {"bias", &bias, compute(), {dim}}};
  }
};

struct GatedLayerNormForward : GatedLayerNorm {
  void* out;

  std::vector<Output> outputs() { return {{"out", &out, type, {rows, dim}}}; }
};

struct GatedLayerNormBackward : GatedLayerNorm {
  const void* grad_out;
  void *grad_y, *grad_z, *grad_weight, *grad_bias;

  std::vector<Input> inputs() {
    std::vector<Input> inputs = GatedLayerNorm::inputs();
    inputs.push_back({"grad_out", &grad_out, type, {rows, dim}});
    return inputs;
  }
  std::vector<Output> outputs() {
    return gradients_of(GatedLayerNorm::inputs(), {&grad_y, &grad_z, &grad_weight, &grad_bias});
  }
};

}  // namespace swin_umamba
