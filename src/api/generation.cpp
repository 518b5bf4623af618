// SPDX-License-Identifier: Apache-2.0
#include "api/generation.h"

#include <optional>
#include <utility>
#include <variant>

#include "api/logprob_list.h"
#include "base/error.h"

namespace veloz::api {
namespace {

constexpr std::chrono::milliseconds kStopCheckInterval{50};

}  // namespace

/// The executor's events of one request.
class Generation::Sink final : public serving::EventSink {
 public:
  Sink(Generation& owner, size_t index) : owner_(owner), index_(index) {}

  void on_prompt(const serving::PromptEvent& event) override {
    owner_.slots_[index_].output.prompt_logprobs = logprob_lists(event);
  }
  void on_token(const serving::TokenEvent& event) override { owner_.take_token(index_, event); }
  void on_choice_end(const serving::ChoiceEnd& end) override { owner_.end_choice(index_, end); }
  void on_finished(const serving::RequestUsage& usage) override {
    owner_.slots_[index_].output.seed = usage.seed;
    owner_.end_request(index_);
  }
  void on_failed(const Error& error) override {
    owner_.slots_[index_].output.error = error;
    owner_.end_request(index_);
  }

 private:
  Generation& owner_;
  size_t index_;
};

void Generation::submit(std::vector<serving::Request> requests) {
  slots_.resize(requests.size());
  num_open_ = requests.size();
  std::vector<serving::Submittal> batch;
  for (size_t i = 0; i < requests.size(); ++i) {
    prepare(i, requests[i]);
    batch.push_back({std::move(requests[i]), std::make_unique<Sink>(*this, i)});
  }
  // The engine's thread may want to cancel one before its id is here: it waits.
  const std::scoped_lock lock(mutex_);
  const auto answer = executor_.submit(std::move(batch));
  const auto& ids = std::get<std::vector<serving::RequestId>>(answer);
  for (size_t i = 0; i < ids.size(); ++i) slots_[i].id = ids[i];
}

void Generation::prepare(size_t index, serving::Request& request) {
  Slot& slot = slots_[index];
  slot.params = request.params;
  slot.output.prompt_token_ids = request.prompt_tokens;
  for (int64_t i = 0; i < slot.params.n; ++i) {
    Completion& completion = slot.output.completions.emplace_back();
    completion.index = i;
    completion.finish_reason = FinishReason::error;  // until it ends otherwise
  }
  slot.texts = std::make_shared<std::vector<TextChoice>>(make_text_choices(pieces_, slot.params));
  request.observer = make_stop_observer(slot.params, slot.texts);
  slot.submitted = Clock::now();
}

void Generation::cancel(size_t index) {
  const std::scoped_lock lock(mutex_);
  executor_.cancel(slots_[index].id);
}

std::vector<RequestOutput> Generation::wait(const StopCheck& should_stop) {
  const auto is_done = [&] { return num_open_ == 0; };
  std::unique_lock lock(mutex_);
  while (should_stop && !all_ended_.wait_for(lock, kStopCheckInterval, is_done)) {
    lock.unlock();
    const bool is_stopped = should_stop();
    for (size_t i = 0; is_stopped && i < slots_.size(); ++i) cancel(i);
    lock.lock();
    if (is_stopped) break;
  }
  all_ended_.wait(lock, is_done);
  std::vector<RequestOutput> outputs;
  for (Slot& slot : slots_) outputs.push_back(std::move(slot.output));
  return outputs;
}

void Generation::take_token(size_t index, const serving::TokenEvent& event) {
  Slot& slot = slots_[index];
  const auto choice = static_cast<size_t>(event.choice);
  Completion& completion = slot.output.completions[choice];
  if (slot.output.timing.ttft_s == 0) slot.output.timing.ttft_s = seconds_since(slot.submitted);
  completion.token_ids.push_back(event.token);
  if (slot.params.logprobs) completion.logprobs.push_back(logprob_list(event));
  emit(index, event.choice, (*slot.texts)[choice].push(event.token, event.is_end));
}

void Generation::emit(size_t index, int64_t choice, const std::string& piece) {
  if (piece.empty()) return;
  slots_[index].output.completions[static_cast<size_t>(choice)].text += piece;
  if (sink_ && !sink_({index, choice, piece})) cancel(index);
}

void Generation::end_choice(size_t index, const serving::ChoiceEnd& end) {
  Slot& slot = slots_[index];
  const auto choice = static_cast<size_t>(end.choice);
  TextChoice& text = (*slot.texts)[choice];
  emit(index, end.choice, text.finish());
  Completion& completion = slot.output.completions[choice];
  completion.finish_reason = end.reason;
  if (const std::optional<size_t> stop = text.matched_stop())
    completion.stop_reason = slot.params.stop[*stop];
  completion.score = end.beam_score.value_or(0);
}

void Generation::end_request(size_t index) {
  slots_[index].output.timing.total_s = seconds_since(slots_[index].submitted);
  if (on_end_) on_end_(index);
  // The waiting thread may destroy this object as soon as the lock is free: nothing after it
  // touches a member.
  const std::scoped_lock lock(mutex_);
  if (--num_open_ == 0) all_ended_.notify_all();
}

double Generation::seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace veloz::api
