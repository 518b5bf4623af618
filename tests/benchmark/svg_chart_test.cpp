// SPDX-License-Identifier: Apache-2.0
#include "benchmark/svg_chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "benchmark/count.h"
#include "benchmark/serving_plot.h"

namespace veloz::benchmark {
namespace {

TEST(AxisTicks, AreRoundNumbersThatReachTheHighestValue) {
  EXPECT_EQ(axis_ticks(10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(0.3, 4), (std::vector<double>{0, 0.1, 0.2, 0.3}));
  EXPECT_EQ(axis_ticks(1234, 4), (std::vector<double>{0, 500, 1000, 1500}));
  EXPECT_EQ(axis_ticks(96, 4), (std::vector<double>{0, 50, 100}));
}

TEST(AxisTicks, OfNothingGoToOne) {
  EXPECT_EQ(axis_ticks(0, 4).back(), 1);
  EXPECT_EQ(axis_ticks(std::nan(""), 4).back(), 1);
  EXPECT_EQ(axis_ticks(HUGE_VAL, 4).back(), 1);
}

TEST(SvgCharts, NamesCannotBreakTheFile) {
  const std::string svg = svg_charts("a <b> & c", {{"t<", "ms", {{"s>", {}, {{0, 1}}}}}}, 1);
  EXPECT_NE(svg.find("<title>a &lt;b&gt; &amp; c</title>"), std::string::npos);
  EXPECT_EQ(svg.find("t<"), std::string::npos);
}

TEST(SvgCharts, StandAlone) {
  const std::string svg = svg_charts("x", {{"t", "ms", {{"s", {}, {{0, 1}, {1, 2}}}}}}, 1);
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(count(svg, "http"), 1u);  // the namespace
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(ServingPlot, DrawsADotForEachRequestThatDidNotFail) {
  RequestResult fine, failed;
  fine.ttft_s = 0.1;
  fine.latency_s = 0.3;
  fine.itls_s = {0.1, 0.1};
  failed.error = "no";
  const std::string svg = serving_plot("run", std::array{fine, fine, failed}, 1);
  EXPECT_EQ(count(svg, "h0"), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(ServingPlot, OfNothingIsAnEmptyChart) {
  const std::string svg = serving_plot("run", {}, 0);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

}  // namespace
}  // namespace veloz::benchmark
