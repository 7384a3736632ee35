#include "ss2d_problem.h"

#include "kernels/cpu/kernels.h"
#include "python/threads.h"

namespace swin_umamba::tests {

std::string ImageSizes::describe() const {
  return std::string(type_name(type)) + " batch " + std::to_string(batch) + " height " +
         std::to_string(height) + " width " + std::to_string(width) + " dim " + std::to_string(dim) +
         " state " + std::to_string(state) + " rank " + std::to_string(rank);
}

Arrays random_inputs(const ImageSizes& s, Random& random) {
  const Type compute = compute_type(s.type);
  const int64_t image = s.batch * s.pixels() * s.dim, K = kDirections;
  // Mostly positive, so that long sums do not cancel and the error has a scale to be held against.
  Arrays in{{"x", random.array(s.type, image, -0.3, 1)},
            {"x_proj_weight", random.array(compute, K * s.projected() * s.dim, -0.6 / s.dim, 2.0 / s.dim)},
            {"dt_projs_bias", random.array(compute, K * s.dim, -3, 0)},
            {"A_logs", random.array(compute, K * s.dim * s.state, -2, 1.5)},
            {"Ds", random.array(compute, K * s.dim, -0.3, 1)},
            {"grad_out", random.array(compute, image, -0.3, 1)}};
  in.emplace("dt_projs_weight", random.array(compute, K * s.dim * s.rank, -1.0 / s.rank, 1.0 / s.rank));
  return in;
}

namespace {

Ss2d problem(const ImageSizes& s, const Arrays& in) {
  Ss2d p{};
  p.batch = s.batch, p.height = s.height, p.width = s.width, p.dim = s.dim;
  p.state = s.state, p.rank = s.rank, p.type = s.type;
  p.x = in.at("x").data(), p.x_proj_weight = in.at("x_proj_weight").data();
  p.dt_projs_weight = in.at("dt_projs_weight").data(), p.dt_projs_bias = in.at("dt_projs_bias").data();
  p.A_logs = in.at("A_logs").data(), p.Ds = in.at("Ds").data();
  return p;
}

Arrays run_forward(const ImageSizes& s, const Arrays& in, void* projected_x, void* states) {
  const Array out(compute_type(s.type), s.batch * s.pixels() * s.dim);
  Ss2dForward p{};
  static_cast<Ss2d&>(p) = problem(s, in);
  p.projected_x = projected_x, p.states = states, p.out = out.data();
  cpu_kernels(s.type).ss2d_forward(p, run_in_threads);
  return {{"out", out}};
}

Array projected_x(const ImageSizes& s) {
  return {compute_type(s.type), kDirections * s.batch * s.pixels() * s.projected()};
}

}  // namespace

Arrays run_inference(const ImageSizes& s, const Arrays& in) {
  return run_forward(s, in, projected_x(s).data(), nullptr);
}

Arrays run_kernels(const ImageSizes& s, const Arrays& in) {
  const Type compute = compute_type(s.type);
  const int64_t image = s.batch * s.pixels() * s.dim, K = kDirections;
  const Array projected = projected_x(s);
  const Array states(compute, K * s.batch * ss2d_saved_states(s.pixels()) * s.state * s.dim);
  Arrays results = run_forward(s, in, projected.data(), states.data());

  const Array grad_x(s.type, image), grad_x_proj(compute, K * s.projected() * s.dim);
  const Array grad_dt_projs(compute, K * s.rank * s.dim), grad_bias(compute, K * s.dim);
  const Array grad_A_logs(compute, K * s.dim * s.state), grad_Ds(compute, K * s.dim);
  Ss2dBackward backward{};
  static_cast<Ss2d&>(backward) = problem(s, in);
  const Array workspace(compute, cpu_kernels(s.type).ss2d_backward_workspace(backward));
  backward.workspace = workspace.data(), backward.projected_x = projected.data();
  backward.states = states.data(), backward.grad_out = in.at("grad_out").data();
  backward.grad_x = grad_x.data(), backward.grad_x_proj_weight = grad_x_proj.data();
  backward.grad_dt_projs_weight = grad_dt_projs.data(), backward.grad_dt_projs_bias = grad_bias.data();
  backward.grad_A_logs = grad_A_logs.data(), backward.grad_Ds = grad_Ds.data();
  cpu_kernels(s.type).ss2d_backward(backward, run_in_threads);

  results.insert({{"grad_x", grad_x},
                  {"grad_x_proj_weight", grad_x_proj},
                  {"grad_dt_projs_weight", grad_dt_projs},
                  {"grad_dt_projs_bias", grad_bias},
                  {"grad_A_logs", grad_A_logs},
                  {"grad_Ds", grad_Ds}});
  return results;
}

}  // namespace swin_umamba::tests
