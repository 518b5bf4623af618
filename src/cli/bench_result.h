// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "benchmark/load_generator.h"
#include "benchmark/serving_report.h"

namespace veloz::cli {

/// Where the result of `veloz bench serve` goes.
struct ResultFlags {
  bool json = false;
  bool save_result = false;
  bool save_detailed = false;
  std::filesystem::path result_dir, result_filename;
  std::filesystem::path plot;
};

/// What was run, for the JSON and the file's name.
struct RunDescription {
  std::string backend;
  std::string model;
  int64_t num_prompts = 0;
  double request_rate = 0;
  double burstiness = 1;
  std::optional<int64_t> max_concurrency;
};

/// Prints table or JSON to stdout and the errors' examples to stderr, and writes the files asked
/// for. Requests of groups ("short", "long") get a table each after that of all.
void report_run(const ResultFlags& flags, const RunDescription& description,
                const benchmark::LoadRun& run, const benchmark::MetricsOptions& metrics,
                const benchmark::ReportOptions& options);

}  // namespace veloz::cli
