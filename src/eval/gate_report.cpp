// SPDX-License-Identifier: Apache-2.0
#include "eval/gate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "eval/gate_format.h"

namespace veloz::eval {
namespace {

constexpr double kShare99 = 0.99;
constexpr double kShare99_9 = 0.999;
// MLPerf Inference, llama2-70b: tokens per sample within 10 % of the reference's.
constexpr double kShortest = 0.9;
constexpr double kLongest = 1.1;

bool is_within(double value, std::optional<double> least, std::optional<double> most) {
  return std::isfinite(value) && (!least || value >= *least) && (!most || value <= *most);
}

GateCheck judged(GateCheck check) {
  check.verdict = is_within(check.value, check.min_99_9, check.max_99_9) ? Verdict::pass_99_9
                  : is_within(check.value, check.min_99, check.max_99)   ? Verdict::pass_99
                                                                         : Verdict::fail;
  return check;
}

GateCheck at_least_shares(std::string name, double value, double reference) {
  return judged({.name = std::move(name),
                 .value = value,
                 .reference = reference,
                 .min_99 = kShare99 * reference,
                 .min_99_9 = kShare99_9 * reference});
}

std::vector<GateCheck> answer_checks(Task task, const AnswerScores& scores,
                                     const AnswerScores& reference) {
  std::vector<GateCheck> checks;
  if (task == Task::summarize) {
    checks.push_back(at_least_shares("rouge1", scores.rouge1, reference.rouge1));
    checks.push_back(at_least_shares("rouge2", scores.rouge2, reference.rouge2));
    checks.push_back(at_least_shares("rouge_l", scores.rouge_l, reference.rouge_l));
  } else {
    checks.push_back(at_least_shares("exact", scores.exact, reference.exact));
  }
  const double shortest = kShortest * reference.tokens_per_item;
  const double longest = kLongest * reference.tokens_per_item;
  checks.push_back(judged({.name = "tokens_per_item",
                           .value = scores.tokens_per_item,
                           .reference = reference.tokens_per_item,
                           .min_99 = shortest,
                           .min_99_9 = shortest,
                           .max_99 = longest,
                           .max_99_9 = longest}));
  return checks;
}

GateCheck perplexity_check(const TextScores& scores, const TextScores& reference) {
  return judged({.name = "perplexity",
                 .value = scores.perplexity,
                 .reference = reference.perplexity,
                 .max_99 = reference.perplexity / kShare99,
                 .max_99_9 = reference.perplexity / kShare99_9});
}

std::string describe(const GateCheck& check, Verdict level) {
  return fmt::format(
      "{} is {}, the original's {}, {} is asked for", check.name,
      format_value(check.name, check.value), format_value(check.name, check.reference),
      level == Verdict::pass_99_9 ? format_bounds(check, check.min_99_9, check.max_99_9)
                                  : format_bounds(check, check.min_99, check.max_99));
}

/// Why nothing can be judged, or "".
std::string why_ungated(const GateReport& report) {
  if (report.checks.empty()) return "there is no original to compare with";
  for (const GateCheck& check : report.checks)
    if (!(std::isfinite(check.reference) && check.reference > 0))
      return fmt::format("{} of the original is {}, so these data say nothing about the model",
                         check.name, format_value(check.name, check.reference));
  return "";
}

/// What no model that works does, or "".
std::string why_broken(const GateReport& report) {
  if (report.answers && report.answers->num_failed > 0)
    return fmt::format("{} of {} answers failed: the model computes NaN",
                       report.answers->num_failed, report.answers->num_items);
  if (report.text && !std::isfinite(report.text->nll))
    return "the model computes NaN or gives no probability to given texts";
  return "";
}

void set_verdict(GateReport& report) {
  report.reason = why_ungated(report);
  if (!report.reason.empty()) {
    report.verdict = Verdict::ungated;
    return;
  }
  report.reason = why_broken(report);
  if (!report.reason.empty()) {
    report.verdict = Verdict::fail;
    return;
  }
  const auto worst = std::ranges::min_element(report.checks, {}, &GateCheck::verdict);
  report.verdict = worst->verdict;
  if (report.verdict == Verdict::pass_99_9)
    report.reason = "all conditions hold at 99.9 % of the original";
  else
    report.reason = describe(
        *worst, report.verdict == Verdict::pass_99 ? Verdict::pass_99_9 : Verdict::pass_99);
}

}  // namespace

void judge(GateReport& report) {
  report.checks.clear();
  if (report.task && report.answers && report.reference_answers)
    report.checks = answer_checks(*report.task, *report.answers, *report.reference_answers);
  else if (!report.answers && report.text && report.reference_text)
    report.checks = {perplexity_check(*report.text, *report.reference_text)};
  set_verdict(report);
}

}  // namespace veloz::eval
