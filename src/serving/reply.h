// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "serving/request.h"

namespace veloz::serving {

/// The way back to whoever asked. Sees to it that every choice, and then the request, ends exactly
/// once, whatever happens; a reply that is dropped unfinished was cancelled.
class Reply {
 public:
  /// From now on time is counted.
  Reply(std::unique_ptr<EventSink> sink, int64_t num_choices, const RequestUsage& usage);
  ~Reply();
  Reply(Reply&&) noexcept = default;
  Reply& operator=(Reply&&) = delete;

  /// The request takes part in its first step.
  void start();
  /// Once, before the first token.
  void prompt(const PromptEvent& event);
  void token(TokenEvent event);
  /// The last choice to end finishes the request.
  void end_choice(const ChoiceEnd& end);
  /// Ends the request with an error; its open choices get no end of their own.
  void fail(const Error& error);
  /// Ends every open choice with `cancelled`, and so the request.
  void cancel();
  /// Lets go of the sink without a word.
  void drop() { sink_ = nullptr; }
  bool is_done() const { return sink_ == nullptr; }
  void set_num_preemptions(int64_t num_preemptions) { usage_.num_preemptions = num_preemptions; }
  int64_t num_output_tokens() const { return usage_.num_output_tokens; }
  double age_s() const { return seconds_between(submitted_, Clock::now()); }
  /// Since its first step began, 0 before: without the time it waited.
  double service_s() const { return started_ ? seconds_between(*started_, Clock::now()) : 0; }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  }
  void finish();

  std::unique_ptr<EventSink> sink_;  // null when the request has ended
  std::vector<bool> is_open_;        // by choice
  RequestUsage usage_;
  Clock::time_point submitted_;
  std::optional<Clock::time_point> started_;
  std::optional<Clock::time_point> first_token_;
};

}  // namespace veloz::serving
