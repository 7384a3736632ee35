// The selective scan in float64, for the few results that need it: one warp at a time, step by step. In the
// backward pass a state is saved every 128 steps, and run again from there.
#include <cfloat>

#include "device.h"
#include "growing.h"

namespace swin_umamba::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 32;
constexpr int kTogether = 8;          // sequences or channels of a block, one after the other
constexpr int kSegment = 2 * kChunk;  // a double between two: no more than the floats between chunks

struct Backward {
  SelectiveScanBackward p;
  double*
      between;  // (segments - 1, B, N, D): states at the starts of segments; later the adjoints at their ends
};

template <class T>
__device__ double wide(const void* array, int64_t i) {
  return to_float(static_cast<const T*>(array)[i]);
}
__device__ bool finite(float x) { return fabsf(x) <= FLT_MAX; }

template <class T>
__device__ void complete(void* array, int64_t i, double value) {
  T* to = static_cast<T*>(array) + i;
  if (!finite(to_float(*to))) *to = convert<T>(float(value));
}

__device__ double sum_lanes(double x) {
#pragma unroll
  for (int apart = kLanes / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(kAllLanes, x, apart);
  return x;
}

struct Flags {
  Shared<int> warps;
  template <class Memory>
  __host__ __device__ explicit Flags(Memory& memory)
      : warps(memory.template take<int>(kThreads / kLanes, "flags")) {}
  // Whether any thread of the block has found something.
  __device__ bool any(bool found) const {
    __syncthreads();
    found = __any_sync(kAllLanes, found);
    if (threadIdx.x % kLanes == 0) warps[threadIdx.x / kLanes] = found;
    __syncthreads();
    int all = 0;
    for (int i = 0; i < kThreads / kLanes; ++i) all |= warps[i];
    return all != 0;
  }
};

// Whether this thread sees a number that is not finite.
template <class T>
__device__ bool sees_infinite(const void* array, int64_t first, int64_t count, int64_t apart = 1) {
  bool found = false;
  for (int64_t i = threadIdx.x; array && i < count; i += kThreads)
    found |= !finite(to_float(static_cast<const T*>(array)[first + i * apart]));
  return found;
}
// Whether it sees a decay above one. Without softplus dt may be negative.
__device__ bool sees_growth(const SelectiveScan& p, int64_t first, int64_t count, int64_t apart = 1) {
  bool found = !p.softplus;
  for (int64_t i = threadIdx.x; i < count; i += kThreads)
    found |= static_cast<const float*>(p.A)[first + i * apart] > 0;
  return found;
}

// What all states of a channel have in common at a step.
struct Step {
  double dt, slope, u, grad_y;
};

template <class T>
__device__ Step step_at(const SelectiveScan& p, int64_t b, int64_t d, int64_t l) {
  const int64_t i = (b * p.dim + d) * p.length + l;
  const double raw = wide<T>(p.delta, i) + (p.delta_bias ? static_cast<const float*>(p.delta_bias)[d] : 0.0f);
  const double u = wide<T>(p.u, i);
  if (!p.softplus) return {raw, 1, u, 0};
  const double e = exp(-fabs(raw));
  return {(raw > 0 ? raw : 0) + log1p(e), (raw > 0 ? 1 : e) / (1 + e), u, 0};
}

template <class T>
__device__ Step step_at(const SelectiveScanBackward& p, int64_t b, int64_t d, int64_t l) {
  Step step = step_at<T>(static_cast<const SelectiveScan&>(p), b, d, l);
  const int64_t i = (b * p.dim + d) * p.length + l;
  step.grad_y = wide<T>(p.grad_out, i);
  if (p.z) step.grad_y *= wide<T>(p.z, i) / (1 + exp(-wide<T>(p.z, i)));
  return step;
}

// Of B or C.
template <class T>
__device__ double matrix_at(const SelectiveScan& p, const void* matrix, bool constant, int64_t b, int64_t d,
                            int64_t n, int64_t l) {
  if (constant) return static_cast<const float*>(matrix)[d * p.state + n];
  return wide<T>(matrix, ((b * p.groups + d / (p.dim / p.groups)) * p.state + n) * p.length + l);
}

struct ForwardStorage {
  Flags flags;
  Shared<double> states;
  template <class Memory>
  __host__ __device__ ForwardStorage(Memory& memory, int64_t count)
      : flags(memory), states(memory.template take<double>(count, "states")) {}
};

template <class T>
__device__ void run_sequence(const SelectiveScanForward& p, int64_t b, int64_t d,
                             const Shared<double>& states) {
  const int64_t row = (b * p.dim + d) * p.length, last = (b * p.dim + d) * p.state;
  const float* rates = static_cast<const float*>(p.A) + d * p.state;
  for (int64_t n = threadIdx.x; n < p.state; n += kLanes) states[n] = 0.0;
  for (int64_t l = 0; l < p.length; ++l) {
    const Step step = step_at<T>(p, b, d, l);
    double y = 0;
    for (int64_t n = threadIdx.x; n < p.state; n += kLanes) {
      const double input = step.dt * step.u * matrix_at<T>(p, p.B, p.constant_B, b, d, n, l);
      const double state = exp(step.dt * rates[n]) * states[n] + input;
      states[n] = state;
      y += state * matrix_at<T>(p, p.C, p.constant_C, b, d, n, l);
    }
    y = sum_lanes(y);
    if (threadIdx.x > 0) continue;
    if (p.D) y += static_cast<const float*>(p.D)[d] * step.u;
    if (p.z) y *= wide<T>(p.z, row + l) / (1 + exp(-wide<T>(p.z, row + l)));
    complete<T>(p.out, row + l, y);
  }
  for (int64_t n = threadIdx.x; n < p.state; n += kLanes) complete<float>(p.last_state, last + n, states[n]);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) forward_kernel(SelectiveScanForward p) {
  SharedMemory memory;
  const ForwardStorage s(memory, p.state);
  const int64_t first = blockIdx.x * int64_t(kTogether);
  const int64_t end = first + kTogether < p.batch * p.dim ? first + kTogether : p.batch * p.dim;
  bool grows = false;
  for (int64_t i = first; i < end; ++i) grows |= sees_growth(p, i % p.dim * p.state, p.state);
  if (!s.flags.any(grows)) return;
  for (int64_t i = first; i < end; ++i) {
    const bool found = sees_infinite<T>(p.out, i * p.length, p.length) ||
                       sees_infinite<float>(p.last_state, i * p.state, p.state);
    if (s.flags.any(found) && threadIdx.x < kLanes) run_sequence<T>(p, i / p.dim, i % p.dim, s.states);
  }
}

struct BackwardStorage {
  Flags flags;
  Shared<double> states;   // [step][lane], before each step
  Shared<double> sums[3];  // [step]
  Shared<double> totals;   // [3][state]
  template <class Memory>
  __host__ __device__ BackwardStorage(Memory& memory, int64_t count)
      : flags(memory),
        states(memory.template take<double>(kSegment * kLanes, "states")),
        sums{memory.template take<double>(kSegment, "first sums"),
             memory.template take<double>(kSegment, "second sums"),
             memory.template take<double>(kSegment, "third sums")},
        totals(memory.template take<double>(3 * count, "totals")) {}
};

// One state of one channel of one image, of the running lane; a lane outside has zeros.
template <class T>
class Recurrence {
 public:
  __device__ Recurrence(const Backward& arguments, int64_t b, int64_t d, int64_t n, bool inside)
      : p_(arguments.p),
        between_(arguments.between + (b * p_.state + n) * p_.dim + d),
        b_(b),
        d_(d),
        n_(n),
        inside_(inside),
        rate_(inside ? static_cast<const float*>(p_.A)[d * p_.state + n] : 0.0f) {}

  __device__ double rate() const { return rate_; }
  __device__ double B(int64_t l) const {
    return inside_ ? matrix_at<T>(p_, p_.B, p_.constant_B, b_, d_, n_, l) : 0.0;
  }
  __device__ double C(int64_t l) const {
    return inside_ ? matrix_at<T>(p_, p_.C, p_.constant_C, b_, d_, n_, l) : 0.0;
  }

  // Saves the state before each segment but the first.
  __device__ void save_states() const {
    double state = 0;
    for (int64_t l = 0; l < p_.length; ++l) {
      if (l > 0 && l % kSegment == 0 && inside_) *between(l / kSegment) = state;
      const Step step = step_at<T>(static_cast<const SelectiveScan&>(p_), b_, d_, l);
      state = exp(step.dt * rate_) * state + step.dt * step.u * B(l);
    }
  }

  // Runs a segment from its saved state and back again, with visit(l, step, decay, state before, state after,
  // adjoint) on the way back. The later segments have been run.
  template <class Visit>
  __device__ void run(int64_t segment, const Shared<double>& states, Visit visit) const {
    const int lane = threadIdx.x;
    const int64_t start = segment * kSegment;
    const int64_t end = start + kSegment < p_.length ? start + kSegment : p_.length;
    double state = segment > 0 && inside_ ? *between(segment) : 0.0;
    for (int64_t l = start; l < end; ++l) {
      states[(l - start) * kLanes + lane] = state;
      const Step step = step_at<T>(static_cast<const SelectiveScan&>(p_), b_, d_, l);
      state = exp(step.dt * rate_) * state + step.dt * step.u * B(l);
    }
    double carry = 0;
    if (end < p_.length)
      carry = inside_ ? *between(segment + 1) : 0.0;
    else if (p_.grad_last_state && inside_)
      carry = static_cast<const float*>(p_.grad_last_state)[(b_ * p_.dim + d_) * p_.state + n_];
    for (int64_t l = end - 1; l >= start; --l) {
      const Step step = step_at<T>(p_, b_, d_, l);
      const double decay = exp(step.dt * rate_), before = states[(l - start) * kLanes + lane];
      const double adjoint = carry + C(l) * step.grad_y;
      visit(l, step, decay, before, decay * before + step.dt * step.u * B(l), adjoint);
      carry = decay * adjoint;
    }
    if (segment > 0 && inside_) *between(segment) = carry;
  }

 private:
  __device__ double* between(int64_t segment) const {
    return between_ + (segment - 1) * p_.batch * p_.state * p_.dim;
  }

  const SelectiveScanBackward& p_;
  double* between_;
  int64_t b_, d_, n_;
  bool inside_;
  double rate_;
};

// All that belongs to one channel: lanes are states.
template <class T>
__device__ void run_channel(const Backward& arguments, int64_t d, const BackwardStorage& s) {
  const SelectiveScanBackward& p = arguments.p;
  const int lane = threadIdx.x;
  const float skip = p.D ? static_cast<const float*>(p.D)[d] : 0.0f;
  double of_D = 0, of_bias = 0;
  const auto recurrence = [&](int64_t b, int64_t first) {
    const bool inside = first + lane < p.state;
    return Recurrence<T>(arguments, b, d, inside ? first + lane : 0, inside);
  };
  for (int64_t n = lane; n < p.state; n += kLanes)
    for (int kind = 0; kind < 3; ++kind) s.totals[kind * p.state + n] = 0.0;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t first = 0; first < p.state; first += kLanes) recurrence(b, first).save_states();
    for (int64_t segment = (p.length - 1) / kSegment; segment >= 0; --segment) {
      const int64_t start = segment * kSegment;
      for (int64_t first = 0; first < p.state; first += kLanes) {
        const Recurrence<T> r = recurrence(b, first);
        double of_A = 0, of_B = 0, of_C = 0;
        r.run(segment, s.states,
              [&](int64_t l, const Step& step, double decay, double before, double after, double adjoint) {
                // In the definition's order: either factor may be zero beside another that overflows.
                const double of_exponent = adjoint * before * decay, of_input = adjoint * r.B(l);
                of_A += of_exponent * step.dt;
                of_B += adjoint * (step.dt * step.u);
                of_C += after * step.grad_y;
                const double sums[] = {sum_lanes(of_input),
                                       sum_lanes(of_exponent * r.rate() + of_input * step.u),
                                       sum_lanes(after * r.C(l))};
                if (lane > 0) return;
                for (int kind = 0; kind < 3; ++kind)
                  s.sums[kind][l - start] = first == 0 ? sums[kind] : s.sums[kind][l - start] + sums[kind];
              });
        if (first + lane >= p.state) continue;
        s.totals[first + lane] += of_A;
        s.totals[p.state + first + lane] += of_B;
        s.totals[2 * p.state + first + lane] += of_C;
      }
      __syncwarp();
      for (int64_t l = start + lane; l < p.length && l < start + kSegment; l += kLanes) {
        const Step step = step_at<T>(p, b, d, l);
        const int64_t i = (b * p.dim + d) * p.length + l;
        const double of_delta = s.sums[1][l - start] * step.slope;
        complete<T>(p.grad_u, i, step.dt * s.sums[0][l - start] + skip * step.grad_y);
        complete<T>(p.grad_delta, i, of_delta);
        if (p.z) {
          const double z = wide<T>(p.z, i), share = 1 / (1 + exp(-z));
          const double y = s.sums[2][l - start] + skip * step.u;
          complete<T>(p.grad_z, i, wide<T>(p.grad_out, i) * y * share * (1 + z * (1 - share)));
        }
        of_D += step.grad_y * step.u;
        of_bias += of_delta;
      }
      __syncwarp();
    }
  }
  of_D = sum_lanes(of_D), of_bias = sum_lanes(of_bias);
  if (lane == 0 && p.grad_D) complete<float>(p.grad_D, d, of_D);
  if (lane == 0 && p.grad_delta_bias) complete<float>(p.grad_delta_bias, d, of_bias);
  for (int64_t n = lane; n < p.state; n += kLanes) {
    complete<float>(p.grad_A, d * p.state + n, s.totals[n]);
    if (p.constant_B) complete<float>(p.grad_B, d * p.state + n, s.totals[p.state + n]);
    if (p.constant_C) complete<float>(p.grad_C, d * p.state + n, s.totals[2 * p.state + n]);
  }
}

template <class T>
__device__ bool sees_infinite_channel(const SelectiveScanBackward& p, int64_t d) {
  bool found = sees_infinite<float>(p.grad_A, d * p.state, p.state) ||
               sees_infinite<float>(p.constant_B ? p.grad_B : nullptr, d * p.state, p.state) ||
               sees_infinite<float>(p.constant_C ? p.grad_C : nullptr, d * p.state, p.state) ||
               sees_infinite<float>(p.grad_D, d, 1) || sees_infinite<float>(p.grad_delta_bias, d, 1);
  // Not at the gradients of u: what spoils them also spoils those of delta, but for their own overflow.
  for (int64_t b = 0; b < p.batch && !found; ++b)
    found = sees_infinite<T>(p.grad_delta, (b * p.dim + d) * p.length, p.length) ||
            sees_infinite<T>(p.z ? p.grad_z : nullptr, (b * p.dim + d) * p.length, p.length);
  return found;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) channel_kernel(Backward arguments) {
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const BackwardStorage s(memory, p.state);
  const int64_t first = blockIdx.x * int64_t(kTogether);
  const int64_t end = first + kTogether < p.dim ? first + kTogether : p.dim;
  if (!s.flags.any(sees_growth(p, first * p.state, (end - first) * p.state))) return;
  for (int64_t d = first; d < end; ++d)
    if (s.flags.any(sees_infinite_channel<T>(p, d)) && threadIdx.x < kLanes) run_channel<T>(arguments, d, s);
}

// The gradients of B and C at one state of one group of one image, where these follow the steps: lanes are
// channels.
template <class T>
__device__ void run_group(const Backward& arguments, int64_t b, int64_t group, int64_t n,
                          const BackwardStorage& s) {
  const SelectiveScanBackward& p = arguments.p;
  const int lane = threadIdx.x;
  const int64_t channels = p.dim / p.groups;
  const auto recurrence = [&](int64_t first) {
    const bool inside = first + lane < channels;
    return Recurrence<T>(arguments, b, group * channels + (inside ? first + lane : 0), n, inside);
  };
  for (int64_t first = 0; first < channels; first += kLanes) recurrence(first).save_states();
  for (int64_t segment = (p.length - 1) / kSegment; segment >= 0; --segment) {
    const int64_t start = segment * kSegment;
    for (int64_t first = 0; first < channels; first += kLanes)
      recurrence(first).run(
          segment, s.states, [&](int64_t l, const Step& step, double, double, double after, double adjoint) {
            const bool inside = first + lane < channels;
            const double sums[] = {sum_lanes(inside ? adjoint * step.dt * step.u : 0.0),
                                   sum_lanes(inside ? after * step.grad_y : 0.0)};
            if (lane > 0) return;
            for (int kind = 0; kind < 2; ++kind)
              s.sums[kind][l - start] = first == 0 ? sums[kind] : s.sums[kind][l - start] + sums[kind];
          });
    __syncwarp();
    for (int64_t l = start + lane; l < p.length && l < start + kSegment; l += kLanes) {
      const int64_t i = ((b * p.groups + group) * p.state + n) * p.length + l;
      if (!p.constant_B) complete<T>(p.grad_B, i, s.sums[0][l - start]);
      if (!p.constant_C) complete<T>(p.grad_C, i, s.sums[1][l - start]);
    }
    __syncwarp();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) group_kernel(Backward arguments) {
  const SelectiveScanBackward& p = arguments.p;
  SharedMemory memory;
  const BackwardStorage s(memory, p.state);
  const int64_t row = blockIdx.x, n = row % p.state, group = row / p.state % p.groups;
  const int64_t channels = p.dim / p.groups;
  if (!s.flags.any(sees_growth(p, group * channels * p.state + n, channels, p.state))) return;
  const bool found = sees_infinite<T>(p.constant_B ? nullptr : p.grad_B, row * p.length, p.length) ||
                     sees_infinite<T>(p.constant_C ? nullptr : p.grad_C, row * p.length, p.length);
  if (s.flags.any(found) && threadIdx.x < kLanes)
    run_group<T>(arguments, row / (p.state * p.groups), group, n, s);
}

}  // namespace

const char* complete_growing(const SelectiveScanForward& p, Stream stream) {
  SharedSize size;
  ForwardStorage(size, p.state);
  return for_element(p.type, [&](auto element) {
    return launch(forward_kernel<decltype(element)>, divide_up(p.batch * p.dim, kTogether), kThreads,
                  size.bytes(), stream, p);
  });
}

const char* complete_growing(const SelectiveScanBackward& p, float* between, Stream stream) {
  SharedSize size;
  BackwardStorage(size, p.state);
  const Backward arguments{p, reinterpret_cast<double*>(between)};
  return for_element(p.type, [&](auto element) -> const char* {
    using T = decltype(element);
    const char* error =
        launch(channel_kernel<T>, divide_up(p.dim, kTogether), kThreads, size.bytes(), stream, arguments);
    if (error || (p.constant_B && p.constant_C)) return error;
    return launch(group_kernel<T>, p.batch * p.groups * p.state, kThreads, size.bytes(), stream, arguments);
  });
}

}  // namespace swin_umamba::cuda
