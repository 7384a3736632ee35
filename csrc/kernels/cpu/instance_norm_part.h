// What forward and backward of instance normalisation share: how images are divided, and what a plane's
// statistics make of its numbers.
//
// Sums are float32 over a chunk of pixels, about a value near, and float64 beyond: they hold where a mean is
// far larger than the deviation. Neighbouring lanes are pixels of one plane or, channels last, planes.
#pragma once

#include <type_traits>

#include "task.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

// body(number of vectors as a constant, channel, lanes of the last) for all channels: up to four whole
// vectors at a time, whose sums stay in registers and which lie together in memory, or one that is not whole.
template <class V, class Body>
SWIN_INLINE void for_groups(int64_t channels, Body body) {
  constexpr int64_t W = Lanes<V>::kCount;
  int64_t c = 0;
  for (; c + 4 * W <= channels; c += 4 * W) body(std::integral_constant<int, 4>(), c, W);
  const int64_t vectors = (channels - c) / W;
  if (vectors == 3) body(std::integral_constant<int, 3>(), c, W);
  if (vectors == 2) body(std::integral_constant<int, 2>(), c, W);
  if (vectors == 1) body(std::integral_constant<int, 1>(), c, W);
  c += vectors * W;
  if (c < channels) body(std::integral_constant<int, 1>(), c, channels - c);
}

// The parts of the images, channels last: neighbouring pixels, for which tasks leave two sums of each
// channel. Of planes, each of which is a task, there is one part.
class ImageParts {
 public:
  explicit ImageParts(const InstanceNorm& p)
      : pixels_(p.pixels()), rows_(p.channels_last ? norm_rows(p.channels) : pixels_) {
    count_ = (pixels_ + rows_ - 1) / rows_;
  }

  int64_t of_image() const { return count_; }
  int64_t image(int64_t task) const { return task / count_; }
  int64_t begin(int64_t task) const { return task % count_ * rows_; }
  int64_t end(int64_t task) const { return minimum(pixels_, begin(task) + rows_); }

 private:
  int64_t pixels_, rows_, count_;
};

// The two sums of a part, or of an image.
struct TwoSums {
  double *first, *second;

  // Those of `part` in the workspace.
  TwoSums(const InstanceNorm& p, int64_t part)
      : first(static_cast<double*>(p.workspace) + 2 * part * p.channels), second(first + p.channels) {}
  void clear(int64_t channels) const { memset(first, 0, 2 * channels * sizeof(double)); }
};

// Adds up the parts of each image, in order, in the place of its first.
inline __attribute__((always_inline)) void add_parts(const InstanceNorm& p, const ImageParts& parts) {
  const int64_t sums = 2 * p.channels;
  for (int64_t image = 0; image < p.batch; ++image) {
    double* total = TwoSums(p, image * parts.of_image()).first;
    for (int64_t part = 1; part < parts.of_image(); ++part)
      for (int64_t i = 0; i < sums; ++i) total[i] += total[part * sums + i];
  }
}

// The numbers of a plane: (x - mean) * scale + offset is what its pixels become before the activation.
template <class E>
struct Affine {
  E mean, scale, offset;

  // What rounding to E takes from the mean goes to the offset.
  SWIN_INLINE Affine(double exact_mean, double rstd, const void* weight, const void* bias, int64_t channel)
      : mean(E(exact_mean)) {
    const double product = rstd * (weight ? static_cast<const E*>(weight)[channel] : E(1));
    scale = E(product);
    offset = E((bias ? static_cast<const E*>(bias)[channel] : E(0)) - (exact_mean - mean) * product);
  }
};

// 1 or the slope, by the sign of what the activation is given.
template <class V>
SWIN_INLINE V leaky(V sign, V value, V slope) {
  return sign > V{} ? value : value * slope;
}

}  // namespace swin_umamba::SWIN_ISA
