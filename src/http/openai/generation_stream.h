// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "http/metrics.h"
#include "http/observed_exchange.h"
#include "http/openai/answer.h"
#include "net/exchange.h"
#include "serving/executor.h"

namespace veloz::http::openai {

/// The way of one HTTP request's events from the engine's thread to its connection's I/O thread.
/// The engine's side hands over and returns; decoding, JSON and sending happen on the I/O thread,
/// for all events that have come meanwhile at once. A client that goes away, or one request that
/// fails, cancels all requests behind the answer.
class GenerationStream : public std::enable_shared_from_this<GenerationStream> {
 public:
  /// `executor` and `metrics` outlive the stream and all that is posted to the exchange.
  GenerationStream(std::shared_ptr<net::Exchange> exchange, std::unique_ptr<Answer> answer,
                   serving::Executor& executor, Metrics& metrics);

  /// Before the first request is submitted.
  void start();
  /// The sink of the request of prompt `prompt_idx`. With `texts`, its tokens are decoded as they
  /// come, for the observer that looks for stop strings.
  std::unique_ptr<serving::EventSink> make_sink(
      size_t prompt_idx, std::shared_ptr<std::vector<api::TextChoice>> texts);
  /// The executor's names for the requests, once submitted.
  void set_ids(std::vector<serving::RequestId> ids);

 private:
  using Clock = std::chrono::steady_clock;
  class Sink;
  struct TokenArrival {
    serving::TokenEvent token;
    std::optional<TextFacts> facts;
  };
  struct EndArrival {
    serving::ChoiceEnd end;
    std::optional<TextFacts> facts;
  };
  struct Failure {
    net::Response answer;
  };
  struct Event {
    size_t prompt_idx = 0;
    Clock::time_point at;
    std::variant<serving::PromptEvent, TokenArrival, EndArrival, serving::RequestUsage, Failure>
        what;
  };
  /// How the tokens of a choice came, for the metrics.
  struct ChoiceProgress {
    int64_t num_tokens = 0;
    Clock::time_point last_token;
  };

  void hand_over(Event event);
  void cancel_all();
  void drain();
  void take(Event& event);
  void take_token(const Event& event, const TokenArrival& arrival);
  std::span<ChoiceProgress> choices_of(size_t prompt_idx);
  void take_usage(const Event& event, const serving::RequestUsage& usage);
  void answer_error(net::Response response);
  void send();

  std::shared_ptr<net::Exchange> exchange_;
  std::unique_ptr<Answer> answer_;
  serving::Executor& executor_;
  Metrics& metrics_;
  const bool is_streamed_;
  Clock::time_point submitted_;

  std::mutex mutex_;
  std::vector<Event> events_;  // guarded by mutex_, as all of this block
  bool is_posted_ = false;
  bool is_cancelled_ = false;
  std::vector<serving::RequestId> ids_;

  // The I/O thread's. What is taken and written gives its room to what comes next.
  std::vector<Event> taken_;
  std::string piece_;
  std::vector<ChoiceProgress> progress_;  // num_generated of each prompt
  std::vector<std::string> reasons_;      // by prompt: why its last choice ended
  std::optional<double> ttft_s_;
  GenerationNote usage_;     // of all prompts, for the access log
  bool is_started_ = false;  // the head of the stream has gone out
  bool is_over_ = false;
};

}  // namespace veloz::http::openai
