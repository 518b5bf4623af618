// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_plot.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "benchmark/statistics.h"
#include "benchmark/svg_chart.h"

namespace veloz::benchmark {
namespace {

constexpr size_t kMaxBins = 120;
constexpr size_t kMaxDots = 4000;

/// What happened in one stretch of time.
struct Bin {
  std::vector<double> itls_ms;
  int64_t num_chunks = 0;
  double busy_s = 0;  // summed over the requests under way
};

class Timeline {
 public:
  Timeline(std::span<const RequestResult> results, double duration_s) {
    // No finer than a tenth of a second: a bin must hold some steps of the engine.
    const double bins = std::clamp(duration_s / 0.1, 1.0, static_cast<double>(kMaxBins));
    bins_.resize(static_cast<size_t>(bins));
    bin_s_ = std::max(duration_s, 1e-9) / static_cast<double>(bins_.size());
    for (const RequestResult& result : results)
      if (result.is_ok()) add(result);
  }

  /// One point per bin, in its middle; bins for which `value_of` has nothing are left out.
  template <typename F>
  std::vector<ChartPoint> points(const F& value_of) const {
    std::vector<ChartPoint> points;
    for (size_t i = 0; i < bins_.size(); ++i)
      points.push_back({(static_cast<double>(i) + 0.5) * bin_s_, value_of(bins_[i])});
    std::erase_if(points, [](const ChartPoint& point) { return std::isnan(point.y); });
    return points;
  }

  double bin_s() const { return bin_s_; }

 private:
  Bin& at(double time_s) {
    const auto i = static_cast<size_t>(std::max(time_s, 0.0) / bin_s_);
    return bins_[std::min(i, bins_.size() - 1)];
  }

  void add(const RequestResult& result) {
    double time_s = result.start_s + result.ttft_s;
    ++at(time_s).num_chunks;
    for (const double itl_s : result.itls_s) {
      Bin& bin = at(time_s += itl_s);
      ++bin.num_chunks;
      bin.itls_ms.push_back(itl_s * kMsPerSecond);
    }
    const double end_s = result.start_s + result.latency_s;
    for (size_t i = 0; i < bins_.size(); ++i) {
      const double bin_start = static_cast<double>(i) * bin_s_;
      const double overlap =
          std::min(end_s, bin_start + bin_s_) - std::max(result.start_s, bin_start);
      bins_[i].busy_s += std::max(overlap, 0.0);
    }
  }

  std::vector<Bin> bins_;
  double bin_s_ = 1;
};

std::vector<ChartPoint> ttft_dots(std::span<const RequestResult> results) {
  std::vector<ChartPoint> dots;
  const size_t stride = results.size() / kMaxDots + 1;
  for (size_t i = 0; i < results.size(); i += stride)
    if (results[i].is_ok()) dots.push_back({results[i].start_s, results[i].ttft_s * kMsPerSecond});
  return dots;
}

double itl_percentile(const Bin& bin, double rank) {
  if (bin.itls_ms.empty()) return std::nan("");
  std::vector<double> sorted = bin.itls_ms;
  std::ranges::sort(sorted);
  return percentile(sorted, rank);
}

}  // namespace

std::string serving_plot(const std::string& title, std::span<const RequestResult> results,
                         double duration_s) {
  using Kind = ChartSeries::Kind;
  const Timeline timeline(results, duration_s);
  const double bin_s = timeline.bin_s();
  const auto itl = [&](double rank) {
    return timeline.points([rank](const Bin& bin) { return itl_percentile(bin, rank); });
  };
  const auto throughput = timeline.points(
      [bin_s](const Bin& bin) { return static_cast<double>(bin.num_chunks) / bin_s; });
  const auto running = timeline.points([bin_s](const Bin& bin) { return bin.busy_s / bin_s; });
  return svg_charts(title,
                    {{"Time to first token",
                      "ms",
                      {{"each request, when it was sent", Kind::dots, ttft_dots(results)}}},
                     {"Inter-token latency",
                      "ms",
                      {{"median", Kind::line, itl(50)}, {"P99", Kind::line, itl(99)}}},
                     {"Output throughput", "tokens/s", {{"all requests", Kind::area, throughput}}},
                     {"Requests under way", "requests", {{"mean", Kind::area, running}}}},
                    duration_s);
}

}  // namespace veloz::benchmark
