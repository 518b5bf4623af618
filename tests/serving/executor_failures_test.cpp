// SPDX-License-Identifier: Apache-2.0
// What fails or is cancelled ends once, alone, and leaves nothing behind.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "serving/engine_fixture.h"
#include "serving/greedy.h"

namespace veloz::serving {
namespace {

TEST(ExecutorFailures, FailsARequestThatMeetsNanAndNoOther) {
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

TEST(ExecutorFailures, FailsABeamSearchThatMeetsNan) {
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

TEST(ExecutorFailures, FailsARequestWhoseBansLeaveNothing) {
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

TEST(ExecutorFailures, FailsABeamSearchWhoseBansLeaveTooFewOutputs) {
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

TEST(ExecutorFailures, FailsTheRequestsOfABrokenStepAndGoesOn) {
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

TEST(ExecutorFailures, CountsStepsThatFailOneAfterTheOther) {
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

TEST(ExecutorFailures, ASinkOrObserverThatThrowsFailsItsRequestAlone) {
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

TEST(ExecutorFailures, CancelEndsEveryOpenChoiceAndFreesItsBlocks) {
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

TEST(ExecutorFailures, BooksAreClearedWhenTheOnlyRunningRequestIsCancelled) {
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

TEST(ExecutorFailures, DestructionCancelsWhatIsStillThere) {
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

}  // namespace
}  // namespace veloz::serving
