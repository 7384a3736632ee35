// Cross-scan and cross-merge of odd sizes against the index rule.
#include "compare.h"
#include "kernels/directions.h"
#include "run.h"
#include "tests.h"

namespace swin_umamba::tests {
namespace {

struct Sizes {
  int64_t batch, channels, height, width;
  int64_t planes() const { return batch * channels; }
  int64_t pixels() const { return height * width; }
  // Where channel plane `plane` of (B, C, ...) lies in (B, 4, C, ...), walked in direction k.
  int64_t walk(int64_t plane, int k) const {
    return ((plane / channels * kDirections + k) * channels + plane % channels) * pixels();
  }
};

template <class P>
P problem(const Sizes& s, Type type) {
  P p{};
  p.batch = s.batch, p.channels = s.channels, p.height = s.height, p.width = s.width, p.type = type;
  return p;
}
Array scan(const Sizes& s, const Array& image) {
  return run(problem<CrossScan>(s, image.type()), {{"x", image}}).at("y");
}
Array merge(const Sizes& s, const Array& walks) {
  return run(problem<CrossMerge>(s, walks.type()), {{"y", walks}}).at("x");
}

void check(const Sizes& s, Type type, Random& random) {
  const Array image = random.array(type, s.planes() * s.pixels(), -1, 1);
  const Array walks = scan(s, image);
  for (int64_t plane = 0; plane < s.planes(); ++plane)
    for (int k = 0; k < kDirections; ++k)
      for (int64_t step = 0; step < s.pixels(); ++step) {
        const int64_t pixel = pixel_at(k, step, s.height, s.width);
        if (walks[s.walk(plane, k) + step] != image[plane * s.pixels() + pixel])
          return fail("cross_scan: wrong value in direction " + std::to_string(k) + " at step " +
                      std::to_string(step));
      }

  const Array y = random.array(type, kDirections * image.count(), -1, 1);
  Array sums(Type::kFloat64, image.count());
  for (int64_t i = 0; i < sums.count(); ++i) sums.set(i, 0);
  for (int64_t plane = 0; plane < s.planes(); ++plane)
    for (int k = 0; k < kDirections; ++k)
      for (int64_t step = 0; step < s.pixels(); ++step) {
        const int64_t at = plane * s.pixels() + pixel_at(k, step, s.height, s.width);
        sums.set(at, sums[at] + y[s.walk(plane, k) + step]);
      }
  expect_close({{"cross_merge", merge(s, y)}}, {{"cross_merge", sums}}, 1);
}

}  // namespace

SWIN_TEST(cross_scan) {
  Random random(1);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kFloat16, Type::kFloat64};
  int next = 0;
  for (int64_t height : {1, 2, 15, 16, 17, 33, 65})
    for (int64_t width : {1, 3, 16, 17, 31, 64}) {
      const Sizes s{random.pick({1, 2}), random.pick({1, 3}), height, width};
      const Type type = types[next++ % 4];
      set_case("cross_scan " + std::string(type_name(type)) + " batch " + std::to_string(s.batch) +
               " channels " + std::to_string(s.channels) + " height " + std::to_string(height) + " width " +
               std::to_string(width));
      check(s, type, random);
    }

  const Sizes s{2, 5, 18, 35};
  set_case("cross_scan in threads");
  const Array y = random.array(Type::kFloat32, kDirections * s.planes() * s.pixels(), -1, 1);
  const Array image = merge(s, y), walks = scan(s, image);
  for (int threads : {2, 3, 16}) {
    thread_count() = threads;
    expect_same_bits({{"cross_merge", merge(s, y)}, {"cross_scan", scan(s, image)}},
                     {{"cross_merge", image}, {"cross_scan", walks}});
  }
  thread_count() = 1;
}

}  // namespace swin_umamba::tests
