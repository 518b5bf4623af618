// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/philox.h"
#include "cuda/gpu.h"
#include "cuda/numeric.h"

/// The exponential race of `sample`: ops/sample.h.
namespace veloz::cuda {

/// The five words of a row.
struct RaceKey {
  uint32_t seed_low;
  uint32_t seed_high;
  uint32_t choice;
  uint32_t position;
  uint32_t draw;
};

/// Words of tokens 4 * four to 4 * four + 3.
__device__ inline std::array<uint32_t, 4> race_words(const RaceKey& key, uint32_t four) {
  return philox4x32({key.choice, key.position, key.draw, four}, {key.seed_low, key.seed_high});
}
__device__ inline double race_uniform(uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

/// At least 2^x for x <= 0: between powers of two the chord lies above the curve, and the fraction
/// of x in the place of a mantissa is the chord. Some more for the rounding of x.
__device__ inline float exp2_bound(float x) {
  constexpr float kOne = 0x1p23f;  // an exponent's step in the bits of a float
  constexpr float kSlack = 0x1p-10f;
  const float clamped = x > -126.0f ? x : -126.0f;
  return bit_cast<float>(static_cast<int32_t>((clamped + (127.0f + kSlack)) * kOne));
}

}  // namespace veloz::cuda
