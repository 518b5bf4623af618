// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/numeric.h"

namespace veloz::cuda {

/// Codes of E4M3 of `low` and `high`, low byte first: nearest even, saturating at 448, NaN stays
/// NaN (without its sign on the device).
__host__ __device__ inline uint32_t to_e4m3x2(float low, float high) {
#if VELOZ_DEVICE_CODE
  uint16_t codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
#else
  return static_cast<uint32_t>(to_e4m3(low).bits) | static_cast<uint32_t>(to_e4m3(high).bits) << 8;
#endif
}

}  // namespace veloz::cuda
