// SPDX-License-Identifier: Apache-2.0
#include "cli/bench.h"

#include <CLI/CLI.hpp>

namespace veloz::cli {

void add_dataset_flags(CLI::App& verb, benchmark::DatasetOptions& options) {
  constexpr const char* kGroup = "Requests";
  const auto option = [&](const char* name, auto& value, const char* help) {
    verb.add_option(name, value, help)->group(kGroup)->capture_default_str();
  };
  option("--dataset-name", options.name,
         "random: random tokens; mixed: short random ones among long ones; sharegpt: conversations "
         "of a file; custom: JSONL of {\"prompt\", \"output_len\"}");
  option("--dataset-path", options.path, "File of sharegpt (JSON list or JSONL) or custom");
  option("--num-prompts", options.num_prompts, "Requests to send");
  option("--seed", options.seed, "Of prompts, lengths and arrivals");
  verb.add_option("--output-len", options.output_len,
                  "New tokens of each request of a file, whatever it says")
      ->group(kGroup);
  option("--random-input-len", options.random.input_len, "Prompt tokens (random, short of mixed)");
  option("--random-output-len", options.random.output_len, "New tokens (random, short of mixed)");
  option("--random-range-ratio", options.random_range_ratio,
         "Lengths lie between 1 - r and 1 + r times these; [0, 1)");
  option("--random-prefix-len", options.random_prefix_len,
         "Tokens that all prompts begin with, added to their own");
  option("--mixed-long-input-len", options.mixed_long.input_len, "Prompt tokens of long ones");
  option("--mixed-long-output-len", options.mixed_long.output_len, "New tokens of long ones");
  option("--mixed-long-share", options.mixed_long_share, "Share of long ones, from 0 to 1");
}

void add_bench(CLI::App& app, Action& action) {
  CLI::App& bench = *app.add_subcommand(
      "bench", "Measure a server under load, or a model's throughput and latency");
  bench.require_subcommand(1);
  add_bench_serve(bench, action);
  add_bench_throughput(bench, action);
  add_bench_latency(bench, action);
  add_bench_sweep(bench, action);
  bench.footer(
      "Example:\n  veloz bench latency models/tiny-llama --batch-size 4 --num-iters 10\n"
      "`veloz bench VERB --help` explains each.");
}

}  // namespace veloz::cli
