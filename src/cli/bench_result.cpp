// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_result.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <vector>

#include "base/files.h"
#include "benchmark/serving_plot.h"

namespace veloz::cli {
namespace {

using benchmark::RequestResult;
using nlohmann::ordered_json;

constexpr size_t kMaxErrorKinds = 5;

std::map<std::string, std::vector<RequestResult>> split_groups(
    const std::vector<RequestResult>& results) {
  std::map<std::string, std::vector<RequestResult>> groups;
  for (const RequestResult& result : results)
    if (!result.group.empty()) groups[result.group].push_back(result);
  return groups;
}

void print_errors(const std::vector<RequestResult>& results) {
  const auto num_failed =
      std::ranges::count_if(results, [](const RequestResult& result) { return !result.is_ok(); });
  if (num_failed == 0) return;
  fmt::print(stderr, "{} of {} requests failed:\n", num_failed, results.size());
  for (const benchmark::ErrorCount& error : benchmark::count_errors(results, kMaxErrorKinds))
    fmt::print(stderr, "{:>7} x  {}\n", error.count, error.message);
}

std::string timestamp() {
  return fmt::format("{:%Y%m%d-%H%M%S}", fmt::localtime(std::time(nullptr)));
}

std::string rate_text(double rate) { return std::isinf(rate) ? "inf" : fmt::format("{}", rate); }

/// As `vllm bench serve` names it: openai-8qps-concurrency16-tiny-llama-20260101-120000.json
std::string default_filename(const RunDescription& run, const std::string& date) {
  std::string name = fmt::format("{}-{}qps", run.backend, rate_text(run.request_rate));
  if (run.max_concurrency) name += fmt::format("-concurrency{}", *run.max_concurrency);
  return fmt::format("{}-{}-{}.json", name, run.model.substr(run.model.rfind('/') + 1), date);
}

ordered_json describe(const RunDescription& run, const std::string& date) {
  ordered_json json = {{"date", date},
                       {"backend", run.backend},
                       {"model_id", run.model},
                       {"num_prompts", run.num_prompts},
                       {"request_rate", run.request_rate},
                       {"burstiness", run.burstiness},
                       {"max_concurrency", nullptr}};
  if (std::isinf(run.request_rate)) json["request_rate"] = "inf";
  if (run.max_concurrency) json["max_concurrency"] = *run.max_concurrency;
  return json;
}

}  // namespace

void report_run(const ResultFlags& flags, const RunDescription& description,
                const benchmark::LoadRun& run, const benchmark::MetricsOptions& metrics,
                const benchmark::ReportOptions& options) {
  const benchmark::ServingMetrics measured = measure(run.results, run.duration_s, metrics);
  const std::string date = timestamp();
  ordered_json json = describe(description, date);
  json.update(serving_json(measured, options));
  std::string tables = serving_table(measured, options);
  for (const auto& [group, results] : split_groups(run.results)) {
    const benchmark::ServingMetrics of_group = measure(results, run.duration_s, metrics);
    benchmark::ReportOptions group_options = options;
    group_options.title = fmt::format("Of These: {}", group);
    json["groups"][group] = serving_json(of_group, options);
    tables += serving_table(of_group, group_options);
  }
  if (flags.save_detailed) add_details(json, run.results);

  print_errors(run.results);
  if (flags.json)
    fmt::print("{}\n", json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", tables);
  std::fflush(stdout);
  if (flags.save_result) {
    if (!flags.result_dir.empty()) std::filesystem::create_directories(flags.result_dir);
    const std::filesystem::path name =
        flags.result_filename.empty() ? std::filesystem::path(default_filename(description, date))
                                      : flags.result_filename;
    write_text_file(flags.result_dir / name,
                    json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    fmt::print(stderr, "wrote {}\n", (flags.result_dir / name).string());
  }
  if (!flags.plot.empty()) {
    const std::string title = fmt::format("{}: {} requests, {} req/s", description.model,
                                          run.results.size(), rate_text(description.request_rate));
    write_text_file(flags.plot, serving_plot(title, run.results, run.duration_s));
    fmt::print(stderr, "wrote {}\n", flags.plot.string());
  }
}

}  // namespace veloz::cli
