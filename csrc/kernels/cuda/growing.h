// Selective scans with decays above one, as csrc/kernels/cpu/growing.h has them: results that left float32's
// range on their way are taken from float64. Nothing is known of the data here on the host, so these kernels
// are always queued; they look at A, and where no decay can be above one they look no further.
#pragma once

#include "kernels.h"

namespace swin_umamba::cuda {

// After the kernels have run: gives results that are not finite what float64 has.
const char* complete_growing(const SelectiveScanForward& p, Stream stream);

// `between`: room for B N D (tiles - 1) floats.
const char* complete_growing(const SelectiveScanBackward& p, float* between, Stream stream);

}  // namespace swin_umamba::cuda
