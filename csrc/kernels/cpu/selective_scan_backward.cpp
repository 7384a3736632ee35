// Selective scan, backward. One task is one part of a group's channels of one image: chunks from the
// last to the first, each recomputed from its saved state (recurrence.h).
#include <initializer_list>

#include "kernels.h"
#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
class PartTask {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;

 public:
  PartTask(const SelectiveScanBackward& p, int64_t image, int64_t group, int64_t part)
      : p_(p),
        image_(image),
        group_(group),
        part_index_(part),
        row_(round_up(p.state, W)),
        scratch_(bytes(p)) {
    const int64_t N = p.state, per_group = p.dim / p.groups, first = part * kChannelsPerPart;
    const int64_t channels = minimum(kChannelsPerPart, per_group - first);
    block_count_ = (channels + W - 1) / W;
    z_ = scratch_.take<V>(kChunk);
    grad_ = scratch_.take<V>(kChunk);
    B_ = scratch_.take<E>(kChunk * row_);
    C_ = scratch_.take<E>(kChunk * row_);
    sums_.take(scratch_, N);
    for (int64_t b = 0; b < block_count_; ++b) {
      BackwardBlock<V>& x = blocks_[b];
      x.take(scratch_, N);
      x.channel = group * per_group + first + b * W;
      x.count = minimum(W, channels - b * W);
      load_channel_rows(x.decay.A, p.A, kCompute, x.channel * N, N, N, x.count);
      x.decay.prepare(N);
      if (p.D) read(x.D, p.D, kCompute, x.channel, x.count);
      if (p.delta_bias) read(x.delta_bias, p.delta_bias, kCompute, x.channel, x.count);
      if (p.constant_B) load_channel_rows(x.constant_B, p.B, kCompute, x.channel * N, N, N, x.count);
      if (p.constant_C) load_channel_rows(x.constant_C, p.C, kCompute, x.channel * N, N, N, x.count);
      if (p.grad_last_state)
        load_channel_rows(x.carry, p.grad_last_state, kCompute, (image * p.dim + x.channel) * N, N, N,
                          x.count);
    }
  }

  void run() {
    for (int64_t chunk = (p_.length - 1) / kChunk; chunk >= 0; --chunk) {
      const int64_t start = chunk * kChunk, steps = minimum(kChunk, p_.length - start);
      load_coefficients(start, steps);
      sums_.ahead.clear();
      for (int64_t b = 0; b < block_count_; ++b) load_block(blocks_[b], chunk, start, steps);
      sums_.chunk(blocks_, block_count_, steps, {B_, row_, nullptr}, {C_, row_, nullptr}, p_.constant_B,
                  p_.constant_C, p_.z != nullptr);
      for (int64_t b = 0; b < block_count_; ++b) store_block(blocks_[b], start, steps);
      if (!p_.constant_B) store_sums(sums_.sum_B, p_.grad_B, start, steps);
      if (!p_.constant_C) store_sums(sums_.sum_C, p_.grad_C, start, steps);
    }
    for (int64_t b = 0; b < block_count_; ++b) store_parameters(blocks_[b]);
  }

 private:
  static int64_t bytes(const SelectiveScanBackward& p) {
    const int64_t blocks = (kChannelsPerPart + W - 1) / W, row = round_up(p.state, W);
    return 2 * Scratch::bytes<V>(kChunk) + 2 * Scratch::bytes<E>(kChunk * row) +
           BackwardPart<V>::bytes(p.state) + blocks * BackwardBlock<V>::bytes(p.state);
  }

  int64_t at(const BackwardBlock<V>& x, int64_t start) const {
    return (image_ * p_.dim + x.channel) * p_.length + start;
  }

  void load_coefficients(int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state, base = (image_ * p_.groups + group_) * N * L + start;
    for (int64_t n = 0; n < N; n += W) {
      if (!p_.constant_B)
        load_channel_rows(reinterpret_cast<V*>(B_ + n), p_.B, p_.type, base + n * L, L, steps, N - n,
                          row_ / W);
      if (!p_.constant_C)
        load_channel_rows(reinterpret_cast<V*>(C_ + n), p_.C, p_.type, base + n * L, L, steps, N - n,
                          row_ / W);
    }
  }

  void load_block(BackwardBlock<V>& x, int64_t chunk, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state;
    if (chunk > 0)
      read_state(static_cast<const E*>(p_.states) + image_ * saved_states(L) * N * p_.dim, chunk, x.state, N,
                 p_.dim, x.channel, x.count);
    else
      x.decay.clear(x.state, N);
    for (const void* array : {p_.u, p_.delta, p_.grad_out})
      for (int64_t c = 0; chunk > 0 && c < x.count; ++c)
        sums_.ahead.add(
            static_cast<const char*>(array) + (at(x, start - kChunk) + c * L) * type_size(p_.type),
            kChunk * type_size(p_.type));
    load_channel_rows(x.u, p_.u, p_.type, at(x, start), L, steps, x.count);
    load_channel_rows(x.dt, p_.delta, p_.type, at(x, start), L, steps, x.count);
    load_channel_rows(x.gy, p_.grad_out, p_.type, at(x, start), L, steps, x.count);
    for (int64_t t = 0; t < steps; ++t) {
      x.dt[t] += x.delta_bias;
      x.slope[t] = broadcast<V>(1);
    }
    if (p_.softplus) softplus_all(x.dt, x.slope, steps);
    for (int64_t t = 0; t < steps; ++t) {
      x.dtu[t] = x.dt[t] * x.u[t];
      x.gdt[t] = x.gdtu[t] = V{};
      x.y[t] = x.D * x.u[t];
    }
    if (p_.z) {
      load_channel_rows(z_, p_.z, p_.type, at(x, start), L, steps, x.count);
      for (int64_t t = 0; t < steps; ++t) x.gy[t] *= z_[t] * sigmoid(z_[t]);
    }
  }

  void store_block(BackwardBlock<V>& x, int64_t start, int64_t steps) {
    const int64_t L = p_.length;
    if (p_.grad_z) {
      load_channel_rows(z_, p_.z, p_.type, at(x, start), L, steps, x.count);
      load_channel_rows(grad_, p_.grad_out, p_.type, at(x, start), L, steps, x.count);
      for (int64_t t = 0; t < steps; ++t) {
        const V s = sigmoid(z_[t]);
        grad_[t] *= x.y[t] * s * (Element<V>(1) + z_[t] * (Element<V>(1) - s));
      }
      store_channel_rows(grad_, p_.grad_z, p_.type, at(x, start), L, steps, x.count);
    }
    V gD{}, gbias{};
    for (int64_t t = 0; t < steps; ++t) {
      const V gdelta = fma(x.gdtu[t], x.u[t], x.gdt[t]) * x.slope[t];
      const V gu = fma(x.gdtu[t], x.dt[t], x.D * x.gy[t]);
      gD = fma(x.gy[t], x.u[t], gD);
      gbias += gdelta;
      x.gdt[t] = gdelta;
      x.gdtu[t] = gu;
    }
    x.gD += gD;
    x.gdelta_bias += gbias;
    store_channel_rows(x.gdtu, p_.grad_u, p_.type, at(x, start), L, steps, x.count);
    store_channel_rows(x.gdt, p_.grad_delta, p_.type, at(x, start), L, steps, x.count);
  }

  void store_sums(const E* sums, void* to, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state, parts = channel_parts(p_.dim / p_.groups);
    const int64_t base = ((image_ * parts + part_index_) * p_.groups + group_) * N * L + start;
    for (int64_t n = 0; n < N; n += W)
      store_channel_rows(reinterpret_cast<const V*>(sums + n), to, kCompute, base + n * L, L, steps, N - n,
                         row_ / W);
  }

  void store_parameters(BackwardBlock<V>& x) {
    const int64_t N = p_.state, vector = image_ * p_.dim + x.channel;
    store_channel_rows(x.gA, p_.grad_A, kCompute, vector * N, N, N, x.count);
    if (p_.constant_B) store_channel_rows(x.gconstant_B, p_.grad_B, kCompute, vector * N, N, N, x.count);
    if (p_.constant_C) store_channel_rows(x.gconstant_C, p_.grad_C, kCompute, vector * N, N, N, x.count);
    if (p_.grad_D) write(p_.grad_D, kCompute, vector, x.gD, x.count);
    if (p_.grad_delta_bias) write(p_.grad_delta_bias, kCompute, vector, x.gdelta_bias, x.count);
  }

  const SelectiveScanBackward& p_;
  const int64_t image_, group_, part_index_, row_;
  int64_t block_count_;
  Scratch scratch_;
  V *z_, *grad_;
  E *B_, *C_;
  BackwardPart<V> sums_;
  BackwardBlock<V> blocks_[(kChannelsPerPart + W - 1) / W];
};

template <class V>
void run(const SelectiveScanBackward& p, ParallelFor parallel) {
  const int64_t parts = channel_parts(p.dim / p.groups);
  for_each_task(parallel, p.batch * p.groups * parts, [&p, parts](int64_t task) {
    PartTask<V>(p, task / parts / p.groups, task / parts % p.groups, task % parts).run();
  });
}

}  // namespace

void selective_scan_backward(const SelectiveScanBackward& p, ParallelFor parallel) {
#if defined(SWIN_WITH_DOUBLE)
  if (p.type == Type::kFloat64) return run<double>(p, parallel);
#endif
  run<Float>(p, parallel);
}

}  // namespace swin_umamba::SWIN_ISA
