// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/files.h"
#include "benchmark/offline.h"
#include "benchmark/offline_plot.h"
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/terminal.h"

namespace veloz::cli {
namespace {

struct LatencyFlags {
  LoadFlags load;
  benchmark::LatencyOptions shape;
  double temperature = 1;
  uint64_t seed = 0;
  std::string metric_percentiles = "90,99";
  std::filesystem::path plot;
  bool json = false;
};

int run_latency(const LatencyFlags& flags) {
  const std::vector<double> ranks =
      benchmark::parse_ranks(flags.metric_percentiles, "--metric-percentiles");
  LoadedModel model = load_model(flags.load);
  const InterruptGuard guard;
  const int64_t total = flags.shape.num_iters_warmup + flags.shape.num_iters;
  benchmark::Latency latency;
  {
    ProgressBar bar;
    latency =
        benchmark::measure_latency(model.llm, flags.shape,
                                   {.temperature = flags.temperature,
                                    .seed = flags.seed,
                                    .should_stop = InterruptGuard::is_interrupted,
                                    .on_progress = [&](int64_t num_done) {
                                      bar.update({"generating", static_cast<uint64_t>(num_done),
                                                  static_cast<uint64_t>(total), "batches"});
                                    }});
  }
  if (flags.json)
    fmt::print("{}\n", benchmark::latency_json(latency, ranks).dump());
  else
    fmt::print("{}", benchmark::latency_text(latency, ranks));
  std::fflush(stdout);
  if (!flags.plot.empty()) {
    const std::string title =
        fmt::format("{}: batches of {}, {} tokens in, {} out", flags.load.model.string(),
                    flags.shape.batch_size, flags.shape.input_len, flags.shape.output_len);
    write_text_file(flags.plot, benchmark::latency_plot(title, latency));
    fmt::print(stderr, "wrote {}\n", flags.plot.string());
  }
  return report_interrupt();
}

}  // namespace

void add_bench_latency(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<LatencyFlags>();
  benchmark::LatencyOptions& shape = flags->shape;
  CLI::App& verb = *bench.add_subcommand(
      "latency", "Run one batch over and over: time of the batch, TTFT and time per token");
  add_load_flags(verb, flags->load);
  const auto option = [&](const char* name, auto& value, const char* help) {
    verb.add_option(name, value, help)->capture_default_str();
  };
  option("--input-len", shape.input_len, "Prompt tokens of each request");
  option("--output-len", shape.output_len, "New tokens of each request");
  option("--batch-size", shape.batch_size, "Requests of one batch");
  option("--num-iters-warmup", shape.num_iters_warmup, "Batches before those that count");
  option("--num-iters", shape.num_iters, "Batches that count");
  option("--temperature", flags->temperature, "0: greedy");
  option("--seed", flags->seed, "Of the prompts and of sampling");
  option("--metric-percentiles", flags->metric_percentiles,
         "Percentiles of TTFT and TPOT, with commas between");
  verb.add_option("--plot", flags->plot,
                  "SVG file to write: batches, and TTFT and TPOT of their requests");
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.footer("Example:\n  veloz bench latency models/tiny-llama --batch-size 4 --num-iters 10");
  verb.callback([flags, &action] { action = [flags] { return run_latency(*flags); }; });
}

}  // namespace veloz::cli
