// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"
#include "benchmark/statistics.h"

namespace veloz::benchmark {
namespace {

bool is_within(const std::optional<double>& limit_ms, double seconds) {
  return !limit_ms || seconds * kMsPerSecond <= *limit_ms;
}

/// Chunks in the second that has most, seconds counted from the first request.
double peak_chunks_per_second(std::span<const RequestResult> results) {
  std::map<int64_t, int64_t> counts;
  double origin = std::numeric_limits<double>::infinity();
  for (const RequestResult& result : results)
    if (result.is_ok()) origin = std::min(origin, result.start_s);
  for (const RequestResult& result : results) {
    if (!result.is_ok()) continue;
    double time = result.start_s + result.ttft_s - origin;
    ++counts[static_cast<int64_t>(time)];
    for (const double itl : result.itls_s) ++counts[static_cast<int64_t>(time += itl)];
  }
  int64_t peak = 0;
  for (const auto& [second, count] : counts) peak = std::max(peak, count);
  return static_cast<double>(peak);
}

/// Requests under way at once, each from sent to its end.
int64_t peak_concurrency(std::span<const RequestResult> results) {
  std::vector<std::pair<double, int>> events;  // an end sorts before a start at the same time
  for (const RequestResult& result : results) {
    if (!result.is_ok()) continue;
    events.emplace_back(result.start_s, 1);
    events.emplace_back(result.start_s + result.latency_s, -1);
  }
  std::ranges::sort(events);
  int64_t current = 0, peak = 0;
  for (const auto& [time, change] : events) peak = std::max(peak, current += change);
  return peak;
}

}  // namespace

double RequestResult::tpot_s() const {
  if (num_output_tokens < 2) return 0;
  return (latency_s - ttft_s) / static_cast<double>(num_output_tokens - 1);
}

bool Goodput::is_good(const RequestResult& result) const {
  return result.is_ok() && is_within(ttft_ms, result.ttft_s) &&
         is_within(tpot_ms, result.tpot_s()) && is_within(e2el_ms, result.latency_s);
}

Goodput parse_goodput(std::span<const std::string> limits) {
  Goodput goodput;
  for (const std::string& limit : limits) {
    const size_t colon = std::min(limit.find(':'), limit.size());
    const std::string name = limit.substr(0, colon);
    std::optional<double>* const field = name == "ttft"   ? &goodput.ttft_ms
                                         : name == "tpot" ? &goodput.tpot_ms
                                         : name == "e2el" ? &goodput.e2el_ms
                                                          : nullptr;
    const char* const end = limit.data() + limit.size();
    double milliseconds = -1;
    const auto [rest, error] =
        std::from_chars(std::min(limit.data() + colon + 1, end), end, milliseconds);
    if (field == nullptr || error != std::errc{} || rest != end || !(milliseconds >= 0))
      throw Error(ErrorKind::invalid_input,
                  fmt::format("--goodput \"{}\" is not NAME:MILLISECONDS", limit),
                  "NAME is ttft, tpot or e2el, as in --goodput ttft:200 tpot:50");
    *field = milliseconds;
  }
  return goodput;
}

ServingMetrics measure(std::span<const RequestResult> results, double duration_s,
                       const MetricsOptions& options) {
  ServingMetrics metrics;
  metrics.duration_s = duration_s;
  std::vector<double> ttfts, tpots, itls, e2els;
  for (const RequestResult& result : results) {
    if (!result.is_ok()) {
      ++metrics.num_failed;
      continue;
    }
    ++metrics.num_completed;
    if (options.goodput.is_good(result)) ++metrics.num_good;
    metrics.num_input_tokens += result.num_prompt_tokens;
    metrics.num_output_tokens += result.num_output_tokens;
    ttfts.push_back(result.ttft_s * kMsPerSecond);
    e2els.push_back(result.latency_s * kMsPerSecond);
    if (result.num_output_tokens > 1) tpots.push_back(result.tpot_s() * kMsPerSecond);
    for (const double itl : result.itls_s) itls.push_back(itl * kMsPerSecond);
  }
  const auto per_second = [duration_s](int64_t count) {
    return duration_s > 0 ? static_cast<double>(count) / duration_s : 0.0;
  };
  metrics.request_throughput = per_second(metrics.num_completed);
  metrics.request_goodput = per_second(metrics.num_good);
  metrics.output_throughput = per_second(metrics.num_output_tokens);
  metrics.total_token_throughput = per_second(metrics.num_input_tokens + metrics.num_output_tokens);
  metrics.peak_output_throughput = peak_chunks_per_second(results);
  metrics.peak_concurrent_requests = peak_concurrency(results);
  metrics.latencies_ms = {.ttft = summarize(std::move(ttfts), options.ranks),
                          .tpot = summarize(std::move(tpots), options.ranks),
                          .itl = summarize(std::move(itls), options.ranks),
                          .e2el = summarize(std::move(e2els), options.ranks)};
  return metrics;
}

std::vector<ErrorCount> count_errors(std::span<const RequestResult> results, size_t max_kinds) {
  std::map<std::string, int64_t> counts;
  for (const RequestResult& result : results)
    if (!result.is_ok()) ++counts[result.error];
  std::vector<ErrorCount> errors;
  errors.reserve(counts.size());
  for (const auto& [message, count] : counts) errors.push_back({message, count});
  std::ranges::stable_sort(errors, std::ranges::greater{}, &ErrorCount::count);
  if (errors.size() > max_kinds) errors.resize(max_kinds);
  return errors;
}

}  // namespace veloz::benchmark
