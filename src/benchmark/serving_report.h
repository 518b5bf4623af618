// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "benchmark/serving_metrics.h"

namespace veloz::benchmark {

/// Which latencies are reported.
struct ReportedLatencies {
  bool ttft = true;
  bool tpot = true;
  bool itl = true;
  bool e2el = false;
};

/// "ttft,tpot,itl,e2el" or some of them. Throws Error(invalid_input).
ReportedLatencies parse_percentile_metrics(const std::string& text);

struct ReportOptions {
  std::string title = "Serving Benchmark Result";
  std::optional<int64_t> max_concurrency = {};
  std::optional<double> request_rate = {};  // absent: all at once
  bool has_goodput = false;
  ReportedLatencies latencies = {};
};

/// The table of `vllm bench serve`, line by line as scripts parse it.
std::string serving_table(const ServingMetrics& metrics, const ReportOptions& options);

/// The same figures under the names of `vllm bench serve --save-result`.
nlohmann::ordered_json serving_json(const ServingMetrics& metrics, const ReportOptions& options);

/// One latency of the table: mean, median and percentiles in milliseconds, under a heading.
std::string latency_section(std::string_view heading, std::string_view name,
                            const Summary& summary);
/// "mean_<key>_ms", "median_<key>_ms", "std_<key>_ms", "p99_<key>_ms", ...
void add_latency(nlohmann::ordered_json& json, std::string_view key, const Summary& summary);

/// Per request, in order: "input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times",
/// "queue_times", "generated_texts", "errors", as --save-detailed adds them.
void add_details(nlohmann::ordered_json& json, std::span<const RequestResult> results);

}  // namespace veloz::benchmark
