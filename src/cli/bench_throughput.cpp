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
#include "text/tokenizer.h"

namespace veloz::cli {
namespace {

struct ThroughputFlags {
  LoadFlags load;
  benchmark::DatasetOptions dataset;
  double temperature = 1;
  std::filesystem::path plot;
  bool json = false;
};

int run_throughput(const ThroughputFlags& flags) {
  LoadedModel model = load_model(flags.load);
  // Only files have text to count.
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (!flags.dataset.path.empty()) tokenizer = text::Tokenizer::load(model.engine / "tokenizer");
  const benchmark::PromptWriter writer(
      {.vocab_size = model.llm.vocab_size(), .tokenizer = tokenizer.get()});
  const std::vector<benchmark::SampleRequest> requests =
      benchmark::make_dataset(flags.dataset, writer);
  const InterruptGuard guard;
  benchmark::Throughput throughput;
  {
    ProgressBar bar;
    throughput =
        benchmark::measure_throughput(model.llm, requests,
                                      {.temperature = flags.temperature,
                                       .seed = flags.dataset.seed,
                                       .should_stop = InterruptGuard::is_interrupted,
                                       .on_progress = [&](int64_t num_ended) {
                                         bar.update({"generating", static_cast<uint64_t>(num_ended),
                                                     requests.size(), "requests"});
                                       }});
  }
  if (flags.json)
    fmt::print("{}\n", benchmark::throughput_json(throughput).dump());
  else
    fmt::print("{}", benchmark::throughput_text(throughput));
  std::fflush(stdout);
  if (!flags.plot.empty()) {
    const std::string title =
        fmt::format("{}: {} requests at once", flags.load.model.string(), requests.size());
    write_text_file(flags.plot, benchmark::throughput_plot(title, throughput));
    fmt::print(stderr, "wrote {}\n", flags.plot.string());
  }
  return report_interrupt();
}

}  // namespace

void add_bench_throughput(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<ThroughputFlags>();
  CLI::App& verb = *bench.add_subcommand(
      "throughput", "Give a model all requests at once and count tokens per second");
  add_load_flags(verb, flags->load);
  add_dataset_flags(verb, flags->dataset);
  verb.add_option("--temperature", flags->temperature, "0: greedy")->capture_default_str();
  verb.add_option("--plot", flags->plot, "SVG file to write: requests and output tokens over time");
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.footer(
      "Example:\n  veloz bench throughput models/tiny-llama --num-prompts 64 --random-input-len "
      "128");
  verb.callback([flags, &action] { action = [flags] { return run_throughput(*flags); }; });
}

}  // namespace veloz::cli
