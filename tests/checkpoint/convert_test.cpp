// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace veloz::checkpoint {
namespace {

template <typename To, typename From>
std::vector<To> converted(DType from_dtype, const std::vector<From>& from, DType to_dtype,
                          NonFinite* found = nullptr) {
  std::vector<To> to(from.size());
  const NonFinite counts = convert(from_dtype, std::as_bytes(std::span(from)), to_dtype,
                                   std::as_writable_bytes(std::span(to)));
  if (found != nullptr) *found = counts;
  return to;
}

std::vector<uint16_t> all_16_bit_patterns() {
  std::vector<uint16_t> patterns(1 << 16);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  return patterns;
}

/// From the definition: sign, 5 bits of exponent, 10 of mantissa.
double value_of_fp16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Convert, GivesEveryFp16ExactlyInFp32) {
  const std::vector<uint16_t> patterns = all_16_bit_patterns();
  const std::vector<float> values = converted<float>(DType::fp16, patterns, DType::fp32);
  for (size_t i = 0; i < patterns.size(); ++i) {
    const double expected = value_of_fp16(patterns[i]);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
    } else {
      EXPECT_EQ(values[i], expected) << i;
      EXPECT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
    }
  }
}

TEST(Convert, LeavesEveryBf16AsItIs) {
  const std::vector<uint16_t> patterns = all_16_bit_patterns();
  const std::vector<uint16_t> same = converted<uint16_t>(DType::bf16, patterns, DType::bf16);
  const std::vector<uint32_t> wide = converted<uint32_t>(DType::bf16, patterns, DType::fp32);
  for (size_t i = 0; i < patterns.size(); ++i) {
    EXPECT_EQ(wide[i], static_cast<uint32_t>(patterns[i]) << 16);
    const bool is_nan = (patterns[i] & 0x7fff) > 0x7f80;
    EXPECT_EQ(same[i], is_nan ? patterns[i] | 0x40 : patterns[i]);
  }
}

TEST(Convert, RoundsFp32ToTheNearestEvenBf16) {
  const std::vector<uint32_t> from = {0x3f800000,   // 1
                                      0x3f808000,   // half way between 0x3f80 and 0x3f81
                                      0x3f818000,   // half way between 0x3f81 and 0x3f82
                                      0x3f808001,   // just above half
                                      0x3f807fff,   // just below half
                                      0xbf808001,   // negative
                                      0x7f7fffff,   // the largest number rounds to infinity
                                      0x00000001,   // the smallest rounds to zero
                                      0x80000000};  // -0
  EXPECT_EQ(converted<uint16_t>(DType::fp32, from, DType::bf16),
            (std::vector<uint16_t>{0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0xbf81, 0x7f80, 0x0000,
                                   0x8000}));
}

TEST(Convert, KeepsNanANumberThatIsNone) {
  // A payload in the low bits alone must not become infinity.
  const std::vector<uint32_t> from = {0x7f800001, 0xffffffff, 0x7fc00000};
  NonFinite found;
  EXPECT_EQ(converted<uint16_t>(DType::fp32, from, DType::bf16, &found),
            (std::vector<uint16_t>{0x7fc0, 0xffff, 0x7fc0}));
  EXPECT_EQ(found.num_nan, 3);
  EXPECT_EQ(found.num_inf, 0);
}

TEST(Convert, CountsWhatIsNotFiniteAcrossBlocks) {
  std::vector<float> from(10'001, 1.0f);
  from[0] = from[4095] = from[4096] = std::numeric_limits<float>::quiet_NaN();
  from[10'000] = -std::numeric_limits<float>::infinity();
  from[5000] = std::numeric_limits<float>::max();  // infinite as bf16 only
  NonFinite found;
  converted<float>(DType::fp32, from, DType::fp32, &found);
  EXPECT_EQ(found.num_nan, 3);
  EXPECT_EQ(found.num_inf, 1);
  converted<uint16_t>(DType::fp32, from, DType::bf16, &found);
  EXPECT_EQ(found.num_nan, 3);
  EXPECT_EQ(found.num_inf, 2);
}

TEST(Convert, TakesNothing) {
  EXPECT_TRUE(converted<float>(DType::fp16, std::vector<uint16_t>{}, DType::fp32).empty());
}

}  // namespace
}  // namespace veloz::checkpoint
