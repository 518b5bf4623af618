// SPDX-License-Identifier: Apache-2.0
#include "net/write_deadline.h"

#include <gtest/gtest.h>

namespace veloz::net {
namespace {

using std::chrono::milliseconds;

constexpr WriteDeadline::Clock::time_point kStart{};
constexpr size_t kMinBytes = WriteDeadline::kMinBytes;

TEST(WriteDeadline, IsOnlyThereWhileSomethingIsSent) {
  WriteDeadline deadline(milliseconds(100));
  EXPECT_FALSE(deadline.is_over(kStart + milliseconds(100)));
  deadline.begin(kStart);
  EXPECT_FALSE(deadline.is_over(kStart + milliseconds(99)));
  EXPECT_TRUE(deadline.is_over(kStart + milliseconds(100)));
  deadline.end();
  EXPECT_FALSE(deadline.is_over(kStart + milliseconds(100)));
}

TEST(WriteDeadline, IsRenewedByEnoughBytesTogether) {
  WriteDeadline deadline(milliseconds(100));
  deadline.begin(kStart);
  deadline.on_sent(kMinBytes - 1, kStart + milliseconds(50));
  EXPECT_TRUE(deadline.is_over(kStart + milliseconds(100)));
  deadline.on_sent(1, kStart + milliseconds(60));
  EXPECT_FALSE(deadline.is_over(kStart + milliseconds(159)));
  deadline.on_sent(kMinBytes - 1, kStart + milliseconds(70));  // counted anew
  EXPECT_TRUE(deadline.is_over(kStart + milliseconds(160)));
}

}  // namespace
}  // namespace veloz::net
