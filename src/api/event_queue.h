// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "veloz/executor.h"

namespace veloz::api {

/// The events of one request on their way from the engine's thread to a reader, which may be slow:
/// deltas of a completion that nobody has read yet become one, so there are at most two events per
/// completion beside the first and the last.
class EventQueue {
 public:
  explicit EventQueue(int64_t num_completions)
      : unread_delta_(static_cast<size_t>(num_completions)) {}

  void push(Event event);
  void push_delta(CompletionDelta delta);

  /// Waits; nothing after RequestEnd.
  std::optional<Event> pop();
  std::optional<Event> try_pop();
  /// RequestEnd was popped.
  bool is_done() const;

 private:
  Event take_first();

  mutable std::mutex mutex_;
  std::condition_variable has_event_;
  // Guarded by mutex_.
  std::deque<Event> events_;
  uint64_t num_popped_ = 0;
  std::vector<std::optional<uint64_t>> unread_delta_;  // by completion: events pushed before it
  bool is_done_ = false;
};

}  // namespace veloz::api
