// The sizes and pointers of one problem, shared by every backend. Plain data: no torch, no Python.
// Functions are constexpr where device code calls them (nvcc --expt-relaxed-constexpr).
//
// All arrays are contiguous in the order that their comment gives. "compute" is float, or double
// when `type` is float64; parameters, states and sums are held in it whatever `type` is.
#pragma once

#include <cstdint>

namespace swin_umamba {

enum class Type : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kFloat64 = 3 };

// In bytes.
static inline int64_t type_size(Type type) {
  return type == Type::kFloat64 ? 8 : type == Type::kFloat32 ? 4 : 2;
}

constexpr int kDirections = 4;

// Steps between two saved states. The backward pass starts from a saved state and recomputes the steps of
// one chunk; on the CPU a chunk's states are to stay in the first-level cache.
constexpr int64_t kChunk = 16;
constexpr int64_t kCudaChunk = 64;

// States saved for the backward pass: those at the start of every chunk but the first, which is zero.
static constexpr int64_t saved_states(int64_t length, int64_t chunk = kChunk) { return (length - 1) / chunk; }

// ss2d saves none of a sequence this short, of which they would be a large part of all memory beside the
// weights: its backward pass first scans it forwards again.
constexpr int64_t kRescanned = 128;
static constexpr int64_t ss2d_saved_states(int64_t length) {
  return length <= kRescanned ? 0 : saved_states(length);
}

// Runs body(begin, end, context) over [0, tasks). Tasks are independent and each writes its own part
// of the result, so the result does not depend on how they are divided among threads.
using TaskBody = void (*)(int64_t begin, int64_t end, void* context);
using ParallelFor = void (*)(int64_t tasks, TaskBody body, void* context);

// Hands out the arrays of a workspace one after the other. Without one it counts: `used` elements are needed.
template <class E>
struct Workspace {
  E* base = nullptr;
  int64_t used = 0;

  E* take(int64_t count) {
    E* array = base ? base + used : nullptr;
    used += count;
    return array;
  }
};

struct CrossScan {
  int64_t batch, channels, height, width;
  Type type;
  const void* input;  // cross_scan: (B, C, H, W); cross_merge: (B, 4, C, H*W)
  void* output;       // the other one
};

struct SelectiveScan {
  int64_t batch, dim, length, state, groups;
  Type type;
  bool softplus;
  bool constant_B, constant_C;  // (D, N) in compute type instead of (B, G, N, L) in `type`
  const void* u;                // (B, D, L)
  const void* delta;            // (B, D, L)
  const void* A;                // (D, N), compute
  const void* B;
  const void* C;
  const void* D;           // (D), compute; null: no skip
  const void* z;           // (B, D, L); null: no gate
  const void* delta_bias;  // (D), compute; null: none
};

struct SelectiveScanForward : SelectiveScan {
  void* out;         // (B, D, L)
  void* last_state;  // (B, D, N), compute
  void* states;      // (B, saved_states(L), N, D), compute; null: not wanted
};

struct SelectiveScanBackward : SelectiveScan {
  void* workspace;       // compute, as many elements as the backend's selective_scan_backward_workspace
  const void* states;    // as the forward pass saved them
  const void* grad_out;  // (B, D, L)
  const void* grad_last_state;  // (B, D, N), compute; null: zero
  void* grad_u;                 // (B, D, L)
  void* grad_delta;             // (B, D, L)
  void* grad_A;                 // (D, N), compute
  void* grad_B;                 // as B in shape and type
  void* grad_C;                 // as C in shape and type
  void* grad_D;                 // (D), compute; null without D
  void* grad_z;                 // (B, D, L); null without z
  void* grad_delta_bias;        // (D), compute; null without delta_bias
};

// Sums over channels (dB, dC) are made in parts of this many channels, each part by one task, and the
// parts are then added in order: the same bits for any number of threads.
constexpr int64_t kChannelsPerPart = 48;
static constexpr int64_t channel_parts(int64_t channels) {
  return (channels + kChannelsPerPart - 1) / kChannelsPerPart;
}

// Of these, ss2d adds up the parts of as many consecutive channels in one task as leave this many sums.
constexpr int64_t kMostSums = 8;
static constexpr int64_t parts_per_sum(int64_t channels) {
  return (channel_parts(channels) + kMostSums - 1) / kMostSums;
}
static constexpr int64_t channel_sums(int64_t channels) {
  return (channel_parts(channels) + parts_per_sum(channels) - 1) / parts_per_sum(channels);
}

// ss2d sums the gradient of x_proj_weight over the pixels in this many parts, to be added.
constexpr int64_t kPixelParts = 16;
static constexpr int64_t pixel_parts(int64_t pixels) {
  const int64_t parts = (pixels + 511) / 512;
  return parts < kPixelParts ? parts : kPixelParts;
}

struct Ss2d {
  int64_t batch, height, width, dim, state, rank;
  Type type;
  const void* x;                // (B, H, W, D)
  const void* x_proj_weight;    // (4, R+2N, D), compute
  const void* dt_projs_weight;  // (4, D, R), compute
  const void* dt_projs_bias;    // (4, D), compute
  const void* A_logs;           // (4, D, N), compute
  const void* Ds;               // (4, D), compute

  constexpr int64_t length() const { return height * width; }
  constexpr int64_t projected() const { return rank + 2 * state; }
};

struct Ss2dForward : Ss2d {
  void* workspace;    // CUDA alone: cuda::ss2d_forward_workspace floats
  void* projected_x;  // (4, B, H*W, R+2N), compute: every pixel's dt before expansion, B and C
  void* states;       // (4, B, ss2d_saved_states(H*W), N, D), compute; null: not wanted
  void* out;          // (B, H, W, D), compute
};

struct Ss2dBackward : Ss2d {
  void* workspace;  // compute, as many elements as the backend's ss2d_backward_workspace
  const void* projected_x;
  const void* states;
  const void* grad_out;        // (B, H, W, D), compute
  void* grad_x;                // (B, H, W, D)
  void* grad_x_proj_weight;    // (4, R+2N, D), compute
  void* grad_dt_projs_weight;  // (4, D, R), compute
  void* grad_dt_projs_bias;    // (4, D), compute
  void* grad_A_logs;           // (4, D, N), compute
  void* grad_Ds;               // (4, D), compute
};

}  // namespace swin_umamba
