// Fused 2-D selective scan, forward.
//
// The projections act on one pixel at a time, so they commute with the scan orders: every pixel is
// projected once for each direction, in place, and a scan reads pixels by index. One scan task is some
// channels of one image, which it walks in all four directions, adding into its own part of the output. It
// takes up to kChannelsPerPart channels at a time, and fewer where there would not be a task for every
// thread.
#include "gemm.h"
#include "image_rows.h"
#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// Pixels of one projection task, which transposes the weight for itself, and of one product of it.
constexpr int64_t kProjectedRows = 256;
constexpr int64_t kProductRows = 64;

// `rows` pixels from `first` on in `directions` directions from `k` on.
template <class V>
void project_pixels(const Ss2dForward& p, int k, int directions, int64_t first, int64_t rows) {
  using E = Element<V>;
  const int64_t D = p.dim, P = p.projected(), pixels = p.batch * p.length();
  const int64_t copied = image_copy<V>(p.type, rows, D), weight_row = round_up(P, Lanes<V>::kCount);
  Scratch scratch(Scratch::bytes<E>(D * weight_row) + Scratch::bytes<E>(copied));
  E* x_proj = scratch.take<E>(D * weight_row);
  E* copy = scratch.take<E>(copied);
  int64_t row;
  const E* x = image_rows<V>(p.x, p.type, D, first, rows, 0, D, copy, row);
  for (const int end = k + directions; k < end; ++k) {
    transpose_matrix<V>(x_proj, weight_row, static_cast<const E*>(p.x_proj_weight) + k * D * P, P, D, D);
    for (int64_t r = 0; r < rows; r += kProductRows)
      gemm<V>(minimum(kProductRows, rows - r), P, D, {x + r * row, row, 1}, x_proj, weight_row,
              static_cast<E*>(p.projected_x) + (k * pixels + first + r) * P, P, false);
  }
}

template <class V>
class PartTask {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;
  static constexpr int64_t kBlocks = (kChannelsPerPart + W - 1) / W;

 public:
  PartTask(const Ss2dForward& p, int64_t image, int64_t first, int64_t channels)
      : p_(p),
        image_(image),
        first_(first),
        channels_(channels),
        block_count_((channels_ + W - 1) / W),
        scratch_(bytes(p)) {
    projected_ = scratch_.take<E>(kChunk * p.projected());
    dt_projs_ = scratch_.take<E>(p.rank * kBlocks * W);
    delta_ = scratch_.take<V>(kChunk * kBlocks);
    for (int64_t b = 0; b < block_count_; ++b) {
      blocks_[b].take(scratch_, p.state);
      blocks_[b].channel = first_ + b * W;
      blocks_[b].count = minimum(W, channels_ - b * W);
    }
  }

  void run() {
    for (int k = 0; k < kDirections; ++k) {
      transpose_matrix<V>(dt_projs_, block_count_ * W,
                          static_cast<const E*>(p_.dt_projs_weight) + (k * p_.dim + first_) * p_.rank,
                          channels_, p_.rank, p_.rank);
      for (int64_t b = 0; b < block_count_; ++b) start_direction(blocks_[b], k);
      for (int64_t start = 0; start < p_.length(); start += kChunk) scan_chunk(k, start);
    }
  }

 private:
  static int64_t bytes(const Ss2dForward& p) {
    return Scratch::bytes<E>(kChunk * p.projected()) + Scratch::bytes<E>(p.rank * kBlocks * W) +
           Scratch::bytes<V>(kChunk * kBlocks) + kBlocks * ForwardBlock<V>::bytes(p.state);
  }

  void start_direction(ForwardBlock<V>& x, int k) {
    const int64_t N = p_.state, vector = k * p_.dim + x.channel;
    load_channel_rows(x.decay.A, p_.A_logs, kCompute, vector * N, N, N, x.count);
    x.decay.negative_exp(N);
    x.decay.prepare(N, true);
    x.decay.clear(x.state, N);
    read(x.D, p_.Ds, kCompute, vector, x.count);
    read(x.delta_bias, p_.dt_projs_bias, kCompute, vector, x.count);
  }

  const E* projected_rows(int k) const {
    return static_cast<const E*>(p_.projected_x) + (k * p_.batch + image_) * p_.length() * p_.projected();
  }

  void look_ahead(int k, int64_t next) {
    ahead_.clear();
    if (next >= p_.length()) return;
    PixelWalk walk(k, next, p_.height, p_.width);
    for (int64_t t = 0; t < minimum(kChunk, p_.length() - next); ++t) {
      const int64_t pixel = walk.next(), at = (image_ * p_.length() + pixel) * p_.dim + first_;
      ahead_.add(static_cast<const char*>(p_.x) + at * type_size(p_.type), channels_ * type_size(p_.type));
      ahead_.add(static_cast<const E*>(p_.out) + at, channels_ * sizeof(E));
      ahead_.add(projected_rows(k) + pixel * p_.projected(), p_.projected() * sizeof(E));
    }
    ahead_.spread(kChunk * block_count_);
  }

  void scan_chunk(int k, int64_t start) {
    const int64_t N = p_.state, R = p_.rank, P = p_.projected(), L = p_.length(), D = p_.dim;
    const int64_t steps = minimum(kChunk, L - start), saved = ss2d_saved_states(L);
    const E* rows = projected_rows(k);
    PixelWalk walk(k, start, p_.height, p_.width);
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t pixel = walk.next();
      at_[t] = (image_ * L + pixel) * D;
      copy_row<V>(projected_ + t * P, rows + pixel * P, P);
      // A pixel's channels together: pixels are pages apart.
      for (int64_t b = 0; b < block_count_; ++b)
        read(blocks_[b].chunk->u[t], p_.x, p_.type, at_[t] + blocks_[b].channel, blocks_[b].count);
    }
    gemm<V>(steps, block_count_ * W, R, {projected_, P, 1}, dt_projs_, block_count_ * W,
            reinterpret_cast<E*>(delta_), block_count_ * W, false);
    look_ahead(k, start + steps);
    for (int64_t b = 0; b < block_count_; ++b) {
      ForwardBlock<V>& x = blocks_[b];
      if (p_.states && saved > 0 && start > 0)
        save_state(static_cast<E*>(p_.states) + (k * p_.batch + image_) * saved * N * D, start / kChunk,
                   x.state, N, D, x.channel, x.count);
      x.scan({steps, {projected_ + R, P, nullptr}, {projected_ + R + N, P, nullptr}, ahead_}, N, true,
             delta_ + b, block_count_);
    }
    for (int64_t t = 0; t < steps; ++t)
      for (int64_t b = 0; b < block_count_; ++b) {
        const ForwardBlock<V>& x = blocks_[b];
        E* to = static_cast<E*>(p_.out) + at_[t] + x.channel;
        store_some(to, k == 0 ? x.chunk->y[t] : load_some(to, x.count) + x.chunk->y[t], x.count);
      }
  }

  const Ss2dForward& p_;
  const int64_t image_, first_, channels_, block_count_;
  Scratch scratch_;
  int64_t at_[kChunk];  // first channels of the chunk's pixels
  E* projected_;
  E* dt_projs_;  // (R, channels) of one direction
  V* delta_;     // (T, blocks): dt before bias and softplus
  Ahead ahead_;
  ForwardBlock<V> blocks_[kBlocks];
};

template <class V>
void run(const Ss2dForward& p, ParallelFor parallel) {
  constexpr int64_t kUnit = 16;  // channels; threads do not write to the same line of memory
  const int64_t pixels = p.batch * p.length(), units = (p.dim + kUnit - 1) / kUnit;
  const int64_t blocks = (pixels + kProjectedRows - 1) / kProjectedRows;
  // Where there are few pixels, a task for each direction; else the pixels stay in the cache for all.
  const int together = blocks < 16 ? 1 : kDirections, tasks = kDirections / together;
  for_each_task(parallel, tasks * blocks, [&](int64_t task) {
    const int64_t first = task / tasks * kProjectedRows;
    project_pixels<V>(p, int(task % tasks) * together, together, first,
                      minimum(kProjectedRows, pixels - first));
  });
  for_each_range(parallel, p.batch * units, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end;) {
      const int64_t image = unit / units, first = unit % units * kUnit;
      const int64_t left = minimum(end, (image + 1) * units) - unit;
      const int64_t channels = minimum(minimum(kChannelsPerPart, left * kUnit), p.dim - first);
      PartTask<V>(p, image, first, channels).run();
      unit += (channels + kUnit - 1) / kUnit;
    }
  });
}

}  // namespace

void ss2d_forward(const Ss2dForward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
