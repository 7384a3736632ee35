// Cross-merge, the adjoint of the cross-scan: four walks are put back in place and added, in compute
// type, always in the order (0 + 2) + (1 + 3).
#include "plane_walks.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {
namespace {

struct Double {
  using Stored = double;
  static double widen(double v) { return v; }
  static double narrow(double v) { return v; }
};
struct Single {
  using Stored = float;
  static float widen(float v) { return v; }
  static float narrow(float v) { return v; }
};
struct BFloat16 {
  using Stored = uint16_t;
  static float widen(uint16_t v) { return bfloat16_to_float(v); }
  static uint16_t narrow(float v) { return float_to_bfloat16(v); }
};
struct Float16 {
  using Stored = uint16_t;
  static float widen(uint16_t v) { return float16_to_float(v); }
  static uint16_t narrow(float v) { return float_to_float16(v); }
};

template <class F>
void run(const CrossScan& p, ParallelFor parallel) {
  using T = typename F::Stored;
  using Compute = decltype(F::widen(T()));
  const int64_t pixels = p.height * p.width;
  for_each_task(parallel, p.batch * p.channels, [&p, pixels](int64_t task) {
    const int64_t image = task / p.channels, channel = task % p.channels;
    T* plane = static_cast<T*>(p.output) + task * pixels;
    const T* walks[kDirections];
    for (int k = 0; k < kDirections; ++k)
      walks[k] = static_cast<const T*>(p.input) + ((image * kDirections + k) * p.channels + channel) * pixels;
    for_each_tile(p.height, p.width, [&](int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
      Compute columns[kTileSide][kTileSide];
      for (int64_t c = c0; c < c1; ++c)
        for (int64_t r = r0; r < r1; ++r) {
          const int64_t by_columns = c * p.height + r;
          columns[r - r0][c - c0] =
              F::widen(walks[1][by_columns]) + F::widen(walks[3][pixels - 1 - by_columns]);
        }
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c) {
          const int64_t by_rows = r * p.width + c;
          const Compute rows = F::widen(walks[0][by_rows]) + F::widen(walks[2][pixels - 1 - by_rows]);
          plane[by_rows] = F::narrow(rows + columns[r - r0][c - c0]);
        }
    });
  });
}

}  // namespace

void cross_merge(const CrossScan& p, ParallelFor parallel) {
  switch (p.type) {
    case Type::kFloat64:
      return run<Double>(p, parallel);
    case Type::kFloat32:
      return run<Single>(p, parallel);
    case Type::kBFloat16:
      return run<BFloat16>(p, parallel);
    case Type::kFloat16:
      return run<Float16>(p, parallel);
  }
}

}  // namespace swin_umamba::SWIN_ISA
