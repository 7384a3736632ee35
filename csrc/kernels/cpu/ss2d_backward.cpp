// Fused 2-D selective scan, backward.
//
// Direction after direction: (a) scan tasks, each a few neighbouring parts of the channels of one image, walk
// the chunks backwards (recurrence.h) and leave their sum of the gradient of the projected pixels; (b) a few
// pixels at a time, these sums are added and taken back through the projection, to the image and its weight.
#include <initializer_list>

#include "gemm.h"
#include "image_rows.h"
#include "scan_block.h"
#include "sum_parts.h"

namespace swin_umamba::SWIN_ISA {
namespace {

constexpr int64_t kPixelRows = 64;
constexpr int64_t kPanel = 48;

// What the workspace holds: one direction's sums of the projected gradient, the gradient of x before it is
// rounded to a half type, and the gradients of parameters that are sums over tasks. A part is of one image,
// of x_proj_weight it is of some pixels.
template <class V>
struct Arrays {
  Element<V>* grad_projected;  // (channel_sums, B, H*W, R+2N)
  Element<V>* grad_x;          // (B, H*W, D)
  Parts<V> x_proj_weight, dt_projs_weight, dt_projs_bias, A_logs, Ds;

  Arrays(Workspace<Element<V>>& workspace, const Ss2dBackward& p)
      : grad_projected(workspace.take(channel_sums(p.dim) * p.batch * p.length() * p.projected())),
        grad_x(p.type == compute_type<V>() ? static_cast<Element<V>*>(p.grad_x)
                                           : workspace.take(p.batch * p.length() * p.dim)),
        x_proj_weight(workspace, p.grad_x_proj_weight, compute_type<V>(), pixel_parts(p.batch * p.length()),
                      kDirections * p.projected() * p.dim),
        dt_projs_weight(parameter(workspace, p, p.grad_dt_projs_weight, p.rank)),
        dt_projs_bias(parameter(workspace, p, p.grad_dt_projs_bias, 1)),
        A_logs(parameter(workspace, p, p.grad_A_logs, p.state)),
        Ds(parameter(workspace, p, p.grad_Ds, 1)) {}

  void add(ParallelFor parallel) const {
    for (const Parts<V>* parts : {&x_proj_weight, &dt_projs_weight, &dt_projs_bias, &A_logs, &Ds})
      parts->add(parallel);
  }

 private:
  static Parts<V> parameter(Workspace<Element<V>>& workspace, const Ss2dBackward& p, void* sum, int64_t row) {
    return {workspace, sum, compute_type<V>(), p.batch, kDirections * p.dim * row};
  }
};

template <class V>
class PartTask {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;
  static constexpr int64_t kBlocks = (kChannelsPerPart + W - 1) / W;

 public:
  // `grad_projected` (H*W, R+2N) is added to, unless the part is the first of its sum.
  PartTask(const Ss2dBackward& p, const Arrays<V>& arrays, int k, int64_t image, int64_t part,
           E* grad_projected, bool first_of_sum)
      : p_(p),
        arrays_(arrays),
        k_(k),
        image_(image),
        first_(part * kChannelsPerPart),
        channels_(minimum(kChannelsPerPart, p.dim - first_)),
        block_count_((channels_ + W - 1) / W),
        rows_(static_cast<const E*>(p.projected_x) + (k * p.batch + image) * p.length() * p.projected()),
        grad_projected_(grad_projected),
        first_of_sum_(first_of_sum),
        scratch_(bytes(p)) {
    const int64_t N = p.state, D = p.dim;
    projected_ = scratch_.take<E>(kChunk * p.projected());
    grad_rank_ = scratch_.take<E>(kChunk * p.rank);
    dt_projs_ = scratch_.take<E>(p.rank * kBlocks * W);
    grad_dt_projs_ = scratch_.take<E>(p.rank * kBlocks * W);
    transpose_matrix<V>(dt_projs_, block_count_ * W, dt_projs_weight(), channels_, p.rank, p.rank);
    delta_ = scratch_.take<V>(kChunk * kBlocks);
    sums_.take(scratch_, N);
    if (rescanned(p) > 0) rescanned_ = scratch_.take<V>(rescanned(p) * kBlocks * N);
    for (int64_t b = 0; b < block_count_; ++b) {
      BackwardBlock<V>& x = blocks_[b];
      x.take(scratch_, N);
      x.channel = first_ + b * W;
      x.count = minimum(W, channels_ - b * W);
      load_channel_rows(x.decay.A, p.A_logs, kCompute, (k * D + x.channel) * N, N, N, x.count);
      x.decay.negative_exp(N);
      x.decay.prepare(N, true);
      read(x.D, p.Ds, kCompute, k * D + x.channel, x.count);
      read(x.delta_bias, p.dt_projs_bias, kCompute, k * D + x.channel, x.count);
    }
  }

  void run() {
    const int64_t L = p_.length(), P = p_.projected(), R = p_.rank, N = p_.state;
    const Coefficients<V> B{projected_ + R, P, nullptr}, C{projected_ + R + N, P, nullptr};
    const int64_t last = (L - 1) / kChunk;
    if (rescanned_) rescan(last, B, C);
    for (int64_t chunk = last; chunk >= 0; --chunk) {
      const int64_t start = chunk * kChunk, steps = minimum(kChunk, L - start);
      gather(start, steps);
      for (int64_t b = 0; b < block_count_; ++b) load_block(blocks_[b], b, chunk, steps);
      look_ahead(chunk);
      sums_.scan(blocks_, block_count_, steps, B, C, false, false, false);
      for (int64_t b = 0; b < block_count_; ++b) store_block(blocks_[b], b, steps);
      add_to_image(steps);
      store_projected(steps);
    }
    transpose_matrix<V>(arrays_.dt_projs_weight[image_] + (k_ * p_.dim + first_) * R, R, grad_dt_projs_, R,
                        channels_, block_count_ * W);
    for (int64_t b = 0; b < block_count_; ++b) store_parameters(blocks_[b]);
  }

 private:
  static int64_t bytes(const Ss2dBackward& p) {
    return Scratch::bytes<E>(kChunk * p.projected()) + Scratch::bytes<E>(kChunk * p.rank) +
           2 * Scratch::bytes<E>(p.rank * kBlocks * W) + Scratch::bytes<V>(kChunk * kBlocks) +
           BackwardPart<V>::bytes(p.state) + kBlocks * BackwardBlock<V>::bytes(p.state) +
           Scratch::bytes<V>(rescanned(p) * kBlocks * p.state);
  }

  // States before a chunk that the forward pass has not saved.
  static int64_t rescanned(const Ss2dBackward& p) {
    return saved_states(p.length()) - ss2d_saved_states(p.length());
  }

  void rescan(int64_t chunks, const Coefficients<V>& B, const Coefficients<V>& C) {
    for (int64_t b = 0; b < block_count_; ++b) blocks_[b].decay.clear(blocks_[b].state, p_.state);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      gather(chunk * kChunk, kChunk);
      for (int64_t b = 0; b < block_count_; ++b) {
        BackwardBlock<V>& x = blocks_[b];
        x.start(kChunk, true, delta_ + b, block_count_);
        forward_chunk<V>({kChunk, B, C, sums_.ahead}, *x.chunk, p_.state, x.decay.A2, x.decay.limit,
                         x.decay.unusual, x.state);
        for (int64_t n = 0; n < p_.state; ++n) rescanned_[(chunk * kBlocks + b) * p_.state + n] = x.state[n];
      }
    }
  }

  void look_ahead(int64_t chunk) {
    sums_.ahead.clear();
    if (chunk == 0) return;
    PixelWalk walk(k_, (chunk - 1) * kChunk, p_.height, p_.width);
    const int64_t channels = block_count_ * W;
    for (int64_t t = 0; t < kChunk; ++t) {
      const int64_t pixel = walk.next(), at = (image_ * p_.length() + pixel) * p_.dim + first_;
      sums_.ahead.add(static_cast<const char*>(p_.x) + at * type_size(p_.type),
                      channels * type_size(p_.type));
      sums_.ahead.add(static_cast<const E*>(p_.grad_out) + at, channels * sizeof(E));
      sums_.ahead.add(arrays_.grad_x + at, channels * sizeof(E));
      sums_.ahead.add(rows_ + pixel * p_.projected(), p_.projected() * sizeof(E));
    }
    for (int64_t b = 0; chunk > 1 && !rescanned_ && b < block_count_; ++b)
      for (int64_t n = 0; n < p_.state; ++n)
        sums_.ahead.add(saved_state(chunk - 1) + n * p_.dim + blocks_[b].channel,
                        blocks_[b].count * sizeof(E));
    sums_.ahead.spread(kChunk * block_count_ * passes(p_.state, kBackwardStates));
  }

  // What a chunk reads, and dt before bias and softplus. A pixel's channels together: pixels are pages apart.
  void gather(int64_t start, int64_t steps) {
    const int64_t P = p_.projected(), row = block_count_ * W;
    PixelWalk walk(k_, start, p_.height, p_.width);
    for (int64_t t = 0; t < steps; ++t) {
      pixels_[t] = walk.next();
      copy_row<V>(projected_ + t * P, rows_ + pixels_[t] * P, P);
      const int64_t at = (image_ * p_.length() + pixels_[t]) * p_.dim;
      for (int64_t b = 0; b < block_count_; ++b) {
        const BackwardBlock<V>& x = blocks_[b];
        read(x.chunk->u[t], p_.x, p_.type, at + x.channel, x.count);
        read(x.chunk->gy[t], p_.grad_out, kCompute, at + x.channel, x.count);
      }
    }
    gemm<V>(steps, row, p_.rank, {projected_, P, 1}, dt_projs_, row, reinterpret_cast<E*>(delta_), row,
            false);
  }

  // The gradient of u, which store_block left in gdtu.
  void add_to_image(int64_t steps) {
    for (int64_t t = 0; t < steps; ++t)
      for (int64_t b = 0; b < block_count_; ++b) {
        const BackwardBlock<V>& x = blocks_[b];
        const V gu = x.chunk->gdtu[t];
        E* to = arrays_.grad_x + (image_ * p_.length() + pixels_[t]) * p_.dim + x.channel;
        store_some(to, k_ == 0 ? gu : load_some(to, x.count) + gu, x.count);
      }
  }

  // The part's, (channels, R).
  const E* dt_projs_weight() const {
    return static_cast<const E*>(p_.dt_projs_weight) + (k_ * p_.dim + first_) * p_.rank;
  }

  // The states of all channels before a chunk but the first, (N, D).
  const E* saved_state(int64_t chunk) const {
    const int64_t image = (k_ * p_.batch + image_) * ss2d_saved_states(p_.length());
    return static_cast<const E*>(p_.states) + (image + chunk - 1) * p_.state * p_.dim;
  }

  void load_block(BackwardBlock<V>& x, int64_t b, int64_t chunk, int64_t steps) {
    if (chunk == 0)
      x.decay.clear(x.state, p_.state);
    else
      for (int64_t n = 0; n < p_.state; ++n)
        x.state[n] = rescanned_ ? rescanned_[((chunk - 1) * kBlocks + b) * p_.state + n]
                                : load_some(saved_state(chunk) + n * p_.dim + x.channel, x.count);
    x.start(steps, true, delta_ + b, block_count_);
  }

  void store_block(BackwardBlock<V>& x, int64_t b, int64_t steps) {
    BackwardChunk<V>& chunk = *x.chunk;
    V gD{}, gbias{};
    for (int64_t t = 0; t < steps; ++t) {
      const V gdelta = fma(chunk.gdtu[t], chunk.u[t], chunk.gdt[t]) * chunk.slope[t];
      delta_[t * block_count_ + b] = gdelta;
      gbias += gdelta;
      gD = fma(chunk.gy[t], chunk.u[t], gD);
      chunk.gdtu[t] = fma(chunk.gdtu[t], chunk.dt[t], x.D * chunk.gy[t]);
    }
    x.gD += gD;
    x.gdelta_bias += gbias;
  }

  void store_projected(int64_t steps) {
    const int64_t P = p_.projected(), R = p_.rank, N = p_.state, row = block_count_ * W;
    const E* grad_delta = reinterpret_cast<const E*>(delta_);
    gemm<V>(steps, R, channels_, {grad_delta, row, 1}, dt_projs_weight(), R, grad_rank_, R, false);
    gemm<V>(R, row, steps, {projected_, 1, P}, grad_delta, row, grad_dt_projs_, row, true);
    const auto store_row = [this](E* to, const E* from, int64_t count) {
      if (first_of_sum_)
        copy_row<V>(to, from, count);
      else
        add_row<V>(to, from, count);
    };
    for (int64_t t = 0; t < steps; ++t) {
      E* to = grad_projected_ + pixels_[t] * P;
      store_row(to, grad_rank_ + t * R, R);
      store_row(to + R, sums_.sum_B + t * sums_.row, N);
      store_row(to + R + N, sums_.sum_C + t * sums_.row, N);
    }
  }

  void store_parameters(BackwardBlock<V>& x) {
    const int64_t N = p_.state, vector = k_ * p_.dim + x.channel;
    for (int64_t n = 0; n < N; ++n) x.gA[n] *= x.decay.A[n];  // A = -exp(A_logs)
    store_channel_rows(x.gA, arrays_.A_logs[image_], kCompute, vector * N, N, N, x.count);
    write(arrays_.Ds[image_], kCompute, vector, x.gD, x.count);
    write(arrays_.dt_projs_bias[image_], kCompute, vector, x.gdelta_bias, x.count);
  }

  const Ss2dBackward& p_;
  const Arrays<V>& arrays_;
  const int k_;
  const int64_t image_, first_, channels_, block_count_;
  const E* rows_;
  E* grad_projected_;
  const bool first_of_sum_;
  Scratch scratch_;
  int64_t pixels_[kChunk];
  E *projected_, *grad_rank_;
  E *dt_projs_, *grad_dt_projs_;  // (R, channels)
  V* delta_;                      // (T, blocks): dt before bias and softplus, then its gradient
  V* rescanned_ = nullptr;        // (chunks but the first, kBlocks, N): states before them, if not saved
  BackwardPart<V> sums_;
  BackwardBlock<V> blocks_[kBlocks];
};

// Some columns (channels) of one part of the pixels in one direction: adds up the sums over channels, takes
// them through x_proj_weight[k] (R+2N, D) to the image, and sums the gradient of that weight. After the last
// direction the gradient of x is rounded, if x is of a half type.
template <class V>
void project_back(const Ss2dBackward& p, const Arrays<V>& arrays, int k, int64_t part, int64_t column,
                  int64_t columns) {
  using E = Element<V>;
  const int64_t D = p.dim, P = p.projected(), pixels = p.batch * p.length(), parts = pixel_parts(pixels);
  const int64_t blocks = (pixels + kPixelRows - 1) / kPixelRows;
  const int64_t begin = blocks * part / parts * kPixelRows;
  const int64_t end = minimum(blocks * (part + 1) / parts * kPixelRows, pixels);
  const int64_t copied = image_copy<V>(p.type, kPixelRows, columns), summed = kPixelRows * P;
  Scratch scratch(Scratch::bytes<E>(copied) + Scratch::bytes<E>(summed));
  E* copy = scratch.take<E>(copied);
  E* grad_projected = scratch.take<E>(summed);
  const E* weight = static_cast<const E*>(p.x_proj_weight) + k * P * D + column;
  E* grad_weight = arrays.x_proj_weight[part] + k * P * D + column;
  E* grad_x = arrays.grad_x + column;
  const E* sums = arrays.grad_projected;
  const bool rounds = p.type != compute_type<V>() && k == kDirections - 1;
  for (int64_t first = begin; first < end; first += kPixelRows) {
    const int64_t rows = minimum(kPixelRows, end - first);
    copy_row<V>(grad_projected, sums + first * P, rows * P);
    for (int64_t other = 1; other < channel_sums(D); ++other)
      add_row<V>(grad_projected, sums + (other * pixels + first) * P, rows * P);
    gemm<V>(rows, columns, P, {grad_projected, P, 1}, weight, D, grad_x + first * D, D, true);
    int64_t row;
    const E* x = image_rows<V>(p.x, p.type, D, first, rows, column, columns, copy, row);
    gemm<V>(P, columns, rows, {grad_projected, 1, P}, x, row, grad_weight, D, first > begin);
    for (int64_t r = first; rounds && r < first + rows; ++r)
      narrow_row(p.grad_x, p.type, r * D + column, grad_x + r * D, columns);
  }
}

template <class V>
void run(const Ss2dBackward& p, ParallelFor parallel) {
  using E = Element<V>;
  Workspace<E> workspace{static_cast<E*>(p.workspace)};
  const Arrays<V> arrays(workspace, p);
  const int64_t D = p.dim, sums = channel_sums(D), together = parts_per_sum(D);
  const int64_t parts = pixel_parts(p.batch * p.length());
  // Where there are few pixels, few channels in a task.
  const int64_t columns = round_up((D * parts + kPixelParts - 1) / kPixelParts, kPanel);
  const int64_t panels = (D + columns - 1) / columns;
  for (int k = 0; k < kDirections; ++k) {
    for_each_task(parallel, p.batch * sums, [&](int64_t task) {
      const int64_t image = task / sums, sum = task % sums;
      E* to = arrays.grad_projected + (sum * p.batch + image) * p.length() * p.projected();
      const int64_t first = sum * together, end = minimum(first + together, channel_parts(D));
      for (int64_t part = first; part < end; ++part)
        PartTask<V>(p, arrays, k, image, part, to, part == first).run();
    });
    for_each_task(parallel, parts * panels, [&](int64_t task) {
      const int64_t column = task % panels * columns;
      project_back<V>(p, arrays, k, task / panels, column, minimum(columns, D - column));
    });
  }
  arrays.add(parallel);
}

template <class V>
int64_t workspace_size(const Ss2dBackward& p) {
  Workspace<Element<V>> workspace;
  Arrays<V>(workspace, p);
  return workspace.used;
}

}  // namespace

int64_t ss2d_backward_workspace(const Ss2dBackward& p) {
  return for_compute_type(p.type, [&](auto v) { return workspace_size<decltype(v)>(p); });
}

void ss2d_backward(const Ss2dBackward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
