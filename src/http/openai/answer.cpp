// SPDX-License-Identifier: Apache-2.0
#include "http/openai/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace veloz::http::openai {
namespace {

std::optional<ToolParser> make_tool_parser(const AnswerPlan& plan) {
  switch (plan.tools) {
    case AnswerPlan::Tools::none:
      return std::nullopt;
    case AnswerPlan::Tools::automatic:
      return ToolParser(plan.tool_format, plan.call_limit);
    case AnswerPlan::Tools::forced:
      return ToolParser(ToolFormat::forced, plan.call_limit);
    case AnswerPlan::Tools::named:
      return ToolParser::of_named(plan.tool_name);
  }
  return std::nullopt;
}

}  // namespace

Answer::Answer(AnswerPlan plan) : plan_(std::move(plan)), num_open_(plan_.prompts.size()) {
  is_begun_.resize(plan_.prompts.size());
  // Stop strings are looked for on the engine's thread, which then gives the text.
  SamplingParams text_params = plan_.params;
  text_params.stop.clear();
  prompt_logprobs_.resize(plan_.prompts.size());
  choices_.reserve(plan_.prompts.size() * static_cast<size_t>(plan_.num_generated));
  for (size_t prompt_idx = 0; prompt_idx < plan_.prompts.size(); ++prompt_idx) {
    num_prompt_tokens_ += std::ssize(plan_.prompts[prompt_idx].tokens);
    for (int64_t i = 0; i < plan_.num_generated; ++i)
      choices_.push_back({.index = static_cast<int64_t>(prompt_idx) * plan_.n + i,
                          .prompt_idx = prompt_idx,
                          .text = api::TextChoice(*plan_.pieces, text_params, plan_.special),
                          .tools = make_tool_parser(plan_),
                          .logprobs = CompletionLogprobs(names(), plan_.special),
                          .token_ids = {},
                          .content = {},
                          .calls = {},
                          .chat_logprobs = {},
                          .stop_reason = "null"});
  }
}

Answer::Choice& Answer::find(size_t prompt_idx, int64_t choice) {
  return choices_[prompt_idx * static_cast<size_t>(plan_.num_generated) +
                  static_cast<size_t>(choice)];
}

const Answer::Choice& Answer::choice_of(size_t prompt_idx, int64_t choice) const {
  return choices_[prompt_idx * static_cast<size_t>(plan_.num_generated) +
                  static_cast<size_t>(choice)];
}

void Answer::open_prompt(size_t prompt_idx) {
  if (is_begun_[prompt_idx]) return;
  is_begun_[prompt_idx] = true;
  begin(prompt_idx);
}

void Answer::take(size_t prompt_idx, const serving::PromptEvent& event) {
  num_cached_tokens_ += event.num_cached_tokens;
  prompt_logprobs_[prompt_idx] = event.logprobs;
}

void Answer::take(size_t prompt_idx, const serving::TokenEvent& event,
                  const std::optional<TextFacts>& facts) {
  open_prompt(prompt_idx);
  Choice& choice = find(prompt_idx, event.choice);
  ++choice.num_tokens;
  if (event.logprob) choice.sum_logprob += double{*event.logprob};
  if (plan_.is_echo_only) return;
  add(choice, {facts ? facts->text : choice.text.push(event.token, event.is_end), &event});
}

void Answer::take(size_t prompt_idx, const serving::ChoiceEnd& end_event,
                  const std::optional<TextFacts>& facts) {
  open_prompt(prompt_idx);
  Choice& choice = find(prompt_idx, end_event.choice);
  choice.reason = end_event.reason;
  if (!plan_.is_echo_only) add(choice, {facts ? facts->text : choice.text.finish(), nullptr});
  const std::vector<int32_t>& stop_ids = plan_.params.stop_token_ids;
  if (facts && facts->matched_stop) {
    choice.stop_reason.clear();
    append_json_string(choice.stop_reason, plan_.params.stop[*facts->matched_stop]);
  } else if (end_event.stop_token &&
             std::find(stop_ids.begin(), stop_ids.end(), *end_event.stop_token) != stop_ids.end()) {
    choice.stop_reason = std::to_string(*end_event.stop_token);
  }
  end(choice);
}

void Answer::take(size_t prompt_idx, const serving::RequestUsage& usage) {
  open_prompt(prompt_idx);
  num_output_tokens_ += plan_.is_echo_only ? 0 : usage.num_output_tokens;
  --num_open_;
}

Answer::ToolCall& Answer::add_call_piece(Choice& choice, const ToolCallPiece& piece) const {
  if (piece.name) {
    choice.calls.push_back(
        {.id = fmt::format("{}{:02}{:02}", plan_.call_id_prefix, choice.index, piece.index),
         .name = *piece.name,
         .arguments = {}});
  }
  ToolCall& call = choice.calls[static_cast<size_t>(piece.index)];
  call.arguments += piece.arguments;
  return call;
}

std::string Answer::finish_reason(const Choice& choice) const {
  if (plan_.is_echo_only) return "length";
  // A call that was cut off is not made, and behind a length more calls may be missing.
  const bool makes_calls =
      choice.tools && choice.tools->num_calls() > 0 && !choice.tools->is_call_open();
  if (makes_calls && (choice.reason == FinishReason::stop || choice.tools->is_over()))
    return "tool_calls";
  return std::string(to_string(choice.reason));
}

void Answer::write_head(JsonWriter& writer, std::string_view object) const {
  writer.field("id", plan_.id).field("object", object).field("created", plan_.created);
  writer.field("model", plan_.model).field("system_fingerprint", plan_.fingerprint);
}

namespace {

void write_usage_counts(JsonWriter& writer, int64_t prompt, int64_t output, int64_t cached) {
  writer.begin_object().field("prompt_tokens", prompt).field("completion_tokens", output);
  writer.field("total_tokens", prompt + output).key("prompt_tokens_details").begin_object();
  writer.field("cached_tokens", cached).end_object().end_object();
}

}  // namespace

void Answer::write_usage(JsonWriter& writer) const {
  write_usage_counts(writer, num_prompt_tokens_, num_output_tokens_, num_cached_tokens_);
}

std::string Answer::event_start(std::string_view object) const {
  std::string start = "data: ";
  JsonWriter writer(start);
  writer.begin_object();
  write_head(writer, object);
  return start + ",\"choices\":[{\"index\":";
}

void Answer::append_finish(std::string& events, const Choice& choice, bool is_last) const {
  events += ",\"finish_reason\":";
  if (!is_last) {
    events += "null";
    return;
  }
  append_json_string(events, finish_reason(choice));
  events += ",\"stop_reason\":" + choice.stop_reason;
}

void Answer::append_event_end(std::string& events, const Choice& choice) const {
  events += "}]";
  if (plan_.continuous_usage_stats) {
    events += ",\"usage\":";
    JsonWriter writer(events);
    write_usage_counts(writer, std::ssize(plan_.prompts[choice.prompt_idx].tokens),
                       choice.num_tokens, num_cached_tokens_);
  } else if (plan_.include_usage) {
    events += ",\"usage\":null";
  }
  events += "}\n\n";
}

std::string Answer::last_events(std::string_view object) const {
  std::string events;
  if (plan_.include_usage) {
    events += "data: ";
    JsonWriter writer(events);
    writer.begin_object();
    write_head(writer, object);
    writer.key("choices").begin_array().end_array().key("usage");
    write_usage(writer);
    writer.end_object();
    events += "\n\n";
  }
  return events + "data: [DONE]\n\n";
}

void Answer::add_prompt_logprobs(Choice& choice) const {
  const std::vector<int32_t>& tokens = plan_.prompts[choice.prompt_idx].tokens;
  choice.logprobs.add_first(tokens.front());
  for (const std::vector<serving::TokenLogprob>& entries : prompt_logprobs_[choice.prompt_idx])
    choice.logprobs.add(entries.front(), std::span(entries).subspan(1));
}

}  // namespace veloz::http::openai
