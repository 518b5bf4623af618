// SPDX-License-Identifier: Apache-2.0
#include "benchmark/roofline_plot.h"

#include <gtest/gtest.h>

#include <cmath>

#include "benchmark/count.h"

namespace veloz::benchmark {
namespace {

Roofline sample() {
  return {
      .title = "a <model>",
      .gb_per_s = 50,
      .roofs = {{"fp32_fma", 200}, {"bf16_dot", 400}},
      .series = {{"prefill", {{"gemm", 100, 350, 0.9, "gemm & more"}, {"add", 0.25, 10, 0.01, ""}}},
                 {"decode", {{"gemv", 1, 45, 1, ""}, {"copy", 0, 0, 0.1, ""}}}}};
}

TEST(RooflinePlot, StandsAloneInLightAndDark) {
  const std::string svg = roofline_plot(sample());
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(count(svg, "http"), 1u);  // the namespace
  EXPECT_EQ(count(svg, "prefers-color-scheme:dark"), 1u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(RooflinePlot, DrawsEachPointThatHasAPlace) {
  const std::string svg = roofline_plot(sample());
  EXPECT_EQ(count(svg, "<circle"), 3u);  // copying has no arithmetic
  EXPECT_EQ(count(svg, ">gemm</text>"), 1u);
  EXPECT_EQ(count(svg, ">add</text>"), 0u);  // too little of the time for a name
  EXPECT_NE(svg.find("<title>gemm &amp; more</title>"), std::string::npos);
}

TEST(RooflinePlot, OfPointsThatLieTogetherTheOneThatTakesLongestIsNamed) {
  Roofline roofline = sample();
  roofline.series[0].points = {{"short", 100, 350, 0.3, ""}, {"long", 101, 350, 0.6, ""}};
  const std::string svg = roofline_plot(roofline);
  EXPECT_EQ(count(svg, ">long</text>"), 1u);
  EXPECT_EQ(count(svg, ">short</text>"), 0u);
}

TEST(RooflinePlot, AxesAreLogarithmic) {
  // 0.1 to 100 FLOP per byte lie on 864 units, a third of them for each decade.
  const std::string svg = roofline_plot(sample());
  EXPECT_NE(svg.find("cx=\"360.0\""), std::string::npos);  // 1: 72 + 288
  EXPECT_NE(svg.find("cx=\"936.0\""), std::string::npos);  // 100: 72 + 3 * 288
}

TEST(RooflinePlot, RoofsMeetTheLineOfMemoryAtTheirRidge) {
  const std::string svg = roofline_plot(sample());
  EXPECT_EQ(count(svg, "class=\"r\""), 3u);
  const auto x = [](double value) { return 72 + (std::log10(value) + 1) * 288; };
  char ridge[32];
  std::snprintf(ridge, sizeof(ridge), "M%.1f ", x(200.0 / 50));
  EXPECT_NE(svg.find(ridge), std::string::npos) << ridge;
  EXPECT_NE(svg.find("memory 50.0 GB/s"), std::string::npos);
  EXPECT_NE(svg.find("bf16_dot 400 G/s"), std::string::npos);
}

TEST(RooflinePlot, WithoutPointsShowsTheRoofs) {
  Roofline empty = sample();
  empty.series.clear();
  const std::string svg = roofline_plot(empty);
  EXPECT_EQ(count(svg, "<circle"), 0u);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

}  // namespace
}  // namespace veloz::benchmark
