// SPDX-License-Identifier: Apache-2.0
#include "veloz/executor.h"

#include <utility>

#include "api/event_queue.h"
#include "api/llm_state.h"
#include "api/loaded_model.h"
#include "api/logprob_list.h"
#include "api/text_choice.h"
#include "serving/executor.h"

namespace veloz {
namespace {

/// Makes the executor's events those of the stream. It does not keep the model alive: the model
/// waits for the engine's thread, which runs this.
class StreamSink final : public serving::EventSink {
 public:
  StreamSink(std::shared_ptr<api::EventQueue> queue,
             std::shared_ptr<std::vector<api::TextChoice>> texts, const SamplingParams& params)
      : queue_(std::move(queue)),
        texts_(std::move(texts)),
        stops_(params.stop),
        has_logprobs_(params.logprobs.has_value()) {}

  void on_prompt(const serving::PromptEvent& event) override {
    queue_->push(PromptDone{event.num_cached_tokens, api::logprob_lists(event)});
  }

  void on_token(const serving::TokenEvent& event) override {
    CompletionDelta delta;
    delta.completion = event.choice;
    delta.token_ids = {event.token};
    delta.text = text_of(event.choice).push(event.token, event.is_end);
    if (has_logprobs_) delta.logprobs.push_back(api::logprob_list(event));
    queue_->push_delta(std::move(delta));
  }

  void on_choice_end(const serving::ChoiceEnd& end) override {
    api::TextChoice& text = text_of(end.choice);
    CompletionDelta rest;
    rest.completion = end.choice;
    rest.text = text.finish();
    if (!rest.text.empty()) queue_->push_delta(std::move(rest));
    CompletionEnd completion_end;
    completion_end.completion = end.choice;
    completion_end.finish_reason = end.reason;
    if (const std::optional<size_t> stop = text.matched_stop())
      completion_end.stop_reason = stops_[*stop];
    completion_end.stop_token_id = end.stop_token;
    completion_end.score = end.beam_score.value_or(0);
    queue_->push(std::move(completion_end));
  }

  void on_finished(const serving::RequestUsage& usage) override {
    RequestEnd end;
    end.usage = {.num_prompt_tokens = usage.num_prompt_tokens,
                 .num_output_tokens = usage.num_output_tokens,
                 .num_cached_tokens = usage.num_cached_tokens,
                 .num_preemptions = usage.num_preemptions,
                 .queue_s = usage.queue_s,
                 .prefill_s = usage.prefill_s,
                 .decode_s = usage.decode_s};
    end.seed = usage.seed;
    queue_->push(std::move(end));
  }

  void on_failed(const Error& error) override {
    RequestEnd end;
    end.error = error;
    queue_->push(std::move(end));
  }

 private:
  api::TextChoice& text_of(int64_t choice) { return (*texts_)[static_cast<size_t>(choice)]; }

  std::shared_ptr<api::EventQueue> queue_;
  std::shared_ptr<std::vector<api::TextChoice>> texts_;  // with the observer
  const std::vector<std::string> stops_;
  const bool has_logprobs_;
};

}  // namespace

struct EventStream::State {
  State(std::shared_ptr<api::LoadedModel> m, std::shared_ptr<api::EventQueue> q,
        serving::RequestId i)
      : model(std::move(m)), queue(std::move(q)), id(i) {}
  ~State() {
    if (!queue->is_done()) model->executor().cancel(id);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const std::shared_ptr<api::LoadedModel> model;
  const std::shared_ptr<api::EventQueue> queue;
  const serving::RequestId id;
};

EventStream::EventStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventStream::~EventStream() = default;
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;

std::optional<Event> EventStream::next() { return state_->queue->pop(); }
std::optional<Event> EventStream::try_next() { return state_->queue->try_pop(); }
bool EventStream::is_done() const { return state_->queue->is_done(); }
void EventStream::cancel() { state_->model->executor().cancel(state_->id); }

struct Executor::State {
  std::shared_ptr<api::LoadedModel> model;
};

Executor::Executor(const LLM& llm) : state_(std::make_unique<State>(State{llm.state_->model})) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;

Executor Executor::load(const std::filesystem::path& engine, const LLMOptions& options) {
  return Executor(
      std::make_unique<State>(State{std::make_shared<api::LoadedModel>(engine, options)}));
}

Executor::Executor(std::unique_ptr<State> state) : state_(std::move(state)) {}

std::variant<EventStream, QueueFull> Executor::submit(ExecutorRequest request) {
  api::LoadedModel& model = *state_->model;
  serving::Request submitted;
  submitted.prompt_tokens = model.tokens_of(request.prompt);
  submitted.params = std::move(request.params);
  submitted.priority = request.priority;
  submitted.deadline = request.deadline;
  submitted.cache_salt = std::move(request.cache_salt);
  const SamplingParams& params = submitted.params;
  model.executor().check(submitted.prompt_tokens, params);
  submitted.bad_words = model.bad_words_of(params);

  const auto texts = std::make_shared<std::vector<api::TextChoice>>(
      api::make_text_choices(model.pieces(), params));
  submitted.observer = api::make_stop_observer(params, texts);
  const auto queue = std::make_shared<api::EventQueue>(params.n);
  auto sink = std::make_unique<StreamSink>(queue, texts, params);
  auto answer = model.executor().submit(std::move(submitted), std::move(sink));
  if (auto* full = std::get_if<serving::QueueFull>(&answer))
    return QueueFull{std::move(full->reason), full->retry_after_s};
  return EventStream(std::make_unique<EventStream::State>(state_->model, queue,
                                                          std::get<serving::RequestId>(answer)));
}

ExecutorStats Executor::stats() const { return state_->model->stats(); }

}  // namespace veloz
