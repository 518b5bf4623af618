// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "benchmark/serving_benchmark.h"
#include "benchmark/serving_plot.h"
#include "cli/bench.h"
#include "cli/bench_result.h"
#include "cli/bench_search.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

namespace veloz::cli {
namespace {

struct BenchServeFlags {
  benchmark::ServingBenchmarkOptions benchmark;
  std::string backend = "openai";
  std::optional<std::string> base_url;
  std::string host = "127.0.0.1";
  int port = 8000;
  std::optional<std::string> api_key;
  std::vector<std::string> headers;  // "KEY=VALUE"
  std::string extra_body;            // JSON object
  std::optional<double> temperature = 0;
  std::optional<int64_t> max_concurrency;
  std::vector<std::string> goodput;
  std::string percentile_metrics = "ttft,tpot,itl";
  std::string metric_percentiles = "99";
  bool find_max_qps = false;
  QpsSearchFlags search;
  ResultFlags result;
};

net::Headers parse_headers(const BenchServeFlags& flags) {
  net::Headers headers;
  for (const std::string& header : flags.headers) {
    const size_t equals = header.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error(ErrorKind::invalid_input, fmt::format("--header \"{}\" is not KEY=VALUE", header),
                  "as in --header x-team=search");
    headers.emplace_back(header.substr(0, equals), header.substr(equals + 1));
  }
  if (flags.api_key) headers.emplace_back("Authorization", "Bearer " + *flags.api_key);
  return headers;
}

nlohmann::json parse_extra_body(const std::string& text) {
  if (text.empty()) return nlohmann::json::object();
  nlohmann::json body = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object())
    throw Error(ErrorKind::invalid_input,
                fmt::format("--extra-body \"{}\" is no JSON object", text),
                "as in --extra-body '{\"top_k\": 20}'");
  return body;
}

benchmark::ServingBenchmarkOptions benchmark_options(const BenchServeFlags& flags) {
  benchmark::ServingBenchmarkOptions options = flags.benchmark;
  options.base_url = flags.base_url.value_or(fmt::format("http://{}:{}", flags.host, flags.port));
  options.format.backend = benchmark::parse_backend(flags.backend);
  options.format.temperature = flags.temperature;
  options.format.extra_body = parse_extra_body(flags.extra_body);
  options.headers = parse_headers(flags);
  return options;
}

int run_bench_serve(const BenchServeFlags& flags) {
  // Everything that can be wrong is said before the load starts.
  const benchmark::MetricsOptions metrics{
      .ranks = benchmark::parse_ranks(flags.metric_percentiles, "--metric-percentiles"),
      .goodput = benchmark::parse_goodput(flags.goodput)};
  if (flags.max_concurrency && *flags.max_concurrency < 1)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--max-concurrency {} is not possible", *flags.max_concurrency),
                "it must be above 0");
  benchmark::ReportOptions report{
      .max_concurrency = flags.max_concurrency,
      .has_goodput = metrics.goodput.is_set(),
      .latencies = benchmark::parse_percentile_metrics(flags.percentile_metrics)};
  const benchmark::ServingBenchmarkOptions options = benchmark_options(flags);
  benchmark::ServingBenchmark bench(options);
  const InterruptGuard guard;
  fmt::print(stderr, "{} requests to {} at {}\n", options.dataset.num_prompts, bench.model(),
             options.base_url);

  const auto run_round = [&](double rate, uint64_t round) {
    ProgressBar bar;
    const auto total = static_cast<uint64_t>(options.dataset.num_prompts);
    return bench.run(
        rate, round,
        {.max_concurrency = flags.max_concurrency,
         .should_stop = InterruptGuard::is_interrupted,
         .on_progress = [&](int64_t num_ended) {
           bar.update({"requests", static_cast<uint64_t>(num_ended), total, "requests"});
         }});
  };
  if (flags.find_max_qps)
    return find_max_qps(flags.search, options.arrivals.request_rate, metrics, run_round);

  const double request_rate = options.arrivals.request_rate;
  const benchmark::LoadRun run = run_round(request_rate, 0);
  if (std::isfinite(request_rate)) report.request_rate = request_rate;
  const RunDescription description{.backend = flags.backend,
                                   .model = bench.model(),
                                   .num_prompts = options.dataset.num_prompts,
                                   .request_rate = request_rate,
                                   .burstiness = options.arrivals.burstiness,
                                   .max_concurrency = flags.max_concurrency};
  report_run(flags.result, description, run, metrics, report);
  const bool has_result = std::ranges::any_of(run.results, &benchmark::RequestResult::is_ok);
  const int interrupted = report_interrupt();
  return has_result ? interrupted : 1;
}

void add_target_flags(CLI::App& verb, BenchServeFlags& flags) {
  constexpr const char* kGroup = "Server";
  const auto option = [&](const char* name, auto& value, const char* help) {
    return verb.add_option(name, value, help)->group(kGroup)->allow_extra_args(false);
  };
  option("--backend", flags.backend, "openai: /v1/completions; openai-chat: /v1/chat/completions")
      ->capture_default_str();
  option("--base-url", flags.base_url, "http://... or https://...; instead of --host and --port");
  option("--host", flags.host, "Name or address")->capture_default_str();
  option("--port", flags.port, "Port")->capture_default_str();
  option("--endpoint", flags.benchmark.endpoint, "Path, if not the backend's own");
  option("--model", flags.benchmark.format.model, "Name; else the first of /v1/models");
  option("--api-key", flags.api_key, "Sent as bearer token")->envname("OPENAI_API_KEY");
  option("--header", flags.headers, "KEY=VALUE sent with each request (repeatable)");
  option("--temperature", flags.temperature, "0: greedy")->capture_default_str();
  option("--extra-body", flags.extra_body, "JSON object whose fields are put into each request");
  verb.add_flag_function(
          "--ignore-eos,!--no-ignore-eos",
          [&flags](int64_t count) { flags.benchmark.ignore_eos = count > 0; },
          "Ask to go on after the end of text; default: for random and mixed")
      ->group(kGroup);
  option("--tokenizer", flags.benchmark.tokenizer,
         "Model directory: counts tokens of texts, and shapes random prompts of a chat");
  option("--random-vocab-size", flags.benchmark.vocab_size,
         "Without --tokenizer: token ids of random prompts are below this")
      ->capture_default_str();
}

void add_load_shape_flags(CLI::App& verb, BenchServeFlags& flags) {
  constexpr const char* kGroup = "Load";
  const auto option = [&](const char* name, auto& value, const char* help) {
    return verb.add_option(name, value, help)->group(kGroup);
  };
  option("--request-rate", flags.benchmark.arrivals.request_rate,
         "Requests/s, whatever comes back; inf: all at once")
      ->capture_default_str();
  option("--burstiness", flags.benchmark.arrivals.burstiness,
         "Of arrivals: 1 is a Poisson process, less is burstier, more is evener")
      ->capture_default_str();
  option("--max-concurrency", flags.max_concurrency,
         "Requests under way at once; later ones wait (outside of their latency)");
  option("--num-warmups", flags.benchmark.num_warmups, "Requests before the measurement")
      ->capture_default_str();
  verb.add_flag("--find-max-qps", flags.find_max_qps,
                "Search for the highest request rate at which --goodput is met, starting from "
                "--request-rate (or 1); --num-prompts requests a trial. A trial keeps to its rate, "
                "and is not saved or plotted")
      ->group(kGroup);
  option("--goodput-share", flags.search.goodput_share,
         "For --find-max-qps: share of the requests that must meet --goodput")
      ->capture_default_str();
  option("--qps-precision", flags.search.precision,
         "For --find-max-qps: share by which the rate that failed may be above")
      ->capture_default_str();
}

void add_report_flags(CLI::App& verb, BenchServeFlags& flags) {
  constexpr const char* kGroup = "Report";
  const auto option = [&](const char* name, auto& value, const char* help) {
    return verb.add_option(name, value, help)->group(kGroup);
  };
  option("--goodput", flags.goodput,
         "Limits of a good request in milliseconds: ttft:MS tpot:MS e2el:MS");
  option("--percentile-metrics", flags.percentile_metrics, "Which of ttft,tpot,itl,e2el to report")
      ->capture_default_str();
  option("--metric-percentiles", flags.metric_percentiles, "Percentiles, with commas between")
      ->capture_default_str();
  option("--plot", flags.result.plot, "SVG file to write: latencies and throughput over time");
  verb.add_flag("--save-result", flags.result.save_result, "Write the result as a JSON file")
      ->group(kGroup);
  verb.add_flag("--save-detailed", flags.result.save_detailed,
                "Put the latencies and text of each request into the JSON")
      ->group(kGroup);
  option("--result-dir", flags.result.result_dir, "Where that file goes");
  option("--result-filename", flags.result.result_filename, "Its name, if not the usual one");
  verb.add_flag("--json", flags.result.json, "Print one JSON object instead of the table")
      ->group(kGroup);
}

}  // namespace

void add_bench_serve(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<BenchServeFlags>();
  CLI::App& verb = *bench.add_subcommand(
      "serve", "Put load on any OpenAI-compatible server and measure TTFT, TPOT and ITL");
  add_target_flags(verb, *flags);
  add_load_shape_flags(verb, *flags);
  add_dataset_flags(verb, flags->benchmark.dataset);
  add_report_flags(verb, *flags);
  verb.get_option("--find-max-qps")
      ->excludes("--max-concurrency", "--plot", "--save-result", "--save-detailed");
  verb.footer(
      "Example:\n  veloz bench serve --port 8000 --num-prompts 64 --random-input-len 128 "
      "--max-concurrency 16");
  verb.callback([flags, &action] {
    flags->search.is_json = flags->result.json;
    action = [flags] { return run_bench_serve(*flags); };
  });
}

}  // namespace veloz::cli
