// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "eval/gate_report.h"
#include "eval/gate_tables.h"

namespace veloz::eval {
namespace {

nlohmann::ordered_json json_of(const AnswerScores& scores) {
  return {{"num_items", scores.num_items},
          {"num_failed", scores.num_failed},
          {"num_cut", scores.num_cut},
          {"rouge1", scores.rouge1},
          {"rouge2", scores.rouge2},
          {"rouge_l", scores.rouge_l},
          {"rouge_lsum", scores.rouge_lsum},
          {"exact", scores.exact},
          {"tokens_per_item", scores.tokens_per_item}};
}

nlohmann::ordered_json json_of(const TextScores& scores) {
  return {
      {"num_tokens", scores.num_tokens}, {"nll", scores.nll}, {"perplexity", scores.perplexity}};
}

nlohmann::ordered_json json_of(const AgreementScores& scores) {
  return {{"num_positions", scores.num_positions},
          {"mean_kl", scores.mean_kl},
          {"max_kl", scores.max_kl},
          {"top1", scores.top1}};
}

nlohmann::ordered_json json_of(const GateCheck& check) {
  nlohmann::ordered_json json = {
      {"name", check.name}, {"value", check.value}, {"reference", check.reference}};
  const auto add = [&](const char* key, std::optional<double> bound) {
    if (bound) json[key] = *bound;
  };
  add("min_99", check.min_99);
  add("min_99_9", check.min_99_9);
  add("max_99", check.max_99);
  add("max_99_9", check.max_99_9);
  json["verdict"] = to_string(check.verdict);
  return json;
}

template <typename T>
void add_json(nlohmann::ordered_json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = json_of(*value);
}

}  // namespace

nlohmann::ordered_json to_json(const GateReport& report) {
  nlohmann::ordered_json json = {{"model", report.model}};
  if (!report.reference.empty()) json["reference"] = report.reference;
  json["data"] = report.data;
  if (report.task) json["task"] = to_string(*report.task);
  json["verdict"] = to_string(report.verdict);
  json["reason"] = report.reason;
  json["checks"] = nlohmann::ordered_json::array();
  for (const GateCheck& check : report.checks) json["checks"].push_back(json_of(check));
  add_json(json, "answers", report.answers);
  add_json(json, "reference_answers", report.reference_answers);
  add_json(json, "text", report.text);
  add_json(json, "reference_text", report.reference_text);
  add_json(json, "agreement", report.agreement);
  return json;
}

std::string to_markdown(const GateReport& report) {
  std::string text = fmt::format("# {}: {}\n\n{}.\n\nData: {}. Original: {}.\n", report.model,
                                 to_string(report.verdict), report.reason, report.data,
                                 report.reference.empty() ? "none" : report.reference);
  for (const ReportTable& table : tables_of(report)) {
    text += fmt::format("\n## {}\n\n| {} |\n|", table.title, fmt::join(table.columns, " | "));
    for (size_t i = 0; i < table.columns.size(); ++i) text += "---|";
    text += '\n';
    for (const std::vector<std::string>& row : table.rows)
      text += fmt::format("| {} |\n", fmt::join(row, " | "));
  }
  return text;
}

}  // namespace veloz::eval
