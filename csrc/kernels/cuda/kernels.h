// The CUDA backend: what the operators call. No torch, no CUDA headers.
//
// Each function queues kernels on `stream` of the current device and returns null, or says what is
// wrong. Nothing here allocates, synchronizes or copies to the host, so that calls can be captured in
// a CUDA graph. Workspaces are float32 and come from the caller.
//
// The problems are those of problem.h with these differences: data are float32, bfloat16 or float16
// (cross_scan and cross_merge also take float64); gradients are final, summed over parts and images:
//   SelectiveScanBackward  grad_A (D, N), grad_D (D), grad_delta_bias (D): float32;
//                          grad_B, grad_C: as B and C in shape and type;
//   Ss2dForward            projected_x is input, (B, H*W, 4, R+2N): one matrix product of x with the
//                          weights of all directions; workspace is ss2d_forward_workspace(p, ...) floats;
//   Ss2dBackward           grad_x is the scan's part only, and grad_x_proj_weight is not touched: both
//                          are finished by matrix products with grad_projected_x (B, H*W, 4, R+2N);
//                          workspace is ss2d_backward_workspace(p, ...) floats; grad_dt_projs_weight,
//                          grad_dt_projs_bias, grad_A_logs, grad_Ds: as the parameters in shape.
#pragma once

#include "../problem.h"

struct CUstream_st;

namespace swin_umamba::cuda {

using Stream = CUstream_st*;

const char* cross_scan(const CrossScan& p, Stream stream);
const char* cross_merge(const CrossScan& p, Stream stream);

const char* selective_scan_forward(const SelectiveScanForward& p, Stream stream);

int64_t selective_scan_backward_workspace(const SelectiveScan& p);
const char* selective_scan_backward(const SelectiveScanBackward& p, float* workspace, Stream stream);

// `multiprocessors` of the device decides how many directions one block scans after another, and with
// it how much is written before the merge: 0, 2 or 4 images of partial sums.
int64_t ss2d_forward_workspace(const Ss2d& p, int multiprocessors);
const char* ss2d_forward(const Ss2dForward& p, int multiprocessors, Stream stream);

// Here it decides how many channels a block sums dB and dC over.
int64_t ss2d_backward_workspace(const Ss2d& p, int multiprocessors);
const char* ss2d_backward(const Ss2dBackward& p, int multiprocessors, float* grad_projected_x, Stream stream);

// Parts are float32.
const char* sum_parts(const SumParts& p, Stream stream);

// Of the current device.
int multiprocessors();

}  // namespace swin_umamba::cuda
