// SPDX-License-Identifier: Apache-2.0
#include "profile/machine_peaks.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::profile {
namespace {

constexpr MachinePeaks kStoredPeaks = {
    .read_bytes_per_s = 10, .fp32_ops_per_s = 100, .bf16_ops_per_s = 200, .int8_ops_per_s = 0};

TEST(BoundOf, IsMemoryWhereBytesTakeLonger) {
  const Bound bound = bound_of({.flops = 200, .bytes = 100}, Roof::bf16_dot, kStoredPeaks);
  EXPECT_EQ(bound.roof, Roof::dram_read);
  EXPECT_EQ(bound.seconds, 10);
}

TEST(BoundOf, IsTheArithmeticAskedForWhereThatTakesLonger) {
  const Bound bound = bound_of({.flops = 4000, .bytes = 100}, Roof::bf16_dot, kStoredPeaks);
  EXPECT_EQ(bound.roof, Roof::bf16_dot);
  EXPECT_EQ(bound.seconds, 20);
}

TEST(BoundOf, TakesFp32WhereTheMachineHasNoSuchInstruction) {
  const Bound bound = bound_of({.flops = 4000, .bytes = 100}, Roof::int8_dot, kStoredPeaks);
  EXPECT_EQ(bound.roof, Roof::fp32_fma);
  EXPECT_EQ(bound.seconds, 40);
}

TEST(BoundOf, TakesFp32WhereTheInstructionIsSlower) {
  MachinePeaks peaks = kStoredPeaks;
  peaks.bf16_ops_per_s = 50;
  const Bound bound = bound_of({.flops = 4000, .bytes = 100}, Roof::bf16_dot, peaks);
  EXPECT_EQ(bound.roof, Roof::fp32_fma);
  EXPECT_EQ(bound.seconds, 40);
}

TEST(BoundOf, NothingTakesNoTime) {
  EXPECT_EQ(bound_of({}, Roof::fp32_fma, kStoredPeaks).seconds, 0);
}

TEST(BoundOf, RefusesPeaksThatAreNot) {
  EXPECT_TRUE(test::throws_error(ErrorKind::internal, {"peaks of 0 B/s"}, [] {
    static_cast<void>(bound_of({.flops = 1, .bytes = 1}, Roof::fp32_fma, {}));
  }));
}

}  // namespace
}  // namespace veloz::profile
