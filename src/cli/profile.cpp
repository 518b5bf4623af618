// SPDX-License-Identifier: Apache-2.0
#include "api/profile_engine.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "api/backend.h"
#include "base/files.h"
#include "benchmark/roofline_plot.h"
#include "cli/load.h"
#include "cli/phase_flags.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

struct ProfileFlags {
  LoadFlags load;
  PhaseFlags phases;
  int64_t num_repeats = 5;
  bool per_name = false;
  bool per_step = false;
  bool json = false;
  std::filesystem::path plot;

  profile::Grouping grouping() const {
    if (per_step) return profile::Grouping::step;
    return per_name ? profile::Grouping::name : profile::Grouping::kernel;
  }
};

benchmark::RooflineSeries series_of(const profile::PhaseSummary& phase) {
  benchmark::RooflineSeries series{.name = describe(phase.phase), .points = {}};
  for (const profile::OpGroup& group : phase.groups) {
    const std::string& name = group.name.empty() ? group.kernel : group.name;
    const double intensity = group.cost.bytes > 0 ? group.cost.flops / group.cost.bytes : 0;
    series.points.push_back(
        {.label = name,
         .flops_per_byte = intensity,
         .gflop_per_s = group.gflop_per_s(),
         .share_of_time = phase.all.seconds > 0 ? group.seconds / phase.all.seconds : 0,
         .details =
             fmt::format("{}, {}: {:.2f} ms, {:.0f} GFLOP/s, {:.1f} GB/s, {:.0f} % of {}", name,
                         series.name, group.seconds * 1e3, group.gflop_per_s(), group.gb_per_s(),
                         group.share_of_roof() * 100, to_string(group.roof))});
  }
  return series;
}

std::string plot_of(const profile::ProfileReport& report, profile::Grouping grouping) {
  const profile::MachinePeaks& peaks = report.profile.peaks;
  benchmark::Roofline roofline{
      .title = fmt::format("{} on {}", std::filesystem::path(report.engine).filename().string(),
                           report.backend),
      .gb_per_s = peaks.read_bytes_per_s * 1e-9,
      .roofs = {},
      .series = {}};
  for (const profile::Roof roof : profile::kRoofs)
    if (roof != profile::Roof::dram_read && peaks.rate(roof) > 0)
      roofline.roofs.push_back({std::string(to_string(roof)), peaks.rate(roof) * 1e-9});
  for (const profile::PhaseTimes& phase : report.profile.phases)
    roofline.series.push_back(series_of(summarize(phase, peaks, grouping)));
  return benchmark::roofline_plot(roofline);
}

int run_profile(const ProfileFlags& flags) {
  const ResolvedEngine resolved = resolve_model(flags.load);
  profile::ProfileReport report;
  {
    ProgressBar bar;
    report = api::profile_engine(resolved.engine,
                                 {.batch_sizes = flags.phases.batch_sizes,
                                  .prefill = flags.phases.prefill,
                                  .context = flags.phases.context,
                                  .num_repeats = flags.num_repeats,
                                  .backend = api::backend_request(flags.load.llm),
                                  .on_progress = [&](int64_t num_done, int64_t total) {
                                    bar.update({"profiling", static_cast<uint64_t>(num_done),
                                                static_cast<uint64_t>(total), "steps"});
                                  }});
  }
  if (flags.json)
    fmt::print("{}\n", profile_json(report, flags.grouping()).dump(2));
  else
    fmt::print("{}", profile_text(report, flags.grouping()));
  if (!flags.plot.empty()) {
    write_text_file(flags.plot, plot_of(report, flags.grouping()));
    fmt::print(stderr, "wrote {}\n", flags.plot.string());
  }
  return 0;
}

}  // namespace

void add_profile(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ProfileFlags>();
  CLI::App& verb = *app.add_subcommand(
      "profile", "Time every op of a model against what this machine can do, measured beside it");
  add_engine_flags(verb, flags->load);
  add_phase_flags(verb, flags->phases);
  verb.add_option("--repeats", flags->num_repeats, "Steps of each phase; medians are reported")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  CLI::Option* const per_name = verb.add_flag(
      "--per-name", flags->per_name, "A row per result, those of all layers taken together");
  verb.add_flag("--per-step", flags->per_step, "A row per step of the plan")->excludes(per_name);
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.add_option("--plot", flags->plot, "Write a roofline plot (SVG) to this file");
  verb.footer(
      "How to read it:\n"
      "  roof           what binds: reading memory, or the arithmetic the operands ask for. Peaks\n"
      "                 are measured in turn with the phases\n"
      "  of roof        time at the roof / time. Above 100 %: operands came from a cache\n"
      "  lost ms/token  what would be won at the roof; rows that lose most come first\n"
      "Example:\n"
      "  veloz profile models/tiny-llama --batch-sizes 1,4 --context 64 --plot roofline.svg");
  verb.callback([flags, &action] { action = [flags] { return run_profile(*flags); }; });
}

}  // namespace veloz::cli
