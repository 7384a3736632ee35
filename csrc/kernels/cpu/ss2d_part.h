// What the forward and the backward pass of ss2d share: some channels of one image, walked in one direction,
// and rows of the image in compute type.
#pragma once

#include "gemm.h"
#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {

template <class V, class Block>
struct ImagePart {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;

  const Ss2d& p;
  const int64_t image, first, channels, block_count;
  const int64_t row;  // of vectors of all channels, whole blocks
  int k;              // the direction
  const E* rows;      // (H*W, R+2N): the image's projected pixels in it
  E* all_projected;   // (kept chunks, T, R+2N): those of each chunk
  E* projected;       // of the chunk at hand
  E* dt_projs;        // (R, row)
  V* delta;           // (T, blocks): dt before bias and softplus
  Block blocks[Block::kMost];
  int64_t *all_pixels, *pixels;  // likewise, (kept chunks, T) and (T)
  Ahead ahead;

  // `kept`: chunks, of which `select` takes one at hand; the first is.
  ImagePart(Scratch& scratch, const Ss2d& p, int64_t image, int64_t first, int64_t channels, int64_t kept = 1)
      : p(p),
        image(image),
        first(first),
        channels(channels),
        block_count((channels + W - 1) / W),
        row(block_count * W),
        all_projected(scratch.take<E>(kept * kChunk * p.projected())),
        dt_projs(scratch.take<E>(p.rank * row)),
        delta(scratch.take<V>(kChunk * block_count)),
        all_pixels(scratch.take<int64_t>(kept * kChunk)) {
    V* const shared = scratch.take<V>(Block::kShared);
    for (int64_t b = 0; b < block_count; ++b) {
      blocks[b].take(scratch, shared, p.state, kept);
      blocks[b].channel = first + b * W;
      blocks[b].count = minimum(W, channels - b * W);
    }
    select(0);
  }

  void select(int64_t chunk) {
    projected = all_projected + chunk * kChunk * p.projected();
    pixels = all_pixels + chunk * kChunk;
    for (int64_t b = 0; b < block_count; ++b) blocks[b].chunk = blocks[b].chunks + chunk;
  }

  // The channels', (channels, R).
  const E* dt_projs_weight() const {
    return static_cast<const E*>(p.dt_projs_weight) + (k * p.dim + first) * p.rank;
  }

  void start_direction(int direction, const void* projected_x) {
    k = direction;
    const int64_t N = p.state;
    rows = static_cast<const E*>(projected_x) + (k * p.batch + image) * p.length() * p.projected();
    transpose_matrix<V>(dt_projs, row, dt_projs_weight(), channels, p.rank, p.rank);
    for (int64_t b = 0; b < block_count; ++b) {
      Block& x = blocks[b];
      const int64_t vector = k * p.dim + x.channel;
      load_channel_rows(x.decay.A, p.A_logs, kCompute, vector * N, N, N, x.count);
      x.decay.negative_exp(N);
      x.decay.prepare(N, true);
      read(x.D, p.Ds, kCompute, vector, x.count);
      read(x.delta_bias, p.dt_projs_bias, kCompute, vector, x.count);
    }
  }

  // The first of all channels of a chunk's pixel in an array (B, H, W, D).
  int64_t at(int64_t step) const { return (image * p.length() + pixels[step]) * p.dim; }

  // What a chunk reads, and delta. A pixel's channels together: pixels are pages apart. `each(x, t, at)`
  // reads more of them.
  template <class Each>
  ChunkScan<V> gather(int64_t start, Each each) {
    const int64_t P = p.projected(), R = p.rank, steps = minimum(kChunk, p.length() - start);
    bool visited = false;
    if constexpr (W > 1)
      if (channels == row)  // whole vectors, whose type is looked at once
        visited = true, for_type(p.type, [&](auto type) {
          visit(
              start, steps, [&](V& u, int64_t at, int64_t) { u = read_full<decltype(type)::value>(p.x, at); },
              each);
        });
    if (!visited)
      visit(start, steps, [&](V& u, int64_t at, int64_t count) { read(u, p.x, p.type, at, count); }, each);
    gemm<V>(steps, row, R, {projected, P, 1}, dt_projs, row, reinterpret_cast<E*>(delta), row, false);
    return gathered(start);
  }
  // Of a chunk at hand that is kept.
  ChunkScan<V> gathered(int64_t start) {
    const E *B = projected + p.rank, *C = B + p.state;
    return {
        minimum(kChunk, p.length() - start), {B, p.projected(), nullptr}, {C, p.projected(), nullptr}, ahead};
  }
  template <class Read, class Each>
  SWIN_INLINE void visit(int64_t start, int64_t steps, Read read_u, Each each) {
    const int64_t P = p.projected();
    PixelWalk walk(k, start, p.height, p.width);
    for (int64_t t = 0; t < steps; ++t) {
      pixels[t] = walk.next();
      copy_row<V>(projected + t * P, rows + pixels[t] * P, P);
      const int64_t here = at(t);
      for (int64_t b = 0; b < block_count; ++b) {
        Block& x = blocks[b];
        read_u(x.chunk->u[t], here + x.channel, x.count);
        each(x, t, here + x.channel);
      }
    }
  }

  void start_block(int64_t b, int64_t steps) { blocks[b].start(steps, true, delta + b, block_count); }

  // The states of all channels before a chunk but the first, (N, D), in an array (4, B, p.saved, N, D).
  E* saved_state(const void* states, int64_t chunk) const {
    const int64_t before = (k * p.batch + image) * p.saved + chunk - 1;
    return static_cast<E*>(const_cast<void*>(states)) + before * p.state * p.dim;
  }

  // Asks for the pixels of the chunk that starts at `start`, if there is one, also in `images` of compute
  // type.
  template <int COUNT>
  void look_ahead(int64_t start, const void* const (&images)[COUNT]) {
    ahead.clear();
    if (start < 0 || start >= p.length()) return;
    const int64_t size = type_size(p.type);
    PixelWalk walk(k, start, p.height, p.width);
    for (int64_t t = 0; t < minimum(kChunk, p.length() - start); ++t) {
      const int64_t pixel = walk.next(), at = (image * p.length() + pixel) * p.dim + first;
      ahead.add(static_cast<const char*>(p.x) + at * size, channels * size);
      for (const void* array : images) ahead.add(static_cast<const E*>(array) + at, channels * sizeof(E));
      ahead.add(rows + pixel * p.projected(), p.projected() * sizeof(E));
    }
  }
  // Also for the states before a chunk.
  void ask_for_states(const void* states, int64_t chunk) {
    ahead.add(saved_state(states, chunk) + first, channels * sizeof(E), p.state, p.dim * sizeof(E));
  }
};

// Columns (channels) of rows (pixels) of the image in compute type.
template <class V>
class ImageRows {
  using E = Element<V>;

 public:
  ImageRows(Scratch& scratch, const Ss2d& p, int64_t rows, int64_t columns)
      : p_(p), columns_(columns), copy_(scratch.take<E>(p.type == compute_type<V>() ? 0 : rows * columns)) {}

  // The image itself if it is of that type, else a copy. `row` is set to the distance of the rows.
  const E* get(int64_t first, int64_t rows, int64_t column, int64_t& row) const {
    if (p_.type == compute_type<V>()) {
      row = p_.dim;
      return static_cast<const E*>(p_.x) + first * p_.dim + column;
    }
    row = columns_;
    for (int64_t r = 0; r < rows; ++r)
      widen_row(copy_ + r * columns_, p_.x, p_.type, (first + r) * p_.dim + column, columns_);
    return copy_;
  }

 private:
  const Ss2d& p_;
  const int64_t columns_;
  E* copy_;
};

}  // namespace swin_umamba::SWIN_ISA
