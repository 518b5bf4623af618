// SPDX-License-Identifier: Apache-2.0
#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace veloz {
namespace {

uint16_t to_bf16(float value) { return BFloat16(value).bits; }
float from_bf16(uint16_t bits) {
  BFloat16 value;
  value.bits = bits;
  return static_cast<float>(value);
}

TEST(DType, NamesComeBack) {
  for (const DType dtype : {DType::fp32, DType::fp16, DType::bf16, DType::int64, DType::int32,
                            DType::int8, DType::uint8})
    EXPECT_EQ(try_parse_dtype(to_string(dtype)), dtype);
  for (const char* name : {"", "fp8", "FP32", "bf16 ", "float32"})
    EXPECT_EQ(try_parse_dtype(name), std::nullopt) << name;
}

TEST(DType, KnowsItsBytes) {
  EXPECT_EQ(dtype_bytes(DType::fp32), 4u);
  EXPECT_EQ(dtype_bytes(DType::fp16), 2u);
  EXPECT_EQ(dtype_bytes(DType::bf16), 2u);
  EXPECT_EQ(dtype_bytes(DType::int64), 8u);
  EXPECT_EQ(dtype_bytes(DType::int32), 4u);
  EXPECT_EQ(dtype_bytes(DType::int8), 1u);
  EXPECT_EQ(dtype_bytes(DType::uint8), 1u);
}

TEST(BFloat16, EveryValueSurvivesTheWayThroughFp32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_bf16(static_cast<uint16_t>(bits));
    EXPECT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(from_bf16(to_bf16(value)))) << bits;
    else
      EXPECT_EQ(to_bf16(value), bits);
  }
}

/// Every fp32 between two neighbouring bf16 values rounds to the nearer one, halfway to the even
/// one. Neighbours in bits are neighbours in value, infinity following the largest.
TEST(BFloat16, RoundsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t low = 0; low < 0x7f80; ++low) {
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto round = [&](uint32_t fraction) {
        return to_bf16(std::bit_cast<float>(((low | sign) << 16) | fraction));
      };
      const uint32_t down = low | sign;
      const uint32_t up = down + 1;
      EXPECT_EQ(round(0x0001), down);
      EXPECT_EQ(round(0x7fff), down);
      EXPECT_EQ(round(0x8000), low % 2 == 0 ? down : up) << low;
      EXPECT_EQ(round(0x8001), up);
      EXPECT_EQ(round(0xffff), up);
    }
  }
}

TEST(BFloat16, NanStaysQuietNanAndKeepsItsSign) {
  for (uint32_t mantissa : {1u, 0x7fffu, 0x8000u, 0x3fffffu, 0x400000u, 0x7fffffu}) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const uint16_t bits = to_bf16(std::bit_cast<float>(sign | 0x7f800000u | mantissa));
      EXPECT_TRUE(std::isnan(from_bf16(bits)));
      EXPECT_TRUE(bits & 0x0040);
      EXPECT_EQ(bits >> 15, sign >> 31);
    }
  }
}

/// The definition of IEEE binary16 in fp64.
double fp16_value(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 0x1f);
  const double mantissa = bits & 0x3ff;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Fp16, EveryValueConvertsExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = fp16_to_fp32(static_cast<uint16_t>(bits));
    const double want = fp16_value(bits);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(got), want) << bits;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << bits;
    }
  }
}

}  // namespace
}  // namespace veloz
