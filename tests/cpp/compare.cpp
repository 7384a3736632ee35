#include "compare.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>

#if defined(SWIN_UMAMBA_SANITIZE)
#include <sanitizer/common_interface_defs.h>
#endif

namespace swin_umamba::tests {
namespace {

char case_at_hand[1024];
int failure_count = 0;

void print(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(1);
}
void print_fault() {
  print("FAILED ");
  print(case_at_hand);
  print(": a kernel left its arrays, or did what C++ leaves undefined\n");
}

}  // namespace

void set_case(const std::string& description) {
  std::snprintf(case_at_hand, sizeof case_at_hand, "%s", description.c_str());
}

void fail(const std::string& what) {
  if (++failure_count <= 20) std::fprintf(stderr, "FAILED %s: %s\n", case_at_hand, what.c_str());
}

std::string text(double number) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", number);
  return digits;
}

int failures() { return failure_count; }

double relative_error(const Array& got, const Array& wanted) {
  if (got.count() != wanted.count()) return INFINITY;
  double difference = 0, largest = 0;
  for (int64_t i = 0; i < got.count(); ++i) {
    if (!std::isfinite(got[i]) || !std::isfinite(wanted[i])) return INFINITY;
    difference = std::max(difference, std::fabs(got[i] - wanted[i]));
    largest = std::max(largest, std::fabs(wanted[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

void expect_close(const std::string& name, const Array& got, const Array& wanted, double tolerance) {
  const double error = relative_error(got, wanted);
  if (!(error <= tolerance))
    fail(name + " (" + type_name(got.type()) + "): relative error " + text(error) + ", allowed " +
         text(tolerance));
}

void expect_close(const Arrays& got, const Arrays& wanted, int64_t length) {
  for (const auto& [name, array] : got) {
    const Type type = array.type();
    const double arithmetic = type == Type::kFloat64 ? 1e-12 : 2e-6 * std::sqrt(double(length));
    const double rounding = type == Type::kBFloat16 ? 0x1p-8 : type == Type::kFloat16 ? 0x1p-11 : 0;
    expect_close(name, array, wanted.at(name), arithmetic + rounding);
  }
}

void expect_same_bits(const Arrays& got, const Arrays& wanted) {
  for (const auto& [name, array] : got)
    if (!(array == wanted.at(name))) fail(name + ": other bits than one thread gave");
}

void report_faults() {
#if defined(SWIN_UMAMBA_SANITIZE)
  __sanitizer_set_death_callback(print_fault);
#else
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE})
    std::signal(signal, [](int) {
      print_fault();
      _exit(1);
    });
#endif
}

}  // namespace swin_umamba::tests
