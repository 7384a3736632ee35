// Cross-scan: each image plane is written in the four scan orders.
#include "plane_walks.h"

namespace swin_umamba::SWIN_ISA {
namespace {

template <class T>
void run(const CrossScan& p, ParallelFor parallel) {
  const int64_t pixels = p.height * p.width;
  for_each_task(parallel, p.batch * p.channels, [&p, pixels](int64_t task) {
    const int64_t image = task / p.channels, channel = task % p.channels;
    const T* plane = static_cast<const T*>(p.input) + task * pixels;
    T* walks[kDirections];
    for (int k = 0; k < kDirections; ++k)
      walks[k] = static_cast<T*>(p.output) + ((image * kDirections + k) * p.channels + channel) * pixels;
    for_each_tile(p.height, p.width, [&](int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c) {
          const int64_t by_rows = r * p.width + c;
          walks[0][by_rows] = plane[by_rows];
          walks[2][pixels - 1 - by_rows] = plane[by_rows];
        }
      for (int64_t c = c0; c < c1; ++c)
        for (int64_t r = r0; r < r1; ++r) {
          const int64_t by_columns = c * p.height + r;
          walks[1][by_columns] = plane[r * p.width + c];
          walks[3][pixels - 1 - by_columns] = plane[r * p.width + c];
        }
    });
  });
}

}  // namespace

void cross_scan(const CrossScan& p, ParallelFor parallel) {
  switch (p.type) {
    case Type::kFloat64:
      return run<uint64_t>(p, parallel);
    case Type::kFloat32:
      return run<uint32_t>(p, parallel);
    default:
      return run<uint16_t>(p, parallel);
  }
}

}  // namespace swin_umamba::SWIN_ISA
