// SPDX-License-Identifier: Apache-2.0
#include "benchmark/statistics.h"

#include <gtest/gtest.h>

#include <array>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

TEST(Statistics, PercentilesInterpolateAsNumpyDoes) {
  // numpy.percentile([1, 2, 4, 8], [0, 25, 50, 90, 99, 100])
  const std::array<double, 4> sorted = {1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(percentile(sorted, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(sorted, 25), 1.75);
  EXPECT_DOUBLE_EQ(percentile(sorted, 50), 3);
  EXPECT_DOUBLE_EQ(percentile(sorted, 90), 6.8);
  EXPECT_DOUBLE_EQ(percentile(sorted, 99), 7.88);
  EXPECT_DOUBLE_EQ(percentile(sorted, 100), 8);
}

TEST(Statistics, SummaryDoesNotDependOnOrder) {
  const std::array<double, 2> ranks = {50, 99};
  const Summary summary = summarize({4, 8, 1, 2}, ranks);
  EXPECT_DOUBLE_EQ(summary.mean, 3.75);
  EXPECT_DOUBLE_EQ(summary.median, 3);
  EXPECT_NEAR(summary.std, 2.680951323690902, 1e-12);  // numpy.std
  ASSERT_EQ(summary.percentiles.size(), 2u);
  EXPECT_DOUBLE_EQ(summary.percentiles[1].rank, 99);
  EXPECT_DOUBLE_EQ(summary.percentiles[1].value, 7.88);
}

TEST(Statistics, OfNothingAllIsZero) {
  const std::array<double, 1> ranks = {99};
  const Summary summary = summarize({}, ranks);
  EXPECT_EQ(summary.mean, 0);
  EXPECT_EQ(summary.std, 0);
  EXPECT_EQ(summary.percentiles.at(0).value, 0);
}

TEST(Statistics, OfOneValueAllIsThatValue) {
  const std::array<double, 2> ranks = {0, 99};
  const Summary summary = summarize({7}, ranks);
  EXPECT_EQ(summary.median, 7);
  EXPECT_EQ(summary.std, 0);
  EXPECT_EQ(summary.percentiles.at(1).value, 7);
}

TEST(Statistics, RanksAreNumbersWithCommasBetween) {
  EXPECT_EQ(parse_ranks("50,90,99.9", "--metric-percentiles"), (std::vector<double>{50, 90, 99.9}));
  EXPECT_EQ(format_rank(99), "99");
  EXPECT_EQ(format_rank(99.9), "99.9");
}

TEST(Statistics, RefusesRanksThatAreNoPercentiles) {
  for (const char* bad : {"", "50,", "x", "101", "-1", "50;90", "nan"})
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--metric-percentiles", bad}, [&] {
      parse_ranks(bad, "--metric-percentiles");
    })) << bad;
}

}  // namespace
}  // namespace veloz::benchmark
