// SPDX-License-Identifier: Apache-2.0
#include "profile/report.h"

#include <fmt/format.h>

#include <cmath>

#include "base/table.h"

namespace veloz::profile {
namespace {

using nlohmann::ordered_json;

constexpr double kMs = 1e3;
constexpr double kGiga = 1e-9;
constexpr double kPercent = 100;

/// Four significant digits are more than a measurement on a shared machine means.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double scale = std::pow(10, 5 - std::ceil(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

std::string percent(double share) { return fmt::format("{:.0f} %", share * kPercent); }

std::string heading(const PhaseSummary& phase, const std::optional<ServingGap>& gap) {
  std::string text =
      fmt::format("{}: {:.2f} ms, {:.1f} tokens/s, {} of the roof; {:.2f} ms of it outside the ops",
                  describe(phase.phase), phase.step_s * kMs, phase.tokens_per_s(),
                  percent(phase.share_of_roof()), phase.host_s * kMs);
  if (gap)
    text += fmt::format("; between steps {:.2f} ms of sampling, {:.2f} ms of the host",
                        gap->sampling_s * kMs, gap->host_s * kMs);
  return text;
}

std::vector<std::string> cells(const PhaseSummary& phase, const OpGroup& group, bool has_names) {
  std::vector<std::string> row = {group.op};
  if (has_names) row.push_back(group.name);
  row.insert(
      row.end(),
      {group.kernel, fmt::format("{}", group.num_steps), fmt::format("{:.3f}", group.seconds * kMs),
       percent(group.seconds / phase.step_s), fmt::format("{:.2f}", group.cost.bytes * 1e-6),
       fmt::format("{:.3f}", group.cost.flops * kGiga), fmt::format("{:.1f}", group.gb_per_s()),
       fmt::format("{:.0f}", group.gflop_per_s()), std::string(to_string(group.roof)),
       percent(group.share_of_roof()), fmt::format("{:.3f}", phase.lost_ms_per_token(group))});
  return row;
}

std::string table_of(const PhaseSummary& phase, bool has_names) {
  constexpr Table::Align kRight = Table::Align::right;
  std::vector<Table::Column> columns = {{"op"}};
  if (has_names) columns.push_back({"result"});
  for (const Table::Column& column :
       std::initializer_list<Table::Column>{{"kernel"},
                                            {"steps", kRight},
                                            {"ms", kRight},
                                            {"of time", kRight},
                                            {"MB", kRight},
                                            {"GFLOP", kRight},
                                            {"GB/s", kRight},
                                            {"GFLOP/s", kRight},
                                            {"roof"},
                                            {"of roof", kRight},
                                            {"lost ms/token", kRight}})
    columns.push_back(column);
  Table table(std::move(columns));
  for (const OpGroup& group : phase.groups) table.add_row(cells(phase, group, has_names));
  OpGroup all = phase.all;
  all.op = "all";
  table.add_row(cells(phase, all, has_names));
  return table.text();
}

ordered_json to_json(const PhaseSummary& phase, const OpGroup& group) {
  ordered_json json = {{"op", group.op}, {"kernel", group.kernel}};
  if (!group.name.empty()) json["name"] = group.name;
  json.update({{"steps", group.num_steps},
               {"ms", rounded(group.seconds * kMs)},
               {"bytes", group.cost.bytes},
               {"flops", group.cost.flops},
               {"gb_per_s", rounded(group.gb_per_s())},
               {"gflop_per_s", rounded(group.gflop_per_s())},
               {"roof", to_string(group.roof)},
               {"roof_ms", rounded(group.roof_s * kMs)},
               {"percent_of_roof", rounded(group.share_of_roof() * kPercent)},
               {"lost_ms_per_token", rounded(phase.lost_ms_per_token(group))}});
  return json;
}

ordered_json to_json(const PhaseSummary& phase, const std::optional<ServingGap>& gap) {
  ordered_json json = {{"phase", to_string(phase.phase.kind)},
                       {"batch_size", phase.phase.batch_size},
                       {"new_tokens", phase.phase.new_tokens},
                       {"context", phase.phase.context},
                       {"step_ms", rounded(phase.step_s * kMs)},
                       {"ops_ms", rounded(phase.all.seconds * kMs)},
                       {"host_ms", rounded(phase.host_s * kMs)},
                       {"tokens_per_s", rounded(phase.tokens_per_s())},
                       {"bytes", phase.all.cost.bytes},
                       {"flops", phase.all.cost.flops},
                       {"gb_per_s", rounded(phase.all.gb_per_s())},
                       {"gflop_per_s", rounded(phase.all.gflop_per_s())},
                       {"roof_ms", rounded(phase.all.roof_s * kMs)},
                       {"percent_of_roof", rounded(phase.share_of_roof() * kPercent)},
                       {"between_steps", nullptr}};
  if (gap)
    json["between_steps"] = {{"sampling_ms", rounded(gap->sampling_s * kMs)},
                             {"host_ms", rounded(gap->host_s * kMs)},
                             {"step_ms", rounded(gap->step_s * kMs)},
                             {"steps", gap->num_steps}};
  json["groups"] = ordered_json::array();
  for (const OpGroup& group : phase.groups) json["groups"].push_back(to_json(phase, group));
  return json;
}

std::optional<ServingGap> gap_of(const ProfileReport& report, size_t phase) {
  return phase < report.gaps.size() ? report.gaps[phase] : std::nullopt;
}

}  // namespace

std::string describe(const MachinePeaks& peaks) {
  std::string text = fmt::format("{:.1f} GB/s dram_read", peaks.read_bytes_per_s * kGiga);
  for (const Roof roof : {Roof::fp32_fma, Roof::bf16_dot, Roof::int8_dot})
    if (peaks.rate(roof) > 0)
      text += fmt::format(", {:.0f} {} {}", peaks.rate(roof) * kGiga,
                          roof == Roof::int8_dot ? "GOP/s" : "GFLOP/s", to_string(roof));
  return text;
}

ordered_json to_json(const MachinePeaks& peaks) {
  ordered_json json = {{"dram_read_gb_per_s", rounded(peaks.read_bytes_per_s * kGiga)}};
  for (const Roof roof : {Roof::fp32_fma, Roof::bf16_dot, Roof::int8_dot})
    if (peaks.rate(roof) > 0)
      json[fmt::format("{}_gop_per_s", to_string(roof))] = rounded(peaks.rate(roof) * kGiga);
  return json;
}

std::string profile_text(const ProfileReport& report, Grouping grouping) {
  const Profile& profile = report.profile;
  std::string text = fmt::format("{} on {}, medians of {}\nmachine: {}\n", report.engine,
                                 report.backend, profile.num_repeats, describe(profile.peaks));
  for (size_t i = 0; i < profile.phases.size(); ++i) {
    const PhaseSummary phase = summarize(profile.phases[i], profile.peaks, grouping);
    text += fmt::format("\n{}\n{}", heading(phase, gap_of(report, i)),
                        table_of(phase, grouping != Grouping::kernel));
  }
  return text;
}

ordered_json profile_json(const ProfileReport& report, Grouping grouping) {
  const Profile& profile = report.profile;
  ordered_json json = {{"engine", report.engine},
                       {"backend", report.backend},
                       {"repeats", profile.num_repeats},
                       {"peaks", to_json(profile.peaks)},
                       {"phases", ordered_json::array()}};
  for (size_t i = 0; i < profile.phases.size(); ++i)
    json["phases"].push_back(
        to_json(summarize(profile.phases[i], profile.peaks, grouping), gap_of(report, i)));
  return json;
}

}  // namespace veloz::profile
