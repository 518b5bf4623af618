// SPDX-License-Identifier: Apache-2.0
#include "benchmark/max_qps.h"

#include <gtest/gtest.h>

namespace veloz::benchmark {
namespace {

struct Outcome {
  std::optional<double> best;
  int num_trials = 0;
};

/// A server that sustains every rate up to `capacity` and whose requests take 0.01 s.
Outcome search(double capacity, QpsSearch::Options options = {}) {
  using Answer = QpsSearch::Outcome;
  QpsSearch search(options);
  Outcome outcome;
  while (const std::optional<double> rate = search.next_rate()) {
    search.answer(*rate <= capacity ? Answer::holds
                  : *rate < 100     ? Answer::fails_alone
                                    : Answer::fails);
    ++outcome.num_trials;
  }
  outcome.best = search.best();
  return outcome;
}

TEST(QpsSearch, EndsAtMostThePrecisionBelowTheCapacity) {
  for (const double capacity : {101.0, 150.0, 777.7, 4000.0}) {
    const Outcome outcome = search(capacity, {.precision = 0.05});
    ASSERT_TRUE(outcome.best.has_value()) << capacity;
    EXPECT_LE(*outcome.best, capacity);
    EXPECT_GE(*outcome.best * 1.05, capacity);
    EXPECT_LE(outcome.num_trials, 18) << capacity;
  }
}

TEST(QpsSearch, ABetterFirstGuessNeedsFewerTrials) {
  EXPECT_LT(search(400, {.first_rate = 390}).num_trials, search(400).num_trials);
}

TEST(QpsSearch, LowersTheRateUntilItHolds) {
  EXPECT_NEAR(search(150, {.first_rate = 5000}).best.value_or(0), 150, 8);
}

TEST(QpsSearch, FindsNothingWhereARequestAloneIsTooSlow) {
  const Outcome outcome = search(0, {.first_rate = 400});
  EXPECT_FALSE(outcome.best.has_value());
  EXPECT_EQ(outcome.num_trials, 4);  // 400, 200, 100, 50
}

TEST(QpsSearch, GivesUpRaisingAtTheHighestRate) {
  const Outcome outcome = search(1e300, {.max_rate = 100});
  EXPECT_EQ(outcome.best, 64);
}

}  // namespace
}  // namespace veloz::benchmark
