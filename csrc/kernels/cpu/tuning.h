// The numbers that tune the CPU kernels, as far as they show outside, and what they make of sizes.
#pragma once

#include <cstdint>

namespace swin_umamba {

// Steps between two saved states. The backward pass starts from a saved state and recomputes the steps of one
// chunk, whose states are to stay in the first-level cache.
constexpr int64_t kChunk = 16;

// States of a channel in every network here: loops over so many keep them in registers.
constexpr int kUsualStates = 16;

// States saved of a sequence: those at the start of every chunk but the first, which is zero.
static constexpr int64_t saved_states(int64_t length) { return (length - 1) / kChunk; }

// ss2d saves none of a sequence this short, of which they would be a large part of all memory beside the
// weights: its backward pass first scans it forwards again.
constexpr int64_t kRescanned = 128;
static constexpr int64_t ss2d_saved_states(int64_t length) {
  return length <= kRescanned ? 0 : saved_states(length);
}

// Sums over channels (dB, dC) are made in parts of this many channels, each part by one task, and the
// parts are then added in order: the same bits for any number of threads.
constexpr int64_t kChannelsPerPart = 48;
static constexpr int64_t channel_parts(int64_t channels) {
  return (channels + kChannelsPerPart - 1) / kChannelsPerPart;
}

// The forward pass, which has no such sums, takes up to so many at a time, and fewer where there would not be
// a task for every thread; selective_scan, whose channels are rows far apart, takes half.
constexpr int64_t kMostForward = 192;

// The backward pass of ss2d takes up to so many, neighbouring parts of one task, each with sums of its own.
constexpr int64_t kMostBackward = 192;

// Of the parts, ss2d adds up those of as many consecutive channels in one task as leave this many sums.
constexpr int64_t kMostSums = 8;
static constexpr int64_t parts_per_sum(int64_t channels) {
  return (channel_parts(channels) + kMostSums - 1) / kMostSums;
}
static constexpr int64_t channel_sums(int64_t channels) {
  return (channel_parts(channels) + parts_per_sum(channels) - 1) / parts_per_sum(channels);
}

// ss2d sums the gradient of x_proj_weight over the pixels in this many parts, to be added.
constexpr int64_t kPixelParts = 16;
static constexpr int64_t pixel_parts(int64_t pixels) {
  const int64_t parts = (pixels + 511) / 512;
  return parts < kPixelParts ? parts : kPixelParts;
}

// Instance normalisation adds up this many pixels of a lane in float32 before it goes on in float64,
constexpr int64_t kNormChunk = 64;
// and divides channels-last images into parts of about this many elements, each a task.
constexpr int64_t kNormPart = 32768;
static constexpr int64_t norm_rows(int64_t channels) {
  const int64_t chunks = kNormPart / (kNormChunk * channels);
  return kNormChunk * (chunks > 0 ? chunks : 1);
}
static constexpr int64_t norm_parts(int64_t pixels, int64_t channels) {
  return (pixels + norm_rows(channels) - 1) / norm_rows(channels);
}

// depthwise_conv_silu sums the gradients of weight and bias over the rows of all images in this many parts.
static constexpr int64_t conv_parts(int64_t rows) { return rows < 16 ? rows : 16; }

// gated_layer_norm sums the gradients of weight and bias over the rows in this many parts, to be added.
constexpr int64_t kRowParts = 16;
static constexpr int64_t row_parts(int64_t rows) {
  const int64_t parts = (rows + 31) / 32;
  return parts < kRowParts ? parts : kRowParts;
}

}  // namespace swin_umamba
