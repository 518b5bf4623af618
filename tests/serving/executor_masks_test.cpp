// SPDX-License-Identifier: Apache-2.0
// Masks of the tokens that may come next: whose they are, when they are filled, what their errors
// do.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "serving/engine_fixture.h"
#include "serving/greedy.h"

namespace veloz::serving {
namespace {

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

TEST(ExecutorMasks, EachChoiceFollowsItsOwnMask) {
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

TEST(ExecutorMasks, FillsMasksWhileTheStepComputes) {
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

TEST(ExecutorMasks, AMaskThatAllowsNothingFailsItsRequestAlone) {
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

TEST(ExecutorMasks, AMaskThatThrowsFailsItsRequestAlone) {
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

}  // namespace
}  // namespace veloz::serving
