// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

namespace veloz::cuda {

/// 1 / x, to 1 unit in the last place; results below 2^-126 are 0.
__device__ inline float reciprocal_fast(float x) {
#if VELOZ_DEVICE_CODE
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}

}  // namespace veloz::cuda
