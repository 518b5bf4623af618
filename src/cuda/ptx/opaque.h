// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"

namespace veloz::cuda {

/// Hides from the compiler where a value comes from, so that what was computed from it before is
/// computed again instead of kept in registers.
__device__ inline void make_opaque(uint32_t& word) {
#if VELOZ_DEVICE_CODE
  asm volatile("" : "+r"(word));
#else
  static_cast<void>(word);
#endif
}

}  // namespace veloz::cuda
