// SPDX-License-Identifier: Apache-2.0
#include "cli/describe_running.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace veloz::cli {
namespace {

TEST(DescribeRunning, TellsWhatEachRequestIsAt) {
  std::vector<serving::RunningRequest> running(2);
  running[0] = {.id = {},
                .label = "my-id",
                .num_prompt_tokens = 10,
                .num_output_tokens = 3,
                .num_sequences = 2,
                .num_computed = 12,
                .num_blocks = 4,
                .age_s = 1.25};
  running[1].label = "other";
  EXPECT_EQ(
      describe_running(running),
      "request my-id: 10 prompt + 3 output tokens, 12 computed, 2 sequences, 4 blocks, 1.2 s "
      "old; request other: 0 prompt + 0 output tokens, 0 computed, 1 sequences, 0 blocks, 0.0 s "
      "old");
  EXPECT_EQ(describe_running({}), "");
}

TEST(DescribeRunning, StopsAfterThirtyTwoAndCountsTheRest) {
  const auto described = [](size_t count) {
    return describe_running(std::vector<serving::RunningRequest>(count));
  };
  EXPECT_EQ(std::ranges::count(described(32), ':'), 32);
  EXPECT_EQ(described(32).find("more"), std::string::npos);
  EXPECT_EQ(described(100), described(32) + "; and 68 more");
}

}  // namespace
}  // namespace veloz::cli
