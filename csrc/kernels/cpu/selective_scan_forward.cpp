// Selective scan, forward. One task is some of a group's channels of one image (half of kMostForward at
// most), over the whole sequence.
#include "selective_scan_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
class ForwardTask {
  using Part = SequencePart<V, ForwardBlock<V>>;

 public:
  ForwardTask(Scratch& scratch, const SelectiveScanForward& p, int64_t group, int64_t first, int64_t channels)
      : p_(p), part_(scratch, p, group, first, channels) {}

  void run() {
    const int64_t L = p_.length, N = p_.state;
    part_.load_parameters();
    for (int64_t b = 0; b < part_.block_count; ++b) part_.blocks[b].decay.clear(part_.blocks[b].state, N);
    for (int64_t start = 0; start < L; start += kChunk) {
      if (start % Part::kAhead == 0) look_ahead(start + Part::kAhead);
      const ChunkScan<V> chunk = part_.load_coefficients(start, minimum(kChunk, L - start));
      for (int64_t b = 0; b < part_.block_count; ++b) scan(part_.blocks[b], start, chunk);
    }
    for (int64_t b = 0; b < part_.block_count; ++b) {
      const ForwardBlock<V>& x = part_.blocks[b];
      store_channel_rows(x.state, p_.last_state, Part::kCompute, part_.channel_row(x) * N, N, N, x.count);
    }
  }

 private:
  void look_ahead(int64_t next) {
    part_.ahead.clear();
    if (next >= p_.length) return;
    const int64_t end = minimum(next + Part::kAhead, p_.length);
    part_.look_ahead(next, end, {p_.u, p_.delta, p_.z, p_.out});
    if (p_.states) part_.ask_for_states(p_.states, next, end);
    part_.ahead.spread(Part::kAhead * part_.block_count);
  }

  void scan(ForwardBlock<V>& x, int64_t start, ChunkScan<V> scan) {
    const int64_t steps = scan.steps;
    ForwardChunk<V>& chunk = *x.chunk;
    // First what the softplus waits for.
    part_.load(chunk.dt, p_.delta, x, start, steps);
    part_.load(chunk.u, p_.u, x, start, steps);
    if (p_.states && start > 0) x.save_state(part_.saved_state(p_.states, start / kChunk), p_.state, p_.dim);
    x.start(steps, p_.softplus, chunk.dt, 1);
    scan.B.constant = p_.constant_B ? x.constant_B : nullptr;
    scan.C.constant = p_.constant_C ? x.constant_C : nullptr;
    x.scan_forward(scan, p_.state);
    if (p_.z) {
      V* z = chunk.dt;  // which the scan no longer needs
      part_.load(z, p_.z, x, start, steps);
      for (int64_t t = 0; t < steps; ++t) chunk.y[t] *= z[t] * sigmoid(z[t]);
    }
    part_.store(chunk.y, p_.out, x, start, steps);
  }

  const SelectiveScanForward& p_;
  Part part_;
};

}  // namespace

void selective_scan_forward(const SelectiveScanForward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) {
    using V = decltype(v);
    for_each_channels(parallel, p.batch * p.groups, p.dim / p.groups, kMostForward / 2,
                      [&p](int64_t group, int64_t first, int64_t channels) {
                        InScratch<ForwardTask<V>>(p, group, first, channels)->run();
                      });
  });
}

}  // namespace swin_umamba::SWIN_ISA
