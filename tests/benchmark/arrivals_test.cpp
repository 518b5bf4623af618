// SPDX-License-Identifier: Apache-2.0
#include "benchmark/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Standard deviation over mean of the intervals.
double variation(const std::vector<double>& times) {
  double sum = 0, squares = 0;
  double last = 0;
  for (const double time : times) {
    sum += time - last;
    squares += (time - last) * (time - last);
    last = time;
  }
  const auto count = static_cast<double>(times.size());
  const double mean = sum / count;
  return std::sqrt(squares / count - mean * mean) / mean;
}

TEST(Arrivals, AtAnInfiniteRateAllComeAtOnce) {
  EXPECT_EQ(arrival_times({}, 3), (std::vector<double>{0, 0, 0}));
}

TEST(Arrivals, RiseAndEndAtCountOverRate) {
  const std::vector<double> times = arrival_times({.request_rate = 4, .seed = 5}, 200);
  EXPECT_TRUE(std::ranges::is_sorted(times));
  EXPECT_GT(times.front(), 0);
  EXPECT_NEAR(times.back(), 50, 1e-9);
}

TEST(Arrivals, DependOnTheSeedOnly) {
  const ArrivalOptions options{.request_rate = 2, .seed = 1};
  EXPECT_EQ(arrival_times(options, 20), arrival_times(options, 20));
  EXPECT_NE(arrival_times(options, 20), arrival_times({.request_rate = 2, .seed = 2}, 20));
}

TEST(Arrivals, BurstinessIsTheShapeOfTheIntervals) {
  const auto times = [](double burstiness) {
    return arrival_times({.request_rate = 1, .burstiness = burstiness, .seed = 9}, 20000);
  };
  // A gamma distribution of shape k has variation 1 / sqrt(k).
  EXPECT_NEAR(variation(times(1)), 1, 0.05);
  EXPECT_NEAR(variation(times(0.25)), 2, 0.2);
  EXPECT_NEAR(variation(times(4)), 0.5, 0.03);
  EXPECT_NEAR(variation(times(kInfinity)), 0, 1e-6);
}

TEST(Arrivals, RefuseARateOrBurstinessThatIsNotPositive) {
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--request-rate"},
                                   [&] { arrival_times({.request_rate = bad}, 1); }));
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--burstiness"},
                                   [&] { arrival_times({.burstiness = bad}, 1); }));
  }
}

}  // namespace
}  // namespace veloz::benchmark
