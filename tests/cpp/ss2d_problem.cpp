#include "ss2d_problem.h"

#include "run.h"

namespace swin_umamba::tests {

std::string ImageSizes::describe() const {
  return std::string(type_name(type)) + " batch " + std::to_string(batch) + " height " +
         std::to_string(height) + " width " + std::to_string(width) + " dim " + std::to_string(dim) +
         " state " + std::to_string(state) + " rank " + std::to_string(rank);
}

namespace {

template <class P>
P problem(const ImageSizes& s) {
  P p{};
  p.batch = s.batch, p.height = s.height, p.width = s.width, p.dim = s.dim;
  p.state = s.state, p.rank = s.rank, p.type = s.type;
  return p;
}

}  // namespace

Arrays random_inputs(const ImageSizes& s, Random& random) {
  // Mostly positive, so that long sums do not cancel and the error has a scale to be held against.
  return random_arrays(problem<Ss2dBackward>(s),
                       {{"x", {-0.3, 1}},
                        {"x_proj_weight", {-0.6 / s.dim, 2.0 / s.dim}},
                        {"dt_projs_weight", {-1.0 / s.rank, 1.0 / s.rank}},
                        {"dt_projs_bias", {-3, 0}},
                        {"A_logs", {-2, 1.5}},
                        {"Ds", {-0.3, 1}},
                        {"grad_y", {-0.3, 1}}},
                       random);
}

Arrays run_inference(const ImageSizes& s, const Arrays& in) { return infer(problem<Ss2dForward>(s), in); }

Arrays run_kernels(const ImageSizes& s, const Arrays& in) {
  return run_both(problem<Ss2dForward>(s), problem<Ss2dBackward>(s), in);
}

}  // namespace swin_umamba::tests
