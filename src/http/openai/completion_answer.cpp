// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "http/openai/answer.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kObject = "text_completion";

void write_ids(JsonWriter& writer, std::string_view key, const std::vector<int32_t>& ids) {
  writer.key(key).begin_array();
  for (const int32_t id : ids) writer.value(id);
  writer.end_array();
}

/// The answer of POST /v1/completions in one piece.
class WholeCompletionAnswer final : public Answer {
 public:
  using Answer::Answer;
  bool is_streamed() const override { return false; }
  void take_events(std::string&) override {}
  std::string finish() override;

 private:
  void begin(size_t prompt_idx) override;
  void add(Choice& choice, const Piece& piece) override;
  void end(Choice&) override {}
  std::vector<Choice*> best_of_prompt(size_t prompt_idx);
  void write_choice(JsonWriter& writer, Choice& choice, int64_t index) const;
};

void WholeCompletionAnswer::begin(size_t prompt_idx) {
  for (Choice& choice : choices()) {
    if (choice.prompt_idx != prompt_idx) continue;
    choice.content = plan().prompts[prompt_idx].echo;
    if (plan().echo && plan().logprobs) add_prompt_logprobs(choice);
  }
}

void WholeCompletionAnswer::add(Choice& choice, const Piece& piece) {
  choice.content += piece.text;
  if (piece.token == nullptr) return;
  if (plan().logprobs)
    choice.logprobs.add({piece.token->token, piece.token->logprob.value_or(0)}, piece.token->top);
  if (plan().return_token_ids) choice.token_ids.push_back(piece.token->token);
}

std::vector<Answer::Choice*> WholeCompletionAnswer::best_of_prompt(size_t prompt_idx) {
  std::vector<Choice*> best;
  for (Choice& choice : choices())
    if (choice.prompt_idx == prompt_idx) best.push_back(&choice);
  const auto mean = [](const Choice* choice) {
    return choice->sum_logprob / static_cast<double>(std::max<int64_t>(choice->num_tokens, 1));
  };
  if (plan().num_generated > plan().n)
    std::stable_sort(best.begin(), best.end(),
                     [&](const Choice* a, const Choice* b) { return mean(a) > mean(b); });
  best.resize(static_cast<size_t>(plan().n));
  return best;
}

void WholeCompletionAnswer::write_choice(JsonWriter& writer, Choice& choice, int64_t index) const {
  writer.begin_object().field("index", index).field("text", choice.content).key("logprobs");
  plan().logprobs ? writer.raw(choice.logprobs.take()) : writer.null();
  writer.field("finish_reason", finish_reason(choice)).key("stop_reason").raw(choice.stop_reason);
  if (plan().prompt_logprobs) {
    writer.key("prompt_logprobs");
    write_prompt_logprobs(writer, names(), prompt_logprobs(choice.prompt_idx));
  }
  if (plan().return_token_ids) {
    write_ids(writer, "prompt_token_ids", plan().prompts[choice.prompt_idx].tokens);
    write_ids(writer, "token_ids", choice.token_ids);
  }
  writer.end_object();
}

std::string WholeCompletionAnswer::finish() {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  write_head(writer, kObject);
  writer.key("choices").begin_array();
  int64_t index = 0;
  for (size_t prompt_idx = 0; prompt_idx < plan().prompts.size(); ++prompt_idx)
    for (Choice* choice : best_of_prompt(prompt_idx)) write_choice(writer, *choice, index++);
  writer.end_array().key("usage");
  write_usage(writer);
  writer.end_object();
  return out;
}

/// The same as server-sent events, a token at a time.
class StreamedCompletionAnswer final : public Answer {
 public:
  explicit StreamedCompletionAnswer(AnswerPlan plan)
      : Answer(std::move(plan)), event_start_(event_start(kObject)) {}
  bool is_streamed() const override { return true; }
  void take_events(std::string& events) override { events.swap(events_); }
  std::string finish() override { return std::exchange(events_, {}) + last_events(kObject); }

 private:
  void begin(size_t prompt_idx) override;
  void add(Choice& choice, const Piece& piece) override;
  void end(Choice& choice) override;
  void write_chunk(Choice& choice, std::string_view text, const serving::TokenEvent* token,
                   bool is_last);

  std::string event_start_;
  std::string events_;
};

void StreamedCompletionAnswer::write_chunk(Choice& choice, std::string_view text,
                                           const serving::TokenEvent* token, bool is_last) {
  events_ += event_start_;
  append_json_number(events_, choice.index);
  events_ += ",\"text\":";
  append_json_string(events_, text);
  events_ += ",\"logprobs\":";
  events_ += choice.logprobs.is_empty() ? "null" : choice.logprobs.take();
  append_finish(events_, choice, is_last);
  if (plan().return_token_ids) {
    JsonWriter writer(events_);
    events_ += ',';
    if (token == nullptr && choice.num_tokens == 0) {
      write_ids(writer, "prompt_token_ids", plan().prompts[choice.prompt_idx].tokens);
    }
    std::vector<int32_t> ids;
    if (token != nullptr) ids.push_back(token->token);
    write_ids(writer, "token_ids", ids);
  }
  append_event_end(events_, choice);
}

void StreamedCompletionAnswer::begin(size_t prompt_idx) {
  if (!plan().echo && !plan().return_token_ids) return;
  for (Choice& choice : choices()) {
    if (choice.prompt_idx != prompt_idx) continue;
    if (plan().echo && plan().logprobs) add_prompt_logprobs(choice);
    write_chunk(choice, plan().prompts[prompt_idx].echo, nullptr, /*is_last=*/false);
  }
}

void StreamedCompletionAnswer::add(Choice& choice, const Piece& piece) {
  if (piece.token != nullptr && plan().logprobs)
    choice.logprobs.add({piece.token->token, piece.token->logprob.value_or(0)}, piece.token->top);
  const bool is_wanted = piece.token != nullptr && (plan().logprobs || plan().return_token_ids);
  if (piece.text.empty() && !is_wanted) return;
  write_chunk(choice, piece.text, piece.token, /*is_last=*/false);
}

void StreamedCompletionAnswer::end(Choice& choice) {
  write_chunk(choice, "", nullptr, /*is_last=*/true);
}

}  // namespace

std::unique_ptr<Answer> create_completion_answer(AnswerPlan plan, bool is_streamed) {
  if (is_streamed) return std::make_unique<StreamedCompletionAnswer>(std::move(plan));
  return std::make_unique<WholeCompletionAnswer>(std::move(plan));
}

}  // namespace veloz::http::openai
