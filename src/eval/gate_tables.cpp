// SPDX-License-Identifier: Apache-2.0
#include "eval/gate_tables.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string_view>

#include "eval/gate_format.h"

namespace veloz::eval {
namespace {

/// One measurement of the model and, where there is one, of the original.
template <typename T>
struct Measurement {
  const char* title;
  const char* name;  // as format_value knows it
  double T::*value;
};

constexpr Measurement<AnswerScores> kOfAnswers[] = {
    {"ROUGE-1", "rouge1", &AnswerScores::rouge1},
    {"ROUGE-2", "rouge2", &AnswerScores::rouge2},
    {"ROUGE-L", "rouge_l", &AnswerScores::rouge_l},
    {"ROUGE-Lsum", "rouge_lsum", &AnswerScores::rouge_lsum},
    {"exact answers", "exact", &AnswerScores::exact},
    {"tokens per answer", "tokens_per_item", &AnswerScores::tokens_per_item},
};
constexpr Measurement<TextScores> kOfTexts[] = {
    {"NLL, nats per token", "nll", &TextScores::nll},
    {"perplexity", "perplexity", &TextScores::perplexity},
};

std::string ratio_text(double ratio) {
  return std::isfinite(ratio) ? fmt::format("{:.4f}", ratio) : "-";
}

template <typename T, size_t N>
ReportTable pair_table(std::string title, const Measurement<T> (&measurements)[N], const T& scores,
                       const std::optional<T>& reference) {
  ReportTable table{std::move(title), {"measured", "model", "original", "ratio"}, {}};
  for (const Measurement<T>& measurement : measurements) {
    const double value = scores.*measurement.value;
    const std::string text = format_value(measurement.name, value);
    if (!reference) {
      table.rows.push_back({measurement.title, text, "-", "-"});
      continue;
    }
    const double other = (*reference).*measurement.value;
    table.rows.push_back({measurement.title, text, format_value(measurement.name, other),
                          ratio_text(value / other)});
  }
  return table;
}

ReportTable checks_table(const GateReport& report) {
  ReportTable table{
      "Gate", {"condition", "model", "original", "PASS-99.9", "PASS-99", "verdict"}, {}};
  for (const GateCheck& check : report.checks)
    table.rows.push_back({check.name, format_value(check.name, check.value),
                          format_value(check.name, check.reference),
                          format_bounds(check, check.min_99_9, check.max_99_9),
                          format_bounds(check, check.min_99, check.max_99),
                          std::string(to_string(check.verdict))});
  return table;
}

ReportTable agreement_table(const AgreementScores& scores) {
  return {fmt::format("Agreement with the original at {} positions", scores.num_positions),
          {"measured", "value"},
          {{"mean KL divergence, nats", fmt::format("{:.6f}", scores.mean_kl)},
           {"largest KL divergence, nats", fmt::format("{:.6f}", scores.max_kl)},
           {"same token likeliest", fmt::format("{:.2f} %", 100 * scores.top1)}}};
}

}  // namespace

std::vector<ReportTable> tables_of(const GateReport& report) {
  std::vector<ReportTable> tables;
  if (!report.checks.empty()) tables.push_back(checks_table(report));
  if (report.answers)
    tables.push_back(pair_table(fmt::format("{} answers", report.answers->num_items), kOfAnswers,
                                *report.answers, report.reference_answers));
  if (report.text)
    tables.push_back(pair_table(fmt::format("{} tokens of given text", report.text->num_tokens),
                                kOfTexts, *report.text, report.reference_text));
  if (report.agreement) tables.push_back(agreement_table(*report.agreement));
  return tables;
}

}  // namespace veloz::eval
