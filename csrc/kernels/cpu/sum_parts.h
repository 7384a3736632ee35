// Sums whose parts different tasks make.
#pragma once

#include "kernels.h"
#include "tile.h"

namespace swin_umamba::SWIN_ISA {

void sum_parts(const SumParts& p, ParallelFor parallel);

// `count` parts of `size` numbers each, to be added in order: the same bits for any number of threads. The
// first part is made in the place of the sum, if that is of compute type, and the others in the workspace.
template <class V>
class Parts {
  using E = Element<V>;

 public:
  Parts(Workspace<E>& workspace, void* sum, Type type, int64_t count, int64_t size)
      : in_place_(type == compute_type<V>()), p_{count, size, type, nullptr, nullptr, sum} {
    p_.first = in_place_ ? sum : workspace.take(size);
    p_.others = workspace.take((count - 1) * size);
  }

  E* operator[](int64_t part) const {
    const void* place = part == 0 ? p_.first : p_.others;
    return const_cast<E*>(static_cast<const E*>(place)) + (part > 0 ? part - 1 : 0) * p_.size;
  }
  void add(ParallelFor parallel) const {
    if (p_.count > 1 || !in_place_) sum_parts(p_, parallel);
  }

 private:
  bool in_place_;
  SumParts p_;
};

}  // namespace swin_umamba::SWIN_ISA
