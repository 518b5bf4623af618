// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/text_choice.h"
#include "serving/executor.h"
#include "serving/request.h"
#include "text/token_pieces.h"
#include "veloz/llm.h"

namespace veloz::api {

/// The requests of one `generate` call on their way through the executor: turns tokens into text,
/// ends choices at stop strings, and keeps what came out. Made and waited for by the caller's
/// thread, filled by the engine's; once submitted, the caller must `wait` before it goes.
class Generation {
 public:
  Generation(serving::Executor& executor, const text::TokenPieces& pieces, const TextSink& sink,
             const EndSink& on_end)
      : executor_(executor), pieces_(pieces), sink_(sink), on_end_(on_end) {}

  /// All of them, once; to an executor whose queue holds any number. Where this throws, none was
  /// submitted.
  void submit(std::vector<serving::Request> requests);

  /// Blocks until all have ended, or `should_stop` said so and all were cancelled; results in
  /// order.
  std::vector<RequestOutput> wait(const StopCheck& should_stop);

 private:
  using Clock = std::chrono::steady_clock;

  /// From submission to its end the engine thread's, but for `id`, which mutex_ guards.
  struct Slot {
    std::shared_ptr<std::vector<TextChoice>> texts;  // with the observer, by choice
    RequestOutput output;
    SamplingParams params;
    Clock::time_point submitted;
    serving::RequestId id{};
  };
  class Sink;

  static double seconds_since(Clock::time_point start);
  /// Before request `index` is submitted; gives it what ends it at stop strings.
  void prepare(size_t index, serving::Request& request);
  void take_token(size_t index, const serving::TokenEvent& event);
  void emit(size_t index, int64_t choice, const std::string& piece);
  void end_choice(size_t index, const serving::ChoiceEnd& end);
  void end_request(size_t index);
  void cancel(size_t index);

  serving::Executor& executor_;
  const text::TokenPieces& pieces_;
  const TextSink& sink_;
  const EndSink& on_end_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable all_ended_;
  size_t num_open_ = 0;  // guarded by mutex_
};

}  // namespace veloz::api
