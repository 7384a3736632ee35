// What the forward and the backward pass of the selective scan share: one task's part of a group's channels
// of one image. Its blocks share the tiles of B and C.
#pragma once

#include "scan_block.h"

namespace swin_umamba::SWIN_ISA {

template <class V, class Block>
struct SequencePart {
  using E = Element<V>;
  static constexpr Type kCompute = compute_type<V>();
  static constexpr int64_t W = Lanes<V>::kCount;
  // Steps that are asked for together: long pieces of the rows, which memory gives faster than short ones.
  static constexpr int64_t kAhead = 64;

  const SelectiveScan& p;
  const int64_t image, channels;
  const int64_t group_row;  // the group's first in B and C, (B, G, N, L)
  const int64_t row;        // between steps of the tiles
  E *B, *C;                 // (T, N)
  const int64_t block_count;
  Block blocks[Block::kMost];
  Ahead ahead;

  // `channels` from `first` on of a group, of all images' groups.
  SequencePart(Scratch& scratch, const SelectiveScan& p, int64_t group, int64_t first, int64_t channels)
      : p(p),
        image(group / p.groups),
        channels(channels),
        group_row(group * p.state),
        row(round_up(p.state, W)),
        B(scratch.take<E>(kChunk * row)),
        C(scratch.take<E>(kChunk * row)),
        block_count((channels + W - 1) / W) {
    V* const shared = scratch.take<V>(Block::kShared);
    for (int64_t b = 0; b < block_count; ++b) {
      blocks[b].take(scratch, shared, p.state);
      blocks[b].channel = group % p.groups * (p.dim / p.groups) + first + b * W;
      blocks[b].count = minimum(W, channels - b * W);
    }
  }

  void load_parameters() {
    const int64_t N = p.state;
    for (int64_t b = 0; b < block_count; ++b) {
      Block& x = blocks[b];
      load_channel_rows(x.decay.A, p.A, kCompute, x.channel * N, N, N, x.count);
      x.decay.prepare(N, p.softplus);
      if (p.D) read(x.D, p.D, kCompute, x.channel, x.count);
      if (p.delta_bias) read(x.delta_bias, p.delta_bias, kCompute, x.channel, x.count);
      if (p.constant_B) load_channel_rows(x.constant_B, p.B, kCompute, x.channel * N, N, N, x.count);
      if (p.constant_C) load_channel_rows(x.constant_C, p.C, kCompute, x.channel * N, N, N, x.count);
    }
  }

  // A chunk of an array (B, D, L).
  void load(V* to, const void* from, const Block& x, int64_t start, int64_t steps) const {
    load_channel_rows(to, from, p.type, channel_row(x) * p.length + start, p.length, steps, x.count);
  }
  void store(const V* from, void* to, const Block& x, int64_t start, int64_t steps) const {
    store_channel_rows(from, to, p.type, channel_row(x) * p.length + start, p.length, steps, x.count);
  }
  int64_t channel_row(const Block& x) const { return image * p.dim + x.channel; }

  // The chunk of what varies of B and C.
  ChunkScan<V> load_coefficients(int64_t start, int64_t steps) {
    const int64_t L = p.length, N = p.state;
    for (int64_t n = 0; n < N; n += W) {
      const int64_t from = (group_row + n) * L + start;
      if (!p.constant_B)
        load_channel_rows(reinterpret_cast<V*>(B + n), p.B, p.type, from, L, steps, N - n, row / W);
      if (!p.constant_C)
        load_channel_rows(reinterpret_cast<V*>(C + n), p.C, p.type, from, L, steps, N - n, row / W);
    }
    return {steps, {B, row, nullptr}, {C, row, nullptr}, ahead};
  }

  // The states of all channels before a chunk but the first, (N, D), in an array (B, p.saved, N, D).
  E* saved_state(const void* states, int64_t chunk) const {
    const int64_t before = image * p.saved + chunk - 1;
    return static_cast<E*>(const_cast<void*>(states)) + before * p.state * p.dim;
  }

  // Asks for steps [first, end) of B, C and `arrays` (B, D, L).
  template <int COUNT>
  void look_ahead(int64_t first, int64_t end, const void* const (&arrays)[COUNT]) {
    const int64_t size = type_size(p.type);
    if (!p.constant_B) ask_for(p.B, size, group_row, p.state, first, end);
    if (!p.constant_C) ask_for(p.C, size, group_row, p.state, first, end);
    for (const void* array : arrays)
      if (array) ask_for(array, size, channel_row(blocks[0]), channels, first, end);
  }
  // Also for the states before the chunks in [first, end).
  void ask_for_states(const void* states, int64_t first, int64_t end) {
    for (int64_t chunk = maximum<int64_t>(1, first / kChunk); chunk * kChunk < end; ++chunk)
      ahead.add(saved_state(states, chunk) + blocks[0].channel, channels * sizeof(E), p.state,
                p.dim * sizeof(E));
  }
  // Of `rows` rows, from `row` on, of an array (..., L) of elements of `size` bytes.
  void ask_for(const void* array, int64_t size, int64_t row, int64_t rows, int64_t first, int64_t end) {
    ahead.add(static_cast<const char*>(array) + (row * p.length + first) * size, (end - first) * size, rows,
              p.length * size);
  }
};

}  // namespace swin_umamba::SWIN_ISA
