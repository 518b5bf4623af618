// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace veloz {

/// FP8 E4M3 as in "FP8 Formats for Deep Learning" (Micikevicius et al., 2022), the variant without
/// infinities: 1 sign, 4 exponent bits with bias 7, 3 bits of mantissa; subnormals below 2^-6;
/// 0x7f and 0xff are NaN; the largest finite value is 448.
struct Fp8E4M3 {
  static constexpr float kMax = 448.0f;
  uint8_t bits = 0;

  Fp8E4M3() = default;
  /// Rounds to nearest even; beyond the largest value, infinities included, saturates; NaN stays.
  explicit Fp8E4M3(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint8_t>((u >> 24) & 0x80u);
    const uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
      bits = sign | 0x7fu;
    } else if (magnitude >= 0x43e00000u) {  // 448
      bits = sign | 0x7eu;
    } else if (magnitude < 0x3c800000u) {  // 2^-6: the spacing is 2^-9 throughout
      const float scaled = std::bit_cast<float>(magnitude) * 512.0f;
      bits = sign | static_cast<uint8_t>(std::nearbyint(scaled));
    } else {
      const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
      const uint32_t code = (rounded >> 20) - ((127u - 7u) << 3);
      bits = sign | static_cast<uint8_t>(code < 0x7eu ? code : 0x7eu);
    }
  }
  explicit operator float() const {
    const uint32_t magnitude = bits & 0x7fu;
    const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
    if (magnitude == 0x7fu) return std::bit_cast<float>(sign | 0x7fc00000u);
    if (magnitude < 8u) {
      const float value = static_cast<float>(magnitude) * 0x1p-9f;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
    }
    return std::bit_cast<float>(sign | ((magnitude << 20) + ((127u - 7u) << 23)));
  }
};

}  // namespace veloz
