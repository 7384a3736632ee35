// Selective scan, backward. One task is one part of a group's channels of one image: chunks from the
// last to the first, each recomputed from its saved state (recurrence.h).
#include "selective_scan_part.h"
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
    const Parts<V>* const all[] = {&A, &B, &C, &D, &delta_bias};
    for (const Parts<V>* parts : all) parts->add(parallel);
  }

 private:
  static Parts<V> coefficient(Workspace<Element<V>>& workspace, const SelectiveScanBackward& p, bool constant,
                              void* sum) {
    if (constant) return {workspace, sum, compute_type<V>(), p.batch, p.dim * p.state};
    return {workspace, sum, p.type, channel_parts(p.dim / p.groups), p.batch * p.groups * p.state * p.length};
  }
};

template <class V>
class BackwardTask {
  using E = Element<V>;
  using Part = SequencePart<V, BackwardBlock<V>>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;

 public:
  BackwardTask(Scratch& scratch, const SelectiveScanBackward& p, const Gradients<V>& gradients, int64_t group,
               int64_t part_index)
      : p_(p),
        gradients_(gradients),
        part_index_(part_index),
        z_(scratch.take<V>(kChunk)),
        grad_(scratch.take<V>(kChunk)),
        sums_(scratch, p.state),
        part_(scratch, p, group, part_index * kChannelsPerPart,
              minimum(kChannelsPerPart, p.dim / p.groups - part_index * kChannelsPerPart)) {}

  void run() {
    const int64_t L = p_.length, N = p_.state, last = (L - 1) / kChunk;
    part_.load_parameters();
    for (int64_t b = 0; p_.grad_last_state && b < part_.block_count; ++b) {
      BackwardBlock<V>& x = part_.blocks[b];
      load_channel_rows(x.carry, p_.grad_last_state, kCompute, part_.channel_row(x) * N, N, N, x.count);
    }
    for (int64_t chunk = last; chunk >= 0; --chunk) {
      const int64_t start = chunk * kChunk, end = start + kChunk;
      if (chunk == last || end % Part::kAhead == 0) look_ahead(end - Part::kAhead);
      const ChunkScan<V> scan = part_.load_coefficients(start, minimum(kChunk, L - start));
      for (int64_t b = 0; b < part_.block_count; ++b) load_block(part_.blocks[b], chunk, start, scan.steps);
      sums_.scan(scan, part_.blocks, part_.block_count, p_.constant_B, p_.constant_C, p_.z != nullptr);
      for (int64_t b = 0; b < part_.block_count; ++b) store_block(part_.blocks[b], start, scan.steps);
      if (!p_.constant_B) store_sums(sums_.sum_B, gradients_.B, start, scan.steps);
      if (!p_.constant_C) store_sums(sums_.sum_C, gradients_.C, start, scan.steps);
    }
    for (int64_t b = 0; b < part_.block_count; ++b) store_parameters(part_.blocks[b]);
  }

 private:
  // As in the forward pass: the steps before `end`.
  void look_ahead(int64_t end) {
    Ahead& ahead = part_.ahead;
    ahead.clear();
    if (end <= 0) return;
    const int64_t N = p_.state, first = end - minimum(Part::kAhead, end);
    part_.look_ahead(first, end, {p_.u, p_.delta, p_.grad_out, p_.grad_u, p_.grad_delta});
    if (!p_.constant_B) part_.ask_for(gradients_.B[part_index_], sizeof(E), part_.group_row, N, first, end);
    if (!p_.constant_C) part_.ask_for(gradients_.C[part_index_], sizeof(E), part_.group_row, N, first, end);
    part_.ask_for_states(p_.states, first, end);
    ahead.spread(Part::kAhead * part_.block_count * passes(N, kBackwardStates));
  }

  void load_block(BackwardBlock<V>& x, int64_t index, int64_t start, int64_t steps) {
    BackwardChunk<V>& chunk = *x.chunk;
    if (index > 0)
      x.load_state(part_.saved_state(p_.states, index), p_.state, p_.dim);
    else
      x.decay.clear(x.state, p_.state);
    // First what the softplus waits for.
    part_.load(chunk.dt, p_.delta, x, start, steps);
    part_.load(chunk.u, p_.u, x, start, steps);
    part_.load(chunk.gy, p_.grad_out, x, start, steps);
    x.start(steps, p_.softplus, chunk.dt, 1);
    if (p_.z) {
      part_.load(z_, p_.z, x, start, steps);
      for (int64_t t = 0; t < steps; ++t) chunk.gy[t] *= z_[t] * sigmoid(z_[t]);
    }
  }

  void store_block(BackwardBlock<V>& x, int64_t start, int64_t steps) {
    BackwardChunk<V>& chunk = *x.chunk;
    if (p_.grad_z) {
      part_.load(z_, p_.z, x, start, steps);
      part_.load(grad_, p_.grad_out, x, start, steps);
      for (int64_t t = 0; t < steps; ++t) {
        const V s = sigmoid(z_[t]);
        grad_[t] *= chunk.y[t] * s * (E(1) + z_[t] * (E(1) - s));
      }
      part_.store(grad_, p_.grad_z, x, start, steps);
    }
    x.finish(steps);
    part_.store(chunk.gdtu, p_.grad_u, x, start, steps);
    part_.store(chunk.gdt, p_.grad_delta, x, start, steps);
  }

  void store_sums(const E* sums, const Parts<V>& to, int64_t start, int64_t steps) {
    const int64_t L = p_.length, N = p_.state, row = part_.row / W;
    for (int64_t n = 0; n < N; n += W)
      store_channel_rows(reinterpret_cast<const V*>(sums + n), to[part_index_], kCompute,
                         (part_.group_row + n) * L + start, L, steps, N - n, row);
  }

  void store_parameters(BackwardBlock<V>& x) {
    const int64_t N = p_.state;
    const auto store_matrix = [&](const V* gradient, const Parts<V>& to) {
      store_channel_rows(gradient, to[part_.image], kCompute, x.channel * N, N, N, x.count);
    };
    store_matrix(x.gA, gradients_.A);
    if (p_.constant_B) store_matrix(x.gconstant_B, gradients_.B);
    if (p_.constant_C) store_matrix(x.gconstant_C, gradients_.C);
    if (p_.D) write(gradients_.D[part_.image], kCompute, x.channel, x.gD, x.count);
    if (p_.delta_bias) write(gradients_.delta_bias[part_.image], kCompute, x.channel, x.gdelta_bias, x.count);
  }

  const SelectiveScanBackward& p_;
  const Gradients<V>& gradients_;
  const int64_t part_index_;  // of those of the group's channels
  V *z_, *grad_;
  BackwardPart<V> sums_;
  Part part_;
};

template <class V>
void run(const SelectiveScanBackward& p, ParallelFor parallel) {
  Workspace<Element<V>> workspace{static_cast<Element<V>*>(p.workspace)};
  const Gradients<V> gradients(workspace, p);
  const int64_t parts = channel_parts(p.dim / p.groups);
  for_each_task(parallel, p.batch * p.groups * parts, [&](int64_t task) {
    InScratch<BackwardTask<V>>(p, gradients, task / parts, task % parts)->run();
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
