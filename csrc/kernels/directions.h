// The four scan orders, for the scans of images. cross_scan and cross_merge copy whole planes and write the
// same orders out.
//
// 0: row-major, 1: column-major (the transpose, flattened), 2 and 3: these two reversed
// (Liu et al., "VMamba", arXiv:2401.10166, cross-scan).
#pragma once

#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define SWIN_HOST_DEVICE __host__ __device__
#else
// Always inlined: files compiled for different instruction sets must not share a copy.
#define SWIN_HOST_DEVICE __attribute__((always_inline))
#endif

namespace swin_umamba {

// The pixel, counted row-major, that direction `direction` visits at step `step`.
template <class Integer>
SWIN_HOST_DEVICE inline Integer pixel_at(int direction, Integer step, std::common_type_t<Integer> height,
                                         std::common_type_t<Integer> width) {
  const Integer forward = direction < 2 ? step : height * width - 1 - step;
  return direction % 2 == 0 ? forward : (forward % height) * width + forward / height;
}

// The same order, step after step, without divisions.
class PixelWalk {
 public:
  SWIN_HOST_DEVICE PixelWalk(int direction, int64_t step, int64_t height, int64_t width)
      : pixel_(pixel_at(direction, step, height, width)),
        stride_((direction % 2 == 0 ? 1 : width) * (direction < 2 ? 1 : -1)),
        wrap_(direction < 2 ? 1 - height * width : height * width - 1),
        pixels_(height * width) {}
  SWIN_HOST_DEVICE int64_t next() {
    const int64_t here = pixel_;
    pixel_ += stride_;
    if (pixel_ < 0 || pixel_ >= pixels_) pixel_ += wrap_;
    return here;
  }

 private:
  int64_t pixel_, stride_, wrap_, pixels_;
};

}  // namespace swin_umamba
