// SPDX-License-Identifier: Apache-2.0
#include "benchmark/max_qps.h"

#include <gtest/gtest.h>

namespace veloz::benchmark {
namespace {

struct Outcome {
  std::optional<double> best;
  int num_trials = 0;
};

/// A server that sustains every rate up to `capacity`.
Outcome search(double capacity, QpsSearch::Options options = {}) {
  QpsSearch search(options);
  Outcome outcome;
  while (const std::optional<double> rate = search.next_rate()) {
    search.answer(*rate <= capacity);
    ++outcome.num_trials;
  }
  outcome.best = search.best();
  return outcome;
}

TEST(QpsSearch, EndsAtMostThePrecisionBelowTheCapacity) {
  for (const double capacity : {0.013, 0.5, 1.0, 3.7, 1000.0}) {
    const Outcome outcome = search(capacity, {.precision = 0.05});
    ASSERT_TRUE(outcome.best.has_value()) << capacity;
    EXPECT_LE(*outcome.best, capacity);
    EXPECT_GE(*outcome.best * 1.05, capacity);
    EXPECT_LE(outcome.num_trials, 18) << capacity;
  }
}

TEST(QpsSearch, ABetterFirstGuessNeedsFewerTrials) {
  EXPECT_LT(search(100, {.first_rate = 90}).num_trials, search(100).num_trials);
}

TEST(QpsSearch, FindsNothingWhereNoRateHolds) {
  const Outcome outcome = search(0);
  EXPECT_FALSE(outcome.best.has_value());
  EXPECT_LE(outcome.num_trials, 12);
}

TEST(QpsSearch, GivesUpRaisingAtTheHighestRate) {
  const Outcome outcome = search(1e300, {.max_rate = 100});
  EXPECT_EQ(outcome.best, 64);
}

}  // namespace
}  // namespace veloz::benchmark
