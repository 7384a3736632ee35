// Selective scan, forward. One task is one part of a group's channels of one image, over the whole
// sequence; the blocks of the part share the tiles of B and C.
#include <initializer_list>

#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
class PartTask {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;
  static constexpr int64_t kBlocks = (kChannelsPerPart + W - 1) / W;

 public:
  PartTask(const SelectiveScanForward& p, int64_t image, int64_t group, int64_t part)
      : p_(p), image_(image), group_(group), row_(round_up(p.state, W)), scratch_(bytes(p)) {
    const int64_t N = p.state, per_group = p.dim / p.groups, first = part * kChannelsPerPart;
    const int64_t channels = minimum(kChannelsPerPart, per_group - first);
    block_count_ = (channels + W - 1) / W;
    B_ = scratch_.take<E>(kChunk * row_);
    C_ = scratch_.take<E>(kChunk * row_);
    for (int64_t b = 0; b < block_count_; ++b) {
      ForwardBlock<V>& x = blocks_[b];
      x.take(scratch_, N);
      x.channel = group * per_group + first + b * W;
      x.count = minimum(W, channels - b * W);
      load_channel_rows(x.decay.A, p.A, kCompute, x.channel * N, N, N, x.count);
      x.decay.prepare(N, p.softplus);
      x.decay.clear(x.state, N);
      if (p.D) read(x.D, p.D, kCompute, x.channel, x.count);
      if (p.delta_bias) read(x.delta_bias, p.delta_bias, kCompute, x.channel, x.count);
      if (p.constant_B) load_channel_rows(x.constant_B, p.B, kCompute, x.channel * N, N, N, x.count);
      if (p.constant_C) load_channel_rows(x.constant_C, p.C, kCompute, x.channel * N, N, N, x.count);
    }
  }

  void run() {
    const int64_t L = p_.length;
    for (int64_t start = 0; start < L; start += kChunk) {
      const int64_t steps = minimum(kChunk, L - start);
      if (start % kAhead == 0) look_ahead(start + kAhead);
      load_coefficients(start, steps);
      for (int64_t b = 0; b < block_count_; ++b) scan_chunk(blocks_[b], start, steps);
    }
    for (int64_t b = 0; b < block_count_; ++b) {
      const ForwardBlock<V>& x = blocks_[b];
      store_channel_rows(x.state, p_.last_state, kCompute, (image_ * p_.dim + x.channel) * p_.state, p_.state,
                         p_.state, x.count);
    }
  }

 private:
  static int64_t bytes(const SelectiveScanForward& p) {
    return 2 * Scratch::bytes<E>(kChunk * round_up(p.state, W)) + Scratch::bytes<ForwardChunk<V>>(1) +
           kBlocks * ForwardBlock<V>::bytes(p.state);
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

  // Steps that are asked for together: long pieces of the rows, which memory gives faster than short ones.
  static constexpr int64_t kAhead = 64;

  void look_ahead(int64_t next) {
    ahead_.clear();
    if (next >= p_.length) return;
    const int64_t L = p_.length, size = type_size(p_.type), bytes = minimum(kAhead, L - next) * size;
    const auto add = [&](const void* base, int64_t rows, int64_t first) {
      for (int64_t r = 0; base && r < rows; ++r)
        ahead_.add(static_cast<const char*>(base) + ((first + r) * L + next) * size, bytes);
    };
    const int64_t group = (image_ * p_.groups + group_) * p_.state;
    if (!p_.constant_B) add(p_.B, p_.state, group);
    if (!p_.constant_C) add(p_.C, p_.state, group);
    for (int64_t b = 0; b < block_count_; ++b)
      for (const void* array : {p_.u, p_.delta, p_.z, static_cast<const void*>(p_.out)})
        add(array, blocks_[b].count, image_ * p_.dim + blocks_[b].channel);
    ahead_.spread(kAhead * block_count_);
  }

  void scan_chunk(ForwardBlock<V>& x, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state, at = (image_ * p_.dim + x.channel) * L + start;
    ForwardChunk<V>& chunk = *x.chunk;
    // First what the softplus waits for.
    load_channel_rows(chunk.dt, p_.delta, p_.type, at, L, steps, x.count);
    load_channel_rows(chunk.u, p_.u, p_.type, at, L, steps, x.count);
    if (p_.states && start > 0)
      save_state(static_cast<E*>(p_.states) + image_ * saved_states(L) * N * p_.dim, start / kChunk, x.state,
                 N, p_.dim, x.channel, x.count);
    x.scan({steps,
            {B_, row_, p_.constant_B ? x.constant_B : nullptr},
            {C_, row_, p_.constant_C ? x.constant_C : nullptr},
            ahead_},
           N, p_.softplus, chunk.dt, 1);
    if (p_.z) {
      V* z = chunk.u;
      load_channel_rows(z, p_.z, p_.type, at, L, steps, x.count);
      for (int64_t t = 0; t < steps; ++t) chunk.y[t] *= z[t] * sigmoid(z[t]);
    }
    store_channel_rows(chunk.y, p_.out, p_.type, at, L, steps, x.count);
  }

  const SelectiveScanForward& p_;
  const int64_t image_, group_, row_;
  int64_t block_count_;
  Scratch scratch_;
  E *B_, *C_;
  Ahead ahead_;
  ForwardBlock<V> blocks_[kBlocks];
};

template <class V>
void run(const SelectiveScanForward& p, ParallelFor parallel) {
  const int64_t parts = channel_parts(p.dim / p.groups);
  for_each_task(parallel, p.batch * p.groups * parts, [&p, parts](int64_t task) {
    PartTask<V>(p, task / parts / p.groups, task / parts % p.groups, task % parts).run();
  });
}

}  // namespace

void selective_scan_forward(const SelectiveScanForward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
