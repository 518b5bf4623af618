// SPDX-License-Identifier: Apache-2.0
#include "profile/plan_report.h"

#include <fmt/format.h>

#include <cmath>

#include "base/files.h"
#include "base/table.h"
#include "profile/advice.h"
#include "profile/report.h"

namespace veloz::profile {
namespace {

using nlohmann::ordered_json;

std::string memory_table(const PlanReport& report) {
  const Footprint& use = report.footprint;
  Table table({{"memory"}, {"bytes", Table::Align::right}, {""}, {"what it is"}});
  const auto row = [&](const char* name, uint64_t bytes, std::string what) {
    table.add_row({name, fmt::format("{}", bytes), format_bytes(bytes), std::move(what)});
  };
  row("weights", use.weight_bytes, "in the layouts of the kernels here");
  row("KV cache", use.kv_cache_bytes(),
      fmt::format("{} blocks of {} for {} tokens", use.num_kv_blocks,
                  format_bytes(use.kv_block_bytes), use.num_kv_blocks * report.limits.block_size));
  row("arena", use.arena_bytes + use.workspace_bytes + use.input_bytes,
      fmt::format("a step of {} tokens of {} sequences, kernels' scratch, inputs",
                  report.limits.max_num_batched_tokens, report.limits.max_num_seqs));
  row("tokenizer", use.text_bytes, "by the size of its files");
  row("process", use.process_bytes, "program, threads, server: a constant");
  row("total", use.total_bytes(), "");
  return table.text();
}

std::string speed_table(const PlanReport& report) {
  constexpr Table::Align kRight = Table::Align::right;
  Table table({{"speed"}, {"step ms", kRight}, {"tokens/s", kRight}, {"bound by"}});
  for (const SpeedPrediction& speed : report.speeds)
    table.add_row({describe(speed.phase), fmt::format("{:.2f}", speed.step_s * 1e3),
                   fmt::format("{:.1f}", speed.tokens_per_s()),
                   std::string(to_string(speed.roof))});
  return table.text();
}

std::string verdict(const PlanReport& report) {
  const uint64_t total = report.footprint.total_bytes();
  if (report.fits())
    return fmt::format("fits: {} of {}\n", format_bytes(total), format_bytes(report.memory_bytes));
  std::string text = fmt::format("does not fit: {} are needed, {} are there\n", format_bytes(total),
                                 format_bytes(report.memory_bytes));
  for (const Advice& advice : advise(report.footprint, report.limits, report.memory_bytes))
    text += advice.flag.empty()
                ? fmt::format("hint: {}\n", advice.effect)
                : fmt::format("hint: {} {}: {}\n", advice.flag, advice.value, advice.effect);
  return text;
}

ordered_json to_json(const Footprint& use) {
  return {{"weight_bytes", use.weight_bytes},   {"kv_block_bytes", use.kv_block_bytes},
          {"num_kv_blocks", use.num_kv_blocks}, {"kv_cache_bytes", use.kv_cache_bytes()},
          {"arena_bytes", use.arena_bytes},     {"workspace_bytes", use.workspace_bytes},
          {"input_bytes", use.input_bytes},     {"tokenizer_bytes", use.text_bytes},
          {"process_bytes", use.process_bytes}, {"total_bytes", use.total_bytes()}};
}

ordered_json to_json(const engine::Limits& limits) {
  return {{"max_model_len", limits.max_model_len},
          {"max_num_seqs", limits.max_num_seqs},
          {"max_num_batched_tokens", limits.max_num_batched_tokens},
          {"block_size", limits.block_size}};
}

}  // namespace

std::string plan_text(const PlanReport& report) {
  return fmt::format("{} on {}\n\n{}\n{}\n{}machine ({}): {}\n", report.model, report.backend,
                     memory_table(report), verdict(report), speed_table(report),
                     report.are_peaks_given ? "as given" : "measured", describe(report.peaks));
}

ordered_json plan_json(const PlanReport& report) {
  ordered_json json = {{"model", report.model},
                       {"backend", report.backend},
                       {"limits", to_json(report.limits)},
                       {"memory", to_json(report.footprint)},
                       {"memory_available_bytes", report.memory_bytes},
                       {"fits", report.fits()},
                       {"advice", ordered_json::array()},
                       {"peaks", to_json(report.peaks)},
                       {"peaks_from", report.are_peaks_given ? "given" : "measured"},
                       {"speed", ordered_json::array()}};
  for (const Advice& advice : advise(report.footprint, report.limits, report.memory_bytes))
    json["advice"].push_back(
        {{"flag", advice.flag}, {"value", advice.value}, {"effect", advice.effect}});
  for (const SpeedPrediction& speed : report.speeds)
    json["speed"].push_back({{"phase", to_string(speed.phase.kind)},
                             {"batch_size", speed.phase.batch_size},
                             {"new_tokens", speed.phase.new_tokens},
                             {"context", speed.phase.context},
                             {"step_ms", speed.step_s * 1e3},
                             {"tokens_per_s", speed.tokens_per_s()},
                             {"bound_by", to_string(speed.roof)}});
  return json;
}

}  // namespace veloz::profile
