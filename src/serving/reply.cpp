// SPDX-License-Identifier: Apache-2.0
#include "serving/reply.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace veloz::serving {

Reply::Reply(std::unique_ptr<EventSink> sink, int64_t num_choices, const RequestUsage& usage)
    : sink_(std::move(sink)),
      is_open_(static_cast<size_t>(num_choices), true),
      usage_(usage),
      submitted_(Clock::now()) {}

Reply::~Reply() { cancel(); }

void Reply::start() {
  started_ = Clock::now();
  usage_.queue_s = seconds_between(submitted_, *started_);
}

void Reply::prompt(const PromptEvent& event) {
  usage_.num_cached_tokens = event.num_cached_tokens;
  sink_->on_prompt(event);
}

void Reply::token(TokenEvent event) {
  VELOZ_CHECK(!is_done() && is_open_[static_cast<size_t>(event.choice)],
              "a token for choice {}, which has ended", event.choice);
  ++usage_.num_output_tokens;
  if (!first_token_) {
    first_token_ = Clock::now();
    usage_.prefill_s = seconds_between(started_.value_or(submitted_), *first_token_);
  }
  sink_->on_token(event);
}

void Reply::end_choice(const ChoiceEnd& end) {
  const auto choice = static_cast<size_t>(end.choice);
  VELOZ_CHECK(!is_done() && is_open_[choice], "choice {} ends a second time", end.choice);
  is_open_[choice] = false;
  sink_->on_choice_end(end);
  if (std::none_of(is_open_.begin(), is_open_.end(), [](bool is_open) { return is_open; }))
    finish();
}

void Reply::finish() {
  const Clock::time_point now = Clock::now();
  if (!started_)
    usage_.queue_s = seconds_between(submitted_, now);
  else if (!first_token_)
    usage_.prefill_s = seconds_between(*started_, now);
  else
    usage_.decode_s = seconds_between(*first_token_, now);
  const std::unique_ptr<EventSink> sink = std::move(sink_);
  sink->on_finished(usage_);
}

void Reply::fail(const Error& error) {
  if (is_done()) return;
  const std::unique_ptr<EventSink> sink = std::move(sink_);
  sink->on_failed(error);
}

void Reply::cancel() {
  for (size_t choice = 0; choice < is_open_.size() && !is_done(); ++choice)
    if (is_open_[choice])
      end_choice({.choice = static_cast<int64_t>(choice), .reason = FinishReason::cancelled});
}

}  // namespace veloz::serving
