// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/auto_search.h"

#include <gtest/gtest.h>

#include <vector>

namespace veloz::compress {
namespace {

/// Two treatments, of 25 and 50 bytes, beside 100 of the original.
GroupChoice group(double error, double error_of_next) {
  return {.modules = {"m"},
          .original_bytes = 100,
          .stored_bytes = {25, 50},
          .output_error = {error, error_of_next}};
}

TEST(AutoSearch, UpgradesWhatTakesMostErrorForItsBytesFirst) {
  const std::vector<GroupChoice> groups = {group(0.02, 0.001), group(0.1, 0.06)};
  const std::vector<Upgrade> path = upgrade_path(groups);
  ASSERT_EQ(path.size(), 4u);
  EXPECT_EQ(path[0].group, 1u);  // 0.04 for 25 bytes
  EXPECT_EQ(path[0].to, 1u);
  EXPECT_EQ(path[1].group, 1u);  // 0.06 for 50
  EXPECT_EQ(path[1].to, std::nullopt);
  EXPECT_EQ(path[2].group, 0u);
  EXPECT_EQ(path[2].to, 1u);
  EXPECT_EQ(path[3].to, std::nullopt);
}

TEST(AutoSearch, AnAssignmentIsWhatItsUpgradesMadeOfTheSmallest) {
  const std::vector<GroupChoice> groups = {group(0.02, 0.001), group(0.1, 0.06)};
  const std::vector<Upgrade> path = upgrade_path(groups);
  EXPECT_EQ(after_upgrades(groups, path, 0), (Assignment{0, 0}));
  EXPECT_EQ(after_upgrades(groups, path, 1), (Assignment{0, 1}));
  EXPECT_EQ(after_upgrades(groups, path, 3), (Assignment{1, std::nullopt}));
  EXPECT_EQ(after_upgrades(groups, path, 4), (Assignment{std::nullopt, std::nullopt}));
}

TEST(AutoSearch, EqualGainsGoToTheEarlierGroup) {
  const std::vector<Upgrade> path = upgrade_path({group(0.1, 0.01), group(0.1, 0.01)});
  EXPECT_EQ(path[0].group, 0u);
  EXPECT_EQ(path[1].group, 1u);
}

TEST(AutoSearch, FindsTheFewestUpgradesThatPassWithFewTries) {
  constexpr size_t kLength = 100;
  for (size_t needed = 0; needed <= kLength; ++needed) {
    int num_tries = 0;
    EXPECT_EQ(fewest_upgrades(kLength,
                              [&](size_t count) {
                                ++num_tries;
                                EXPECT_LT(count, kLength);
                                return count >= needed;
                              }),
              needed);
    EXPECT_LE(num_tries, 8);
  }
}

TEST(AutoSearch, NothingToUpgradeIsFound) {
  EXPECT_TRUE(upgrade_path({}).empty());
  EXPECT_EQ(fewest_upgrades(0, [](size_t) { return false; }), 0u);
}

}  // namespace
}  // namespace veloz::compress
