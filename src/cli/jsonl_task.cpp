// SPDX-License-Identifier: Apache-2.0
#include "cli/jsonl_task.h"

#include <fmt/format.h>

#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace veloz::cli {
namespace {

using Json = nlohmann::json;

constexpr const char* kHint = "each line is one JSON object, such as {\"prompt\": \"Hello\"}";
constexpr size_t kMaxShown = 80;

[[noreturn]] void refuse(const std::string& field, const Json& value, std::string_view wanted) {
  std::string shown = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (shown.size() > kMaxShown) shown = shown.substr(0, kMaxShown) + "...";
  throw Error(ErrorKind::invalid_input,
              fmt::format("\"{}\" is {}, it must be {}", field, shown, wanted), kHint);
}

template <std::integral T>
void read_value(const std::string& field, const Json& value, T& to) {
  const bool fits = value.is_number_unsigned()
                        ? std::in_range<T>(value.get<uint64_t>())
                        : value.is_number_integer() && std::in_range<T>(value.get<int64_t>());
  if (!fits)
    refuse(field, value,
           fmt::format("a whole number from {} to {}", std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::max()));
  to = value.get<T>();
}

void read_value(const std::string& field, const Json& value, double& to) {
  if (!value.is_number()) refuse(field, value, "a number");
  to = value.get<double>();
}

void read_value(const std::string& field, const Json& value, bool& to) {
  if (!value.is_boolean()) refuse(field, value, "true or false");
  to = value.get<bool>();
}

void read_value(const std::string& field, const Json& value, std::string& to) {
  if (!value.is_string()) refuse(field, value, "a string");
  to = value.get<std::string>();
}

template <typename T>
void read_value(const std::string& field, const Json& value, std::vector<T>& to) {
  if (!value.is_array()) refuse(field, value, "a list");
  to.clear();
  for (const Json& item : value) read_value(field, item, to.emplace_back());
}

template <typename T>
void read_value(const std::string& field, const Json& value, std::optional<T>& to) {
  read_value(field, value, to.emplace());
}

/// "never" or a boolean, as Hugging Face has it; the flag is text.
std::string early_stopping_text(const Json& value) {
  return value.is_boolean() ? value.dump() : value.is_string() ? value.get<std::string>() : "";
}

SamplingParams parse_params(const Json& line, GenerationFlags flags,
                            const SamplingParams& defaults) {
  const auto read = [&](const char* field, auto& to) {
    if (line.contains(field) && !line.at(field).is_null()) read_value(field, line.at(field), to);
  };
  read("max_tokens", flags.max_tokens);
  read("min_tokens", flags.min_tokens);
  read("temperature", flags.temperature);
  read("top_k", flags.top_k);
  read("top_p", flags.top_p);
  read("min_p", flags.min_p);
  read("repetition_penalty", flags.repetition_penalty);
  read("presence_penalty", flags.presence_penalty);
  read("frequency_penalty", flags.frequency_penalty);
  read("seed", flags.seed);
  read("stop_token_ids", flags.stop_token_ids);
  read("n", flags.n);
  read("logprobs", flags.logprobs);
  read("prompt_logprobs", flags.prompt_logprobs);
  read("bad_words", flags.bad_words);
  read("num_beams", flags.num_beams);
  read("length_penalty", flags.length_penalty);
  read("no_repeat_ngram_size", flags.no_repeat_ngram_size);
  read("ignore_eos", flags.ignore_eos);
  if (line.contains("stop") && line.at("stop").is_string())
    flags.stop = {line.at("stop").get<std::string>()};
  else
    read("stop", flags.stop);
  if (line.contains("early_stopping") && !line.at("early_stopping").is_null())
    flags.early_stopping = early_stopping_text(line.at("early_stopping"));
  return flags.apply(defaults);
}

std::vector<ChatMessage> parse_messages(const Json& list) {
  if (!list.is_array() || list.empty()) refuse("messages", list, "a list of messages");
  std::vector<ChatMessage> messages;
  for (const Json& item : list) {
    if (!item.is_object() || !item.contains("role") || !item.contains("content"))
      refuse("messages", item, "objects with \"role\" and \"content\"");
    ChatMessage& message = messages.emplace_back();
    read_value("role", item.at("role"), message.role);
    read_value("content", item.at("content"), message.content);
  }
  return messages;
}

Prompt parse_prompt(const Json& line, const LLM& llm) {
  if (line.contains("messages"))
    return llm.apply_chat_template(parse_messages(line.at("messages")));
  if (line.contains("prompt_token_ids")) {
    std::vector<int32_t> ids;
    read_value("prompt_token_ids", line.at("prompt_token_ids"), ids);
    return ids;
  }
  if (!line.contains("prompt"))
    throw Error(ErrorKind::invalid_input,
                "it has no \"prompt\", \"prompt_token_ids\" or \"messages\"", kHint);
  std::string prompt;
  read_value("prompt", line.at("prompt"), prompt);
  return prompt;
}

}  // namespace

JsonlTask parse_jsonl_task(const std::string& line, const LLM& llm, const GenerationFlags& flags) {
  Json object;
  try {
    object = Json::parse(line);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::invalid_input, fmt::format("no valid JSON: {}", e.what()), kHint);
  }
  if (!object.is_object()) throw Error(ErrorKind::invalid_input, "it is no JSON object", kHint);
  return {parse_prompt(object, llm), parse_params(object, flags, llm.default_params())};
}

}  // namespace veloz::cli
