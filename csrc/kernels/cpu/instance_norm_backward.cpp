// The adjoint of instance normalisation. With n = (x - mean) rstd, and g the gradient before the activation,
// dx = weight rstd (g - mean(g) - n mean(g n)).
#include "instance_norm_part.h"

namespace swin_umamba::SWIN_ISA {
namespace {

// The numbers of a plane: dx = scale (g + shift + slope (x - mean)).
template <class E>
struct Adjoint : Affine<E> {
  E shift, slope;
  double mean_product;  // sum of g n

  // `first` is the sum of g, `second` that of g (x - mean), the mean rounded to E.
  SWIN_INLINE Adjoint(const InstanceNormBackward& p, int64_t plane, double first, double second)
      : Affine<E>(static_cast<const double*>(p.mean)[plane], static_cast<const double*>(p.rstd)[plane],
                  p.weight, p.bias, plane % p.channels) {
    const double rstd = static_cast<const double*>(p.rstd)[plane], count = double(p.pixels());
    const double rest = static_cast<const double*>(p.mean)[plane] - this->mean;
    mean_product = rstd * (second - rest * first);
    slope = E(-rstd * mean_product / count);
    shift = E((rstd * rest * mean_product - first) / count);
  }
};

// The arrays at one place, and what both passes make of them.
template <Type TYPE, bool FROM_RESULT>
struct Place {
  using V = VectorOf<TYPE>;
  V distance, gradient;  // x - mean, and the gradient before the activation

  SWIN_INLINE Place(const InstanceNormBackward& p, int64_t index, int64_t count, V mean, V scale, V offset,
                    V slope) {
    distance = get<TYPE>(p.x, index, count) - mean;
    const V sign = FROM_RESULT ? get<TYPE>(p.y, index, count) : fma(distance, scale, offset);
    gradient = leaky(sign, get<TYPE>(p.grad_y, index, count), slope);
  }
};

template <Type TYPE, bool FROM_RESULT>
void plane(const InstanceNormBackward& p, int64_t plane) {
  using V = VectorOf<TYPE>;
  using E = Element<V>;
  using At = Place<TYPE, FROM_RESULT>;
  constexpr int64_t kChunk = Lanes<V>::kCount * kNormChunk / 2;
  const int64_t base = plane * p.pixels();
  const Affine<E> affine(static_cast<const double*>(p.mean)[plane], static_cast<const double*>(p.rstd)[plane],
                         p.weight, p.bias, plane % p.channels);
  const V mean = broadcast<V>(affine.mean), scale = broadcast<V>(affine.scale),
          offset = broadcast<V>(affine.offset), leak = broadcast<V>(E(p.negative_slope));
  const TwoSums sums(p, plane / p.channels);
  double first = 0, second = 0;
  for (int64_t start = 0; start < p.pixels(); start += kChunk) {
    V sum{}, product{};
    for_vectors<V>(minimum(kChunk, p.pixels() - start),
                   [&](int64_t i, int64_t n) __attribute__((always_inline)) {
                     const At at(p, base + start + i, n, mean, scale, offset, leak);
                     sum += at.gradient, product = fma(at.gradient, at.distance, product);
                   });
    first += sum_lanes(sum), second += sum_lanes(product);
  }
  sums.first[plane % p.channels] = first, sums.second[plane % p.channels] = second;

  const Adjoint<E> adjoint(p, plane, first, second);
  const V shift = broadcast<V>(adjoint.shift), slope = broadcast<V>(adjoint.slope);
  for_vectors<V>(p.pixels(), [&](int64_t i, int64_t n) __attribute__((always_inline)) {
    const At at(p, base + i, n, mean, scale, offset, leak);
    put<TYPE>(p.grad_x, base + i, scale * fma(at.distance, slope, at.gradient + shift), n);
    if (FROM_RESULT) put<TYPE>(p.grad_residual, base + i, at.gradient, n);
  });
}

// The numbers of all channels of an image, channels last.
template <class V>
struct Rows {
  using E = Element<V>;
  E *mean, *scale, *offset, *shift, *slope;

  Rows(Scratch& scratch, const InstanceNormBackward& p)
      : mean(take(scratch, p)),
        scale(take(scratch, p)),
        offset(take(scratch, p)),
        shift(take(scratch, p)),
        slope(take(scratch, p)) {}
  // Without sums only the first three.
  void set(const InstanceNormBackward& p, int64_t image, const TwoSums* sums = nullptr) {
    for (int64_t c = 0; c < p.channels; ++c) {
      const Adjoint<E> adjoint(p, image * p.channels + c, sums ? sums->first[c] : 0,
                               sums ? sums->second[c] : 0);
      mean[c] = adjoint.mean, scale[c] = adjoint.scale, offset[c] = adjoint.offset;
      shift[c] = adjoint.shift, slope[c] = adjoint.slope;
    }
  }

 private:
  static E* take(Scratch& scratch, const InstanceNormBackward& p) {
    return scratch.take<E>(round_up(p.channels, Lanes<V>::kCount));
  }
};

template <Type TYPE, bool FROM_RESULT>
void part_sums(const InstanceNormBackward& p, const ImageParts& parts, int64_t task,
               const Rows<VectorOf<TYPE>>& rows) {
  using V = VectorOf<TYPE>;
  using E = Element<V>;
  constexpr int64_t W = Lanes<V>::kCount;
  const TwoSums sums(p, task);
  sums.clear(p.channels);
  const V leak = broadcast<V>(E(p.negative_slope));
  const int64_t C = p.channels, image = parts.image(task) * p.pixels() * C, end = parts.end(task);
  for_groups<V>(C, [&](auto vectors, int64_t c, int64_t lanes) __attribute__((always_inline)) {
    constexpr int G = decltype(vectors)::value;
    V mean[G], scale[G], offset[G];
    for (int g = 0; g < G; ++g) {
      mean[g] = load<V>(rows.mean + c + g * W), scale[g] = load<V>(rows.scale + c + g * W);
      offset[g] = load<V>(rows.offset + c + g * W);
    }
    for (int64_t start = parts.begin(task); start < end; start += kNormChunk) {
      V sum[G] = {}, product[G] = {};
      for (int64_t row = start; row < minimum(end, start + kNormChunk); ++row)
        for (int g = 0; g < G; ++g) {
          const Place<TYPE, FROM_RESULT> at(p, image + row * C + c + g * W, lanes, mean[g], scale[g],
                                            offset[g], leak);
          sum[g] += at.gradient, product[g] = fma(at.gradient, at.distance, product[g]);
        }
      E first[G * W], second[G * W];
      for (int g = 0; g < G; ++g) store<V>(first + g * W, sum[g]), store<V>(second + g * W, product[g]);
      for (int64_t i = 0; i < (G - 1) * W + lanes; ++i)
        sums.first[c + i] += first[i], sums.second[c + i] += second[i];
    }
  });
}

template <Type TYPE, bool FROM_RESULT>
void part(const InstanceNormBackward& p, const ImageParts& parts, int64_t task,
          const Rows<VectorOf<TYPE>>& rows) {
  using V = VectorOf<TYPE>;
  const V leak = broadcast<V>(Element<V>(p.negative_slope));
  const int64_t image = parts.image(task) * p.pixels();
  for (int64_t row = parts.begin(task); row < parts.end(task); ++row) {
    const int64_t base = (image + row) * p.channels;
    for_vectors<V>(p.channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
      const V scale = load<V>(rows.scale + c);
      const Place<TYPE, FROM_RESULT> at(p, base + c, n, load<V>(rows.mean + c), scale,
                                        load<V>(rows.offset + c), leak);
      const V bracket = fma(at.distance, load<V>(rows.slope + c), at.gradient + load<V>(rows.shift + c));
      put<TYPE>(p.grad_x, base + c, scale * bracket, n);
      if (FROM_RESULT) put<TYPE>(p.grad_residual, base + c, at.gradient, n);
    });
  }
}

template <class E>
void parameter_gradients(const InstanceNormBackward& p, const ImageParts& parts) {
  for (int64_t c = 0; c < p.channels; ++c) {
    double weight = 0, bias = 0;
    for (int64_t image = 0; image < p.batch; ++image) {
      const TwoSums sums(p, image * parts.of_image());
      weight += Adjoint<E>(p, image * p.channels + c, sums.first[c], sums.second[c]).mean_product;
      bias += sums.first[c];
    }
    if (p.weight) static_cast<E*>(p.grad_weight)[c] = E(weight);
    if (p.bias) static_cast<E*>(p.grad_bias)[c] = E(bias);
  }
}

template <Type TYPE, bool FROM_RESULT>
void run(const InstanceNormBackward& p, ParallelFor parallel) {
  using V = VectorOf<TYPE>;
  const ImageParts parts(p);
  if (!p.channels_last) {
    for_each_task(parallel, p.batch * p.channels, [&](int64_t task) { plane<TYPE, FROM_RESULT>(p, task); });
    return parameter_gradients<Element<V>>(p, parts);
  }
  const int64_t tasks = p.batch * parts.of_image();
  for_each_range(parallel, tasks, [&](int64_t begin, int64_t end) {
    InScratch<Rows<V>> rows(p);
    int64_t image = -1;
    for (int64_t task = begin; task < end; ++task) {
      if (image != parts.image(task)) rows->set(p, image = parts.image(task));
      part_sums<TYPE, FROM_RESULT>(p, parts, task, *rows.operator->());
    }
  });
  add_parts(p, parts);
  // Backwards: what the sums have read last is still in the cache.
  for_each_range(parallel, tasks, [&](int64_t begin, int64_t end) {
    InScratch<Rows<V>> rows(p);
    int64_t image = -1;
    for (int64_t task = end - 1; task >= begin; --task) {
      if (image != parts.image(task)) {
        image = parts.image(task);
        const TwoSums sums(p, image * parts.of_image());
        rows->set(p, image, &sums);
      }
      part<TYPE, FROM_RESULT>(p, parts, task, *rows.operator->());
    }
  });
  parameter_gradients<Element<V>>(p, parts);
}

}  // namespace

void instance_norm_backward(const InstanceNormBackward& p, ParallelFor parallel) {
  for_data_type(p.type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    p.y ? run<kType, true>(p, parallel) : run<kType, false>(p, parallel);
  });
}

}  // namespace swin_umamba::SWIN_ISA
