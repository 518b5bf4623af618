// SPDX-License-Identifier: Apache-2.0
#include "eval/eval_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace veloz::eval {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<int32_t>;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
constexpr const char* kLineHint =
    "a line is {\"prompt\": text, \"reference\": text} or {\"messages\": [{\"role\", "
    "\"content\"}, ...], \"answer\": text}";

Error bad_line(const std::string& what) { return Error(ErrorKind::invalid_input, what, kLineHint); }

const text::Tokenizer& require_tokenizer(const text::TextFiles& text) {
  if (!text.tokenizer)
    throw Error(ErrorKind::unsupported, "the model has no tokenizer, so texts mean nothing to it",
                "build it from a directory that holds tokenizer.json or tokenizer.model");
  return *text.tokenizer;
}

std::string text_field(const Json& line, const char* field) {
  const Json& value = line.at(field);
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    throw bad_line(fmt::format("\"{}\" must be a text that is not empty", field));
  return value.get<std::string>();
}

std::string expected_text(const Json& line) {
  for (const char* field : {"reference", "answer"})
    if (line.contains(field)) return text_field(line, field);
  throw bad_line("it has no \"reference\" and no \"answer\"");
}

/// Messages as the chat template takes them.
std::vector<text::jinja::Value> messages_of(const Json& line) {
  const Json& list = line.at("messages");
  const auto is_message = [](const Json& item) {
    return item.is_object() && item.contains("role") && item.contains("content") &&
           item.at("role").is_string() && item.at("content").is_string();
  };
  if (!list.is_array() || list.empty() || !std::ranges::all_of(list, is_message))
    throw bad_line("\"messages\" must be a list of {\"role\": text, \"content\": text}");
  std::vector<text::jinja::Value> messages;
  for (const Json& item : list)
    messages.push_back(text::chat_message(item.at("role").get_ref<const std::string&>(),
                                          item.at("content").get_ref<const std::string&>()));
  return messages;
}

/// A prompt, and the same with its answer as the model would write it, to the end of the answer.
struct ItemTokens {
  Tokens prompt, with_answer;
};

ItemTokens chat_tokens(const Json& line, const std::string& expected, const text::TextFiles& text) {
  std::vector<text::jinja::Value> messages = messages_of(line);
  ItemTokens tokens;
  tokens.prompt = text.encode_chat(messages);
  messages.push_back(text::chat_message("assistant", expected));
  tokens.with_answer = text.encode_chat(std::move(messages), /*opens_answer=*/false);
  return tokens;
}

ItemTokens plain_tokens(const Json& line, const std::string& expected,
                        const text::TextFiles& text) {
  constexpr std::string_view kSpaces = " \n\t\r";
  const text::Tokenizer& tokenizer = require_tokenizer(text);
  const std::string prompt = text_field(line, "prompt");
  const bool has_space = kSpaces.find(prompt.back()) != std::string_view::npos ||
                         kSpaces.find(expected.front()) != std::string_view::npos;
  ItemTokens tokens{tokenizer.encode(prompt),
                    tokenizer.encode(prompt + (has_space ? "" : " ") + expected)};
  const std::optional<int32_t> end =
      text.special_tokens.eos.empty() ? std::nullopt : tokenizer.token_id(text.special_tokens.eos);
  if (end && tokens.with_answer.back() != *end) tokens.with_answer.push_back(*end);
  return tokens;
}

void check_length(size_t num_tokens, const EvalSetOptions& options) {
  if (std::cmp_greater(num_tokens, options.max_model_len))
    throw Error(ErrorKind::invalid_input,
                fmt::format("prompt and expected answer have {} tokens, the model takes {}",
                            num_tokens, options.max_model_len),
                "leave the item out, or build the model with a higher --max-model-len");
}

void add_item(EvalSet& set, const Json& line, const text::TextFiles& text,
              const EvalSetOptions& options) {
  const bool is_chat = line.contains("messages");
  if (!is_chat && !line.contains("prompt"))
    throw bad_line("it has no \"prompt\" and no \"messages\"");
  if (!set.task) set.task = options.task.value_or(is_chat ? Task::chat : Task::summarize);
  std::string expected = expected_text(line);
  ItemTokens tokens =
      is_chat ? chat_tokens(line, expected, text) : plain_tokens(line, expected, text);
  check_length(tokens.with_answer.size(), options);
  const auto shared = std::ranges::mismatch(tokens.prompt, tokens.with_answer);
  const int64_t num_shared = shared.in2 - tokens.with_answer.begin();
  set.texts.push_back({std::move(tokens.with_answer), std::max<int64_t>(num_shared, 1)});
  set.items.push_back({std::move(tokens.prompt), std::move(expected)});
}

Json parse_line(const std::string& text) {
  Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) throw bad_line("it is no JSON object");
  return line;
}

void add_name(EvalSet& set, const std::filesystem::path& file) {
  if (!set.name.empty()) set.name += ", ";
  set.name += file.filename().string();
}

void check_limit(const EvalSetOptions& options) {
  if (options.limit && *options.limit < 1)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a limit of {} items, 1 or more can be", *options.limit),
                "leave the limit out to take all");
}

/// What the tokenizer puts in front of a text.
Tokens first_tokens(const text::Tokenizer& tokenizer) {
  const Tokens with = tokenizer.encode("a");
  const Tokens without = tokenizer.encode("a", {.add_special_tokens = false});
  const auto at = std::search(with.begin(), with.end(), without.begin(), without.end());
  return {with.begin(), at == with.end() ? with.begin() : at};
}

}  // namespace

std::string_view to_string(Task task) { return task == Task::summarize ? "summarize" : "chat"; }

Task parse_task(std::string_view text) {
  for (const Task task : {Task::summarize, Task::chat})
    if (to_string(task) == text) return task;
  throw Error(ErrorKind::invalid_input, fmt::format("there is no task \"{}\"", text),
              "tasks are summarize (ROUGE) and chat (exact answers)");
}

void add_items(EvalSet& set, const std::filesystem::path& file, const text::TextFiles& text,
               const EvalSetOptions& options) {
  require_tokenizer(text);
  check_limit(options);
  const std::string content = read_text_file(file, kMaxFileBytes);
  int64_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (options.limit && std::ssize(set.items) == *options.limit) break;
    try {
      add_item(set, parse_line(line), text, options);
    } catch (Error& e) {
      e.add_context(fmt::format("\"{}\", line {}", file.string(), number));
      throw;
    }
  }
  if (set.items.empty())
    throw Error(ErrorKind::invalid_input, fmt::format("\"{}\" holds no items", file.string()),
                kLineHint);
  add_name(set, file);
}

void add_text(EvalSet& set, const std::filesystem::path& file, const text::TextFiles& text,
              const EvalSetOptions& options) {
  const text::Tokenizer& tokenizer = require_tokenizer(text);
  check_limit(options);
  const Tokens tokens =
      tokenizer.encode(read_text_file(file, kMaxFileBytes), {.add_special_tokens = false});
  const Tokens first = first_tokens(tokenizer);
  const int64_t room = std::min(options.max_text_window, options.max_model_len) - std::ssize(first);
  if (std::ssize(first) + std::ssize(tokens) < 2 || room < 1)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds {} tokens, nothing that could be predicted",
                            file.string(), tokens.size()),
                "give a longer text");
  int64_t num_windows = 0;
  for (int64_t begin = 0; begin < std::ssize(tokens); begin += room) {
    if (options.limit && num_windows++ == *options.limit) break;
    const auto from = tokens.begin() + begin;
    const auto to = from + std::min(room, std::ssize(tokens) - begin);
    ScoredText window{first, 1};
    window.tokens.insert(window.tokens.end(), from, to);
    if (window.tokens.size() > 1) set.texts.push_back(std::move(window));
  }
  add_name(set, file);
}

}  // namespace veloz::eval
