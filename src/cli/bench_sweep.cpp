// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "benchmark/sweep.h"
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "text/tokenizer.h"

namespace veloz::cli {
namespace {

struct SweepFlags {
  LoadFlags load;
  std::vector<std::string> runs;
  uint64_t seed = 0;
};

void print_line(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

int run_sweep(const SweepFlags& flags) {
  std::vector<benchmark::SweepRun> runs;
  for (const std::string& text : flags.runs) runs.push_back(benchmark::parse_sweep_run(text));
  LoadedModel model = load_model(flags.load);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (std::filesystem::exists(model.engine / "tokenizer"))
    tokenizer = text::Tokenizer::load(model.engine / "tokenizer");
  print_line({{"loaded", model.llm.description()}, {"load_s", model.load_s}});
  const InterruptGuard guard;
  bool is_fine = true;
  for (size_t i = 0; i < runs.size() && !InterruptGuard::is_interrupted(); ++i) {
    nlohmann::ordered_json line = {{"run", flags.runs[i]}};
    try {
      line.update(benchmark::measure_sweep_run(model.llm, runs[i], tokenizer.get(), flags.seed,
                                               InterruptGuard::is_interrupted));
    } catch (const Error& e) {
      // What one shape cannot do, the others still can.
      line["error"] = e.message();
      is_fine = false;
    }
    print_line(line);
  }
  const int interrupted = report_interrupt();
  return interrupted != 0 || is_fine ? interrupted : 1;
}

}  // namespace

void add_bench_sweep(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<SweepFlags>();
  CLI::App& verb = *bench.add_subcommand(
      "sweep", "Load a model once and measure several shapes, one JSON object a line");
  add_load_flags(verb, flags->load);
  verb.add_option(
          "--run", flags->runs,
          "'latency batch=8 in=128 out=128 iters=3 warmup=1' or 'throughput prompts=256 "
          "in=128 out=128 warm=0 stop=60', either with beams=4 or temperature=1; 'throughput "
          "file=requests.jsonl' as of the dataset custom (repeatable)")
      ->allow_extra_args(false)
      ->required();
  verb.add_option("--seed", flags->seed, "Of the prompts and of sampling")->capture_default_str();
  verb.footer(
      "Example:\n  veloz bench sweep models/tiny-llama --run 'latency batch=1 out=64' --run "
      "'throughput prompts=32 in=64 out=32'");
  verb.callback([flags, &action] { action = [flags] { return run_sweep(*flags); }; });
}

}  // namespace veloz::cli
