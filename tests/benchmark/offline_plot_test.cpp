// SPDX-License-Identifier: Apache-2.0
#include "benchmark/offline_plot.h"

#include <gtest/gtest.h>

#include "benchmark/count.h"

namespace veloz::benchmark {
namespace {

TEST(ThroughputPlot, CountsRequestsAndTokensUpToTheEnd) {
  const Throughput throughput{
      .elapsed_s = 4,
      .ended = {{.end_s = 4, .ttft_s = 2, .num_output_tokens = 30},
                {.end_s = 2, .ttft_s = 1, .num_output_tokens = 10},
                {.end_s = 3, .is_complete = false, .ttft_s = 1, .num_output_tokens = 900}}};
  const std::string svg = throughput_plot("a run", throughput);
  // 4 s lie on 872 units from 64 on, 2 requests and 40 tokens on 168 units up to 248 and 472.
  EXPECT_EQ(count(svg, "d=\"M64.0 248.0L282.0 164.0L500.0 80.0\""), 1u) << svg;   // first tokens
  EXPECT_EQ(count(svg, "d=\"M64.0 248.0L500.0 164.0L936.0 80.0\""), 1u) << svg;   // ends
  EXPECT_EQ(count(svg, "d=\"M64.0 472.0L500.0 430.0L936.0 304.0\""), 1u) << svg;  // tokens
}

TEST(ThroughputPlot, OfARunThatWasCutOffAtOnceIsEmpty) {
  const std::string svg = throughput_plot("nothing", {.ended = {{0, /*is_complete=*/false}}});
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(LatencyPlot, DrawsEachBatchAndItsRequestsWhereItBegan) {
  const Latency latency{
      .batch_s = {1, 3}, .ttft_ms = {10, 20, 10, 20}, .tpot_ms = {5, 5, 5, 5}, .step_ms = {}};
  const std::string svg = latency_plot("a batch", latency);
  EXPECT_EQ(count(svg, "d=\"M64.0 192.0h0M282.0 80.0h0\""), 1u) << svg;  // 1 s and 3 s
  EXPECT_EQ(count(svg, "d=\"M64.0 388.0h0M64.0 304.0h0M282.0 388.0h0M282.0 304.0h0\""), 1u) << svg;
  EXPECT_EQ(count(svg, "Time per output token"), 1u);
}

TEST(LatencyPlot, OfOneTokenHasNoTimePerToken) {
  const Latency latency{.batch_s = {1}, .ttft_ms = {10}, .tpot_ms = {}, .step_ms = {}};
  EXPECT_EQ(count(latency_plot("a batch", latency), "Time per output token"), 0u);
}

TEST(LatencyPlot, OfARunThatWasCutOffAtOnceIsEmpty) {
  EXPECT_EQ(latency_plot("nothing", {}).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace veloz::benchmark
