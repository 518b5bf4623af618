// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "serving/request.h"
#include "support/sanitized.h"

namespace veloz::serving {

/// Everything that happened to one request.
struct Outcome {
  struct Choice {
    std::vector<int32_t> tokens;
    std::vector<std::optional<float>> logprobs;
    std::vector<std::vector<TokenLogprob>> top;
    std::optional<ChoiceEnd> end;

    bool operator==(const Choice& other) const {
      return tokens == other.tokens && logprobs == other.logprobs && top == other.top &&
             end.has_value() == other.end.has_value() &&
             (!end ||
              (end->reason == other.end->reason && end->stop_token == other.end->stop_token &&
               end->beam_score == other.end->beam_score));
    }
  };
  std::optional<PromptEvent> prompt;
  std::map<int64_t, Choice> choices;
  std::vector<PromptEvent> prompts;
  std::optional<RequestUsage> usage;  // of a finished request
  std::optional<Error> error;         // of a failed one
  int num_ends = 0;
  int num_events_after_end = 0;
};

/// Where a sink leaves what it saw, for the test's thread to wait for.
class Inbox {
 public:
  Outcome wait() {
    std::unique_lock lock(mutex_);
    const bool has_ended =
        ended_.wait_for(lock, kMaxWait, [this] { return outcome_.num_ends > 0; });
    if (!has_ended) throw std::runtime_error("a request does not end");
    return outcome_;
  }
  Outcome peek() const {
    const std::lock_guard lock(mutex_);
    return outcome_;
  }
  template <typename F>
  void update(const F& f) {
    const std::lock_guard lock(mutex_);
    if (outcome_.num_ends > 0) ++outcome_.num_events_after_end;
    f(outcome_);
    ended_.notify_all();
  }

 private:
  static constexpr std::chrono::seconds kMaxWait{test::kSanitized ? 600 : 60};

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  Outcome outcome_;
};

class Collector final : public EventSink {
 public:
  explicit Collector(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}

  void on_prompt(const PromptEvent& event) override {
    inbox_->update([&](Outcome& outcome) {
      if (!outcome.choices.empty()) ++outcome.num_events_after_end;  // it comes before all tokens
      outcome.prompts.push_back(event);
      outcome.prompt = event;
    });
  }
  void on_token(const TokenEvent& event) override {
    inbox_->update([&](Outcome& outcome) {
      EXPECT_TRUE(outcome.prompt.has_value());
      Outcome::Choice& choice = outcome.choices[event.choice];
      if (choice.end) ++outcome.num_events_after_end;
      choice.tokens.push_back(event.token);
      choice.logprobs.push_back(event.logprob);
      choice.top.push_back(event.top);
    });
  }
  void on_choice_end(const ChoiceEnd& end) override {
    inbox_->update([&](Outcome& outcome) {
      Outcome::Choice& choice = outcome.choices[end.choice];
      if (choice.end) ++outcome.num_events_after_end;
      choice.end = end;
    });
  }
  void on_finished(const RequestUsage& usage) override {
    inbox_->update([&](Outcome& outcome) {
      outcome.usage = usage;
      ++outcome.num_ends;
    });
  }
  void on_failed(const Error& error) override {
    inbox_->update([&](Outcome& outcome) {
      outcome.error = error;
      ++outcome.num_ends;
    });
  }

 private:
  std::shared_ptr<Inbox> inbox_;
};

}  // namespace veloz::serving
