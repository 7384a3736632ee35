// Matrix products of float32 accuracy on the tensor cores, which multiply numbers of 11 significant bits
// (TF32) exactly and add in float32.
//
// A float32 number is split into two such numbers, the nearest and, cut off, what is left: their sum differs
// from it by less than 2^-21 of it; bfloat16 and float16 numbers are such numbers. The product of the two
// small parts is left out, 2^-22 of the whole, where it costs an instruction (Ootomo and Yokota, "Recovering
// single precision accuracy from Tensor Cores while surpassing the FP32 theoretical peak performance", 2022).
// What is left of an infinite float32 number is NaN, and so are the sums it is in.
#pragma once

#include "device.h"

namespace swin_umamba::cuda {

__device__ inline float with_tf32_bits(float x, unsigned add) {
#if SWIN_PTX
  return __uint_as_float((__float_as_uint(x) + add) & 0xffffe000u);
#else
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits = (bits + add) & 0xffffe000u;
  memcpy(&x, &bits, 4);
  return x;
#endif
}
// The nearest number of 11 significant bits; ties go away from zero. A NaN may become a zero.
__device__ inline float round_to_tf32(float x) { return with_tf32_bits(x, 0x1000u); }
// The next towards zero. A NaN stays one.
__device__ inline float cut_to_tf32(float x) { return with_tf32_bits(x, 0); }

// c (16 x 8) += a (16 x 8) b (8 x 8), spread over a warp: lane 4 g + t has
//   a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4);   b: (t, g), (t + 4, g);
//   c: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
// (PTX ISA, matrix fragments for mma.m16n8k8). a and b are TF32 numbers.
__device__ inline void multiply_add(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
#if SWIN_PTX
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
  struct Operands {
    const float *a, *b;
    float* c;
  } mine{a, b, c};
  emulation::together(&mine, [](void* const* lanes) {
    const auto lane = [&](int number) -> const Operands& { return *static_cast<Operands*>(lanes[number]); };
    for (int row = 0; row < 16; ++row)
      for (int column = 0; column < 8; ++column) {
        float sum = 0;
        for (int k = 0; k < 8; ++k)
          sum += lane(row % 8 * 4 + k % 4).a[row / 8 + k / 4 * 2] * lane(column * 4 + k % 4).b[k / 4];
        lane(row % 8 * 4 + column / 2).c[row / 8 * 2 + column % 2] += sum;
      }
  });
#endif
}

// Numbers of a matrix that one lane holds, as TF32 parts.
template <class T, int kCount>
struct Split {
  static constexpr bool kExact = !std::is_same_v<T, float>;
  float big[kCount], small[kCount];

  __device__ void set(int i, float x) {
    big[i] = kExact ? x : round_to_tf32(x);
    if constexpr (!kExact) small[i] = cut_to_tf32(x - big[i]);
  }
};

// c += a b, the small products first.
template <class Left, class Right>
__device__ inline void multiply_add(float (&c)[4], const Split<Left, 4>& a, const Split<Right, 2>& b) {
  if constexpr (!Split<Left, 4>::kExact) multiply_add(c, a.small, b.big);
  if constexpr (!Split<Right, 2>::kExact) multiply_add(c, a.big, b.small);
  multiply_add(c, a.big, b.big);
}

// The same for a matrix of eight rows: `a` has their big parts and, as rows 8 to 15, their small parts. The
// sums of row g are c[0] + c[2] and c[1] + c[3].
__device__ inline void multiply_add_stacked(float (&c)[4], const float (&a)[4], const Split<float, 2>& b) {
  multiply_add(c, a, b.small);
  multiply_add(c, a, b.big);
}

}  // namespace swin_umamba::cuda
