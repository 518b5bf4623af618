// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "compress/measured_model.h"
#include "eval/eval_set.h"
#include "eval/gate_report.h"
#include "veloz/types.h"

namespace veloz::compress {

struct GateOptions {
  /// How answers are generated. Greedy, or beam search as the model's authors want it; sampling
  /// would measure its seed.
  SamplingParams params{.temperature = 0};
  /// Where it is not null, the reference's answers are taken from here, or left here where it is
  /// empty: for runs with the same reference, set and params.
  std::vector<Answer>* reference_answers = nullptr;
  ProgressSink on_progress{};
  std::function<bool()> should_stop{};  // asked now and then; true throws Error(cancelled)
};

/// Texts as both models predict them, position by position; at most `max_logit_rows` rows of each
/// model's logits are held at a time. Without a reference only `text` is set. Throws
/// Error(invalid_input) where the vocabularies differ.
struct TextComparison {
  eval::TextScores text;
  std::optional<eval::TextScores> reference_text{};
  std::optional<eval::AgreementScores> agreement{};
};
TextComparison compare_texts(MeasuredModel& model, MeasuredModel* reference,
                             std::span<const eval::ScoredText> texts, const GateOptions& options);

/// Scores of answers against what `items` expect.
eval::AnswerScores score_answers(std::span<const Answer> answers,
                                 std::span<const eval::EvalItem> items);

/// Measures `model` on `set`, and `reference` (may be null) beside it, and judges. The report's
/// names are for the caller to fill in.
eval::GateReport run_gate(MeasuredModel& model, MeasuredModel* reference, const eval::EvalSet& set,
                          const GateOptions& options);

}  // namespace veloz::compress
