// SPDX-License-Identifier: Apache-2.0
#include "compress/measured_model.h"

#include <gtest/gtest.h>

#include "compress/measured_engine.h"
#include "eval/token_metrics.h"
#include "support/expect_error.h"
#include "veloz/llm.h"

namespace veloz::compress {
namespace {

using test::throws_error;
using Tokens = std::vector<int32_t>;

const Tokens kText = {3, 7, 12, 4, 4, 9, 5, 11, 3, 8, 6, 10, 12, 7, 5, 3, 9, 4, 6, 8};

/// All rows from `first` on, read `max_rows` at a time.
std::vector<float> read_rows(MeasuredModel& model, int64_t first, int64_t max_rows) {
  std::vector<float> all;
  model.begin_text(kText, first);
  int64_t next = first;
  for (MeasuredModel::LogitRows rows; (rows = model.next_rows(max_rows)).count > 0;) {
    EXPECT_EQ(rows.first, next);
    EXPECT_LE(rows.count, max_rows);
    next += rows.count;
    all.insert(all.end(), rows.logits.begin(), rows.logits.end());
  }
  EXPECT_EQ(next, std::ssize(kText));
  return all;
}

TEST(MeasuredModel, RowsAreThoseOfPromptLogprobs) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  LLM llm = LLM::load(engine.path(), {.num_threads = 2});
  SamplingParams params{.max_tokens = 1, .temperature = 0};
  params.prompt_logprobs = 0;
  const RequestOutput output = llm.generate(kText, params);

  model.begin_text(kText, 1);
  const MeasuredModel::LogitRows rows = model.next_rows(model.max_rows());
  ASSERT_EQ(rows.count, std::ssize(kText) - 1);
  const size_t vocab_size = rows.logits.size() / static_cast<size_t>(rows.count);
  for (size_t i = 0; i + 1 < kText.size(); ++i)
    EXPECT_NEAR(eval::log_probability(rows.logits.subspan(i * vocab_size, vocab_size),
                                      static_cast<size_t>(kText[i + 1])),
                output.prompt_logprobs[i].front().logprob, 1e-5)
        << i;
}

TEST(MeasuredModel, RowsDependNeitherOnSlicesNorOnTheEnginesLimits) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  const std::vector<float> whole = read_rows(model, 1, 64);
  EXPECT_EQ(whole.size(), (kText.size() - 1) * 40);
  EXPECT_EQ(read_rows(model, 1, 1), whole);
  EXPECT_EQ(read_rows(model, 1, 7), whole);

  const MeasuredEngine narrow({}, {.max_num_batched_tokens = 8, .max_num_seqs = 8});
  MeasuredModel narrow_model = narrow.measure();
  EXPECT_EQ(read_rows(narrow_model, 1, 64), whole);
}

TEST(MeasuredModel, ComputesWhatComesBeforeTheFirstRowWithoutLogits) {
  const MeasuredEngine engine({}, {.max_num_batched_tokens = 8, .max_num_seqs = 8});
  MeasuredModel model = engine.measure();
  const std::vector<float> whole = read_rows(model, 1, 8);
  const std::vector<float> end = read_rows(model, 18, 8);
  ASSERT_EQ(end.size(), 2u * 40);
  EXPECT_TRUE(std::equal(end.rbegin(), end.rend(), whole.rbegin()));
}

TEST(MeasuredModel, RefusesTextsThatDoNotFit) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"a text of 65 tokens", "2 to 64"},
                           [&] { model.begin_text(Tokens(65, 3), 1); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"a text of 1 tokens"},
                           [&] { model.begin_text(Tokens{3}, 1); }));
}

std::vector<eval::EvalItem> make_items(size_t count) {
  std::vector<eval::EvalItem> items;
  for (size_t i = 0; i < count; ++i)
    items.push_back({Tokens(kText.begin(), kText.begin() + 1 + static_cast<int64_t>(i % 7)), "a"});
  return items;
}

TEST(MeasuredModel, AnswersAsTheServingEngineDoes) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  LLM llm = LLM::load(engine.path(), {.num_threads = 2});
  for (const int64_t num_beams : {1, 3}) {
    const SamplingParams params{.max_tokens = 9, .temperature = 0, .num_beams = num_beams};
    const std::vector<eval::EvalItem> items = make_items(30);
    const std::vector<Answer> answers = model.answer(items, params);
    ASSERT_EQ(answers.size(), items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      const Completion completion =
          llm.generate(items[i].prompt_tokens, params).completions.front();
      EXPECT_EQ(answers[i].text, completion.text) << i;
      EXPECT_EQ(answers[i].num_tokens, std::ssize(completion.token_ids)) << i;
      EXPECT_EQ(answers[i].is_cut, completion.finish_reason == FinishReason::length) << i;
      EXPECT_FALSE(answers[i].has_failed);
    }
  }
}

TEST(MeasuredModel, AnswersInACacheOfOneSequence) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  MeasuredModel small = engine.measure({.max_num_seqs = 1, .kv_cache_bytes = 1});
  const SamplingParams params{.max_tokens = 5, .temperature = 0};
  const std::vector<eval::EvalItem> items = make_items(5);
  const std::vector<Answer> answers = model.answer(items, params);
  const std::vector<Answer> others = small.answer(items, params);
  for (size_t i = 0; i < items.size(); ++i) EXPECT_EQ(answers[i].text, others[i].text);
}

TEST(MeasuredModel, SaysWhichPromptDoesNotFit) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  const SamplingParams params{.max_tokens = 60, .temperature = 0};
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"item 5"},
                           [&] { model.answer(make_items(7), params); }));
  EXPECT_EQ(model.answer(make_items(2), params).size(), 2u) << "it goes on";
}

TEST(MeasuredModel, StopsWhereItIsAskedTo) {
  const MeasuredEngine engine;
  MeasuredModel model = engine.measure();
  const SamplingParams params{.max_tokens = 50, .temperature = 0, .ignore_eos = true};
  EXPECT_TRUE(throws_error(ErrorKind::cancelled, {"interrupted"},
                           [&] { model.answer(make_items(60), params, {}, [] { return true; }); }));
}

TEST(MeasuredModel, ReportsAnswersThatFail) {
  test::TinyCheckpoint checkpoint;
  std::vector<float> ones(16, std::numeric_limits<float>::infinity());
  checkpoint.tensor("model.norm.weight").data = test::bytes_of<float>(ones);
  const MeasuredEngine engine(checkpoint);
  MeasuredModel model = engine.measure();
  const std::vector<Answer> answers =
      model.answer(make_items(2), {.max_tokens = 5, .temperature = 0});
  EXPECT_TRUE(answers[0].has_failed);
  EXPECT_EQ(answers[0].text, "");
}

TEST(MeasuredModel, EvaluatesGreedilyWhereTheAuthorsSample) {
  const MeasuredEngine engine;
  const SamplingParams params = engine.measure().default_params();
  EXPECT_EQ(params.temperature, 0);
  EXPECT_EQ(params.num_beams, 1);
}

}  // namespace
}  // namespace veloz::compress
