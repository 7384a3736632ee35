// The tests that main.cpp runs by name.
#pragma once

namespace swin_umamba::tests {

void test_directions();
void test_cross_scan();
void test_sum_parts();
void test_selective_scan();
void test_selective_scan_float64();
void test_ss2d();
void test_ss2d_float64();

}  // namespace swin_umamba::tests
