// The numbers of exponentials and logarithms, for both backends: 2^t = 2^n 2^f with n = round(t), and two
// polynomials.
//
// They are fitted to the least largest relative error, with 2^0 = 1 exactly, so that a long chain of decays
// near one does not drift. `python csrc/kernels/fit_polynomials.py` makes the coefficients.
#pragma once

namespace swin_umamba {

constexpr double kLog2E = 1.4426950408889634;

// 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits, below which nothing of the
// sum's own exponent is left when they are shifted to the exponent field.
constexpr float kRound = 12582912.0f;

// Of f^power in 2^f on [-1/2, 1/2]. Relative error 1.1e-07.
constexpr int kExp2Degree = 5;
static constexpr float exp2_coefficient(int power) {
  constexpr float coefficients[] = {1.0f,
                                    0.6931470036506653f,
                                    0.24022242426872253f,
                                    0.05550733581185341f,
                                    0.009671512059867382f,
                                    0.001326472731307149f};
  return coefficients[power];
}

// Of e^power in log(1 + e) on [0, 1]. Relative error 5.5e-08.
constexpr int kLog1pDegree = 10;
static constexpr float log1p_coefficient(int power) {
  constexpr float coefficients[] = {0.0f,
                                    1.0f,
                                    -0.4999990165233612f,
                                    0.3332996368408203f,
                                    -0.24954132735729218f,
                                    0.19675937294960022f,
                                    -0.15305587649345398f,
                                    0.10603649169206619f,
                                    -0.05695948749780655f,
                                    0.0198514424264431f,
                                    -0.0032440219074487686f};
  return coefficients[power];
}

}  // namespace swin_umamba
