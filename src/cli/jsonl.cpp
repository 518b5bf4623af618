// SPDX-License-Identifier: Apache-2.0
#include "cli/jsonl.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace veloz::cli {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{1} << 30;

struct Task {
  Prompt prompt;
  SamplingParams params;
};

/// Sampling fields of one line over the flags; names as in `--help`, with underscores.
SamplingParams params_of(const nlohmann::json& line, GenerationFlags flags,
                         const SamplingParams& defaults) {
  const auto read = [&](const char* name, auto& field) {
    using T = typename std::remove_reference_t<decltype(field)>::value_type;
    if (line.contains(name)) field = line.at(name).template get<T>();
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
  read("n", flags.n);
  read("num_beams", flags.num_beams);
  read("length_penalty", flags.length_penalty);
  read("no_repeat_ngram_size", flags.no_repeat_ngram_size);
  if (line.contains("stop")) flags.stop = line.at("stop").get<std::vector<std::string>>();
  return flags.apply(defaults);
}

Task parse_task(const std::string& text, const LLM& llm, const GenerationFlags& flags) {
  const nlohmann::json line = nlohmann::json::parse(text);
  if (!line.is_object()) throw Error(ErrorKind::invalid_input, "not a JSON object");
  Task task;
  task.params = params_of(line, flags, llm.default_params());
  if (line.contains("messages")) {
    std::vector<ChatMessage> messages;
    for (const nlohmann::json& message : line.at("messages"))
      messages.push_back(
          {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
    task.prompt = llm.apply_chat_template(messages);
  } else if (line.contains("prompt_token_ids")) {
    task.prompt = line.at("prompt_token_ids").get<std::vector<int32_t>>();
  } else if (line.contains("prompt")) {
    task.prompt = line.at("prompt").get<std::string>();
  } else {
    throw Error(ErrorKind::invalid_input,
                "it has no \"prompt\", \"prompt_token_ids\" or \"messages\"");
  }
  return task;
}

std::vector<Task> read_tasks(const std::filesystem::path& path, const LLM& llm,
                             const GenerationFlags& flags) {
  const std::string text = read_text_file(path, kMaxInputBytes);
  std::vector<Task> tasks;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string context = fmt::format("\"{}\", line {}", path.string(), number);
    try {
      tasks.push_back(parse_task(line, llm, flags));
    } catch (const nlohmann::json::exception& e) {
      throw Error(ErrorKind::invalid_input, fmt::format("{}: {}", context, e.what()),
                  "each line is one JSON object, such as {\"prompt\": \"Hello\"}");
    } catch (Error& e) {
      e.add_context(context);
      throw;
    }
  }
  return tasks;
}

}  // namespace

int run_jsonl(LoadedModel& model, const GenerationFlags& flags, const std::filesystem::path& input,
              const std::filesystem::path& output) {
  const std::vector<Task> tasks = read_tasks(input, model.llm, flags);
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> params;
  for (const Task& task : tasks) {
    prompts.push_back(task.prompt);
    params.push_back(task.params);
  }

  const InterruptGuard guard;
  std::vector<RequestOutput> results;
  {
    ProgressBar bar;
    uint64_t num_ended = 0;
    const TextSink sink = [](const TextDelta&) { return !InterruptGuard::is_interrupted(); };
    const EndSink on_end = [&](size_t) {
      bar.update({"generating", ++num_ended, prompts.size(), "requests"});
    };
    results = model.llm.generate(prompts, params, sink, on_end);
  }

  std::string text;
  bool has_failed = false;
  for (const RequestOutput& result : results) {
    text += to_json(result).dump() + '\n';
    has_failed = has_failed || result.error.has_value();
  }
  if (output.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    write_text_file(output, text);
  }
  return has_failed || InterruptGuard::is_interrupted() ? 1 : 0;
}

}  // namespace veloz::cli
