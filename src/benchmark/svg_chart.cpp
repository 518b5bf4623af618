// SPDX-License-Identifier: Apache-2.0
#include "benchmark/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "benchmark/svg.h"

namespace veloz::benchmark {
namespace {

constexpr double kWidth = 960, kLeft = 64, kRight = 24, kTop = 56, kBottom = 40;
constexpr double kPanelHeight = 168, kPanelGap = 56;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr int kMaxXTicks = 10, kMaxYTicks = 4;

/// A panel's place on the page and its scales.
struct Frame {
  double top = 0, max_x = 1, max_y = 1;

  double x(double value) const { return kLeft + value / max_x * kPlotWidth; }
  double y(double value) const {
    return top + kPanelHeight - std::clamp(value / max_y, 0.0, 1.0) * kPanelHeight;
  }
};

double highest(const ChartPanel& panel) {
  double max = 0;
  for (const ChartSeries& series : panel.series)
    for (const ChartPoint& point : series.points) max = std::max(max, point.y);
  return max;
}

std::string line_path(const Frame& frame, const std::vector<ChartPoint>& points) {
  std::string path;
  for (const ChartPoint& point : points)
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', frame.x(point.x),
                        frame.y(point.y));
  return path;
}

std::string draw_series(const Frame& frame, const ChartSeries& series, size_t color) {
  if (series.points.empty()) return {};
  if (series.kind == ChartSeries::Kind::dots) {
    // Strokes of no length with round ends: one path for all dots.
    std::string path;
    for (const ChartPoint& point : series.points)
      path += fmt::format("M{:.1f} {:.1f}h0", frame.x(point.x), frame.y(point.y));
    return fmt::format("<path class=\"d c{}\" d=\"{}\"/>\n", color, path);
  }
  const std::string path = line_path(frame, series.points);
  std::string svg;
  if (series.kind == ChartSeries::Kind::area)
    svg += fmt::format("<path class=\"a f{}\" d=\"{}L{:.1f} {:.1f}L{:.1f} {:.1f}Z\"/>\n", color,
                       path, frame.x(series.points.back().x), frame.y(0),
                       frame.x(series.points.front().x), frame.y(0));
  return svg + fmt::format("<path class=\"s c{}\" d=\"{}\"/>\n", color, path);
}

/// One right-aligned text with a coloured dot before each name.
std::string draw_legend(const Frame& frame, const ChartPanel& panel) {
  std::vector<std::string> names;
  for (const ChartSeries& series : panel.series) names.push_back(series.name);
  return svg_legend(kWidth - kRight, frame.top - 12, names);
}

std::string draw_panel(const ChartPanel& panel, double top, double max_x) {
  const std::vector<double> ticks = axis_ticks(highest(panel), kMaxYTicks);
  const Frame frame{.top = top, .max_x = max_x, .max_y = ticks.back()};
  std::string svg =
      svg_text(kLeft, top - 12, "p", "start", fmt::format("{} ({})", panel.title, panel.unit));
  for (const double tick : ticks) {
    svg += fmt::format("<path class=\"g\" d=\"M{} {:.1f}H{}\"/>\n", kLeft, frame.y(tick),
                       kWidth - kRight);
    svg += svg_text(kLeft - 8, frame.y(tick) + 4, "", "end", fmt::format("{}", tick));
  }
  svg += draw_legend(frame, panel);
  for (size_t i = 0; i < panel.series.size(); ++i) svg += draw_series(frame, panel.series[i], i);
  return svg;
}

}  // namespace

std::vector<double> axis_ticks(double max, int max_ticks) {
  if (!(max > 0) || !std::isfinite(max)) max = 1;
  const double power = std::pow(10, std::floor(std::log10(max / max_ticks)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power * max_ticks >= max * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  std::vector<double> ticks = {0};
  while (ticks.back() < max * (1 - 1e-9))
    ticks.push_back(std::stod(fmt::format("{:.12g}", static_cast<double>(ticks.size()) * step)));
  return ticks;
}

std::string svg_charts(const std::string& title, const std::vector<ChartPanel>& panels,
                       double max_x) {
  const auto num_panels = static_cast<double>(panels.size());
  const double height = kTop + num_panels * (kPanelHeight + kPanelGap) + kBottom - kPanelGap + 24;
  std::string svg = svg_head(title, {.width = kWidth, .height = height});
  svg += svg_text(kLeft, 26, "t", "start", title);
  max_x = max_x > 0 ? max_x : 1;
  double top = kTop + 24;
  for (const ChartPanel& panel : panels) {
    svg += draw_panel(panel, top, max_x);
    top += kPanelHeight + kPanelGap;
  }
  const double baseline = top - kPanelGap + 18;
  for (const double tick : axis_ticks(max_x, kMaxXTicks))
    if (tick <= max_x)
      svg += svg_text(kLeft + tick / max_x * kPlotWidth, baseline, "", "middle",
                      fmt::format("{} s", tick));
  return svg + std::string(kSvgEnd);
}

}  // namespace veloz::benchmark
