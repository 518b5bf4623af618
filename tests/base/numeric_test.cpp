// SPDX-License-Identifier: Apache-2.0
#include "base/numeric.h"

#include <gtest/gtest.h>

#include <limits>

namespace veloz {
namespace {

TEST(Numeric, NarrowKeepsTheValueOrThrows) {
  EXPECT_EQ(narrow<int8_t>(int64_t{-128}), -128);
  EXPECT_EQ(narrow<uint32_t>(int64_t{0xffffffff}), 0xffffffffu);
  EXPECT_THROW(narrow<int8_t>(128), Error);
  EXPECT_THROW(narrow<uint64_t>(-1), Error);
  EXPECT_THROW(narrow<int32_t>(uint64_t{1} << 31), Error);
}

TEST(Numeric, TryMultiplyNoticesOverflow) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(try_multiply(uint64_t{1} << 32, uint64_t{1} << 31), uint64_t{1} << 63);
  EXPECT_EQ(try_multiply(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(try_multiply(kMax, 1), kMax);
  EXPECT_EQ(try_multiply(kMax, 2), std::nullopt);
  EXPECT_EQ(try_multiply(kMax, 0), 0u);
}

TEST(Numeric, RoundsUp) {
  EXPECT_EQ(ceil_div(0, 64), 0);
  EXPECT_EQ(ceil_div(1, 64), 1);
  EXPECT_EQ(ceil_div(64, 64), 1);
  EXPECT_EQ(ceil_div(65, 64), 2);
  EXPECT_EQ(round_up(int64_t{65}, int64_t{64}), 128);
  EXPECT_EQ(round_up(size_t{128}, size_t{64}), 128u);
}

}  // namespace
}  // namespace veloz
