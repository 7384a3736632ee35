// Sums of parts, and the rounding to the 16-bit types that every kernel shares with them.
#include <cmath>

#include "compare.h"
#include "kernels/cpu/kernels.h"
#include "tests.h"
#include "threads.h"

namespace swin_umamba::tests {
namespace {

Array sum(int64_t outer, int64_t count, int64_t inner, Type type, const Array& parts) {
  Array result(type, outer * inner);
  const auto place = [](const Array& array, int64_t index) {
    return static_cast<char*>(array.data()) + index * array.bytes() / array.count();
  };
  for (int64_t o = 0; o < outer; ++o)
    cpu_kernels(type).sum_parts({count, inner, type, place(parts, o * count * inner),
                                 place(parts, (o * count + 1) * inner), place(result, o * inner)},
                                run_in_threads);
  return result;
}

// Added in order, in the type of the parts, and rounded once.
Array sum_in_order(int64_t outer, int64_t count, int64_t inner, Type type, const Array& parts) {
  Array result(type, outer * inner), sum(parts.type(), 1);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      sum.set(0, 0);
      for (int64_t part = 0; part < count; ++part) sum.set(0, sum[0] + parts[(o * count + part) * inner + i]);
      result.set(o * inner + i, sum[0]);
    }
  return result;
}

// All numbers of a 16-bit type, the ties between each and the next, and the float32 numbers beside the ties.
Array numbers_and_ties(Type type) {
  const int64_t finite = type == Type::kBFloat16 ? 0x7f80 : 0x7c00;
  Array numbers(type, 2);
  const auto bits = static_cast<uint16_t*>(numbers.data());
  Array result(Type::kFloat32, 2 * 4 * (finite - 1));
  int64_t next = 0;
  for (int sign : {0, 0x8000})
    for (int64_t i = 0; i + 1 < finite; ++i) {
      bits[0] = uint16_t(sign | i), bits[1] = uint16_t(sign | (i + 1));
      const float tie = float((numbers[0] + numbers[1]) / 2);
      for (float number : {float(numbers[0]), tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 2 * tie)})
        result.set(next++, number);
    }
  return result;
}

}  // namespace

SWIN_TEST(sum_parts) {
  Random random(2);
  for (Type type : {Type::kFloat32, Type::kBFloat16, Type::kFloat16, Type::kFloat64})
    for (int64_t inner : {1, 3, 15, 16, 17, 4095, 4096, 4097}) {
      const int64_t outer = random.pick({1, 3}), count = random.pick({1, 2, 5});
      set_case("sum_parts " + std::string(type_name(type)) + " outer " + std::to_string(outer) + " count " +
               std::to_string(count) + " inner " + std::to_string(inner));
      const Array parts = random.array(compute_type(type), outer * count * inner, -1, 1);
      const Array wanted = sum_in_order(outer, count, inner, type, parts);
      for (int threads : {1, 2, 5}) {
        thread_count() = threads;
        if (!(sum(outer, count, inner, type, parts) == wanted)) fail("wrong sum");
      }
      thread_count() = 1;
    }

  for (Type type : {Type::kBFloat16, Type::kFloat16}) {
    set_case("rounding to " + std::string(type_name(type)));
    const Array numbers = numbers_and_ties(type), rounded = sum(1, 1, numbers.count(), type, numbers);
    Array wanted(type, 1);
    for (int64_t i = 0; i < numbers.count(); ++i) {
      wanted.set(0, numbers[i]);
      if (rounded[i] != wanted[0])
        fail(text(numbers[i]) + " became " + text(rounded[i]) + ", not " + text(wanted[0]));
    }
  }
}

}  // namespace swin_umamba::tests
