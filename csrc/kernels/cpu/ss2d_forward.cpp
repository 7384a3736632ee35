// Fused 2-D selective scan, forward.
//
// The projections act on one pixel at a time, so they commute with the scan orders: every pixel is
// projected once for each direction, in place, and a scan reads pixels by index. One scan task is some
// channels of one image (kMostForward), which it walks in all four directions, adding into its own part of
// the output.
#include "ss2d_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// Pixels of one projection task, which transposes the weight for itself, and of one product of it.
constexpr int64_t kProjectedRows = 256;
constexpr int64_t kProductPixels = 64;

template <class V>
struct Projection {
  int64_t row;
  Element<V>* weight;     // (D, row), the columns of all directions that are taken together
  Element<V>* projected;  // (kProductPixels, row)
  ImageRows<V> x;

  Projection(Scratch& scratch, const Ss2d& p, int directions, int64_t rows)
      : row(round_up(directions * p.projected(), Lanes<V>::kCount)),
        weight(scratch.take<Element<V>>(p.dim * row)),
        projected(scratch.take<Element<V>>(kProductPixels * row)),
        x(scratch, p, rows, p.dim) {}
};

// `rows` pixels from `first` on in `directions` directions from `k` on, in one product.
template <class V>
void project_pixels(const Ss2dForward& p, int k, int directions, int64_t first, int64_t rows) {
  using E = Element<V>;
  const int64_t D = p.dim, P = p.projected(), pixels = p.batch * p.length(), columns = directions * P;
  InScratch<Projection<V>> a(p, directions, rows);
  int64_t row;
  const E* x = a->x.get(first, rows, 0, row);
  transpose_matrix<V>(a->weight, a->row, static_cast<const E*>(p.x_proj_weight) + k * P * D, columns, D, D);
  for (int64_t r = 0; r < rows; r += kProductPixels) {
    const int64_t now = minimum(kProductPixels, rows - r);
    gemm<V>(now, columns, D, {x + r * row, row, 1}, a->weight, a->row, a->projected, a->row, false);
    for (int i = 0; i < directions; ++i) {
      E* to = static_cast<E*>(p.projected_x) + ((k + i) * pixels + first + r) * P;
      for (int64_t t = 0; t < now; ++t) copy_row<V>(to + t * P, a->projected + t * a->row + i * P, P);
    }
  }
}

template <class V>
class ScanTask {
  using E = Element<V>;
  using Part = ImagePart<V, ForwardBlock<V>>;

 public:
  ScanTask(Scratch& scratch, const Ss2dForward& p, int64_t image, int64_t first, int64_t channels)
      : p_(p), part_(scratch, p, image, first, channels) {}

  void run() {
    for (int k = 0; k < kDirections; ++k) {
      part_.start_direction(k, p_.projected_x);
      for (int64_t b = 0; b < part_.block_count; ++b)
        part_.blocks[b].decay.clear(part_.blocks[b].state, p_.state);
      for (int64_t start = 0; start < p_.length(); start += kChunk) scan_chunk(start);
    }
  }

 private:
  void scan_chunk(int64_t start) {
    const ChunkScan<V> scan = part_.gather(start, [](ForwardBlock<V>&, int64_t, int64_t) {});
    const bool keeps = p_.states && p_.saved > 0, saves = keeps && start > 0;
    const int64_t next = start + kChunk;
    part_.look_ahead(next, {p_.out});
    if (keeps && next < p_.length()) part_.ask_for_states(p_.states, next / kChunk);
    part_.ahead.spread(kChunk * part_.block_count);
    for (int64_t b = 0; b < part_.block_count; ++b) {
      ForwardBlock<V>& x = part_.blocks[b];
      if (saves) x.save_state(part_.saved_state(p_.states, start / kChunk), p_.state, p_.dim);
      part_.start_block(b, scan.steps);
      x.scan_forward(scan, p_.state);
    }
    for (int64_t t = 0; t < scan.steps; ++t) {
      E* pixel = static_cast<E*>(p_.out) + part_.at(t);
      for (int64_t b = 0; b < part_.block_count; ++b) {
        const ForwardBlock<V>& x = part_.blocks[b];
        E* to = pixel + x.channel;
        store_some(to, part_.k == 0 ? x.chunk->y[t] : load_some(to, x.count) + x.chunk->y[t], x.count);
      }
    }
  }

  const Ss2dForward& p_;
  Part part_;
};

template <class V>
void run(const Ss2dForward& p, ParallelFor parallel) {
  const int64_t pixels = p.batch * p.length();
  const int64_t blocks = (pixels + kProjectedRows - 1) / kProjectedRows;
  // A task is one direction of some pixels; up to as many directions as fill whole vectors, or all, go
  // together.
  int64_t most = 1;
  while (most < kDirections && most * p.projected() % Lanes<V>::kCount) most *= 2;
  for_each_range(parallel, blocks * kDirections, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end;) {
      const int64_t first = task / kDirections * kProjectedRows, k = task % kDirections;
      const int64_t taken = minimum(minimum(most, kDirections - k), end - task);
      project_pixels<V>(p, int(k), int(taken), first, minimum(kProjectedRows, pixels - first));
      task += taken;
    }
  });
  for_each_channels(parallel, p.batch, p.dim, kMostForward,
                    [&](int64_t image, int64_t first, int64_t channels) {
                      InScratch<ScanTask<V>>(p, image, first, channels)->run();
                    });
}

}  // namespace

void ss2d_forward(const Ss2dForward& p, ParallelFor parallel) {
  for_compute_type(p.type, [&](auto v) { run<decltype(v)>(p, parallel); });
}

}  // namespace swin_umamba::SWIN_ISA
