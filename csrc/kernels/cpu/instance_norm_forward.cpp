// Instance normalisation: the statistics of every plane, then y = leaky((x - mean) rstd weight + bias +
// residual).
#include <cmath>

#include "instance_norm_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// Sums of x - origin and of its square, to which a chunk's are added: `sum` and `squares` are about `shift`.
SWIN_INLINE void add_moments(double& first, double& second, double count, double origin, double shift,
                             double sum, double squares) {
  const double far = shift - origin;
  first += sum + count * far;
  second += squares + far * (2 * sum + count * far);
}

// NaN stays.
SWIN_INLINE void finish(const InstanceNormForward& p, int64_t plane, double origin, double first,
                        double second) {
  const double count = double(p.pixels()), mean = first / count, variance = second / count - mean * mean;
  static_cast<double*>(p.mean)[plane] = origin + mean;
  static_cast<double*>(p.rstd)[plane] = 1 / std::sqrt((variance < 0 ? 0 : variance) + p.eps);
}

template <Type TYPE>
void plane_statistics(const InstanceNormForward& p, int64_t plane) {
  using V = VectorOf<TYPE>;
  using E = Element<V>;
  constexpr int64_t W = Lanes<V>::kCount, kChunk = W * kNormChunk / 2;
  const int64_t base = plane * p.pixels(), whole = p.pixels() / W * W;
  const auto at = [&](int64_t i) {
    E lanes[W];
    store<V>(lanes, get<TYPE>(p.x, base + i, 1));
    return double(lanes[0]);
  };
  const double origin = at(0);
  double first = 0, second = 0;
  for (int64_t start = 0; start < whole; start += kChunk) {
    const int64_t stop = minimum(whole, start + kChunk);
    const double shift = at(start);
    const V near = broadcast<V>(E(shift));
    V sums[2] = {}, squares[2] = {};
    for (int64_t i = start; i < stop; i += 2 * W) {
      const V a = get<TYPE>(p.x, base + i, W) - near;
      sums[0] += a, squares[0] = fma(a, a, squares[0]);
      if (i + W == stop) break;
      const V b = get<TYPE>(p.x, base + i + W, W) - near;
      sums[1] += b, squares[1] = fma(b, b, squares[1]);
    }
    add_moments(first, second, double(stop - start), origin, shift, sum_lanes(V(sums[0] + sums[1])),
                sum_lanes(V(squares[0] + squares[1])));
  }
  for (int64_t i = whole; i < p.pixels(); ++i) add_moments(first, second, 1, origin, at(i), 0, 0);
  finish(p, plane, origin, first, second);
}

template <Type TYPE, bool RESIDUAL>
void plane(const InstanceNormForward& p, int64_t plane) {
  using V = VectorOf<TYPE>;
  using E = Element<V>;
  plane_statistics<TYPE>(p, plane);
  const Affine<E> affine(static_cast<const double*>(p.mean)[plane], static_cast<const double*>(p.rstd)[plane],
                         p.weight, p.bias, plane % p.channels);
  const V mean = broadcast<V>(affine.mean), scale = broadcast<V>(affine.scale),
          offset = broadcast<V>(affine.offset), slope = broadcast<V>(E(p.negative_slope));
  const int64_t base = plane * p.pixels();
  for_vectors<V>(p.pixels(), [&](int64_t i, int64_t count) __attribute__((always_inline)) {
    V y = fma(get<TYPE>(p.x, base + i, count) - mean, scale, offset);
    if (RESIDUAL) y += get<TYPE>(p.residual, base + i, count);
    put<TYPE>(p.y, base + i, leaky(y, y, slope), count);
  });
}

// The moments of one part of an image, channels last, about the image's first pixel.
template <Type TYPE>
void part_moments(const InstanceNormForward& p, const ImageParts& parts, int64_t task) {
  using V = VectorOf<TYPE>;
  using E = Element<V>;
  constexpr int64_t W = Lanes<V>::kCount;
  const TwoSums sums(p, task);
  sums.clear(p.channels);
  const int64_t C = p.channels, image = parts.image(task) * p.pixels() * C, end = parts.end(task);
  for_groups<V>(C, [&](auto vectors, int64_t c, int64_t lanes) __attribute__((always_inline)) {
    constexpr int G = decltype(vectors)::value;
    E origin[G * W], shift[G * W], sum[G * W], squares[G * W];
    const auto pixel = [&](int64_t row, int g) __attribute__((always_inline)) {
      return get<TYPE>(p.x, image + row * C + c + g * W, lanes);
    };
    for (int g = 0; g < G; ++g) store<V>(origin + g * W, pixel(0, g));
    for (int64_t start = parts.begin(task); start < end; start += kNormChunk) {
      const int64_t stop = minimum(end, start + kNormChunk);
      V near[G], d[G] = {}, dd[G] = {};
      for (int g = 0; g < G; ++g) near[g] = pixel(start, g);
      for (int64_t row = start; row < stop; ++row)
        for (int g = 0; g < G; ++g) {
          const V x = pixel(row, g) - near[g];
          d[g] += x, dd[g] = fma(x, x, dd[g]);
        }
      for (int g = 0; g < G; ++g)
        store<V>(shift + g * W, near[g]), store<V>(sum + g * W, d[g]), store<V>(squares + g * W, dd[g]);
      for (int64_t i = 0; i < (G - 1) * W + lanes; ++i)
        add_moments(sums.first[c + i], sums.second[c + i], double(stop - start), origin[i], shift[i], sum[i],
                    squares[i]);
    }
  });
}

// The numbers of all channels of an image.
template <class V>
struct Rows {
  using E = Element<V>;
  E *mean, *scale, *offset;

  Rows(Scratch& scratch, const InstanceNormForward& p)
      : mean(take(scratch, p)), scale(take(scratch, p)), offset(take(scratch, p)) {}
  void set(const InstanceNormForward& p, int64_t image) {
    const double* means = static_cast<const double*>(p.mean) + image * p.channels;
    const double* rstds = static_cast<const double*>(p.rstd) + image * p.channels;
    for (int64_t c = 0; c < p.channels; ++c) {
      const Affine<E> affine(means[c], rstds[c], p.weight, p.bias, c);
      mean[c] = affine.mean, scale[c] = affine.scale, offset[c] = affine.offset;
    }
  }

 private:
  static E* take(Scratch& scratch, const InstanceNormForward& p) {
    return scratch.take<E>(round_up(p.channels, Lanes<V>::kCount));
  }
};

template <Type TYPE, bool RESIDUAL>
void part(const InstanceNormForward& p, const ImageParts& parts, int64_t task,
          const Rows<VectorOf<TYPE>>& rows) {
  using V = VectorOf<TYPE>;
  const V slope = broadcast<V>(Element<V>(p.negative_slope));
  const int64_t image = parts.image(task) * p.pixels();
  for (int64_t row = parts.begin(task); row < parts.end(task); ++row) {
    const int64_t base = (image + row) * p.channels;
    for_vectors<V>(p.channels, [&](int64_t c, int64_t count) __attribute__((always_inline)) {
      V y = fma(get<TYPE>(p.x, base + c, count) - load<V>(rows.mean + c), load<V>(rows.scale + c),
                load<V>(rows.offset + c));
      if (RESIDUAL) y += get<TYPE>(p.residual, base + c, count);
      put<TYPE>(p.y, base + c, leaky(y, y, slope), count);
    });
  }
}

template <Type TYPE, bool RESIDUAL>
void run(const InstanceNormForward& p, ParallelFor parallel) {
  using V = VectorOf<TYPE>;
  if (!p.channels_last)
    return for_each_task(parallel, p.batch * p.channels,
                         [&](int64_t task) { plane<TYPE, RESIDUAL>(p, task); });

  const ImageParts parts(p);
  const int64_t tasks = p.batch * parts.of_image();
  for_each_task(parallel, tasks, [&](int64_t task) { part_moments<TYPE>(p, parts, task); });
  add_parts(p, parts);
  for (int64_t i = 0; i < p.batch * p.channels; ++i) {
    const int64_t image = i / p.channels, c = i % p.channels;
    const TwoSums sums(p, image * parts.of_image());
    Element<V> origin[Lanes<V>::kCount];
    store<V>(origin, get<TYPE>(p.x, image * p.pixels() * p.channels + c, 1));
    finish(p, i, origin[0], sums.first[c], sums.second[c]);
  }
  // Backwards: what the sums have read last is still in the cache.
  for_each_range(parallel, tasks, [&](int64_t begin, int64_t end) {
    InScratch<Rows<V>> rows(p);
    int64_t image = -1;
    for (int64_t task = end - 1; task >= begin; --task) {
      if (image != parts.image(task)) rows->set(p, image = parts.image(task));
      part<TYPE, RESIDUAL>(p, parts, task, *rows.operator->());
    }
  });
}

}  // namespace

void instance_norm_forward(const InstanceNormForward& p, ParallelFor parallel) {
  for_data_type(p.type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    p.residual ? run<kType, true>(p, parallel) : run<kType, false>(p, parallel);
  });
}

}  // namespace swin_umamba::SWIN_ISA
