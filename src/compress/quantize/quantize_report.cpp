// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"

namespace veloz::compress {
namespace {

using nlohmann::ordered_json;

ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json();
}

ordered_json entry_of(const LinearReport& linear) {
  ordered_json json = {{"module", linear.module},
                       {"treatment", linear.treatment},
                       {"num_weights", linear.num_weights},
                       {"stored_bytes", linear.stored_bytes},
                       {"weight_snr_db", number(linear.weight_snr_db)},
                       {"output_error", number(linear.output_error)}};
  if (linear.alpha) json["alpha"] = *linear.alpha;
  if (linear.input_scale) json["input_scale"] = *linear.input_scale;
  return json;
}

std::string format_optional(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", *value) : std::string();
}

std::string linear_table(std::vector<LinearReport> linears) {
  std::ranges::stable_sort(linears, std::ranges::greater(), &LinearReport::output_error);
  std::string text =
      "| linear | treatment | bits a weight | SNR of weights | error of outputs | alpha |\n"
      "|---|---|---|---|---|---|\n";
  for (const LinearReport& linear : linears)
    text += fmt::format(
        "| `{}` | {} | {:.2f} | {:.1f} dB | {:.3g} % | {} |\n", linear.module, linear.treatment,
        8.0 * static_cast<double>(linear.stored_bytes) / static_cast<double>(linear.num_weights),
        linear.weight_snr_db, 100 * std::sqrt(linear.output_error), format_optional(linear.alpha));
  return text;
}

}  // namespace

ordered_json to_json(const QuantizeReport& report) {
  ordered_json json = {
      {"model", report.model},
      {"output", report.output},
      {"recipe", report.recipe},
      {"producer", report.producer},
      {"verdict", to_string(report.verdict())},
      {"original_bytes", report.original_bytes},
      {"stored_bytes", report.stored_bytes},
      {"kv_cache", report.kv_cache ? ordered_json(*report.kv_cache) : ordered_json()},
      {"calibration",
       {{"texts", report.num_calibration_texts}, {"tokens", report.num_calibration_tokens}}}};
  ordered_json& linears = json["linears"] = ordered_json::array();
  for (const LinearReport& linear : report.linears) linears.push_back(entry_of(linear));
  json["kept"] = report.kept;
  if (!report.tries.empty()) {
    ordered_json& tries = json["tries"] = ordered_json::array();
    for (const AutoTry& one : report.tries)
      tries.push_back({{"stored_bytes", one.stored_bytes}, {"verdict", to_string(one.verdict)}});
  }
  json["gate"] = report.gate ? eval::to_json(*report.gate) : ordered_json();
  return json;
}

std::string to_markdown(const QuantizeReport& report) {
  std::string text = fmt::format(
      "# {} of {}\n\n**{}**{}\n\n| | |\n|---|---|\n| linears | {} quantized, {} as they were |\n"
      "| bytes of linears | {} of {} ({:.1f} %) |\n| calibration | {} texts, {} tokens |\n",
      report.recipe, report.model, to_string(report.verdict()),
      report.gate ? ": " + report.gate->reason : ": nobody measured it", report.linears.size(),
      report.kept.size(), format_bytes(static_cast<uint64_t>(report.stored_bytes)),
      format_bytes(static_cast<uint64_t>(report.original_bytes)),
      100.0 * static_cast<double>(report.stored_bytes) /
          static_cast<double>(std::max<int64_t>(report.original_bytes, 1)),
      report.num_calibration_texts, report.num_calibration_tokens);
  if (report.kv_cache) text += fmt::format("| KV cache | {} |\n", *report.kv_cache);
  text += fmt::format("| made by | {} |\n\n", report.producer);
  if (!report.tries.empty()) {
    text += "What `auto` tried, in order:\n\n| bytes of linears | verdict |\n|---|---|\n";
    for (const AutoTry& one : report.tries)
      text += fmt::format("| {} | {} |\n", format_bytes(static_cast<uint64_t>(one.stored_bytes)),
                          to_string(one.verdict));
    text += '\n';
  }
  if (report.gate) text += fmt::format("{}\n", eval::to_markdown(*report.gate));
  text +=
      "## Linears, largest error first\n\nThe error of outputs is the root of the squared error's "
      "share of the outputs' squares, over sampled calibration inputs.\n\n";
  text += linear_table(report.linears);
  return text;
}

ordered_json gate_file(const QuantizeReport& report) {
  ordered_json json = {{"verdict", to_string(report.verdict())},
                       {"reason", report.gate ? report.gate->reason : "nobody measured it"},
                       {"producer", report.producer}};
  json["gate"] = report.gate ? eval::to_json(*report.gate) : ordered_json();
  return json;
}

}  // namespace veloz::compress
