// SPDX-License-Identifier: Apache-2.0
#include "serving/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "serving/beam_golden.h"
#include "serving/engine_fixture.h"
#include "serving/greedy.h"
#include "support/expect_error.h"

namespace veloz::serving {
namespace {

using test::throws_error;

TEST(Executor, GreedyTokensAreTheModelsLikeliest) {
  Engine engine;
  for (const size_t length : {1u, 3u, 4u, 5u, 16u, 17u, 40u}) {
    SCOPED_TRACE(length);
    std::vector<int32_t> prompt(length, 9);
    const Outcome outcome = engine.generate(prompt, greedy(20));
    EXPECT_EQ(outcome.choices.at(0).tokens, greedy_tokens(kModel, prompt, 20));
  }
}

TEST(Executor, ReportsHowAChoiceEndedAndWhatItUsed) {
  HashModel model = kModel;
  model.eos_boost = 100;
  Engine engine(model);
  const Outcome outcome = engine.generate({1, 2, 4}, greedy(5));
  EXPECT_EQ(outcome.choices.at(0).tokens, (std::vector<int32_t>{3}));
  EXPECT_EQ(outcome.choices.at(0).end->reason, FinishReason::stop);
  EXPECT_EQ(outcome.choices.at(0).end->stop_token, 3);
  EXPECT_EQ(outcome.usage->num_prompt_tokens, 3);
  EXPECT_EQ(outcome.usage->num_output_tokens, 1);
  EXPECT_EQ(outcome.num_ends, 1);
}

TEST(Executor, EndsAtMaxTokensWhereEosIsIgnored) {
  HashModel model = kModel;
  model.eos_boost = 100;
  Engine engine(model);
  SamplingParams params = greedy(5);
  params.ignore_eos = true;
  const Outcome outcome = engine.generate({1, 2, 4}, params);
  EXPECT_EQ(outcome.choices.at(0).tokens, (std::vector<int32_t>{3, 3, 3, 3, 3}));
  EXPECT_EQ(outcome.choices.at(0).end->reason, FinishReason::length);
}

TEST(Executor, BansEndTokensUntilMinTokens) {
  HashModel model = kModel;
  model.eos_boost = 100;
  Engine engine(model);
  SamplingParams params = greedy(9);
  params.min_tokens = 4;
  params.stop_token_ids = {5};
  const std::vector<int32_t> tokens = engine.generate({1, 2}, params).choices.at(0).tokens;
  ASSERT_EQ(tokens.size(), 5u);
  EXPECT_EQ(tokens.back(), 3);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end() - 1, 3), 0);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end() - 1, 5), 0);
}

TEST(Executor, NeverSamplesBannedTokens) {
  ExecutorOptions options = options_for(kModel, small_limits());
  for (int32_t id = 10; id < 50; ++id) options.banned_token_ids.push_back(id);
  Engine engine(kModel, options);
  SamplingParams params;
  params.max_tokens = 40;
  params.ignore_eos = true;
  params.seed = 1;
  const Outcome outcome = engine.generate({1}, params);
  ASSERT_EQ(outcome.choices.at(0).tokens.size(), 40u);
  for (const int32_t token : outcome.choices.at(0).tokens) EXPECT_LT(token, 10);
}

struct Score {
  double logprob = 0;
  int64_t rank = 0;
};

/// Of each prompt token from the second on, straight from the model.
std::vector<Score> prompt_scores(const HashModel& model, const std::vector<int32_t>& prompt) {
  std::vector<Score> scores;
  for (size_t i = 1; i < prompt.size(); ++i) {
    const std::vector<float> row = model.logits(std::span(prompt).first(i));
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    const float own = row[static_cast<size_t>(prompt[i])];
    const int64_t rank = std::ranges::count_if(row, [own](float x) { return x >= own; });
    scores.push_back({own - std::log(sum), rank});
  }
  return scores;
}

std::vector<int32_t> counted_prompt(int32_t length) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < length; ++i) prompt.push_back((i * 7 + 5) % 50);
  return prompt;
}

TEST(Executor, ScoresThePromptBeforeTheFirstToken) {
  Engine engine;
  for (const int32_t length : {1, 2, 5, 8, 9, 16, 40}) {
    SCOPED_TRACE(length);
    const std::vector<int32_t> prompt = counted_prompt(length);
    SamplingParams params = greedy(3);
    params.prompt_logprobs = 2;
    const Outcome outcome = engine.generate(prompt, params);
    const std::vector<Score> expected = prompt_scores(kModel, prompt);
    ASSERT_EQ(outcome.prompt->logprobs.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::vector<TokenLogprob>& list = outcome.prompt->logprobs[i];
      ASSERT_EQ(list.size(), 3u);
      EXPECT_EQ(list[0].token, prompt[i + 1]);
      EXPECT_NEAR(list[0].logprob, expected[i].logprob, 1e-5);
      EXPECT_EQ(list[0].rank, expected[i].rank);
      EXPECT_GE(list[1].logprob, list[2].logprob);
      EXPECT_GE(list[1].logprob, list[0].logprob);
    }
    EXPECT_EQ(outcome.choices.at(0).tokens, greedy_tokens(kModel, prompt, 3));
  }
}

TEST(Executor, ScoresOfAPromptDependOnNothingElse) {
  const std::vector<int32_t> prompt = counted_prompt(37);
  SamplingParams params;
  params.max_tokens = 20;
  params.ignore_eos = true;
  params.n = 3;
  SchedulerLimits limits = small_limits();
  limits.num_kv_blocks = 28;  // some are paused, and compute their prompts again
  limits.max_prefill_chunk = 5;
  ExecutorOptions options = options_for(kModel, limits);
  options.scheduling.policy = SchedulingPolicy::max_utilization;
  Engine alone;
  Engine busy(kModel, options);
  const auto params_of = [&](uint64_t i) {
    SamplingParams own = params;
    own.seed = i;
    if (i % 2 == 0) own.prompt_logprobs = 1;
    return own;
  };
  std::vector<std::shared_ptr<Inbox>> inboxes;
  for (uint64_t i = 0; i < 12; ++i)
    inboxes.push_back(busy.submit({.prompt_tokens = prompt, .params = params_of(i)}));
  for (uint64_t i = 0; i < 12; ++i) {
    const Outcome expected = alone.generate(prompt, params_of(i));
    const Outcome outcome = inboxes[i]->wait();
    EXPECT_EQ(outcome.choices, expected.choices);
    EXPECT_EQ(outcome.prompt->logprobs, expected.prompt->logprobs);
    EXPECT_EQ(outcome.prompt->logprobs.size(), i % 2 == 0 ? 36u : 0u);
  }
  EXPECT_GT(busy.wait_until_idle().num_preemptions, 0);
}

TEST(Executor, ANanUnderAPromptTokenFailsItsRequestAlone) {
  Engine engine;
  engine.runner.poison_token = 11;
  SamplingParams params = greedy(2);
  params.prompt_logprobs = 0;
  const auto good = engine.submit({.prompt_tokens = {1, 2, 3}, .params = params});
  const Outcome bad = engine.generate({1, 11, 3, 4}, params);
  ASSERT_TRUE(bad.error.has_value());
  EXPECT_NE(bad.error->message().find("the prompt from token"), std::string::npos);
  EXPECT_NE(bad.error->message().find("NaN"), std::string::npos);
  EXPECT_EQ(good->wait().prompt->logprobs.size(), 2u);
}

bool holds(const std::vector<int32_t>& tokens, const std::vector<int32_t>& word) {
  return !std::ranges::search(tokens, word).empty();
}

TEST(Executor, OutputsHoldNoBadWord) {
  Engine engine;
  const std::vector<int32_t> prompt = {4, 8, 15};
  SamplingParams params = greedy(12);
  params.ignore_eos = true;
  for (const int64_t num_beams : {1, 3}) {
    params.num_beams = num_beams;
    const std::vector<int32_t> free = engine.generate(prompt, params).choices.at(0).tokens;
    const std::vector<std::vector<int32_t>> words = {
        {free[0]}, {free[4], free[5], free[6]}, {prompt[2], free[1]}};
    const std::vector<int32_t> tokens =
        engine.submit({.prompt_tokens = prompt, .params = params, .bad_words = words})
            ->wait()
            .choices.at(0)
            .tokens;
    EXPECT_EQ(tokens.size(), 12u);
    EXPECT_NE(tokens, free);
    for (const std::vector<int32_t>& word : words) EXPECT_FALSE(holds(tokens, word));
  }
}

TEST(Executor, AnObserverEndsItsChoiceAlone) {
  class StopAfterThree final : public TokenObserver {
   public:
    std::optional<FinishReason> on_token(int64_t choice, int32_t) override {
      if (choice == 1 && ++num_seen_ == 3) return FinishReason::stop;
      return std::nullopt;
    }

   private:
    int num_seen_ = 0;
  };
  Engine engine;
  SamplingParams params;
  params.n = 2;
  params.max_tokens = 8;
  params.ignore_eos = true;
  params.seed = 11;
  const Outcome outcome =
      engine.submit({{1, 2, 3}, params, std::make_unique<StopAfterThree>()})->wait();
  EXPECT_EQ(outcome.choices.at(1).tokens.size(), 3u);
  EXPECT_EQ(outcome.choices.at(1).end->reason, FinishReason::stop);
  EXPECT_EQ(outcome.choices.at(0).tokens.size(), 8u);
  EXPECT_EQ(outcome.choices.at(0).end->reason, FinishReason::length);
}

TEST(Executor, ChoicesShareThePromptAndDiffer) {
  Engine engine;
  SamplingParams params;
  params.n = 4;
  params.max_tokens = 10;
  params.ignore_eos = true;
  params.seed = 5;
  const Outcome outcome = engine.generate({1, 2, 3, 4, 5, 6}, params);
  ASSERT_EQ(outcome.choices.size(), 4u);
  EXPECT_NE(outcome.choices.at(0).tokens, outcome.choices.at(1).tokens);
  EXPECT_EQ(engine.runner.num_copies, 3);  // of the partial block of the prompt, once per fork
  EXPECT_EQ(outcome.usage->num_output_tokens, 40);
}

TEST(Executor, ChoiceZeroOfManyIsTheOnlyChoiceOfOne) {
  Engine engine;
  SamplingParams params;
  params.max_tokens = 12;
  params.ignore_eos = true;
  params.seed = 77;
  const Outcome one = engine.generate({1, 2, 3}, params);
  params.n = 3;
  EXPECT_EQ(engine.generate({1, 2, 3}, params).choices.at(0), one.choices.at(0));
}

TEST(Executor, ReportsTheSeedItDrewAndItRepeatsTheOutput) {
  Engine engine;
  SamplingParams params;
  params.max_tokens = 20;
  params.ignore_eos = true;
  const Outcome first = engine.generate({1, 2, 3}, params);
  params.seed = first.usage->seed;
  EXPECT_EQ(engine.generate({1, 2, 3}, params).choices, first.choices);
}

TEST(Executor, LogprobsAreThoseOfTheRawLogits) {
  Engine engine;
  SamplingParams params = greedy(3);
  params.logprobs = 2;
  params.logit_bias = {{20, 50.0f}};  // changes the choice, not its probability
  params.ignore_eos = true;
  const Outcome outcome = engine.generate({1, 2}, params);
  const std::vector<float> row = kModel.logits(std::vector<int32_t>{1, 2});
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x));
  const auto best = std::max_element(row.begin(), row.end());
  const Outcome::Choice& choice = outcome.choices.at(0);
  EXPECT_EQ(choice.tokens[0], 20);
  EXPECT_NEAR(choice.logprobs[0].value(), row[20] - std::log(sum), 1e-5);
  ASSERT_EQ(choice.top[0].size(), 2u);
  EXPECT_EQ(choice.top[0][0].token, best - row.begin());
  EXPECT_NEAR(choice.top[0][0].logprob, *best - std::log(sum), 1e-5);
  EXPECT_FALSE(engine.generate({1, 2}, greedy(1)).choices.at(0).logprobs[0].has_value());
}

// The executor's beams against transformers': over paged, shared and copied blocks, prompts in
// chunks, and with other requests in the batch.
TEST(Executor, FindsTheBeamsThatTransformersFinds) {
  const std::vector<BeamCase> cases = load_beam_cases();
  for (const BeamCase& c : cases) {
    SCOPED_TRACE(c.name);
    SchedulerLimits limits = small_limits();
    limits.max_num_seqs = 16;
    limits.num_kv_blocks = 160;
    limits.max_prefill_chunk = 3;
    Engine engine(c.model, limits);
    SamplingParams mate;
    mate.n = 3;
    mate.max_tokens = 25;
    mate.seed = 9;
    const auto neighbour = engine.submit({{1, 2, 3, 4, 5}, mate, nullptr});
    const Outcome outcome = engine.generate(c.prompt, c.params);
    ASSERT_FALSE(outcome.error.has_value()) << outcome.error->message();
    ASSERT_EQ(outcome.choices.size(), c.outputs.size());
    for (size_t i = 0; i < c.outputs.size(); ++i) {
      const Outcome::Choice& choice = outcome.choices.at(static_cast<int64_t>(i));
      EXPECT_EQ(choice.tokens, c.outputs[i].tokens) << "output " << i;
      EXPECT_NEAR(choice.end->beam_score.value(), c.outputs[i].score,
                  1e-4 * (1 + std::abs(c.outputs[i].score)));
    }
    neighbour->wait();
    engine.wait_until_idle();
  }
}

TEST(Executor, RefusesWhatCanNeverRunWithTheArithmetic) {
  ExecutorOptions options = options_for(kModel, small_limits());
  options.max_beam_width = 16;
  Engine engine(kModel, options);
  const auto submit = [&](std::vector<int32_t> prompt, SamplingParams params) {
    engine.submit({std::move(prompt), std::move(params), nullptr});
  };
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"the prompt has no tokens"},
                           [&] { submit({}, greedy(1)); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"prompt token 1 is 50", "0 to 49"}, [&] {
    submit({1, 50}, greedy(1));
  }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"prompt token 0 is -1"},
                           [&] { submit({-1}, greedy(1)); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"a prompt of 64 tokens", "is 64", "by 1"},
                           [&] { submit(std::vector<int32_t>(64, 1), greedy(1)); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"60 tokens", "max_tokens 5", "64", "lower max_tokens to 4"},
                           [&] { submit(std::vector<int32_t>(60, 1), greedy(5)); }));
  SamplingParams wide = greedy(4);
  wide.n = 9;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"9 sequences", "max_num_seqs 8"},
                           [&] { submit({1}, wide); }));
  wide.n = 1;
  wide.num_beams = 9;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"9 sequences", "max_num_seqs 8"},
                           [&] { submit({1}, wide); }));
  wide.num_beams = 1;
  wide.n = 8;
  wide.max_tokens = 60;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"1 prompt tokens and 8 x 60", "120 KV blocks of 4", "has 48"},
                           [&] { submit({1}, wide); }));
  wide.temperature = -1;
  EXPECT_TRUE(
      throws_error(ErrorKind::invalid_input, {"temperature is -1"}, [&] { submit({1}, wide); }));
}

}  // namespace
}  // namespace veloz::serving
