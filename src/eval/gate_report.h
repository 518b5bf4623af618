// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "eval/eval_set.h"
#include "eval/verdict.h"

namespace veloz::eval {

/// What a model's answers to a set of questions are worth.
struct AnswerScores {
  int64_t num_items = 0;
  int64_t num_failed = 0;  // of them, without an answer: NaN logits
  int64_t num_cut = 0;     // of them, ended by the limit on new tokens
  double rouge1 = 0;       // mean F1 with Porter's stemmer, [0, 1]
  double rouge2 = 0;
  double rouge_l = 0;
  double rouge_lsum = 0;
  double exact = 0;            // share equal in every character, [0, 1]
  double tokens_per_item = 0;  // new ones, the end-of-sequence token included
};

/// What a model makes of texts it is given (teacher forcing).
struct TextScores {
  int64_t num_tokens = 0;  // predicted ones
  double nll = 0;          // mean, nats per token
  double perplexity = 0;
};

/// How far the model's next-token distributions are from the reference's on those texts.
struct AgreementScores {
  int64_t num_positions = 0;
  double mean_kl = 0;  // KL(reference || model), nats per position
  double max_kl = 0;
  double top1 = 0;  // share of positions with the same likeliest token, [0, 1]
};

/// One condition of the gate, for both models.
struct GateCheck {
  std::string name;  // "rouge1", "tokens_per_item", "perplexity"
  double value = 0;
  double reference = 0;
  std::optional<double> min_99{}, min_99_9{};  // least value for PASS-99, PASS-99.9
  std::optional<double> max_99{}, max_99_9{};  // likewise, most
  Verdict verdict = Verdict::ungated;          // of this condition alone
};

/// All that a gate measured, with its verdict.
struct GateReport {
  std::string model{};         // as the user named it
  std::string reference{};     // likewise; "" where there is none
  std::string data{};          // file names
  std::optional<Task> task{};  // of the answers; none where there are texts only
  std::optional<AnswerScores> answers{}, reference_answers{};
  std::optional<TextScores> text{}, reference_text{};
  std::optional<AgreementScores> agreement{};
  std::vector<GateCheck> checks{};
  Verdict verdict = Verdict::ungated;
  std::string reason{};  // of the verdict, one sentence
};

/// Sets checks, verdict and reason from what was measured:
///   summarize  ROUGE-1, ROUGE-2 and ROUGE-L of at least 99 % (99.9 %) of the reference's, each
///   chat       likewise the share of exact answers
///   both       and 90 % to 110 % of the reference's tokens per answer
///   texts only perplexity of at most the reference's / 99 % (99.9 %)
/// The first three are the rules of MLPerf Inference for gptj-99/-99.9 and llama2-70b-99/-99.9
/// (mlcommons/inference_policies), the last is our own. A failed answer or a value that is not
/// finite fails. Without a reference, or where the reference scores 0, the model is ungated.
void judge(GateReport& report);

/// Stable keys, as docs/evaluation.md lists them; null for a number that is not finite.
nlohmann::ordered_json to_json(const GateReport& report);
/// A page for people: verdict, checks, measurements.
std::string to_markdown(const GateReport& report);

}  // namespace veloz::eval
