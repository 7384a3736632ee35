// Fused 2-D selective scan, forward.
//
// The projections act on one pixel at a time, so they commute with the scan orders: every pixel is
// projected once for each direction, in place, and a scan reads pixels by index. One scan task is one
// block of channels of one image, which it walks in all four directions, adding into its own part of
// the output.
#include "gemm.h"
#include "image_rows.h"
#include "kernels.h"
#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {
namespace {

constexpr int64_t kProjectedRows = 64;

template <class V>
struct Weights {
  Element<V>* x_proj;    // (4, D, padded(R+2N))
  Element<V>* dt_projs;  // (4, R, padded(D))
};

template <class V>
void project_pixels(const Ss2dForward& p, const Weights<V>& weights, int64_t first, int64_t rows) {
  using E = Element<V>;
  const int64_t D = p.dim, P = p.projected(), pixels = p.batch * p.length();
  Scratch scratch(Scratch::bytes<E>(rows * D));
  int64_t row;
  const E* x = image_rows<V>(p.x, p.type, D, first, rows, 0, D, scratch.take<E>(rows * D), row);
  for (int k = 0; k < kDirections; ++k) {
    E* to = static_cast<E*>(p.projected_x) + (k * pixels + first) * P;
    gemm<V>(rows, P, D, {x, row, 1}, weights.x_proj + k * D * padded(P), padded(P), to, P, false);
  }
}

template <class V>
void scan_block(const Ss2dForward& p, const Weights<V>& weights, int64_t image, int64_t channel,
                int64_t count) {
  using E = Element<V>;
  constexpr Type kCompute = compute_type<V>();
  constexpr int64_t W = Lanes<V>::kCount;
  const int64_t N = p.state, R = p.rank, P = p.projected(), L = p.length(), D = p.dim;
  Scratch scratch(4 * Scratch::bytes<V>(kChunk) + Scratch::bytes<E>(kChunk * P) + Decay<V>::bytes(N) +
                  Scratch::bytes<V>(N));
  V* x = scratch.take<V>(kChunk);
  V* dt = scratch.take<V>(kChunk);
  V* dtx = scratch.take<V>(kChunk);
  V* y = scratch.take<V>(kChunk);
  E* projected = scratch.take<E>(kChunk * P);
  Decay<V> decay;
  decay.take(scratch, N);
  V* state = scratch.take<V>(N);
  const Coefficients<V> B{projected + R, P, nullptr}, C{projected + R + N, P, nullptr};

  for (int k = 0; k < kDirections; ++k) {
    load_channel_rows(decay.A, p.A_logs, kCompute, (k * D + channel) * N, N, N, count);
    decay.negative_exp(N);
    decay.prepare(N);
    decay.clear(state, N);
    V skip, bias;
    read(skip, p.Ds, kCompute, k * D + channel, count);
    read(bias, p.dt_projs_bias, kCompute, k * D + channel, count);
    const E* rows = static_cast<const E*>(p.projected_x) + (k * p.batch + image) * L * P;
    E* states = static_cast<E*>(p.states);
    if (states) states += (k * p.batch + image) * saved_states(L) * N * D;

    for (int64_t start = 0, chunk = 0; start < L; start += kChunk, ++chunk) {
      const int64_t steps = minimum(kChunk, L - start);
      if (states && chunk > 0) save_state(states, chunk, state, N, D, channel, count);
      PixelWalk walk(k, start, p.height, p.width);
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t pixel = walk.next();
        read(x[t], p.x, p.type, (image * L + pixel) * D + channel, count);
        memcpy(projected + t * P, rows + pixel * P, P * sizeof(E));
      }
      gemm<V>(steps, W, R, {projected, P, 1}, weights.dt_projs + k * R * padded(D) + channel, padded(D),
              reinterpret_cast<E*>(dt), W, false);
      for (int64_t t = 0; t < steps; ++t) dt[t] += bias;
      softplus_all<V>(dt, nullptr, steps);
      for (int64_t t = 0; t < steps; ++t) {
        dtx[t] = dt[t] * x[t];
        y[t] = skip * x[t];
      }
      forward_chunk<V>({steps, dt, dtx, B, C, y, {}}, N, decay.A2, decay.limit, state);
      walk = PixelWalk(k, start, p.height, p.width);
      for (int64_t t = 0; t < steps; ++t) {
        E* to = static_cast<E*>(p.out) + (image * L + walk.next()) * D + channel;
        store_some(to, k == 0 ? y[t] : load_some(to, count) + y[t], count);
      }
    }
  }
}

template <class V>
void run(const Ss2dForward& p, ParallelFor parallel) {
  using E = Element<V>;
  constexpr int64_t W = Lanes<V>::kCount;
  const int64_t D = p.dim, P = p.projected(), R = p.rank;
  E* workspace = static_cast<E*>(p.workspace);
  const Weights<V> weights{workspace, workspace + kDirections * D * padded(P)};

  for_each_task(parallel, kDirections, [&](int64_t k) {
    transpose_matrix<V>(weights.x_proj + k * D * padded(P), padded(P),
                        static_cast<const E*>(p.x_proj_weight) + k * D * P, P, D);
    transpose_matrix<V>(weights.dt_projs + k * R * padded(D), padded(D),
                        static_cast<const E*>(p.dt_projs_weight) + k * D * R, D, R);
  });

  const int64_t pixels = p.batch * p.length();
  for_each_task(parallel, (pixels + kProjectedRows - 1) / kProjectedRows, [&](int64_t task) {
    const int64_t first = task * kProjectedRows;
    project_pixels<V>(p, weights, first, minimum(kProjectedRows, pixels - first));
  });

  const int64_t blocks = (D + W - 1) / W;
  for_each_task(parallel, p.batch * blocks, [&](int64_t task) {
    const int64_t channel = task % blocks * W;
    scan_block<V>(p, weights, task / blocks, channel, minimum(W, D - channel));
  });
}

}  // namespace

void ss2d_forward(const Ss2dForward& p, ParallelFor parallel) {
#if defined(SWIN_WITH_DOUBLE)
  if (p.type == Type::kFloat64) return run<double>(p, parallel);
#endif
  run<Float>(p, parallel);
}

}  // namespace swin_umamba::SWIN_ISA
