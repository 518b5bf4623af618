// SPDX-License-Identifier: Apache-2.0
#include "compress/gate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/measured_engine.h"
#include "eval/token_metrics.h"
#include "support/expect_error.h"

namespace veloz::compress {
namespace {

using test::throws_error;
using Tokens = std::vector<int32_t>;

eval::EvalSet make_set() {
  eval::EvalSet set;
  set.name = "letters";
  set.task = eval::Task::summarize;
  set.items = {{{3, 4, 5}, "a b"}, {{7, 7, 8, 9}, "c"}};
  set.texts = {{{3, 4, 5, 6, 7, 8, 9, 10}, 1}, {{12, 11, 10, 9, 8}, 3}};
  return set;
}

const GateOptions kShort{.params = {.max_tokens = 6, .temperature = 0}};

TEST(Gate, OfAModelWithItselfIsExact) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  MeasuredModel reference = engine.measure();
  const eval::GateReport report = run_gate(model, &reference, make_set(), kShort);
  EXPECT_EQ(report.agreement->num_positions, 7 + 2);
  EXPECT_EQ(report.agreement->mean_kl, 0);
  EXPECT_EQ(report.agreement->max_kl, 0);
  EXPECT_EQ(report.agreement->top1, 1);
  EXPECT_EQ(report.text->nll, report.reference_text->nll);
  EXPECT_EQ(report.text->num_tokens, 9);
  EXPECT_EQ(report.answers->rouge1, report.reference_answers->rouge1);
  EXPECT_EQ(report.answers->tokens_per_item, report.reference_answers->tokens_per_item);
}

/// Log-probabilities of the tokens after `text[position]`.
std::vector<double> distribution(MeasuredModel& model, const Tokens& text, int64_t position) {
  model.begin_text(text, position + 1);
  const MeasuredModel::LogitRows rows = model.next_rows(1);
  std::vector<double> result;
  for (size_t token = 0; token < rows.logits.size(); ++token)
    result.push_back(eval::log_probability(rows.logits, token));
  return result;
}

TEST(Gate, MeasuresHowFarADamagedModelIs) {
  const MeasuredEngine engine;
  const MeasuredEngine damaged(damaged_checkpoint());
  MeasuredModel model = damaged.measure();
  MeasuredModel reference = engine.measure();
  const Tokens text = {3, 9, 4};
  const std::vector<eval::ScoredText> texts = {{text, 1}};
  const TextComparison comparison = compare_texts(model, &reference, texts, {});

  double kl = 0;
  double nll = 0;
  for (int64_t position : {0, 1}) {
    const std::vector<double> q = distribution(model, text, position);
    const std::vector<double> p = distribution(reference, text, position);
    for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]) / 2;
    nll -= q[static_cast<size_t>(text[static_cast<size_t>(position) + 1])] / 2;
  }
  EXPECT_GT(kl, 1e-7);
  EXPECT_NEAR(comparison.agreement->mean_kl, kl, 1e-12);
  EXPECT_NEAR(comparison.text.nll, nll, 1e-12);
  EXPECT_NEAR(comparison.text.perplexity, std::exp(nll), 1e-9);
  EXPECT_NE(comparison.text.nll, comparison.reference_text->nll);
}

TEST(Gate, ComparesEnginesOfDifferentLimits) {
  const MeasuredEngine engine;
  const MeasuredEngine narrow({}, {.max_num_batched_tokens = 8, .max_num_seqs = 8});
  MeasuredModel model = narrow.measure();
  MeasuredModel reference = engine.measure();
  const eval::GateReport report = run_gate(model, &reference, make_set(), kShort);
  EXPECT_EQ(report.agreement->max_kl, 0);
  EXPECT_EQ(report.answers->tokens_per_item, report.reference_answers->tokens_per_item);
}

TEST(Gate, MeasuresWithoutAReference) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  const eval::GateReport report = run_gate(model, nullptr, make_set(), kShort);
  EXPECT_EQ(report.verdict, eval::Verdict::ungated);
  EXPECT_GT(report.text->perplexity, 1);
  EXPECT_EQ(report.answers->num_items, 2);
  EXPECT_FALSE(report.agreement);
  EXPECT_FALSE(report.reference_answers);
}

TEST(Gate, TakesAnswersOfTheReferenceThatAreKnown) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  MeasuredModel reference = engine.measure();
  std::vector<Answer> known = {{.text = "a b", .num_tokens = 3}, {.text = "c", .num_tokens = 1}};
  GateOptions options = kShort;
  options.reference_answers = &known;
  const eval::GateReport report = run_gate(model, &reference, make_set(), options);
  EXPECT_EQ(report.reference_answers->exact, 1);
  EXPECT_EQ(report.reference_answers->tokens_per_item, 2);
}

TEST(Gate, LeavesAnswersOfTheReferenceForTheNextRun) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  MeasuredModel reference = engine.measure();
  std::vector<Answer> answers;
  GateOptions options = kShort;
  options.reference_answers = &answers;
  const eval::GateReport first = run_gate(model, &reference, make_set(), options);
  ASSERT_EQ(answers.size(), make_set().items.size());
  answers.front().num_tokens += 2;  // told apart from what would be generated
  const eval::GateReport second = run_gate(model, &reference, make_set(), options);
  EXPECT_EQ(second.reference_answers->tokens_per_item,
            first.reference_answers->tokens_per_item + 1);
}

TEST(Gate, RefusesModelsOfDifferentVocabularies) {
  test::TinyCheckpoint checkpoint;
  checkpoint.config["vocab_size"] = 39;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    test::FileTensor& tensor = checkpoint.tensor(name);
    tensor.shape[0] = 39;
    tensor.data.resize(39 * 16 * sizeof(float));
  }
  const MeasuredEngine smaller(checkpoint);
  const MeasuredEngine engine;
  MeasuredModel model = smaller.measure();
  MeasuredModel reference = engine.measure();
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"vocabulary of 39", "one of 40"},
                           [&] { run_gate(model, &reference, make_set(), kShort); }));
}

TEST(Gate, ReportsProgressAndStops) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  uint64_t num_read = 0;
  GateOptions options = kShort;
  options.on_progress = [&](const ProgressUpdate& update) {
    if (update.stage == "reading") num_read = update.done;
    EXPECT_LE(update.done, update.total);
  };
  run_gate(model, nullptr, make_set(), options);
  EXPECT_EQ(num_read, 9u);
  options.should_stop = [] { return true; };
  EXPECT_TRUE(throws_error(ErrorKind::cancelled, {"interrupted"},
                           [&] { run_gate(model, nullptr, make_set(), options); }));
}

TEST(ScoreAnswers, AreMeansOverItems) {
  const std::vector<eval::EvalItem> items = {{{}, "the cats"}, {{}, "one two"}, {{}, "x"}};
  const std::vector<Answer> answers = {{.text = "the cats", .num_tokens = 4},
                                       {.text = "one", .num_tokens = 2, .is_cut = true},
                                       {.text = "", .num_tokens = 0, .has_failed = true}};
  const eval::AnswerScores scores = score_answers(answers, items);
  EXPECT_EQ(scores.num_items, 3);
  EXPECT_EQ(scores.num_cut, 1);
  EXPECT_EQ(scores.num_failed, 1);
  EXPECT_DOUBLE_EQ(scores.exact, 1.0 / 3);
  EXPECT_DOUBLE_EQ(scores.rouge1, (1 + 2.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(scores.rouge2, 1.0 / 3);
  EXPECT_DOUBLE_EQ(scores.tokens_per_item, 2);
}

TEST(ScoreAnswers, StemWords) {
  const std::vector<eval::EvalItem> items = {{{}, "runs quickly"}};
  const std::vector<Answer> answers = {{.text = "running quickly"}};
  EXPECT_DOUBLE_EQ(score_answers(answers, items).rouge1, 1);
}

}  // namespace
}  // namespace veloz::compress
