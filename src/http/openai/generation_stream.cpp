// SPDX-License-Identifier: Apache-2.0
#include "http/openai/generation_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "http/errors.h"
#include "http/openai/error_response.h"

namespace veloz::http::openai {
namespace {

constexpr size_t kMaxEventsHeld = 128;  // so that no drain holds up the thread's other connections

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

net::Headers timing_headers(double ttft_s, double total_s) {
  return {{"x-veloz-ttft-ms", fmt::format("{:.1f}", ttft_s * 1e3)},
          {"x-veloz-total-ms", fmt::format("{:.1f}", total_s * 1e3)}};
}

}  // namespace

/// The engine's side.
class GenerationStream::Sink final : public serving::EventSink {
 public:
  Sink(std::shared_ptr<GenerationStream> stream, size_t prompt_idx,
       std::shared_ptr<std::vector<api::TextChoice>> texts)
      : stream_(std::move(stream)),
        prompt_idx_(prompt_idx),
        num_prompt_tokens_(std::ssize(stream_->answer_->plan().prompts[prompt_idx].tokens)),
        texts_(std::move(texts)) {}

  // Counted here, not where an answer is made: that may wait for its end.
  void on_prompt(const serving::PromptEvent& event) override {
    stream_->metrics_.on_prompt(num_prompt_tokens_);
    hand_over(event);
  }

  void on_token(const serving::TokenEvent& event) override {
    stream_->metrics_.on_token();
    std::optional<TextFacts> facts;
    if (texts_) facts = TextFacts{.text = text(event.choice).push(event.token, event.is_end)};
    hand_over(TokenArrival{event, std::move(facts)});
  }

  void on_choice_end(const serving::ChoiceEnd& end) override {
    std::optional<TextFacts> facts;
    if (texts_) {
      facts = TextFacts{.text = text(end.choice).finish()};
      facts->matched_stop = text(end.choice).matched_stop();
    }
    hand_over(EndArrival{end, std::move(facts)});
  }

  void on_finished(const serving::RequestUsage& usage) override { hand_over(usage); }
  void on_failed(const Error& error) override { hand_over(Failure{error_response_of(error)}); }

 private:
  api::TextChoice& text(int64_t choice) { return (*texts_)[static_cast<size_t>(choice)]; }
  template <typename T>
  void hand_over(T what) {
    stream_->hand_over({prompt_idx_, Clock::now(), std::move(what)});
  }

  std::shared_ptr<GenerationStream> stream_;
  size_t prompt_idx_;
  int64_t num_prompt_tokens_;
  std::shared_ptr<std::vector<api::TextChoice>> texts_;
};

GenerationStream::GenerationStream(std::shared_ptr<net::Exchange> exchange,
                                   std::unique_ptr<Answer> answer, serving::Executor& executor,
                                   Metrics& metrics)
    : exchange_(std::move(exchange)),
      answer_(std::move(answer)),
      executor_(executor),
      metrics_(metrics),
      is_streamed_(answer_->is_streamed()),
      submitted_(Clock::now()) {
  const AnswerPlan& plan = answer_->plan();
  progress_.resize(plan.prompts.size() * static_cast<size_t>(plan.num_generated));
  reasons_.resize(plan.prompts.size());
}

void GenerationStream::start() {
  // The exchange keeps the callback: it must not keep the stream, which keeps the exchange.
  exchange_->on_abort([weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->cancel_all();
  });
}

std::unique_ptr<serving::EventSink> GenerationStream::make_sink(
    size_t prompt_idx, std::shared_ptr<std::vector<api::TextChoice>> texts) {
  return std::make_unique<Sink>(shared_from_this(), prompt_idx, std::move(texts));
}

void GenerationStream::set_ids(std::vector<serving::RequestId> ids) {
  const std::scoped_lock lock(mutex_);
  ids_ = std::move(ids);
  if (!is_cancelled_) return;
  for (const serving::RequestId id : ids_) executor_.cancel(id);
}

void GenerationStream::cancel_all() {
  const std::scoped_lock lock(mutex_);
  if (std::exchange(is_cancelled_, true)) return;
  for (const serving::RequestId id : ids_) executor_.cancel(id);
}

void GenerationStream::hand_over(Event event) {
  const bool is_last = std::holds_alternative<serving::RequestUsage>(event.what) ||
                       std::holds_alternative<Failure>(event.what);
  bool must_post = false;
  {
    const std::scoped_lock lock(mutex_);
    events_.push_back(std::move(event));
    // An answer in one piece needs no thread woken for each of its tokens.
    const bool is_due = is_streamed_ || is_last || events_.size() >= kMaxEventsHeld;
    must_post = is_due && !std::exchange(is_posted_, true);
  }
  if (must_post) exchange_->post([stream = shared_from_this()] { stream->drain(); });
}

void GenerationStream::drain() {
  taken_.clear();
  {
    const std::scoped_lock lock(mutex_);
    taken_.swap(events_);
    is_posted_ = false;
  }
  try {
    for (Event& event : taken_) take(event);
    if (!is_over_) send();
  } catch (const Error& e) {
    answer_error(error_response_of(e));
  } catch (const std::exception& e) {
    answer_error(error_response_of(Error(ErrorKind::internal, e.what())));
  }
}

void GenerationStream::take(Event& event) {
  if (const auto* arrival = std::get_if<TokenArrival>(&event.what)) {
    take_token(event, *arrival);
  } else if (const auto* usage = std::get_if<serving::RequestUsage>(&event.what)) {
    take_usage(event, *usage);
  } else if (const auto* end = std::get_if<EndArrival>(&event.what)) {
    reasons_[event.prompt_idx] = to_string(end->end.reason);
    if (end->end.reason == FinishReason::cancelled)
      answer_error(error_response(503, "the server is shutting down"));
    if (!is_over_) answer_->take(event.prompt_idx, end->end, end->facts);
  } else if (const auto* prompt = std::get_if<serving::PromptEvent>(&event.what)) {
    if (!is_over_) answer_->take(event.prompt_idx, *prompt);
  } else {
    metrics_.on_request_end({.finished_reason = "error"});
    answer_error(std::move(std::get<Failure>(event.what).answer));
  }
}

void GenerationStream::take_token(const Event& event, const TokenArrival& arrival) {
  ChoiceProgress& choice = choices_of(event.prompt_idx)[static_cast<size_t>(arrival.token.choice)];
  if (choice.num_tokens++ > 0) {
    metrics_.on_inter_token(seconds(event.at - choice.last_token));
  } else if (!ttft_s_) {
    ttft_s_ = seconds(event.at - submitted_);
    metrics_.on_first_token(*ttft_s_);
  }
  choice.last_token = event.at;
  if (!is_over_) answer_->take(event.prompt_idx, arrival.token, arrival.facts);
}

std::span<GenerationStream::ChoiceProgress> GenerationStream::choices_of(size_t prompt_idx) {
  const auto num_choices = static_cast<size_t>(answer_->plan().num_generated);
  return std::span(progress_).subspan(prompt_idx * num_choices, num_choices);
}

void GenerationStream::take_usage(const Event& event, const serving::RequestUsage& usage) {
  const std::string& reason = reasons_[event.prompt_idx];
  const auto longest =
      std::ranges::max_element(choices_of(event.prompt_idx), {}, &ChoiceProgress::num_tokens);
  metrics_.on_request_end({.finished_reason = reason == "cancelled" ? "abort" : reason,
                           .num_prompt_tokens = usage.num_prompt_tokens,
                           .num_cached_tokens = usage.num_cached_tokens,
                           .num_output_tokens = usage.num_output_tokens,
                           .max_choice_tokens = longest->num_tokens,
                           .n = answer_->plan().params.n,
                           .max_tokens = answer_->plan().params.max_tokens,
                           .queue_s = usage.queue_s,
                           .prefill_s = usage.prefill_s,
                           .decode_s = usage.decode_s,
                           .total_s = seconds(event.at - submitted_)});
  usage_.num_prompt_tokens += usage.num_prompt_tokens;
  usage_.num_output_tokens += usage.num_output_tokens;
  usage_.ttft_s = ttft_s_;
  note_generation(*exchange_, usage_);
  if (!is_over_) answer_->take(event.prompt_idx, usage);
}

void GenerationStream::answer_error(net::Response response) {
  if (std::exchange(is_over_, true)) return;
  cancel_all();
  if (!is_started_) return exchange_->respond(std::move(response));
  exchange_->write("data: " + response.body + "\n\ndata: [DONE]\n\n");
  exchange_->finish();
}

void GenerationStream::send() {
  const bool is_complete = answer_->is_complete();
  if (!is_streamed_) {
    if (!is_complete) return;
    is_over_ = true;
    exchange_->respond(
        {.body = answer_->finish(),
         .headers = timing_headers(ttft_s_.value_or(0), seconds(Clock::now() - submitted_))});
    return;
  }
  piece_.clear();
  if (is_complete)
    piece_ = answer_->finish();
  else
    answer_->take_events(piece_);
  if (piece_.empty()) return;
  if (!std::exchange(is_started_, true))
    exchange_->start_stream(
        {.content_type = "text/event-stream; charset=utf-8",
         .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
  if (!exchange_->write(piece_)) {
    is_over_ = true;
    return cancel_all();
  }
  if (!is_complete) return;
  is_over_ = true;
  exchange_->finish();
}

}  // namespace veloz::http::openai
