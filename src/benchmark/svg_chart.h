// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace veloz::benchmark {

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartSeries {
  enum class Kind { dots, line, area };
  std::string name;
  Kind kind = Kind::line;
  std::vector<ChartPoint> points = {};  // of lines and areas in the order of x
};

/// One chart over a shared time axis. At most four series, each in a colour of its own.
struct ChartPanel {
  std::string title;
  std::string unit;
  std::vector<ChartSeries> series;
};

/// Panels under each other as one SVG file that stands alone and follows light and dark mode.
/// `max_x` ends the axis, in seconds.
std::string svg_charts(const std::string& title, const std::vector<ChartPanel>& panels,
                       double max_x);

/// Ticks at 1, 2 or 5 times a power of ten, from 0 to the first at or above `max`; at most
/// `max_ticks` + 1 of them.
std::vector<double> axis_ticks(double max, int max_ticks);

}  // namespace veloz::benchmark
