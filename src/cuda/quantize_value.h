// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/chunk.h"
#include "cuda/numeric.h"
#include "cuda/ptx/fp8.h"

/// The arithmetic of `quantize` (ops/quantize.h), operation by operation.
namespace veloz::cuda {

inline constexpr float kInt8Limit = 127.0f;
inline constexpr float kE4M3Limit = 448.0f;
inline constexpr float kQuantizeFloor = 1e-30f;

/// |x| as bits: they order as the magnitudes do, infinity above all numbers and NaN above it.
__host__ __device__ inline uint32_t magnitude_bits(float x) {
  return bit_cast<uint32_t>(x) & 0x7fffffffu;
}

struct GroupScale {
  float scale;
  float inverse;  // 0: all codes are zero
};

__host__ __device__ inline bool is_finite_magnitude(uint32_t bits) { return bits < 0x7f800000u; }

/// Of a group whose largest magnitude has bits `amax`.
__host__ __device__ inline GroupScale group_scale(uint32_t amax, float limit) {
  if (!is_finite_magnitude(amax)) return {bit_cast<float>(0x7fc00000u), 0.0f};
  const float largest = bit_cast<float>(amax);
  if (largest < kQuantizeFloor) return {0.0f, 0.0f};
  return {largest / limit, limit / largest};
}

/// The same under a fixed scale.
__host__ __device__ inline GroupScale fixed_group_scale(uint32_t amax, float scale) {
  if (!is_finite_magnitude(amax)) return {bit_cast<float>(0x7fc00000u), 0.0f};
  return {scale, 1.0f / scale};
}

/// The code is the lowest byte; `x * inverse` must be a number.
__host__ __device__ inline uint32_t to_int8_bits(float x, float inverse) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
  const float scaled = x * inverse;
  const float clamped = scaled > kInt8Limit    ? kInt8Limit
                        : scaled < -kInt8Limit ? -kInt8Limit
                                               : scaled;
  return bit_cast<uint32_t>(clamped + kRounder) & 0xffu;
}

/// Codes of four neighbours, the first in the lowest byte; `inverse` is not 0.
__host__ __device__ inline uint32_t quantize_four(const float* x, float inverse, bool is_int8) {
  if (is_int8)
    return to_int8_bits(x[0], inverse) | to_int8_bits(x[1], inverse) << 8 |
           to_int8_bits(x[2], inverse) << 16 | to_int8_bits(x[3], inverse) << 24;
  // The conversion saturates.
  return to_e4m3x2(x[0] * inverse, x[1] * inverse) | to_e4m3x2(x[2] * inverse, x[3] * inverse)
                                                         << 16;
}

__host__ __device__ inline uint8_t quantize_one(float x, float inverse, bool is_int8) {
  if (is_int8) return static_cast<uint8_t>(to_int8_bits(x, inverse));
  return static_cast<uint8_t>(to_e4m3x2(x * inverse, 0.0f));
}

/// Of a chunk, as magnitude_bits.
template <typename T>
__device__ inline uint32_t largest_magnitude(const Chunk<T>& chunk) {
  float values[kChunk];
  unpack(chunk, values);
  uint32_t amax = 0;
#pragma unroll
  for (int i = 0; i < kChunk; ++i) amax = max(amax, magnitude_bits(values[i]));
  return amax;
}

}  // namespace veloz::cuda
