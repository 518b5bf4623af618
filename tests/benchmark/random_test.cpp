// SPDX-License-Identifier: Apache-2.0
#include "benchmark/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

namespace veloz::benchmark {
namespace {

constexpr int kDraws = 20000;

struct Moments {
  double mean = 0;
  double variance = 0;
};

template <typename F>
Moments moments(const F& draw) {
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = draw();
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kDraws;
  return {mean, squares / kDraws - mean * mean};
}

TEST(RandomStream, TheSameSeedAndUseGiveTheSameNumbers) {
  RandomStream a(7, RandomUse::tokens), b(7, RandomUse::tokens);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(a.uniform(), b.uniform());
}

TEST(RandomStream, UsesOfOneSeedDiffer) {
  RandomStream a(7, RandomUse::tokens), b(7, RandomUse::lengths);
  EXPECT_NE(a.uniform(), b.uniform());
}

TEST(RandomStream, IntegersTakeEveryValueOfTheRangeAndNoOther) {
  RandomStream random(1, RandomUse::lengths);
  std::map<int64_t, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[random.integer(-2, 2)];
  ASSERT_EQ(counts.size(), 5u);
  for (const auto& [value, count] : counts) {
    EXPECT_LE(std::abs(value), 2);
    // Six standard deviations of a binomial distribution.
    EXPECT_NEAR(count, kDraws / 5.0, 6 * std::sqrt(kDraws * 0.2 * 0.8));
  }
}

TEST(RandomStream, IntegersOfARangeOfOneAreThatOne) {
  RandomStream random(1, RandomUse::lengths);
  EXPECT_EQ(random.integer(5, 5), 5);
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_NO_THROW(random.integer(kMin, kMax));
}

TEST(RandomStream, GammaHasMeanAndVarianceOfItsShape) {
  for (const double shape : {0.25, 0.5, 1.0, 4.0}) {
    RandomStream random(3, RandomUse::arrivals);
    const Moments m = moments([&] { return random.gamma(shape); });
    // Six standard errors; the fourth central moment of a gamma distribution is 3 k^2 + 6 k.
    EXPECT_NEAR(m.mean, shape, 6 * std::sqrt(shape / kDraws)) << shape;
    EXPECT_NEAR(m.variance, shape, 6 * std::sqrt((2 * shape * shape + 6 * shape) / kDraws))
        << shape;
  }
}

}  // namespace
}  // namespace veloz::benchmark
