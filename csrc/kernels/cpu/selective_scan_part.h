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
  const int64_t parts, image, group, part;
  const int64_t group_row;  // the group's first in B and C, (B, G, N, L)
  const int64_t row;        // between steps of the tiles
  E *B, *C;                 // (T, N)
  int64_t block_count;
  Block blocks[kBlocks<V>];
  Ahead ahead;

  static int64_t tasks(const SelectiveScan& p) {
    return p.batch * p.groups * channel_parts(p.dim / p.groups);
  }

  SequencePart(Scratch& scratch, const SelectiveScan& p, int64_t task)
      : p(p),
        parts(channel_parts(p.dim / p.groups)),
        image(task / parts / p.groups),
        group(task / parts % p.groups),
        part(task % parts),
        group_row((image * p.groups + group) * p.state),
        row(round_up(p.state, W)),
        B(scratch.take<E>(kChunk * row)),
        C(scratch.take<E>(kChunk * row)) {
    const int64_t per_group = p.dim / p.groups, first = part * kChannelsPerPart;
    const int64_t channels = minimum(kChannelsPerPart, per_group - first);
    block_count = (channels + W - 1) / W;
    for (int64_t b = 0; b < block_count; ++b) {
      blocks[b].take(scratch, p.state);
      blocks[b].channel = group * per_group + first + b * W;
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
    for (int64_t b = 0; b < block_count; ++b)
      for (const void* array : arrays)
        if (array) ask_for(array, size, channel_row(blocks[b]), blocks[b].count, first, end);
  }
  // Also for the states before the chunks in [first, end).
  void ask_for_states(const void* states, int64_t first, int64_t end) {
    const int64_t channels = (block_count - 1) * W + blocks[block_count - 1].count;
    for (int64_t chunk = first / kChunk; chunk * kChunk < end; ++chunk)
      for (int64_t n = 0; chunk > 0 && n < p.state; ++n)
        ahead.add(saved_state(states, chunk) + n * p.dim + blocks[0].channel, channels * sizeof(E));
  }
  // Of `rows` rows, from `row` on, of an array (..., L) of elements of `size` bytes.
  void ask_for(const void* array, int64_t size, int64_t row, int64_t rows, int64_t first, int64_t end) {
    for (int64_t r = row; r < row + rows; ++r)
      ahead.add(static_cast<const char*>(array) + (r * p.length + first) * size, (end - first) * size);
  }
};

}  // namespace swin_umamba::SWIN_ISA
