// SPDX-License-Identifier: Apache-2.0
#include "benchmark/dataset_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace veloz::benchmark {
namespace {

using Json = nlohmann::json;

// What `vllm bench serve` keeps of ShareGPT.
constexpr int64_t kMinTokens = 4;
constexpr int64_t kMaxPromptTokens = 1024;
constexpr int64_t kMaxTotalTokens = 2048;

constexpr int64_t kDefaultOutputLen = 128;
constexpr int64_t kMaxOutputLen = int64_t{1} << 31;

std::ifstream open(const std::filesystem::path& path) {
  if (path.empty())
    throw Error(ErrorKind::invalid_input, "this dataset needs a file",
                "give it with --dataset-path");
  std::ifstream file(path);
  if (!file || !std::filesystem::is_regular_file(path))
    throw Error(ErrorKind::not_found, fmt::format("there is no file \"{}\"", path.string()),
                "check --dataset-path");
  return file;
}

Error bad_line(const std::filesystem::path& path, int64_t number, std::string_view what) {
  return Error(ErrorKind::invalid_input,
               fmt::format("\"{}\", line {}: {}", path.string(), number, what),
               "each line is one JSON object");
}

/// Calls `use` with the object of each line that is not blank.
void for_each_line(std::istream& file, const std::filesystem::path& path,
                   const std::function<void(const Json&, int64_t)>& use) {
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) throw bad_line(path, number, "no JSON object");
    use(object, number);
  }
}

/// Calls `use` with each element of a JSON list, holding one at a time: ShareGPT is 700 MB.
void for_each_element(std::istream& file, const std::filesystem::path& path,
                      const std::function<void(const Json&)>& use) {
  const Json::parser_callback_t take = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth != 1 || event != Json::parse_event_t::object_end) return true;
    use(value);
    return false;
  };
  try {
    const Json list = Json::parse(file, take);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is no JSON list: {}", path.string(), e.what()),
                "--dataset-name sharegpt wants a JSON list or one object a line");
  }
}

std::optional<std::string> turn(const Json& conversations, size_t i) {
  const Json& message = conversations[i];
  if (!message.is_object() || !message.contains("value") || !message["value"].is_string())
    return std::nullopt;
  return message["value"].get<std::string>();
}

void add_conversation(const Json& object, const DatasetOptions& options, const PromptWriter& writer,
                      std::vector<SampleRequest>& requests) {
  const Json* const conversations =
      object.contains("conversations") ? &object["conversations"] : nullptr;
  if (conversations == nullptr || !conversations->is_array() || conversations->size() < 2) return;
  const auto prompt = turn(*conversations, 0);
  const auto answer = turn(*conversations, 1);
  if (!prompt || !answer) return;
  const int64_t prompt_len = writer.count_tokens(*prompt);
  const int64_t output_len = options.output_len.value_or(writer.count_tokens(*answer));
  if (prompt_len < kMinTokens || (!options.output_len && output_len < kMinTokens)) return;
  if (prompt_len > kMaxPromptTokens || prompt_len + output_len > kMaxTotalTokens) return;
  requests.push_back({*prompt, prompt_len, output_len});
}

Prompt read_prompt(const Json& object, const std::filesystem::path& path, int64_t number) {
  const Json prompt = object.value("prompt", Json());
  if (prompt.is_string()) return prompt.get<std::string>();
  const auto is_id = [](const Json& id) {
    return id.is_number_unsigned() && id <= std::numeric_limits<int32_t>::max();
  };
  if (!prompt.is_array() || prompt.empty() || !std::ranges::all_of(prompt, is_id))
    throw bad_line(path, number, "\"prompt\" must be a string or a list of token ids");
  return prompt.get<std::vector<int32_t>>();
}

int64_t read_output_len(const Json& object, const std::filesystem::path& path, int64_t number) {
  for (const char* key : {"output_len", "output_tokens"}) {
    if (!object.contains(key) || object[key].is_null()) continue;
    const Json& value = object[key];
    if (!value.is_number_unsigned() || value < 1 || value > kMaxOutputLen)
      throw bad_line(path, number, fmt::format("\"{}\" must be a whole number above 0", key));
    return value.get<int64_t>();
  }
  return kDefaultOutputLen;
}

}  // namespace

std::vector<SampleRequest> read_sharegpt(const DatasetOptions& options,
                                         const PromptWriter& writer) {
  std::ifstream file = open(options.path);
  std::vector<SampleRequest> requests;
  const auto add = [&](const Json& object) { add_conversation(object, options, writer, requests); };
  if ((file >> std::ws).peek() == '[')
    for_each_element(file, options.path, add);
  else
    for_each_line(file, options.path, [&](const Json& object, int64_t) { add(object); });
  return requests;
}

std::vector<SampleRequest> read_custom(const DatasetOptions& options, const PromptWriter& writer) {
  std::ifstream file = open(options.path);
  std::vector<SampleRequest> requests;
  for_each_line(file, options.path, [&](const Json& object, int64_t number) {
    Prompt prompt = read_prompt(object, options.path, number);
    const auto* const ids = std::get_if<std::vector<int32_t>>(&prompt);
    const int64_t num_tokens = ids != nullptr ? static_cast<int64_t>(ids->size())
                                              : writer.count_tokens(std::get<std::string>(prompt));
    const int64_t output_len = read_output_len(object, options.path, number);
    requests.push_back({std::move(prompt), num_tokens, options.output_len.value_or(output_len)});
  });
  return requests;
}

}  // namespace veloz::benchmark
