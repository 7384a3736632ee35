// The scalar arithmetic of the selective scan, for host and device.
#pragma once

#include <cmath>

#include "directions.h"

namespace swin_umamba {

constexpr double kLog2E = 1.4426950408889634;

// log(1 + exp(x)), without overflow and accurate where it is tiny.
template <class T>
SWIN_HOST_DEVICE inline T softplus(T x) {
  return (x > T(0) ? x : T(0)) + log1p(exp(-fabs(x)));
}

// The derivative of softplus, 1 / (1 + exp(-x)).
template <class T>
SWIN_HOST_DEVICE inline T sigmoid(T x) {
  const T e = exp(-fabs(x));
  return (x >= T(0) ? T(1) : e) / (T(1) + e);
}

}  // namespace swin_umamba
