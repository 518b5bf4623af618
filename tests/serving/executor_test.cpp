// SPDX-License-Identifier: Apache-2.0
#include "serving/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "serving/beam_golden.h"
#include "serving/engine_fixture.h"
#include "support/expect_error.h"

namespace veloz::serving {
namespace {

using test::throws_error;

SamplingParams greedy(int64_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  params.temperature = 0;
  return params;
}

/// What greedy decoding must give, without blocks, batches or chunks.
std::vector<int32_t> greedy_tokens(const HashModel& model, std::vector<int32_t> tokens,
                                   int64_t max_tokens) {
  std::vector<int32_t> output;
  while (std::ssize(output) < max_tokens) {
    const std::vector<float> row = model.logits(tokens);
    const auto best = std::max_element(row.begin(), row.end());
    output.push_back(static_cast<int32_t>(best - row.begin()));
    tokens.push_back(output.back());
    if (std::count(model.eos_token_ids.begin(), model.eos_token_ids.end(), output.back()) > 0)
      break;
  }
  return output;
}

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

/// Allows one token at a time: `first`, then each time `step` more; remembers what was accepted.
class CountingMask final : public TokenMask {
 public:
  CountingMask(int32_t first, int32_t step, std::shared_ptr<std::vector<int32_t>> accepted)
      : next_(first), step_(step), accepted_(std::move(accepted)) {}

  void fill(std::span<uint32_t> allowed) override {
    std::ranges::fill(allowed, 0u);
    allowed[static_cast<size_t>(next_) / 32] = 1u << (next_ % 32);
  }
  void accept(int32_t token) override {
    accepted_->push_back(token);
    next_ = token + step_;
  }
  void rollback(int64_t) override {}

 private:
  int32_t next_;
  int32_t step_;
  std::shared_ptr<std::vector<int32_t>> accepted_;
};

TEST(Executor, EachChoiceFollowsItsOwnMask) {
  Engine engine;
  Request request{.prompt_tokens = {1, 2, 3, 4, 5}, .params = {.max_tokens = 4, .n = 2}};
  std::vector<std::shared_ptr<std::vector<int32_t>>> accepted;
  for (const int32_t step : {1, 7}) {
    accepted.push_back(std::make_shared<std::vector<int32_t>>());
    request.masks.push_back(std::make_unique<CountingMask>(20, step, accepted.back()));
  }
  const Outcome outcome = engine.submit(std::move(request))->wait();
  EXPECT_EQ(outcome.choices.at(0).tokens, (std::vector<int32_t>{20, 21, 22, 23}));
  EXPECT_EQ(outcome.choices.at(1).tokens, (std::vector<int32_t>{20, 27, 34, 41}));
  // The last one ended the choice.
  EXPECT_EQ(*accepted[1], (std::vector<int32_t>{20, 27, 34}));
}

/// Fills no mask before the step that needs it has begun.
class LateMask final : public TokenMask {
 public:
  explicit LateMask(const std::atomic<int64_t>& num_steps) : num_steps_(num_steps) {}
  void fill(std::span<uint32_t> allowed) override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (num_steps_ <= num_accepted_) {
      if (std::chrono::steady_clock::now() > end)
        throw Error(ErrorKind::internal, "no step begins");
      std::this_thread::yield();
    }
    std::ranges::fill(allowed, ~0u);
  }
  void accept(int32_t) override { ++num_accepted_; }
  void rollback(int64_t) override {}

 private:
  const std::atomic<int64_t>& num_steps_;
  int64_t num_accepted_ = 0;
};

TEST(Executor, FillsMasksWhileTheStepComputes) {
  for (const bool runs_ahead : {false, true})
    for (const bool takes_tokens : {false, true}) {
      ExecutorOptions options = options_for(kModel, small_limits());
      options.run_ahead = runs_ahead;
      Engine engine(kModel, options, takes_tokens);
      Request request{.prompt_tokens = {1, 2}, .params = greedy(12)};
      request.masks.push_back(std::make_unique<LateMask>(engine.runner.num_steps));
      const Outcome outcome = engine.submit(std::move(request))->wait();
      EXPECT_FALSE(outcome.error.has_value()) << runs_ahead << takes_tokens;
      EXPECT_EQ(outcome.choices.at(0).tokens, greedy_tokens(kModel, {1, 2}, 12));
    }
}

TEST(Executor, AMaskThatAllowsNothingFailsItsRequestAlone) {
  Engine engine;
  class Nothing final : public TokenMask {
   public:
    void fill(std::span<uint32_t> allowed) override { std::ranges::fill(allowed, 0u); }
    void accept(int32_t) override {}
    void rollback(int64_t) override {}
  };
  const auto good = engine.submit({.prompt_tokens = {1, 2}, .params = greedy(12)});
  Request request{.prompt_tokens = {1, 2}, .params = greedy(4)};
  request.masks.push_back(std::make_unique<Nothing>());
  const Outcome bad = engine.submit(std::move(request))->wait();
  ASSERT_TRUE(bad.error.has_value());
  EXPECT_EQ(bad.error->kind(), ErrorKind::invalid_input);
  EXPECT_NE(bad.error->message().find("every token is banned"), std::string::npos);
  EXPECT_EQ(good->wait().choices.at(0).tokens, greedy_tokens(kModel, {1, 2}, 12));
}

TEST(Executor, AMaskThatThrowsFailsItsRequestAlone) {
  Engine engine;
  class Broken final : public TokenMask {
   public:
    explicit Broken(bool breaks_in_fill) : breaks_in_fill_(breaks_in_fill) {}
    void fill(std::span<uint32_t> allowed) override {
      if (breaks_in_fill_) throw Error(ErrorKind::internal, "broken in fill");
      std::ranges::fill(allowed, ~0u);
    }
    void accept(int32_t) override { throw Error(ErrorKind::internal, "broken in accept"); }
    void rollback(int64_t) override {}

   private:
    bool breaks_in_fill_;
  };
  for (const bool breaks_in_fill : {true, false}) {
    const auto good = engine.submit({.prompt_tokens = {1, 2}, .params = greedy(12)});
    Request request{.prompt_tokens = {1, 2}, .params = greedy(4)};
    request.masks.push_back(std::make_unique<Broken>(breaks_in_fill));
    const Outcome bad = engine.submit(std::move(request))->wait();
    ASSERT_TRUE(bad.error.has_value());
    EXPECT_NE(bad.error->message().find("broken in"), std::string::npos);
    EXPECT_EQ(good->wait().choices.at(0).tokens, greedy_tokens(kModel, {1, 2}, 12));
  }
}

/// Log-probability of each prompt token from the second on, straight from the model.
std::vector<double> prompt_logprobs(const HashModel& model, const std::vector<int32_t>& prompt) {
  std::vector<double> logprobs;
  for (size_t i = 1; i < prompt.size(); ++i) {
    const std::vector<float> row = model.logits(std::span(prompt).first(i));
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    logprobs.push_back(row[static_cast<size_t>(prompt[i])] - std::log(sum));
  }
  return logprobs;
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
    const std::vector<double> expected = prompt_logprobs(kModel, prompt);
    ASSERT_EQ(outcome.prompt->logprobs.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::vector<TokenLogprob>& list = outcome.prompt->logprobs[i];
      ASSERT_EQ(list.size(), 3u);
      EXPECT_EQ(list[0].token, prompt[i + 1]);
      EXPECT_NEAR(list[0].logprob, expected[i], 1e-5);
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

TEST(Executor, FailsARequestThatMeetsNanAndNoOther) {
  Engine engine;
  engine.runner.poison_token = 7;
  const auto good = engine.submit({{1, 2}, greedy(30), nullptr});
  const Outcome bad = engine.generate({7, 2}, greedy(30));
  ASSERT_TRUE(bad.error.has_value());
  EXPECT_EQ(bad.error->kind(), ErrorKind::internal);
  EXPECT_NE(bad.error->message().find("step "), std::string::npos) << bad.error->message();
  EXPECT_NE(bad.error->message().find("output token 1: the logits hold a NaN"), std::string::npos);
  EXPECT_EQ(good->wait().choices.at(0).tokens, greedy_tokens(kModel, {1, 2}, 30));
  engine.wait_until_idle();
}

TEST(Executor, FailsABeamSearchThatMeetsNan) {
  Engine engine;
  engine.runner.poison_token = 7;
  SamplingParams params;
  params.num_beams = 3;
  params.max_tokens = 10;
  const Outcome outcome = engine.generate({7, 2}, params);
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_NE(outcome.error->message().find("NaN"), std::string::npos);
  engine.wait_until_idle();
}

TEST(Executor, FailsARequestWhoseBansLeaveNothing) {
  HashModel model = kModel;
  model.vocab_size = 6;
  Engine engine(model);
  SamplingParams params = greedy(10);
  params.no_repeat_ngram_size = 1;  // each of the six tokens once
  params.ignore_eos = true;
  const Outcome outcome = engine.generate({0, 1}, params);
  EXPECT_EQ(outcome.choices.at(0).tokens.size(), 4u);
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_EQ(outcome.error->kind(), ErrorKind::invalid_input);
  EXPECT_NE(outcome.error->message().find("every token is banned"), std::string::npos);
  EXPECT_FALSE(outcome.error->hint().empty());
}

TEST(Executor, FailsABeamSearchWhoseBansLeaveTooFewOutputs) {
  HashModel model = kModel;
  model.vocab_size = 4;
  model.eos_token_ids = {};
  Engine engine(model);
  SamplingParams params;
  params.num_beams = 4;
  params.n = 4;
  params.max_tokens = 10;
  params.no_repeat_ngram_size = 1;
  const Outcome outcome = engine.generate({0, 1}, params);
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_NE(outcome.error->message().find("0 of n = 4"), std::string::npos)
      << outcome.error->message();
}

TEST(Executor, FailsTheRequestsOfABrokenStepAndGoesOn) {
  Engine engine;
  engine.runner.on_step = [](int64_t step) {
    if (step == 4) throw Error(ErrorKind::internal, "the device coughed");
  };
  const Outcome broken = engine.generate({1, 2}, greedy(30));
  ASSERT_TRUE(broken.error.has_value());
  EXPECT_EQ(broken.error->message(), "step 4: the device coughed");
  EXPECT_EQ(broken.choices.at(0).tokens.size(), 3u);
  EXPECT_EQ(broken.num_ends, 1);
  EXPECT_EQ(engine.generate({1, 2}, greedy(30)).choices.at(0).tokens,
            greedy_tokens(kModel, {1, 2}, 30));
  engine.wait_until_idle();
}

TEST(Executor, CountsStepsThatFailOneAfterTheOther) {
  Engine engine;
  std::atomic<bool> is_lost = true;
  engine.runner.on_step = [&](int64_t) {
    if (is_lost) throw Error(ErrorKind::internal, "the device is gone");
  };
  for (int64_t failed = 1; failed <= 3; ++failed) {
    EXPECT_TRUE(engine.generate({1, 2}, greedy(5)).error.has_value());
    engine.wait_until_idle();
    const ExecutorStats stats = engine.executor.stats();
    EXPECT_GE(stats.num_failed_steps, failed);
    EXPECT_NE(stats.step_error.find("the device is gone"), std::string::npos);
  }
  is_lost = false;
  EXPECT_FALSE(engine.generate({1, 2}, greedy(5)).error.has_value());
  engine.wait_until_idle();
  EXPECT_EQ(engine.executor.stats().num_failed_steps, 0);
}

TEST(Executor, ASinkOrObserverThatThrowsFailsItsRequestAlone) {
  class Broken final : public TokenObserver {
   public:
    std::optional<FinishReason> on_token(int64_t, int32_t) override {
      throw std::runtime_error("the observer broke");
    }
  };
  Engine engine;
  const auto good = engine.submit({{1, 2}, greedy(20), nullptr});
  const Outcome outcome = engine.submit({{4, 5}, greedy(20), std::make_unique<Broken>()})->wait();
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_NE(outcome.error->message().find("the observer broke"), std::string::npos);
  EXPECT_FALSE(good->wait().error.has_value());
}

TEST(Executor, CancelEndsEveryOpenChoiceAndFreesItsBlocks) {
  std::latch begun{1};
  std::latch cancelled{1};
  Engine engine;
  engine.runner.on_step = [&](int64_t step) {
    if (step == 1) begun.count_down();
    cancelled.wait();
  };
  SamplingParams params;
  params.n = 3;
  params.max_tokens = 50;
  params.ignore_eos = true;
  RequestId id{};
  const auto inbox = engine.submit({{1, 2, 3}, params, nullptr}, &id);
  begun.wait();
  engine.executor.cancel(id);
  engine.executor.cancel(id);  // the second time nobody is there
  cancelled.count_down();
  const Outcome outcome = inbox->wait();
  ASSERT_EQ(outcome.choices.size(), 3u);
  for (const auto& [index, choice] : outcome.choices)
    EXPECT_EQ(choice.end->reason, FinishReason::cancelled);
  EXPECT_EQ(outcome.num_ends, 1);
  engine.wait_until_idle();
}

TEST(Executor, BooksAreClearedWhenTheOnlyRunningRequestIsCancelled) {
  Engine engine;
  SamplingParams params;
  params.max_tokens = 50;
  params.ignore_eos = true;
  bool was_cancelled = false;
  while (!was_cancelled) {  // unless it ended first
    RequestId id{};
    const auto inbox = engine.submit({{1, 2, 3}, params, nullptr}, &id);
    while (inbox->peek().choices.empty()) std::this_thread::yield();
    engine.executor.cancel(id);
    was_cancelled = inbox->wait().choices.at(0).end->reason == FinishReason::cancelled;
    engine.wait_until_idle();
  }
}

TEST(Executor, DestructionCancelsWhatIsStillThere) {
  std::shared_ptr<Inbox> running;
  std::shared_ptr<Inbox> waiting;
  {
    Engine engine;
    SamplingParams params;
    params.n = 8;
    params.max_tokens = 20;
    params.ignore_eos = true;
    running = engine.submit({{1, 2, 3}, params, nullptr});
    waiting = engine.submit({{1, 2, 3}, params, nullptr});
  }
  EXPECT_EQ(running->peek().num_ends, 1);
  EXPECT_EQ(waiting->peek().num_ends, 1);
}

TEST(Executor, RefusesWhatCanNeverRunWithTheArithmetic) {
  Engine engine;
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
