// Comparisons that name the case at hand when they fail.
#pragma once

#include <string>

#include "array.h"

namespace swin_umamba::tests {

// What the following comparisons, or a fault inside a kernel, are about.
void set_case(const std::string& description);

void fail(const std::string& what);
std::string text(double number);  // enough digits for any float32
int failures();

// Largest difference over the largest magnitude of `wanted`; infinite if a value is not finite.
double relative_error(const Array& got, const Array& wanted);

void expect_close(const std::string& name, const Array& got, const Array& wanted, double tolerance);

// Every array of `got` against that of the same name in float64: 2e-6 sqrt(length), or 1e-12 for float64, and
// half a unit in the last place of a 16-bit result.
void expect_close(const Arrays& got, const Arrays& wanted, int64_t length);

void expect_same_bits(const Arrays& got, const Arrays& wanted);

// So that a fault is reported with its case.
void report_faults();

}  // namespace swin_umamba::tests
