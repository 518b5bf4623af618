// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/text_choice.h"
#include "http/openai/logprobs_json.h"
#include "http/openai/tool_parser.h"
#include "net/exchange.h"
#include "serving/request.h"

namespace veloz::http::openai {

/// Everything an answer is made from beside what the engine says.
struct AnswerPlan {
  struct Prompt {
    std::vector<int32_t> tokens;
    std::string echo = {};  // its text, where the answer begins with it
  };
  enum class Tools { none, automatic, forced, named };

  std::string id = {};  // "chatcmpl-..."
  std::string model = {};
  std::string fingerprint = {};
  int64_t created = 0;  // seconds since 1970
  const text::TokenPieces* pieces = nullptr;
  SamplingParams params = {};
  text::SpecialTokens special = text::SpecialTokens::skip;
  std::vector<Prompt> prompts = {};  // one request to the engine each
  int64_t n = 1;                     // choices per prompt that are answered
  int64_t num_generated = 1;         // choices per prompt that are generated: best_of
  bool include_usage = false;
  bool continuous_usage_stats = false;
  bool echo = false;
  bool is_echo_only = false;
  bool return_token_ids = false;
  bool tokens_as_token_ids = false;
  bool logprobs = false;
  bool prompt_logprobs = false;  // in the answer as vLLM has them
  Tools tools = Tools::none;
  ToolFormat tool_format = ToolFormat::hermes;  // of Tools::automatic
  CallLimit call_limit = CallLimit::none;
  std::string tool_name = {};       // of Tools::named
  std::string call_id_prefix = {};  // "call_..."; a number follows
};

/// What the engine's thread found out about the text, where it had to: with stop strings.
struct TextFacts {
  std::string text;                         // that became certain
  std::optional<size_t> matched_stop = {};  // at the end: the stop string that ended it
};

/// Turns what the engine says of the requests behind one HTTP request into the body of its answer.
/// Used on the connection's I/O thread alone; the engine's events come in the engine's order.
class Answer {
 public:
  explicit Answer(AnswerPlan plan);
  virtual ~Answer() = default;

  void take(size_t prompt_idx, const serving::PromptEvent& event);
  /// Without `facts` the text is found here.
  void take(size_t prompt_idx, const serving::TokenEvent& event,
            const std::optional<TextFacts>& facts = {});
  void take(size_t prompt_idx, const serving::ChoiceEnd& end,
            const std::optional<TextFacts>& facts = {});
  void take(size_t prompt_idx, const serving::RequestUsage& usage);
  /// All requests have ended well.
  bool is_complete() const { return num_open_ == 0; }

  /// Exchanges `events`, which is empty and lends its room, for the server-sent events that were
  /// made since the last call; none for answers in one piece.
  virtual void take_events(std::string& events) = 0;
  /// Once it is complete: the whole answer, or the last events.
  virtual std::string finish() = 0;
  virtual bool is_streamed() const = 0;

  const AnswerPlan& plan() const { return plan_; }

 protected:
  struct ToolCall {
    std::string id, name, arguments;
  };
  /// A choice as it grows. Which members are used is the subclass's business.
  struct Choice {
    int64_t index = 0;  // in the answer
    size_t prompt_idx = 0;
    api::TextChoice text;
    std::optional<ToolParser> tools;
    CompletionLogprobs logprobs;
    int64_t num_tokens = 0;
    double sum_logprob = 0;
    std::vector<int32_t> token_ids;  // where they are answered
    std::string content;
    std::vector<ToolCall> calls;
    std::string chat_logprobs;  // list without its brackets
    FinishReason reason = FinishReason::length;
    std::string stop_reason;  // JSON
  };
  /// What one token, or the end of the choice (then without a token), gave.
  struct Piece {
    std::string text;
    const serving::TokenEvent* token = nullptr;
  };

  /// Before the first token of the prompt's choices, so that what fails earlier can still be
  /// answered with its status: an echo goes here.
  virtual void begin(size_t prompt_idx) = 0;
  virtual void add(Choice& choice, const Piece& piece) = 0;
  virtual void end(Choice& choice) = 0;

  ToolCall& add_call_piece(Choice& choice, const ToolCallPiece& piece) const;
  /// "stop", "length", "tool_calls" ...
  std::string finish_reason(const Choice& choice) const;
  TokenNames names() const { return {plan_.pieces, plan_.tokens_as_token_ids}; }
  std::vector<Choice>& choices() { return choices_; }
  const std::vector<std::vector<serving::TokenLogprob>>& prompt_logprobs(size_t prompt_idx) const {
    return prompt_logprobs_[prompt_idx];
  }
  const Choice& choice_of(size_t prompt_idx, int64_t choice) const;
  void write_head(JsonWriter& writer, std::string_view object) const;
  void write_usage(JsonWriter& writer) const;
  /// An event up to the number of its choice: what all events of a stream begin with.
  std::string event_start(std::string_view object) const;
  /// `finish_reason` and `stop_reason` of an event; null but in the choice's last.
  void append_finish(std::string& events, const Choice& choice, bool is_last) const;
  /// The end of an event behind its choice: the usage so far where it is wanted.
  void append_event_end(std::string& events, const Choice& choice) const;
  /// The events behind the last choice's.
  std::string last_events(std::string_view object) const;
  void add_prompt_logprobs(Choice& choice) const;

 private:
  void open_prompt(size_t prompt_idx);
  Choice& find(size_t prompt_idx, int64_t choice);

  AnswerPlan plan_;
  std::vector<Choice> choices_;  // of all prompts, num_generated each
  std::vector<bool> is_begun_;   // by prompt
  std::vector<std::vector<std::vector<serving::TokenLogprob>>> prompt_logprobs_;
  size_t num_open_;
  int64_t num_prompt_tokens_ = 0, num_output_tokens_ = 0, num_cached_tokens_ = 0;
};

std::unique_ptr<Answer> create_chat_answer(AnswerPlan plan, bool is_streamed);
std::unique_ptr<Answer> create_completion_answer(AnswerPlan plan, bool is_streamed);

}  // namespace veloz::http::openai
