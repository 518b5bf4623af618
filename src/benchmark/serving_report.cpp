// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace veloz::benchmark {
namespace {

using nlohmann::ordered_json;

constexpr int kTableWidth = 50;

/// One latency: how it is named in the table and in JSON.
struct LatencyRow {
  bool ReportedLatencies::*is_reported;
  Summary LatencySummaries::*summary;
  std::string_view key, name, heading;
};

constexpr LatencyRow kLatencyRows[] = {
    {&ReportedLatencies::ttft, &LatencySummaries::ttft, "ttft", "TTFT", "Time to First Token"},
    {&ReportedLatencies::tpot, &LatencySummaries::tpot, "tpot", "TPOT",
     "Time per Output Token (excl. 1st token)"},
    {&ReportedLatencies::itl, &LatencySummaries::itl, "itl", "ITL", "Inter-token Latency"},
    {&ReportedLatencies::e2el, &LatencySummaries::e2el, "e2el", "E2EL", "End-to-end Latency"},
};

std::string count_line(std::string_view label, int64_t value) {
  return fmt::format("{:<40} {:<10}\n", label, value);
}

std::string number_line(std::string_view label, double value) {
  return fmt::format("{:<40} {:<10.2f}\n", label, value);
}

}  // namespace

ReportedLatencies parse_percentile_metrics(const std::string& text) {
  ReportedLatencies latencies{false, false, false, false};
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, comma - begin);
    const auto* const row = std::ranges::find(kLatencyRows, name, &LatencyRow::key);
    if (row == std::end(kLatencyRows))
      throw Error(ErrorKind::invalid_input,
                  fmt::format("--percentile-metrics \"{}\" has an unknown name \"{}\"", text, name),
                  "names are ttft, tpot, itl and e2el, with commas between");
    latencies.*row->is_reported = true;
    begin = comma + 1;
  }
  return latencies;
}

std::string serving_table(const ServingMetrics& metrics, const ReportOptions& options) {
  std::string text = fmt::format("{:=^{}}\n", " " + options.title + " ", kTableWidth);
  text += count_line("Successful requests:", metrics.num_completed);
  text += count_line("Failed requests:", metrics.num_failed);
  if (options.max_concurrency)
    text += count_line("Maximum request concurrency:", *options.max_concurrency);
  if (options.request_rate)
    text += number_line("Request rate configured (RPS):", *options.request_rate);
  text += number_line("Benchmark duration (s):", metrics.duration_s);
  text += count_line("Total input tokens:", metrics.num_input_tokens);
  text += count_line("Total generated tokens:", metrics.num_output_tokens);
  text += number_line("Request throughput (req/s):", metrics.request_throughput);
  if (options.has_goodput) text += number_line("Request goodput (req/s):", metrics.request_goodput);
  text += number_line("Output token throughput (tok/s):", metrics.output_throughput);
  text += number_line("Peak output token throughput (tok/s):", metrics.peak_output_throughput);
  text += number_line("Peak concurrent requests:",
                      static_cast<double>(metrics.peak_concurrent_requests));
  text += number_line("Total token throughput (tok/s):", metrics.total_token_throughput);
  for (const LatencyRow& row : kLatencyRows)
    if (options.latencies.*row.is_reported)
      text += latency_section(row.heading, row.name, metrics.latencies_ms.*row.summary);
  return text + std::string(kTableWidth, '=') + '\n';
}

ordered_json serving_json(const ServingMetrics& metrics, const ReportOptions& options) {
  ordered_json json = {
      {"duration", metrics.duration_s},
      {"completed", metrics.num_completed},
      {"failed", metrics.num_failed},
      {"total_input_tokens", metrics.num_input_tokens},
      {"total_output_tokens", metrics.num_output_tokens},
      {"request_throughput", metrics.request_throughput},
      {"request_goodput",
       options.has_goodput ? ordered_json(metrics.request_goodput) : ordered_json(nullptr)},
      {"output_throughput", metrics.output_throughput},
      {"total_token_throughput", metrics.total_token_throughput},
      {"max_output_tokens_per_s", metrics.peak_output_throughput},
      {"max_concurrent_requests", metrics.peak_concurrent_requests}};
  for (const LatencyRow& row : kLatencyRows)
    if (options.latencies.*row.is_reported)
      add_latency(json, row.key, metrics.latencies_ms.*row.summary);
  return json;
}

std::string latency_section(std::string_view heading, std::string_view name,
                            const Summary& summary) {
  std::string text = fmt::format("{:-^{}}\n", heading, kTableWidth);
  const auto add = [&](std::string_view statistic, double value) {
    text += number_line(fmt::format("{} {} (ms):", statistic, name), value);
  };
  add("Mean", summary.mean);
  add("Median", summary.median);
  for (const Percentile& p : summary.percentiles) add("P" + format_rank(p.rank), p.value);
  return text;
}

void add_latency(ordered_json& json, std::string_view key, const Summary& summary) {
  json[fmt::format("mean_{}_ms", key)] = summary.mean;
  json[fmt::format("median_{}_ms", key)] = summary.median;
  json[fmt::format("std_{}_ms", key)] = summary.std;
  for (const Percentile& p : summary.percentiles)
    json[fmt::format("p{}_{}_ms", format_rank(p.rank), key)] = p.value;
}

void add_details(ordered_json& json, std::span<const RequestResult> results) {
  const auto add = [&](const char* key, auto&& value_of) {
    ordered_json& list = json[key] = ordered_json::array();
    for (const RequestResult& result : results) list.push_back(value_of(result));
  };
  add("input_lens", [](const RequestResult& r) { return r.num_prompt_tokens; });
  add("output_lens", [](const RequestResult& r) { return r.num_output_tokens; });
  add("ttfts", [](const RequestResult& r) { return r.ttft_s; });
  add("itls", [](const RequestResult& r) { return r.itls_s; });
  add("latencies", [](const RequestResult& r) { return r.latency_s; });
  add("start_times", [](const RequestResult& r) { return r.start_s; });
  add("queue_times", [](const RequestResult& r) { return r.queue_s; });
  add("generated_texts", [](const RequestResult& r) { return r.text; });
  add("errors", [](const RequestResult& r) { return r.error; });
}

}  // namespace veloz::benchmark
