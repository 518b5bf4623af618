// SPDX-License-Identifier: Apache-2.0
#include "cuda/numeric.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/dtype.h"
#include "base/fp8.h"

namespace veloz::cuda {
namespace {

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

Fp8E4M3 fp8_of(uint8_t bits) {
  Fp8E4M3 value;
  value.bits = bits;
  return value;
}

TEST(CudaNumeric, ReadsEveryFp8CodeAsTheBaseDoes) {
  for (unsigned code = 0; code < 256; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    EXPECT_EQ(bits_of(to_float(E4M3{byte})), bits_of(static_cast<float>(fp8_of(byte)))) << code;
  }
}

TEST(CudaNumeric, ReadsEveryBf16PatternAsTheBaseDoes) {
  for (uint32_t pattern = 0; pattern < 0x10000u; ++pattern) {
    BFloat16 base;
    base.bits = static_cast<uint16_t>(pattern);
    ASSERT_EQ(bits_of(to_float(Bf16{base.bits})), bits_of(static_cast<float>(base))) << pattern;
  }
}

/// Every bf16 pattern, with the low half at 0, about a tie, and about the next pattern.
template <typename Check>
void for_many_floats(const Check& check) {
  for (uint32_t high = 0; high < 0x10000u; ++high)
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      check(std::bit_cast<float>(high << 16 | low));
}

TEST(CudaNumeric, RoundsToFp8AsTheBaseDoes) {
  for_many_floats([](float x) { ASSERT_EQ(to_e4m3(x).bits, Fp8E4M3(x).bits) << bits_of(x); });
  // Halfway between two codes, and next to it.
  for (uint8_t code = 0; code < 0x7eu; ++code) {
    const float halfway = (static_cast<float>(fp8_of(code)) +
                           static_cast<float>(fp8_of(static_cast<uint8_t>(code + 1)))) /
                          2;
    for (const float x : {halfway, std::nextafter(halfway, 0.0f), std::nextafter(halfway, 1e9f)}) {
      EXPECT_EQ(to_e4m3(x).bits, Fp8E4M3(x).bits) << x;
      EXPECT_EQ(to_e4m3(-x).bits, Fp8E4M3(-x).bits) << -x;
    }
  }
}

TEST(CudaNumeric, RoundsToBf16AsTheBaseDoes) {
  for_many_floats([](float x) { ASSERT_EQ(to_bf16(x).bits, BFloat16(x).bits) << bits_of(x); });
}

}  // namespace
}  // namespace veloz::cuda
