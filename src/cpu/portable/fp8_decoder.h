// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/portable/lanes.h"

#include "cpu/fp8_bits.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

constexpr std::array<uint16_t, 256> kBf16Bits = [] {
  std::array<uint16_t, 256> bits{};
  for (uint32_t code = 0; code < 256; ++code) bits[code] = fp8_to_bf16_bits(code);
  return bits;
}();

struct TableDecoder {
  static Fp8Step decode(const Lanes::I& codes) {
    constexpr size_t kHalf = 8;  // of 16 codes
    uint8_t bytes[kStepBytes];
    std::memcpy(bytes, &codes, sizeof(bytes));
    uint16_t halves[2][kStepBytes / 2];
    for (size_t i = 0; i < sizeof(bytes); ++i)
      halves[i / kHalf % 2][i / (2 * kHalf) * kHalf + i % kHalf] = kBf16Bits[bytes[i]];
    return {Lanes::load_int(halves[0]), Lanes::load_int(halves[1])};
  }
};

}  // namespace
}  // namespace veloz::cpu
