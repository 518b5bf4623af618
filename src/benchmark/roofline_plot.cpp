// SPDX-License-Identifier: Apache-2.0
#include "benchmark/roofline_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "benchmark/svg.h"

namespace veloz::benchmark {
namespace {

constexpr double kPlotWidth = 960, kHeight = 560, kPlotLeft = 72, kPlotRight = 24, kPlotTop = 84,
                 kPlotBottom = 52;
constexpr double kLabelledShare = 0.08;  // of a series' time: what is smaller is a dot without name

bool has_place(const RooflinePoint& point) {
  return point.flops_per_byte > 0 && point.gflop_per_s > 0 && std::isfinite(point.flops_per_byte) &&
         std::isfinite(point.gflop_per_s);
}

/// One logarithmic axis: whole decades around all values, and where they lie on the page.
class LogAxis {
 public:
  LogAxis(double at_low, double at_high) : at_low_(at_low), at_high_(at_high) {}

  void cover(double value) {
    const double exponent = std::log10(value);
    low_ = is_empty_ ? std::floor(exponent) : std::min(low_, std::floor(exponent));
    high_ = is_empty_ ? std::ceil(exponent) : std::max(high_, std::ceil(exponent));
    if (high_ <= low_) high_ = low_ + 1;
    is_empty_ = false;
  }
  double at(double value) const {
    const double share = (std::log10(value) - low_) / (high_ - low_);
    return at_low_ + std::clamp(share, 0.0, 1.0) * (at_high_ - at_low_);
  }
  double low() const { return std::pow(10, low_); }
  double high() const { return std::pow(10, high_); }
  std::vector<double> decades() const {
    std::vector<double> values;
    for (double exponent = low_; exponent <= high_; ++exponent)
      values.push_back(std::pow(10, exponent));
    return values;
  }

 private:
  const double at_low_, at_high_;
  bool is_empty_ = true;
  double low_ = 0, high_ = 1;
};

struct Axes {
  LogAxis x{kPlotLeft, kPlotWidth - kPlotRight};
  LogAxis y{kHeight - kPlotBottom, kPlotTop};
};

Axes axes_of(const Roofline& roofline) {
  Axes axes;
  for (const ComputeRoof& roof : roofline.roofs) {
    axes.y.cover(roof.gflop_per_s * 1.3);  // its name stands above it
    axes.x.cover(roof.gflop_per_s / roofline.gb_per_s);
  }
  for (const RooflineSeries& series : roofline.series)
    for (const RooflinePoint& point : series.points)
      if (has_place(point)) {
        axes.x.cover(point.flops_per_byte);
        axes.y.cover(point.gflop_per_s);
      }
  return axes;
}

std::string draw_grid(const Axes& axes) {
  std::string svg;
  for (const double value : axes.x.decades()) {
    svg += fmt::format("<path class=\"g\" d=\"M{:.1f} {}V{}\"/>\n", axes.x.at(value), kPlotTop,
                       kHeight - kPlotBottom);
    svg += svg_text(axes.x.at(value), kHeight - kPlotBottom + 18, "", "middle",
                    fmt::format("{:g}", value));
  }
  for (const double value : axes.y.decades()) {
    svg += fmt::format("<path class=\"g\" d=\"M{} {:.1f}H{}\"/>\n", kPlotLeft, axes.y.at(value),
                       kPlotWidth - kPlotRight);
    svg += svg_text(kPlotLeft - 8, axes.y.at(value) + 4, "", "end", fmt::format("{:g}", value));
  }
  svg += svg_text(kPlotLeft, kPlotTop - 12, "p", "start", "GFLOP/s");
  return svg + svg_text(kPlotWidth - kPlotRight, kHeight - 12, "p", "end", "FLOP per byte");
}

std::string draw_roofs(const Roofline& roofline, const Axes& axes) {
  double highest = 0;
  std::string svg;
  for (const ComputeRoof& roof : roofline.roofs) {
    highest = std::max(highest, roof.gflop_per_s);
    const double y = axes.y.at(roof.gflop_per_s);
    svg += fmt::format("<path class=\"r\" d=\"M{:.1f} {:.1f}H{}\"/>\n",
                       axes.x.at(roof.gflop_per_s / roofline.gb_per_s), y, kPlotWidth - kPlotRight);
    svg += svg_text(kPlotWidth - kPlotRight, y - 5, "l", "end",
                    fmt::format("{} {:.0f} G/s", roof.name, roof.gflop_per_s));
  }
  // The memory's line begins where it enters the page: on its left, or on its lower edge.
  const double begin = std::max(axes.x.low(), axes.y.low() / roofline.gb_per_s);
  const double end = highest / roofline.gb_per_s;
  svg += fmt::format("<path class=\"r\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n", axes.x.at(begin),
                     axes.y.at(begin * roofline.gb_per_s), axes.x.at(end), axes.y.at(highest));
  const double middle = std::sqrt(begin * end);
  return svg + svg_text(axes.x.at(middle) - 8, axes.y.at(middle * roofline.gb_per_s) - 8, "l",
                        "end", fmt::format("memory {:.1f} GB/s", roofline.gb_per_s));
}

/// Names that stand on the page: what would lie on one of them stays a dot without name.
class Labels {
 public:
  /// Whether a name beside (x, y) is free, and takes its place.
  bool try_place(double x, double y) {
    constexpr double kApartX = 170, kApartY = 12;
    const bool is_free = std::ranges::none_of(places_, [&](const Place& place) {
      return std::abs(place.x - x) < kApartX && std::abs(place.y - y) < kApartY;
    });
    if (is_free) places_.push_back({x, y});
    return is_free;
  }

 private:
  struct Place {
    double x = 0;
    double y = 0;
  };
  std::vector<Place> places_;
};

std::string draw_points(RooflineSeries series, size_t color, const Axes& axes, Labels& labels) {
  std::string svg;
  // The largest first: smaller ones stay visible, and names go to what takes the time.
  std::ranges::stable_sort(series.points, std::ranges::greater{}, &RooflinePoint::share_of_time);
  for (const RooflinePoint& point : series.points) {
    if (!has_place(point)) continue;
    const double x = axes.x.at(point.flops_per_byte);
    const double y = axes.y.at(point.gflop_per_s);
    const double share = std::clamp(point.share_of_time, 0.0, 1.0);
    const double radius = 3 + 13 * std::sqrt(share);  // the area grows with the time
    svg += fmt::format(
        "<circle class=\"o f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"><title>{}</title>"
        "</circle>\n",
        color, x, y, radius, svg_escape(point.details));
    const bool is_right = x > kPlotWidth * 0.8;
    if (share >= kLabelledShare && labels.try_place(x, y))
      svg += svg_text(is_right ? x - radius - 4 : x + radius + 4, y + 4, "l",
                      is_right ? "end" : "start", point.label);
  }
  return svg;
}

}  // namespace

std::string roofline_plot(const Roofline& roofline) {
  const Axes axes = axes_of(roofline);
  std::string svg = svg_head(roofline.title, {.width = kPlotWidth, .height = kHeight});
  svg += svg_text(kPlotLeft, 26, "t", "start", roofline.title);
  std::vector<std::string> names;
  for (const RooflineSeries& series : roofline.series) names.push_back(series.name);
  svg += svg_legend(kPlotWidth - kPlotRight, 50, names);
  svg += draw_grid(axes);
  svg += draw_roofs(roofline, axes);
  Labels labels;
  for (size_t i = 0; i < roofline.series.size(); ++i)
    svg += draw_points(roofline.series[i], i % kSvgColors, axes, labels);
  return svg + std::string(kSvgEnd);
}

}  // namespace veloz::benchmark
