// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cpu {
namespace {

/// The bf16 that an E4M3 code stands for, as bits. Three bits of mantissa and an exponent from -9
/// on are all in bf16, so it is exact; what is subnormal there is normal here.
constexpr uint16_t fp8_to_bf16_bits(uint32_t code) {
  constexpr uint32_t kExponentShift = 127 - 7;  // from one bias to the other
  const uint32_t sign = (code & 0x80u) << 8;
  const uint32_t magnitude = code & 0x7fu;
  if (magnitude == 0x7fu) return static_cast<uint16_t>(sign | 0x7fc0u);
  if (magnitude >= 8)
    return static_cast<uint16_t>(sign | ((magnitude << 4) + (kExponentShift << 7)));
  if (magnitude == 0) return static_cast<uint16_t>(sign);
  uint32_t exponent = kExponentShift + 1;  // of 2^-6, in units of which magnitude counts eighths
  uint32_t mantissa = magnitude;
  while (mantissa < 8) {
    mantissa *= 2;
    --exponent;
  }
  return static_cast<uint16_t>(sign | (exponent << 7) | ((mantissa & 7) << 4));
}

}  // namespace
}  // namespace veloz::cpu
