// The scan orders against orders written out by hand, and the walk against the index rule.
#include "kernels/directions.h"

#include "compare.h"
#include "kernels/problem.h"
#include "tests.h"

namespace swin_umamba::tests {

SWIN_TEST_ONCE(directions) {
  // 0 1 2
  // 3 4 5
  const int64_t orders[kDirections][6] = {
      {0, 1, 2, 3, 4, 5}, {0, 3, 1, 4, 2, 5}, {5, 4, 3, 2, 1, 0}, {5, 2, 4, 1, 3, 0}};
  for (int k = 0; k < kDirections; ++k)
    for (int64_t step = 0; step < 6; ++step) {
      set_case("pixel_at direction " + std::to_string(k) + " step " + std::to_string(step));
      if (pixel_at(k, step, 2, 3) != orders[k][step])
        fail("pixel " + std::to_string(pixel_at(k, step, 2, 3)));
    }

  for (int64_t height : {1, 2, 5})
    for (int64_t width : {1, 3, 4})
      for (int k = 0; k < kDirections; ++k)
        for (int64_t start = 0; start < height * width; ++start) {
          set_case("PixelWalk " + std::to_string(height) + " x " + std::to_string(width) + " direction " +
                   std::to_string(k) + " from step " + std::to_string(start));
          PixelWalk walk(k, start, height, width);
          for (int64_t step = start; step < height * width; ++step)
            if (walk.next() != pixel_at(k, step, height, width)) fail("step " + std::to_string(step));
        }
}

}  // namespace swin_umamba::tests
