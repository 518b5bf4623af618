// SPDX-License-Identifier: Apache-2.0
#include "compress/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "eval/rouge.h"
#include "eval/token_metrics.h"

namespace veloz::compress {
namespace {

/// Row `row` of logits [count, vocab_size].
std::span<const float> row_of(const MeasuredModel::LogitRows& rows, int64_t row) {
  const auto vocab_size = rows.logits.size() / static_cast<size_t>(rows.count);
  return rows.logits.subspan(static_cast<size_t>(row) * vocab_size, vocab_size);
}

eval::TextScores scores_of(const eval::Likelihood& likelihood) {
  return {.num_tokens = likelihood.num_tokens(),
          .nll = likelihood.mean_nll(),
          .perplexity = likelihood.perplexity()};
}

/// Sums over positions, in their order.
struct Sums {
  eval::Likelihood model, reference;
  eval::Agreement agreement;
};

/// The next rows of both models, which stand at the same place of the same text. Returns how many.
int64_t add_rows(MeasuredModel& model, MeasuredModel* reference, std::span<const int32_t> tokens,
                 int64_t max_rows, Sums& sums) {
  const MeasuredModel::LogitRows rows = model.next_rows(max_rows);
  if (rows.count == 0) return 0;
  // Without a reference a model is as good as itself.
  const MeasuredModel::LogitRows other = reference ? reference->next_rows(max_rows) : rows;
  VELOZ_CHECK(other.first == rows.first && other.count == rows.count,
              "rows from {} and {} of one text", rows.first, other.first);
  std::vector<eval::PositionScore> scores(static_cast<size_t>(rows.count));
  model.machine().pool.for_range(rows.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      scores[static_cast<size_t>(i)] =
          eval::compare_position(row_of(rows, i), row_of(other, i),
                                 static_cast<size_t>(tokens[static_cast<size_t>(rows.first + i)]));
  });
  for (const eval::PositionScore& score : scores) {
    sums.model.add(score.nll);
    sums.reference.add(score.reference_nll);
    sums.agreement.add(score);
  }
  return rows.count;
}

void check_same_vocabulary(const MeasuredModel& model, const MeasuredModel& reference) {
  const int64_t size = model.engine().manifest().model.vocab_size;
  const int64_t reference_size = reference.engine().manifest().model.vocab_size;
  if (size != reference_size)
    throw Error(ErrorKind::invalid_input,
                fmt::format("the model has a vocabulary of {}, the reference one of {}", size,
                            reference_size),
                "compare a model with the one it was made from");
}

void check_not_stopped(const GateOptions& options) {
  if (options.should_stop && options.should_stop())
    throw Error(ErrorKind::cancelled, "the evaluation was interrupted");
}

double mean_of(double sum, size_t count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace

TextComparison compare_texts(MeasuredModel& model, MeasuredModel* reference,
                             std::span<const eval::ScoredText> texts, const GateOptions& options) {
  if (reference) check_same_vocabulary(model, *reference);
  const int64_t max_rows =
      reference ? std::min(model.max_rows(), reference->max_rows()) : model.max_rows();
  uint64_t num_done = 0;
  uint64_t num_total = 0;
  for (const eval::ScoredText& text : texts)
    num_total += text.tokens.size() - static_cast<size_t>(text.first_scored);
  Sums sums;
  for (const eval::ScoredText& text : texts) {
    model.begin_text(text.tokens, text.first_scored);
    if (reference) reference->begin_text(text.tokens, text.first_scored);
    while (const int64_t count = add_rows(model, reference, text.tokens, max_rows, sums)) {
      num_done += static_cast<uint64_t>(count);
      if (options.on_progress) options.on_progress({"reading", num_done, num_total, "tokens"});
      check_not_stopped(options);
    }
  }
  TextComparison result{.text = scores_of(sums.model)};
  if (reference) {
    result.reference_text = scores_of(sums.reference);
    result.agreement = {.num_positions = sums.agreement.num_positions(),
                        .mean_kl = sums.agreement.mean_kl(),
                        .max_kl = sums.agreement.max_kl(),
                        .top1 = sums.agreement.top1()};
  }
  return result;
}

eval::AnswerScores score_answers(std::span<const Answer> answers,
                                 std::span<const eval::EvalItem> items) {
  VELOZ_CHECK(answers.size() == items.size(), "{} answers to {} items", answers.size(),
              items.size());
  eval::AnswerScores scores{.num_items = std::ssize(items)};
  int64_t num_exact = 0;
  int64_t num_tokens = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const eval::Rouge rouge =
        eval::rouge(items[i].expected, answers[i].text, eval::Stemming::porter);
    scores.rouge1 += rouge.rouge1.f1;
    scores.rouge2 += rouge.rouge2.f1;
    scores.rouge_l += rouge.rouge_l.f1;
    scores.rouge_lsum += rouge.rouge_lsum.f1;
    num_exact += answers[i].text == items[i].expected ? 1 : 0;
    num_tokens += answers[i].num_tokens;
    scores.num_cut += answers[i].is_cut ? 1 : 0;
    scores.num_failed += answers[i].has_failed ? 1 : 0;
  }
  for (double* sum : {&scores.rouge1, &scores.rouge2, &scores.rouge_l, &scores.rouge_lsum})
    *sum = mean_of(*sum, items.size());
  scores.exact = mean_of(static_cast<double>(num_exact), items.size());
  scores.tokens_per_item = mean_of(static_cast<double>(num_tokens), items.size());
  return scores;
}

eval::GateReport run_gate(MeasuredModel& model, MeasuredModel* reference, const eval::EvalSet& set,
                          const GateOptions& options) {
  eval::GateReport report;
  report.data = set.name;
  report.task = set.task;
  TextComparison texts = compare_texts(model, reference, set.texts, options);
  report.text = texts.text;
  report.reference_text = texts.reference_text;
  report.agreement = texts.agreement;
  if (!set.items.empty()) {
    report.answers = score_answers(
        model.answer(set.items, options.params, options.on_progress, options.should_stop),
        set.items);
    std::vector<Answer> answers;
    std::vector<Answer>& known = options.reference_answers ? *options.reference_answers : answers;
    if (known.empty() && reference)
      known =
          reference->answer(set.items, options.params, options.on_progress, options.should_stop);
    if (!known.empty()) report.reference_answers = score_answers(known, set.items);
  }
  eval::judge(report);
  return report;
}

}  // namespace veloz::compress
