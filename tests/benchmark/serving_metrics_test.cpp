// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_metrics.h"

#include <gtest/gtest.h>

#include <array>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

/// Four tokens: the first after 0.1 s, then every 50 ms.
RequestResult four_tokens(double start_s) {
  RequestResult result;
  result.start_s = start_s;
  result.ttft_s = 0.1;
  result.latency_s = 0.25;
  result.itls_s = {0.05, 0.05, 0.05};
  result.num_prompt_tokens = 10;
  result.num_output_tokens = 4;
  return result;
}

RequestResult failed(const std::string& error) {
  RequestResult result = four_tokens(0);
  result.error = error;
  return result;
}

TEST(ServingMetrics, CountTokensAndRatesOfTheRun) {
  const std::vector<RequestResult> results = {four_tokens(0), four_tokens(0.5)};
  const ServingMetrics metrics = measure(results, 2, {});
  EXPECT_EQ(metrics.num_completed, 2);
  EXPECT_EQ(metrics.num_input_tokens, 20);
  EXPECT_EQ(metrics.num_output_tokens, 8);
  EXPECT_DOUBLE_EQ(metrics.request_throughput, 1);
  EXPECT_DOUBLE_EQ(metrics.output_throughput, 4);
  EXPECT_DOUBLE_EQ(metrics.total_token_throughput, 14);
}

TEST(ServingMetrics, LatenciesAreInMilliseconds) {
  const ServingMetrics metrics = measure(std::array{four_tokens(0)}, 1, {.ranks = {99}});
  EXPECT_NEAR(metrics.latencies_ms.ttft.mean, 100, 1e-9);
  EXPECT_NEAR(metrics.latencies_ms.tpot.median, 50, 1e-9);
  EXPECT_NEAR(metrics.latencies_ms.itl.percentiles.at(0).value, 50, 1e-9);
  EXPECT_NEAR(metrics.latencies_ms.e2el.mean, 250, 1e-9);
}

TEST(ServingMetrics, TpotCountsTokensWhereItlCountsChunks) {
  RequestResult bundled = four_tokens(0);
  bundled.itls_s = {0.15};  // the last three came as one chunk
  const ServingMetrics metrics = measure(std::array{bundled}, 1, {});
  EXPECT_NEAR(metrics.latencies_ms.tpot.mean, 50, 1e-9);
  EXPECT_NEAR(metrics.latencies_ms.itl.mean, 150, 1e-9);
}

TEST(ServingMetrics, ARequestOfOneTokenHasNoTpot) {
  RequestResult one = four_tokens(0);
  one.num_output_tokens = 1;
  one.itls_s.clear();
  const ServingMetrics metrics = measure(std::array{one, four_tokens(0)}, 1, {});
  EXPECT_NEAR(metrics.latencies_ms.tpot.mean, 50, 1e-9);
}

TEST(ServingMetrics, FailedRequestsAreCountedAndNothingElse) {
  const std::array results = {four_tokens(0), failed("HTTP 429: busy")};
  const ServingMetrics metrics = measure(results, 1, {});
  EXPECT_EQ(metrics.num_completed, 1);
  EXPECT_EQ(metrics.num_failed, 1);
  EXPECT_EQ(metrics.num_output_tokens, 4);
}

TEST(ServingMetrics, WhereAllFailEverythingIsZero) {
  const ServingMetrics metrics = measure(std::array{failed("no")}, 0, {});
  EXPECT_EQ(metrics.request_throughput, 0);
  EXPECT_EQ(metrics.latencies_ms.ttft.median, 0);
  EXPECT_EQ(metrics.peak_concurrent_requests, 0);
}

TEST(ServingMetrics, PeakConcurrencyDoesNotCountOneThatEndsAsAnotherStarts) {
  EXPECT_EQ(measure(std::array{four_tokens(0), four_tokens(0.25)}, 1, {}).peak_concurrent_requests,
            1);
  EXPECT_EQ(measure(std::array{four_tokens(0), four_tokens(0.2)}, 1, {}).peak_concurrent_requests,
            2);
}

TEST(ServingMetrics, PeakThroughputIsThatOfTheBestSecond) {
  const std::array results = {four_tokens(10), four_tokens(10.2), four_tokens(11.5)};
  EXPECT_EQ(measure(results, 2, {}).peak_output_throughput, 8);
}

TEST(Goodput, NeedsEveryLimitToBeMet) {
  const std::array limits = {std::string("ttft:100"), std::string("tpot:60")};
  const Goodput goodput = parse_goodput(limits);
  EXPECT_TRUE(goodput.is_good(four_tokens(0)));
  RequestResult late = four_tokens(0);
  late.ttft_s = 0.101;
  EXPECT_FALSE(goodput.is_good(late));
  RequestResult slow = four_tokens(0);
  slow.latency_s = 0.3;
  EXPECT_FALSE(goodput.is_good(slow));
  EXPECT_FALSE(goodput.is_good(failed("no")));
}

TEST(Goodput, CountsPerSecond) {
  RequestResult late = four_tokens(0);
  late.ttft_s = 0.2;
  const std::array limits = {std::string("ttft:150")};
  const ServingMetrics metrics =
      measure(std::array{four_tokens(0), late}, 2, {.goodput = parse_goodput(limits)});
  EXPECT_EQ(metrics.num_good, 1);
  EXPECT_DOUBLE_EQ(metrics.request_goodput, 0.5);
}

TEST(Goodput, RefusesWhatIsNoLimit) {
  for (const char* bad : {"", "ttft", "ttft:", "ttft:x", "itl:5", "ttft:-1", "ttft:5ms", ":5"}) {
    const std::array limits = {std::string(bad)};
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--goodput", bad, "ttft, tpot"}, [&] {
      parse_goodput(limits);
    })) << bad;
  }
}

TEST(ErrorCounts, AreSortedByFrequency) {
  const std::vector<RequestResult> results = {failed("a"), failed("b"), failed("b"), four_tokens(0),
                                              failed("c")};
  const std::vector<ErrorCount> errors = count_errors(results, 2);
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].message, "b");
  EXPECT_EQ(errors[0].count, 2);
  EXPECT_EQ(errors[1].message, "a");
}

}  // namespace
}  // namespace veloz::benchmark
