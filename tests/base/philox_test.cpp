// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"

#include <gtest/gtest.h>

#include <limits>

namespace veloz {
namespace {

using Words = std::array<uint32_t, 4>;

// The known-answer vectors of philox4x32 with 10 rounds that come with Random123.
TEST(Philox, HasItsKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = std::numeric_limits<uint32_t>::max();
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformOpenStaysInside) {
  EXPECT_GT(uniform_open(0), 0.0f);
  EXPECT_LT(uniform_open(std::numeric_limits<uint32_t>::max()), 1.0f);
  EXPECT_EQ(uniform_open(0x80000000u), 0.5f + 0x1p-24f);
}

}  // namespace
}  // namespace veloz
