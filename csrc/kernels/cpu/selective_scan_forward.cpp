// Selective scan, forward. One task is one block of channels of one image, over the whole sequence.
#include "kernels.h"
#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class V>
void scan_block(const SelectiveScanForward& p, int64_t image, int64_t group, int64_t channel, int64_t count) {
  using E = Element<V>;
  constexpr Type kCompute = compute_type<V>();
  constexpr int64_t W = Lanes<V>::kCount;
  const int64_t N = p.state, L = p.length, row = round_up(N, W);
  Scratch scratch(4 * Scratch::bytes<V>(kChunk) + 2 * Scratch::bytes<E>(kChunk * row) + Decay<V>::bytes(N) +
                  3 * Scratch::bytes<V>(N));
  V* u = scratch.take<V>(kChunk);
  V* dt = scratch.take<V>(kChunk);
  V* dtu = scratch.take<V>(kChunk);
  V* y = scratch.take<V>(kChunk);
  E* B_steps = scratch.take<E>(kChunk * row);
  E* C_steps = scratch.take<E>(kChunk * row);
  Decay<V> decay;
  decay.take(scratch, N);
  V* state = scratch.take<V>(N);
  V* B_constant = scratch.take<V>(N);
  V* C_constant = scratch.take<V>(N);

  load_channel_rows(decay.A, p.A, kCompute, channel * N, N, N, count);
  decay.prepare(N);
  decay.clear(state, N);
  Coefficients<V> B{B_steps, row, nullptr}, C{C_steps, row, nullptr};
  if (p.constant_B) {
    load_channel_rows(B_constant, p.B, kCompute, channel * N, N, N, count);
    B.constant = B_constant;
  }
  if (p.constant_C) {
    load_channel_rows(C_constant, p.C, kCompute, channel * N, N, N, count);
    C.constant = C_constant;
  }
  V D{}, delta_bias{};
  if (p.D) read(D, p.D, kCompute, channel, count);
  if (p.delta_bias) read(delta_bias, p.delta_bias, kCompute, channel, count);

  const int64_t sequence = (image * p.dim + channel) * L;
  for (int64_t start = 0, chunk = 0; start < L; start += kChunk, ++chunk) {
    const int64_t steps = minimum(kChunk, L - start);
    if (p.states && chunk > 0)
      save_state(static_cast<E*>(p.states) + image * saved_states(L) * N * p.dim, chunk, state, N, p.dim,
                 channel, count);
    load_channel_rows(u, p.u, p.type, sequence + start, L, steps, count);
    load_channel_rows(dt, p.delta, p.type, sequence + start, L, steps, count);
    for (int64_t t = 0; t < steps; ++t) dt[t] += delta_bias;
    if (p.softplus) softplus_all<V>(dt, nullptr, steps);
    for (int64_t t = 0; t < steps; ++t) {
      dtu[t] = dt[t] * u[t];
      y[t] = D * u[t];
    }
    const int64_t states = (image * p.groups + group) * N * L + start;
    for (int64_t n = 0; n < N; n += W) {
      if (!p.constant_B)
        load_channel_rows(reinterpret_cast<V*>(B_steps + n), p.B, p.type, states + n * L, L, steps, N - n,
                          row / W);
      if (!p.constant_C)
        load_channel_rows(reinterpret_cast<V*>(C_steps + n), p.C, p.type, states + n * L, L, steps, N - n,
                          row / W);
    }
    const int64_t size = type_size(p.type);
    const auto rows_ahead = [&](const void* array, int64_t at, int64_t rows) {
      return Ahead::Rows{static_cast<const char*>(array) + (at + steps) * size, rows};
    };
    const Ahead ahead{
        {rows_ahead(p.u, sequence + start, count), rows_ahead(p.delta, sequence + start, count),
         rows_ahead(p.B, states, p.constant_B ? 0 : N), rows_ahead(p.C, states, p.constant_C ? 0 : N)},
        L * size,
        minimum(kChunk, L - start - steps) * size};
    forward_chunk<V>({steps, dt, dtu, B, C, y, ahead}, N, decay.A2, decay.limit, state);
    if (p.z) {
      V* z = u;
      load_channel_rows(z, p.z, p.type, sequence + start, L, steps, count);
      for (int64_t t = 0; t < steps; ++t) y[t] *= z[t] * sigmoid(z[t]);
    }
    store_channel_rows(y, p.out, p.type, sequence + start, L, steps, count);
  }
  store_channel_rows(state, p.last_state, kCompute, (image * p.dim + channel) * N, N, N, count);
}

template <class V>
void run(const SelectiveScanForward& p, ParallelFor parallel) {
  constexpr int64_t W = Lanes<V>::kCount;
  const int64_t per_group = p.dim / p.groups, blocks = (per_group + W - 1) / W;
  for_each_task(parallel, p.batch * p.groups * blocks, [&p, per_group, blocks](int64_t task) {
    const int64_t first = task % blocks * W, group = task / blocks % p.groups;
    scan_block<V>(p, task / blocks / p.groups, group, group * per_group + first,
                  minimum(W, per_group - first));
  });
}

}  // namespace

void selective_scan_forward(const SelectiveScanForward& p, ParallelFor parallel) {
#if defined(SWIN_WITH_DOUBLE)
  if (p.type == Type::kFloat64) return run<double>(p, parallel);
#endif
  run<Float>(p, parallel);
}

}  // namespace swin_umamba::SWIN_ISA
