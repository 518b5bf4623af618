// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/plan_model.h"
#include "cli/load.h"
#include "cli/phase_flags.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

struct PlanFlags {
  LoadFlags load;
  PhaseFlags phases;
  std::optional<uint64_t> memory_bytes;
  std::string peaks;
  bool json = false;
};

int run_plan(const PlanFlags& flags) {
  api::PlanRequest request;
  request.build = build_options(flags.load);
  request.llm = flags.load.llm;
  request.memory_bytes = flags.memory_bytes;
  if (!flags.peaks.empty()) request.peaks = api::parse_peaks(flags.peaks);
  request.batch_sizes = flags.phases.batch_sizes;
  request.prefill = flags.phases.prefill;
  request.context = flags.phases.context;
  const profile::PlanReport report = api::plan_model(request);
  if (flags.json)
    fmt::print("{}\n", plan_json(report).dump(2));
  else
    fmt::print("{}", plan_text(report));
  return report.fits() ? 0 : 1;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App& verb = *app.add_subcommand(
      "plan", "Predict the memory and the speed of a model before it is built or loaded");
  flags->load.llm.kv_cache_size = KvCacheSize::of_free_memory;  // as `veloz serve` has it
  add_load_flags(verb, flags->load);
  verb.add_option("--memory-bytes", flags->memory_bytes,
                  "Memory there is to fit into; absent: what is free on this machine");
  verb.add_option("--peaks", flags->peaks,
                  "The machine's limits instead of measured ones, in GB/s and Gop/s as `veloz "
                  "doctor` prints them: dram_read=48,fp32_fma=226,bf16_dot=440,int8_dot=917");
  add_phase_flags(verb, flags->phases);
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.footer(
      "Counts what `veloz serve` with the same flags would hold when it is ready. Exit code 1: it\n"
      "does not fit, and the limits that would make it fit are named.\n"
      "Example:\n"
      "  veloz plan models/tiny-llama --max-num-seqs 16 --memory-bytes 1000000000");
  verb.callback([flags, &action] { action = [flags] { return run_plan(*flags); }; });
}

}  // namespace veloz::cli
