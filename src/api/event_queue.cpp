// SPDX-License-Identifier: Apache-2.0
#include "api/event_queue.h"

#include <iterator>
#include <utility>

namespace veloz::api {

void EventQueue::push(Event event) {
  {
    const std::scoped_lock lock(mutex_);
    events_.push_back(std::move(event));
  }
  has_event_.notify_one();
}

void EventQueue::push_delta(CompletionDelta delta) {
  {
    const std::scoped_lock lock(mutex_);
    std::optional<uint64_t>& unread = unread_delta_[static_cast<size_t>(delta.completion)];
    if (!unread || *unread < num_popped_) {
      unread = num_popped_ + events_.size();
      events_.emplace_back(std::move(delta));
    } else {
      auto& joined = std::get<CompletionDelta>(events_[static_cast<size_t>(*unread - num_popped_)]);
      joined.token_ids.insert(joined.token_ids.end(), delta.token_ids.begin(),
                              delta.token_ids.end());
      joined.text += delta.text;
      joined.logprobs.insert(joined.logprobs.end(), std::make_move_iterator(delta.logprobs.begin()),
                             std::make_move_iterator(delta.logprobs.end()));
      return;  // whoever waits has been told of it
    }
  }
  has_event_.notify_one();
}

std::optional<Event> EventQueue::pop() {
  std::unique_lock lock(mutex_);
  has_event_.wait(lock, [this] { return is_done_ || !events_.empty(); });
  if (events_.empty()) return std::nullopt;
  return take_first();
}

std::optional<Event> EventQueue::try_pop() {
  const std::scoped_lock lock(mutex_);
  if (events_.empty()) return std::nullopt;
  return take_first();
}

bool EventQueue::is_done() const {
  const std::scoped_lock lock(mutex_);
  return is_done_;
}

Event EventQueue::take_first() {
  Event first = std::move(events_.front());
  events_.pop_front();
  ++num_popped_;
  is_done_ = std::holds_alternative<RequestEnd>(first);
  return first;
}

}  // namespace veloz::api
