// Fused 2-D selective scan, backward.
//
// Direction after direction: (a) scan tasks, each a few neighbouring parts of the channels of one image, up
// to kMostBackward channels at a time, walk the chunks backwards (recurrence.h) and leave their sum of the
// gradient of the projected pixels; (b) a few pixels at a time, these sums are added and taken back through
// the projection, to the image and its weight.
#include "ss2d_part.h"
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
    const Parts<V>* const all[] = {&x_proj_weight, &dt_projs_weight, &dt_projs_bias, &A_logs, &Ds};
    for (const Parts<V>* parts : all) parts->add(parallel);
  }

 private:
  static Parts<V> parameter(Workspace<Element<V>>& workspace, const Ss2dBackward& p, void* sum, int64_t row) {
    return {workspace, sum, compute_type<V>(), p.batch, kDirections * p.dim * row};
  }
};

template <class V>
class ScanTask {
  using E = Element<V>;
  using Part = ImagePart<V, BackwardBlock<V>>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount, kPartBlocks = kChannelsPerPart / W;
  static_assert(kChannelsPerPart % W == 0);

 public:
  // `parts` from `part` on, of which each leaves its sums as if it were alone.
  ScanTask(Scratch& scratch, const Ss2dBackward& p, const Arrays<V>& arrays, int k, int64_t image,
           int64_t part, int64_t parts)
      : p_(p),
        arrays_(arrays),
        k_(k),
        rescans_(saved_states(p.length()) > p.saved),
        first_(part),
        part_(scratch, p, image, part * kChannelsPerPart,
              minimum(parts * kChannelsPerPart, p.dim - part * kChannelsPerPart),
              rescans_ ? saved_states(p.length()) + 1 : 1),
        grad_rank_(scratch.take<E>(kChunk * p.rank)),
        grad_dt_projs_(scratch.take<E>(p.rank * part_.row)),
        sums_(scratch, p.state),
        rescanned_(scratch.take<V>(rescans_ ? saved_states(p.length()) * part_.block_count * p.state : 0)) {}

  void run() {
    const int64_t last = (p_.length() - 1) / kChunk;
    part_.start_direction(k_, p_.projected_x);
    if (rescans_) rescan(last);
    for (int64_t chunk = last; chunk >= 0; --chunk) {
      const bool kept = rescans_ && chunk < last;
      if (rescans_) part_.select(chunk);
      const ChunkScan<V> scan = kept ? part_.gathered(chunk * kChunk) : gather(chunk);
      for (int64_t b = 0; b < part_.block_count; ++b) {
        load_state(b, chunk);
        if (!kept) part_.start_block(b, scan.steps);
      }
      look_ahead(chunk - 1);
      for (int64_t first = 0; first < part_.block_count; first += kPartBlocks) {
        const int64_t blocks = minimum(kPartBlocks, part_.block_count - first);
        sums_.scan(scan, part_.blocks + first, blocks, false, false, false);
        for (int64_t b = first; b < first + blocks; ++b) finish(b, scan.steps);
        store_projected(scan.steps, first);
      }
      add_to_image(scan.steps);
      add_to_dt_projs(scan.steps);
    }
    transpose_matrix<V>(arrays_.dt_projs_weight[part_.image] + (k_ * p_.dim + part_.first) * p_.rank, p_.rank,
                        grad_dt_projs_, p_.rank, part_.channels, part_.row);
    for (int64_t b = 0; b < part_.block_count; ++b) store_parameters(part_.blocks[b]);
  }

 private:
  ChunkScan<V> gather(int64_t chunk) {
    return part_.gather(chunk * kChunk, [this](BackwardBlock<V>& x, int64_t t, int64_t at) {
      read(x.chunk->gy[t], p_.grad_out, kCompute, at, x.count);
    });
  }

  // A block's states before a chunk but the first that the forward pass has not saved.
  V* rescanned(int64_t b, int64_t chunk) const {
    return rescanned_ + ((chunk - 1) * part_.block_count + b) * p_.state;
  }

  // Leaves all chunks but the last as they are before the backward scan.
  void rescan(int64_t last) {
    for (int64_t b = 0; b < part_.block_count; ++b) load_state(b, 0);
    for (int64_t chunk = 0; chunk < last; ++chunk) {
      part_.select(chunk);
      const ChunkScan<V> scan = gather(chunk);
      for (int64_t b = 0; b < part_.block_count; ++b) {
        BackwardBlock<V>& x = part_.blocks[b];
        part_.start_block(b, scan.steps);
        x.scan_forward(scan, p_.state);
        for (int64_t n = 0; n < p_.state; ++n) rescanned(b, chunk + 1)[n] = x.state[n];
      }
    }
  }

  void load_state(int64_t b, int64_t chunk) {
    BackwardBlock<V>& x = part_.blocks[b];
    if (chunk == 0)
      x.decay.clear(x.state, p_.state);
    else if (!rescans_)
      x.load_state(part_.saved_state(p_.states, chunk), p_.state, p_.dim);
    else
      for (int64_t n = 0; n < p_.state; ++n) x.state[n] = rescanned(b, chunk)[n];
  }

  void look_ahead(int64_t chunk) {
    part_.look_ahead(chunk * kChunk, {p_.grad_out, arrays_.grad_x});
    if (chunk > 0 && !rescans_) part_.ask_for_states(p_.states, chunk);
    part_.ahead.spread(kChunk * part_.block_count * passes(p_.state, kBackwardStates));
  }

  // The gradient of dt before softplus comes in the place of that.
  void finish(int64_t b, int64_t steps) {
    BackwardBlock<V>& x = part_.blocks[b];
    x.finish(steps);
    for (int64_t t = 0; t < steps; ++t) part_.delta[t * part_.block_count + b] = x.chunk->gdt[t];
  }

  const E* grad_delta() const { return reinterpret_cast<const E*>(part_.delta); }

  void add_to_image(int64_t steps) {
    for (int64_t t = 0; t < steps; ++t) {
      E* pixel = arrays_.grad_x + part_.at(t);
      for (int64_t b = 0; b < part_.block_count; ++b) {
        const BackwardBlock<V>& x = part_.blocks[b];
        const V gu = x.chunk->gdtu[t];
        E* to = pixel + x.channel;
        store_some(to, k_ == 0 ? gu : load_some(to, x.count) + gu, x.count);
      }
    }
  }

  void add_to_dt_projs(int64_t steps) {
    gemm<V>(p_.rank, part_.row, steps, {part_.projected, 1, p_.projected()}, grad_delta(), part_.row,
            grad_dt_projs_, part_.row, true);
  }

  // Of the part whose first block is `first`.
  void store_projected(int64_t steps, int64_t first) {
    const int64_t P = p_.projected(), R = p_.rank, N = p_.state, channel = first * W;
    const int64_t together = parts_per_sum(p_.dim), part = first_ + first / kPartBlocks;
    gemm<V>(steps, R, minimum(kChannelsPerPart, part_.channels - channel),
            {grad_delta() + channel, part_.row, 1}, part_.dt_projs_weight() + channel * R, R, grad_rank_, R,
            false);
    const auto store_row = [&](E* to, const E* from, int64_t count) {
      if (part % together == 0)
        copy_row<V>(to, from, count);
      else
        add_row<V>(to, from, count);
    };
    E* grad_projected = arrays_.grad_projected + (part / together * p_.batch + part_.image) * p_.length() * P;
    for (int64_t t = 0; t < steps; ++t) {
      E* to = grad_projected + part_.pixels[t] * P;
      store_row(to, grad_rank_ + t * R, R);
      store_row(to + R, sums_.sum_B + t * sums_.row, N);
      store_row(to + R + N, sums_.sum_C + t * sums_.row, N);
    }
  }

  void store_parameters(BackwardBlock<V>& x) {
    const int64_t N = p_.state, vector = k_ * p_.dim + x.channel;
    for (int64_t n = 0; n < N; ++n) x.gA[n] *= x.decay.A[n];  // A = -exp(A_logs)
    store_channel_rows(x.gA, arrays_.A_logs[part_.image], kCompute, vector * N, N, N, x.count);
    write(arrays_.Ds[part_.image], kCompute, vector, x.gD, x.count);
    write(arrays_.dt_projs_bias[part_.image], kCompute, vector, x.gdelta_bias, x.count);
  }

  const Ss2dBackward& p_;
  const Arrays<V>& arrays_;
  const int k_;
  const bool rescans_;
  const int64_t first_;
  Part part_;
  E *grad_rank_, *grad_dt_projs_;  // (T, R) and (R, row)
  BackwardPart<V> sums_;
  V* rescanned_;  // (chunks but the first, blocks, N)
};

template <class V>
struct Projection {
  ImageRows<V> x;
  Element<V>* grad_projected;  // (kPixelRows, R+2N)

  Projection(Scratch& scratch, const Ss2d& p, int64_t columns)
      : x(scratch, p, kPixelRows, columns),
        grad_projected(scratch.take<Element<V>>(kPixelRows * p.projected())) {}
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
  InScratch<Projection<V>> a(p, columns);
  E* grad_projected = a->grad_projected;
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
    const E* x = a->x.get(first, rows, column, row);
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
  const int64_t in_image = channel_parts(D);
  const int64_t parts = pixel_parts(p.batch * p.length());
  // Where there are few pixels, few channels in a task.
  const int64_t columns = round_up((D * parts + kPixelParts - 1) / kPixelParts, kPanel);
  const int64_t panels = (D + columns - 1) / columns;
  for (int k = 0; k < kDirections; ++k) {
    for_each_range(parallel, p.batch * sums, [&](int64_t begin, int64_t end) {
      const auto first_part = [&](int64_t sum) {
        return sum / sums * in_image + minimum(sum % sums * together, in_image);
      };
      for (int64_t part = first_part(begin), last = first_part(end); part < last;) {
        const int64_t taken =
            minimum(minimum(kMostBackward / kChannelsPerPart, last - part), in_image - part % in_image);
        InScratch<ScanTask<V>>(p, arrays, k, part / in_image, part % in_image, taken)->run();
        part += taken;
      }
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
