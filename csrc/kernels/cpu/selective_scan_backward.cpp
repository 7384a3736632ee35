// Selective scan, backward. One task is one part of a group's channels of one image: chunks from the
// last to the first, each recomputed from its saved state (recurrence.h).
#include <initializer_list>

#include "scan_block.h"
#include "sum_parts.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// The gradients that are sums over tasks. A part is of one image, of B and C that vary with time it is of
// kChannelsPerPart channels of a group.
template <class V>
struct Gradients {
  Parts<V> A, B, C, D, delta_bias;

  Gradients(Workspace<Element<V>>& workspace, const SelectiveScanBackward& p)
      : A(workspace, p.grad_A, compute_type<V>(), p.batch, p.dim * p.state),
        B(coefficient(workspace, p, p.constant_B, p.grad_B)),
        C(coefficient(workspace, p, p.constant_C, p.grad_C)),
        D(workspace, p.grad_D, compute_type<V>(), p.batch, p.D ? p.dim : 0),
        delta_bias(workspace, p.grad_delta_bias, compute_type<V>(), p.batch, p.delta_bias ? p.dim : 0) {}

  void add(ParallelFor parallel) const {
    for (const Parts<V>* parts : {&A, &B, &C, &D, &delta_bias}) parts->add(parallel);
  }

 private:
  static Parts<V> coefficient(Workspace<Element<V>>& workspace, const SelectiveScanBackward& p, bool constant,
                              void* sum) {
    if (constant) return {workspace, sum, compute_type<V>(), p.batch, p.dim * p.state};
    return {workspace, sum, p.type, channel_parts(p.dim / p.groups), p.batch * p.groups * p.state * p.length};
  }
};

template <class V>
class PartTask {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;

 public:
  PartTask(const SelectiveScanBackward& p, const Gradients<V>& gradients, int64_t image, int64_t group,
           int64_t part)
      : p_(p),
        gradients_(gradients),
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
      x.decay.prepare(N, p.softplus);
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
      if (chunk == (p_.length - 1) / kChunk || (start + kChunk) % kAhead == 0)
        look_ahead(start + kChunk - kAhead);
      load_coefficients(start, steps);
      for (int64_t b = 0; b < block_count_; ++b) load_block(blocks_[b], chunk, start, steps);
      sums_.scan(blocks_, block_count_, steps, {B_, row_, nullptr}, {C_, row_, nullptr}, p_.constant_B,
                 p_.constant_C, p_.z != nullptr);
      for (int64_t b = 0; b < block_count_; ++b) store_block(blocks_[b], start, steps);
      if (!p_.constant_B) store_sums(sums_.sum_B, gradients_.B, start, steps);
      if (!p_.constant_C) store_sums(sums_.sum_C, gradients_.C, start, steps);
    }
    for (int64_t b = 0; b < block_count_; ++b) store_parameters(blocks_[b]);
  }

 private:
  static int64_t bytes(const SelectiveScanBackward& p) {
    const int64_t blocks = (kChannelsPerPart + W - 1) / W, row = round_up(p.state, W);
    return 2 * Scratch::bytes<V>(kChunk) + 2 * Scratch::bytes<E>(kChunk * row) +
           BackwardPart<V>::bytes(p.state) + blocks * BackwardBlock<V>::bytes(p.state);
  }

  // As in the forward pass: the steps before `end`.
  static constexpr int64_t kAhead = 64;

  void look_ahead(int64_t end) {
    Ahead& ahead = sums_.ahead;
    ahead.clear();
    if (end <= 0) return;
    const int64_t L = p_.length, size = type_size(p_.type), first = end - minimum(kAhead, end);
    const auto add = [&](const void* base, int64_t bytes, int64_t rows, int64_t row) {
      for (int64_t r = 0; base && r < rows; ++r)
        ahead.add(static_cast<const char*>(base) + ((row + r) * L + first) * bytes, (end - first) * bytes);
    };
    const int64_t N = p_.state, group = (image_ * p_.groups + group_) * N;
    if (!p_.constant_B) add(p_.B, size, N, group), add(gradients_.B[part_index_], sizeof(E), N, group);
    if (!p_.constant_C) add(p_.C, size, N, group), add(gradients_.C[part_index_], sizeof(E), N, group);
    for (int64_t b = 0; b < block_count_; ++b) {
      const int64_t row = image_ * p_.dim + blocks_[b].channel;
      for (const void* array : {p_.u, p_.delta, p_.grad_out, static_cast<const void*>(p_.grad_u),
                                static_cast<const void*>(p_.grad_delta)})
        add(array, size, blocks_[b].count, row);
    }
    const int64_t channels = (block_count_ - 1) * W + blocks_[block_count_ - 1].count;
    for (int64_t chunk = first / kChunk; chunk < end / kChunk; ++chunk)
      for (int64_t n = 0; chunk > 0 && n < N; ++n)
        ahead.add(saved_state(chunk) + n * p_.dim + blocks_[0].channel, channels * sizeof(E));
    ahead.spread(kAhead * block_count_ * passes(N, kBackwardStates));
  }

  // The states of all channels before a chunk but the first, (N, D).
  const E* saved_state(int64_t chunk) const {
    const int64_t image = image_ * saved_states(p_.length);
    return static_cast<const E*>(p_.states) + (image + chunk - 1) * p_.state * p_.dim;
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

  void load_block(BackwardBlock<V>& x, int64_t index, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state;
    BackwardChunk<V>& chunk = *x.chunk;
    if (index > 0)
      for (int64_t n = 0; n < N; ++n)
        x.state[n] = load_some(saved_state(index) + n * p_.dim + x.channel, x.count);
    else
      x.decay.clear(x.state, N);
    // First what the softplus waits for.
    load_channel_rows(chunk.dt, p_.delta, p_.type, at(x, start), L, steps, x.count);
    load_channel_rows(chunk.u, p_.u, p_.type, at(x, start), L, steps, x.count);
    load_channel_rows(chunk.gy, p_.grad_out, p_.type, at(x, start), L, steps, x.count);
    x.start(steps, p_.softplus, chunk.dt, 1);
    if (p_.z) {
      for (int64_t t = 0; t < steps; ++t) chunk.y[t] = x.D * chunk.u[t];
      load_channel_rows(z_, p_.z, p_.type, at(x, start), L, steps, x.count);
      for (int64_t t = 0; t < steps; ++t) chunk.gy[t] *= z_[t] * sigmoid(z_[t]);
    }
  }

  void store_block(BackwardBlock<V>& x, int64_t start, int64_t steps) {
    const int64_t L = p_.length;
    BackwardChunk<V>& chunk = *x.chunk;
    if (p_.grad_z) {
      load_channel_rows(z_, p_.z, p_.type, at(x, start), L, steps, x.count);
      load_channel_rows(grad_, p_.grad_out, p_.type, at(x, start), L, steps, x.count);
      for (int64_t t = 0; t < steps; ++t) {
        const V s = sigmoid(z_[t]);
        grad_[t] *= chunk.y[t] * s * (Element<V>(1) + z_[t] * (Element<V>(1) - s));
      }
      store_channel_rows(grad_, p_.grad_z, p_.type, at(x, start), L, steps, x.count);
    }
    V gD{}, gbias{};
    for (int64_t t = 0; t < steps; ++t) {
      const V gdelta = fma(chunk.gdtu[t], chunk.u[t], chunk.gdt[t]) * chunk.slope[t];
      const V gu = fma(chunk.gdtu[t], chunk.dt[t], x.D * chunk.gy[t]);
      gD = fma(chunk.gy[t], chunk.u[t], gD);
      gbias += gdelta;
      chunk.gdt[t] = gdelta;
      chunk.gdtu[t] = gu;
    }
    x.gD += gD;
    x.gdelta_bias += gbias;
    store_channel_rows(chunk.gdtu, p_.grad_u, p_.type, at(x, start), L, steps, x.count);
    store_channel_rows(chunk.gdt, p_.grad_delta, p_.type, at(x, start), L, steps, x.count);
  }

  void store_sums(const E* sums, const Parts<V>& to, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state, base = (image_ * p_.groups + group_) * N * L + start;
    for (int64_t n = 0; n < N; n += W)
      store_channel_rows(reinterpret_cast<const V*>(sums + n), to[part_index_], kCompute, base + n * L, L,
                         steps, N - n, row_ / W);
  }

  void store_parameters(BackwardBlock<V>& x) {
    const int64_t N = p_.state;
    const auto store_matrix = [&](const V* gradient, const Parts<V>& to) {
      store_channel_rows(gradient, to[image_], kCompute, x.channel * N, N, N, x.count);
    };
    store_matrix(x.gA, gradients_.A);
    if (p_.constant_B) store_matrix(x.gconstant_B, gradients_.B);
    if (p_.constant_C) store_matrix(x.gconstant_C, gradients_.C);
    if (p_.D) write(gradients_.D[image_], kCompute, x.channel, x.gD, x.count);
    if (p_.delta_bias) write(gradients_.delta_bias[image_], kCompute, x.channel, x.gdelta_bias, x.count);
  }

  const SelectiveScanBackward& p_;
  const Gradients<V>& gradients_;
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
  Workspace<Element<V>> workspace{static_cast<Element<V>*>(p.workspace)};
  const Gradients<V> gradients(workspace, p);
  const int64_t parts = channel_parts(p.dim / p.groups);
  for_each_task(parallel, p.batch * p.groups * parts, [&](int64_t task) {
    PartTask<V>(p, gradients, task / parts / p.groups, task / parts % p.groups, task % parts).run();
  });
  gradients.add(parallel);
}

template <class V>
int64_t workspace_size(const SelectiveScanBackward& p) {
  Workspace<Element<V>> workspace;
  Gradients<V>(workspace, p);
  return workspace.used;
}

}  // namespace

int64_t selective_scan_backward_workspace(const SelectiveScanBackward& p) {
  return for_compute_type(p.type, [&](auto v) { return workspace_size<decltype(v)>(p); });
}

void selective_scan_backward(const SelectiveScanBackward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
