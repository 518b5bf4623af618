// SPDX-License-Identifier: Apache-2.0
#include "benchmark/offline_plot.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "benchmark/svg_chart.h"

namespace veloz::benchmark {
namespace {

constexpr size_t kMaxPoints = 4000;

/// Every so many of them, and the last, so that the file stays small.
std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points) {
  std::vector<ChartPoint> some;
  const size_t stride = points.size() / kMaxPoints + 1;
  for (size_t i = 0; i < points.size(); ++i)
    if (i % stride == 0 || i + 1 == points.size()) some.push_back(points[i]);
  return some;
}

/// Of points with a time and what it brings: how much has come by each time.
std::vector<ChartPoint> running_total(std::vector<ChartPoint> points) {
  std::ranges::sort(points, {}, &ChartPoint::x);
  points.insert(points.begin(), ChartPoint{});
  for (size_t i = 1; i < points.size(); ++i) points[i].y += points[i - 1].y;
  return thinned(points);
}

/// One dot per value, with as many values in each batch, where that batch began.
std::vector<ChartPoint> batch_dots(const std::vector<double>& starts,
                                   const std::vector<double>& values) {
  std::vector<ChartPoint> points;
  for (size_t i = 0; i < values.size(); ++i)
    points.push_back({starts[i * starts.size() / values.size()], values[i]});
  return thinned(points);
}

}  // namespace

std::string throughput_plot(const std::string& title, const Throughput& throughput) {
  using Kind = ChartSeries::Kind;
  std::vector<ChartPoint> begun, ended, tokens;
  for (const EndedRequest& request : throughput.ended) {
    if (!request.is_complete) continue;
    begun.push_back({request.ttft_s, 1});
    ended.push_back({request.end_s, 1});
    tokens.push_back({request.end_s, static_cast<double>(request.num_output_tokens)});
  }
  return svg_charts(
      title,
      {{"Requests",
        "requests",
        {{"have their first token", Kind::line, running_total(begun)},
         {"have ended", Kind::line, running_total(ended)}}},
       {"Output of ended requests", "tokens", {{"all so far", Kind::area, running_total(tokens)}}}},
      throughput.elapsed_s);
}

std::string latency_plot(const std::string& title, const Latency& latency) {
  using Kind = ChartSeries::Kind;
  std::vector<double> starts(latency.batch_s.size());
  std::exclusive_scan(latency.batch_s.begin(), latency.batch_s.end(), starts.begin(), 0.0);
  std::vector<ChartPanel> panels = {
      {"Batch latency", "s", {{"each batch", Kind::dots, batch_dots(starts, latency.batch_s)}}},
      {"Time to first token",
       "ms",
       {{"each request", Kind::dots, batch_dots(starts, latency.ttft_ms)}}}};
  if (!latency.tpot_ms.empty())
    panels.push_back({"Time per output token after the first",
                      "ms",
                      {{"each request", Kind::dots, batch_dots(starts, latency.tpot_ms)}}});
  return svg_charts(title, panels,
                    std::accumulate(latency.batch_s.begin(), latency.batch_s.end(), 0.0));
}

}  // namespace veloz::benchmark
