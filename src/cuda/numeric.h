// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "cuda/gpu.h"

/// Number formats on both sides: the device converts by instruction, the host (and the tests) by
/// bits, to the same result.
namespace veloz::cuda {

struct Bf16 {
  uint16_t bits;
};
struct Fp16 {
  uint16_t bits;
};
struct E4M3 {
  uint8_t bits;
};

template <typename To, typename From>
__host__ __device__ inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(Bf16 x) {
  return bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

/// Nearest even; NaN stays a quiet NaN.
__host__ __device__ inline Bf16 to_bf16(float x) {
  const auto u = bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x0040u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

/// Nearest even, saturating at 448, NaN stays NaN: base/fp8.h.
__host__ __device__ inline E4M3 to_e4m3(float x) {
  const auto u = bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint8_t>((u >> 24) & 0x80u);
  const uint32_t magnitude = u & 0x7fffffffu;
  uint32_t code = 0;
  if (magnitude > 0x7f800000u) {
    code = 0x7fu;
  } else if (magnitude >= 0x43e00000u) {  // 448
    code = 0x7eu;
  } else if (magnitude < 0x3c800000u) {  // 2^-6: the spacing is 2^-9 throughout
    // Adding 2^23 rounds to a whole number of spacings.
    const float shifted = bit_cast<float>(magnitude) * 512.0f + 8388608.0f;
    code = bit_cast<uint32_t>(shifted) & 0xffu;
  } else {
    const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
    code = (rounded >> 20) - ((127u - 7u) << 3);
    code = code < 0x7eu ? code : 0x7eu;
  }
  return {static_cast<uint8_t>(sign | code)};
}

__host__ __device__ inline float to_float(E4M3 x) {
  const uint32_t magnitude = x.bits & 0x7fu;
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x80u) << 24;
  if (magnitude == 0x7fu) return bit_cast<float>(sign | 0x7fc00000u);
  if (magnitude < 8u)
    return bit_cast<float>(bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f) | sign);
  return bit_cast<float>(sign | ((magnitude << 20) + ((127u - 7u) << 23)));
}

template <typename T>
__host__ __device__ inline T from_float(float x);
template <>
__host__ __device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__host__ __device__ inline Bf16 from_float<Bf16>(float x) {
  return to_bf16(x);
}

}  // namespace veloz::cuda
