// Tiling shared by cross-scan and cross-merge, so that a walk by columns stays in the cache.
// directions.h defines the orders; tests hold these loops against it.
#pragma once

#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace swin_umamba::SWIN_ISA {

constexpr int64_t kTileSide = 16;

// tile(first row, end row, first column, end column)
template <class Tile>
SWIN_INLINE void for_each_tile(int64_t height, int64_t width, Tile&& tile) {
  for (int64_t r = 0; r < height; r += kTileSide)
    for (int64_t c = 0; c < width; c += kTileSide)
      tile(r, minimum(r + kTileSide, height), c, minimum(c + kTileSide, width));
}

}  // namespace swin_umamba::SWIN_ISA
