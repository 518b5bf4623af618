// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/error.h"
#include "serving/request.h"

namespace veloz::compress {

/// The tokens of many requests of one choice each. Filled on the engine's thread through the sinks,
/// which it must outlive; waited for by the caller's.
class AnswerCollector {
 public:
  struct Slot {
    std::vector<int32_t> token_ids;
    FinishReason reason = FinishReason::error;
    std::optional<Error> error;
  };

  explicit AnswerCollector(size_t num_requests);

  std::unique_ptr<serving::EventSink> make_sink(size_t index);
  /// Returns when all have ended; calls `on_wait` with how many have, once at least and several
  /// times a second. It may throw.
  void wait(const std::function<void(size_t num_ended)>& on_wait);
  /// After `wait`.
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  class Sink;
  void end();

  std::vector<Slot> slots_;  // until it has ended each the engine thread's
  std::mutex mutex_;
  std::condition_variable has_ended_;
  size_t num_ended_ = 0;  // guarded by mutex_
};

}  // namespace veloz::compress
