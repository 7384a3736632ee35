// What every processor has: the defaults of simd.h with four lanes.
#pragma once

namespace swin_umamba::SWIN_ISA {

typedef float Float __attribute__((vector_size(16)));
constexpr bool kWithDouble = true;
constexpr int kProductRows = 4;

}  // namespace swin_umamba::SWIN_ISA
