// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "http/openai/answer.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kChunkObject = "chat.completion.chunk";

/// The answer of POST /v1/chat/completions in one piece.
class WholeChatAnswer final : public Answer {
 public:
  using Answer::Answer;
  bool is_streamed() const override { return false; }
  void take_events(std::string&) override {}
  std::string finish() override;

 private:
  void begin(size_t prompt_idx) override;
  void add(Choice& choice, const Piece& piece) override;
  void end(Choice& choice) override;
  void write_choice(JsonWriter& writer, const Choice& choice) const;
};

void WholeChatAnswer::begin(size_t) {
  for (Choice& choice : choices()) choice.content = plan().prompts.front().echo;
}

void WholeChatAnswer::add(Choice& choice, const Piece& piece) {
  if (piece.token != nullptr && plan().logprobs) {
    if (!choice.chat_logprobs.empty()) choice.chat_logprobs += ',';
    JsonWriter writer(choice.chat_logprobs);
    write_chat_logprob(writer, names(), *piece.token);
  }
  if (piece.token != nullptr && plan().return_token_ids)
    choice.token_ids.push_back(piece.token->token);
  if (!choice.tools) {
    choice.content += piece.text;
    return;
  }
  ParsedPiece parsed = choice.tools->push(piece.text);
  choice.content += parsed.content;
  for (const ToolCallPiece& call : parsed.calls) add_call_piece(choice, call);
}

void WholeChatAnswer::end(Choice& choice) {
  if (choice.tools) choice.content += choice.tools->finish().content;
}

void WholeChatAnswer::write_choice(JsonWriter& writer, const Choice& choice) const {
  writer.begin_object().field("index", choice.index).key("message").begin_object();
  writer.field("role", "assistant").key("content");
  choice.calls.empty() || !choice.content.empty() ? writer.value(choice.content) : writer.null();
  writer.key("refusal").null();
  if (!choice.calls.empty()) {
    writer.key("tool_calls").begin_array();
    for (const ToolCall& call : choice.calls) {
      writer.begin_object().field("id", call.id).field("type", "function").key("function");
      writer.begin_object().field("name", call.name).field("arguments", call.arguments);
      writer.end_object().end_object();
    }
    writer.end_array();
  }
  writer.end_object().key("logprobs");
  if (plan().logprobs)
    writer.begin_object().key("content").raw("[" + choice.chat_logprobs + "]").end_object();
  else
    writer.null();
  writer.field("finish_reason", finish_reason(choice)).key("stop_reason").raw(choice.stop_reason);
  if (plan().return_token_ids) {
    writer.key("token_ids").begin_array();
    for (const int32_t id : choice.token_ids) writer.value(id);
    writer.end_array();
  }
  writer.end_object();
}

std::string WholeChatAnswer::finish() {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  write_head(writer, "chat.completion");
  writer.key("choices").begin_array();
  for (const Choice& choice : choices()) write_choice(writer, choice);
  writer.end_array().key("usage");
  write_usage(writer);
  if (plan().prompt_logprobs) {
    writer.key("prompt_logprobs");
    write_prompt_logprobs(writer, names(), prompt_logprobs(0));
  }
  if (plan().return_token_ids) {
    writer.key("prompt_token_ids").begin_array();
    for (const int32_t id : plan().prompts.front().tokens) writer.value(id);
    writer.end_array();
  }
  writer.end_object();
  return out;
}

/// The same as server-sent events, a token at a time.
class StreamedChatAnswer final : public Answer {
 public:
  explicit StreamedChatAnswer(AnswerPlan plan)
      : Answer(std::move(plan)), event_start_(event_start(kChunkObject)) {}
  bool is_streamed() const override { return true; }
  void take_events(std::string& events) override { events.swap(events_); }
  std::string finish() override { return std::exchange(events_, {}) + last_events(kChunkObject); }

 private:
  void begin(size_t prompt_idx) override;
  void add(Choice& choice, const Piece& piece) override;
  void end(Choice& choice) override;
  void open_chunk(const Choice& choice);
  void write_delta(Choice& choice, const ParsedPiece& parsed);
  void close_chunk(const Choice& choice, const serving::TokenEvent* token, bool is_last);

  std::string event_start_;
  std::string events_;
};

void StreamedChatAnswer::open_chunk(const Choice& choice) {
  events_ += event_start_;
  append_json_number(events_, choice.index);
  events_ += ",\"delta\":{";
}

void StreamedChatAnswer::write_delta(Choice& choice, const ParsedPiece& parsed) {
  if (!parsed.content.empty() || parsed.calls.empty()) {
    events_ += "\"content\":";
    append_json_string(events_, parsed.content);
  }
  if (parsed.calls.empty()) return;
  if (!parsed.content.empty()) events_ += ',';
  events_ += "\"tool_calls\":";
  JsonWriter writer(events_);
  writer.begin_array();
  for (const ToolCallPiece& piece : parsed.calls) {
    const ToolCall& call = add_call_piece(choice, piece);
    writer.begin_object().field("index", piece.index);
    if (piece.name) writer.field("id", call.id).field("type", "function");
    writer.key("function").begin_object();
    if (piece.name) writer.field("name", *piece.name);
    writer.field("arguments", piece.arguments).end_object().end_object();
  }
  writer.end_array();
}

void StreamedChatAnswer::close_chunk(const Choice& choice, const serving::TokenEvent* token,
                                     bool is_last) {
  events_ += "},\"logprobs\":";
  if (token != nullptr && plan().logprobs) {
    events_ += "{\"content\":[";
    JsonWriter writer(events_);
    write_chat_logprob(writer, names(), *token);
    events_ += "]}";
  } else {
    events_ += "null";
  }
  append_finish(events_, choice, is_last);
  if (token != nullptr && plan().return_token_ids) {
    events_ += ",\"token_ids\":[";
    append_json_number(events_, int64_t{token->token});
    events_ += ']';
  }
  append_event_end(events_, choice);
}

void StreamedChatAnswer::begin(size_t prompt_idx) {
  const AnswerPlan::Prompt& prompt = plan().prompts[prompt_idx];
  for (Choice& choice : choices()) {
    open_chunk(choice);
    events_ += "\"role\":\"assistant\",\"content\":\"\"";
    close_chunk(choice, nullptr, /*is_last=*/false);
    // The prompt's ids stand beside the choices, once, in the first event.
    if (choice.index == 0 && plan().return_token_ids) {
      events_.resize(events_.size() - 3);  // "}\n\n"
      events_ += ",\"prompt_token_ids\":";
      JsonWriter writer(events_);
      writer.begin_array();
      for (const int32_t id : prompt.tokens) writer.value(id);
      writer.end_array();
      events_ += "}\n\n";
    }
    if (prompt.echo.empty()) continue;
    open_chunk(choice);
    write_delta(choice, {.content = prompt.echo, .calls = {}});
    close_chunk(choice, nullptr, /*is_last=*/false);
  }
}

void StreamedChatAnswer::add(Choice& choice, const Piece& piece) {
  const ParsedPiece parsed = choice.tools ? choice.tools->push(piece.text)
                                          : ParsedPiece{.content = piece.text, .calls = {}};
  const bool is_wanted = piece.token != nullptr && (plan().logprobs || plan().return_token_ids);
  if (parsed.content.empty() && parsed.calls.empty() && !is_wanted) return;
  open_chunk(choice);
  write_delta(choice, parsed);
  close_chunk(choice, piece.token, /*is_last=*/false);
}

void StreamedChatAnswer::end(Choice& choice) {
  if (choice.tools) {
    const ParsedPiece rest = choice.tools->finish();
    if (!rest.content.empty()) {
      open_chunk(choice);
      write_delta(choice, rest);
      close_chunk(choice, nullptr, /*is_last=*/false);
    }
  }
  open_chunk(choice);
  close_chunk(choice, nullptr, /*is_last=*/true);
}

}  // namespace

std::unique_ptr<Answer> create_chat_answer(AnswerPlan plan, bool is_streamed) {
  if (is_streamed) return std::make_unique<StreamedChatAnswer>(std::move(plan));
  return std::make_unique<WholeChatAnswer>(std::move(plan));
}

}  // namespace veloz::http::openai
