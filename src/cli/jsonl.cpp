// SPDX-License-Identifier: Apache-2.0
#include "cli/jsonl.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "cli/interrupt.h"
#include "cli/jsonl_task.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace veloz::cli {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{1} << 30;

std::vector<JsonlTask> read_tasks(const std::filesystem::path& path, const LLM& llm,
                                  const GenerationFlags& flags) {
  const std::string text = read_text_file(path, kMaxInputBytes);
  std::vector<JsonlTask> tasks;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      tasks.push_back(parse_jsonl_task(line, llm, flags));
    } catch (Error& e) {
      e.add_context(fmt::format("\"{}\", line {}", path.string(), number));
      throw;
    }
  }
  return tasks;
}

}  // namespace

int run_jsonl(LoadedModel& model, const GenerationFlags& flags, const std::filesystem::path& input,
              const std::filesystem::path& output) {
  const std::vector<JsonlTask> tasks = read_tasks(input, model.llm, flags);
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> params;
  for (const JsonlTask& task : tasks) {
    prompts.push_back(task.prompt);
    params.push_back(task.params);
  }

  // Before the work: a place that cannot be written would waste it.
  std::optional<FileWriter> file;
  if (!output.empty()) file.emplace(FileWriter::create(output));

  const InterruptGuard guard;
  std::vector<RequestOutput> results;
  {
    ProgressBar bar;
    uint64_t num_ended = 0;
    const EndSink on_end = [&](size_t) {
      bar.update({"generating", ++num_ended, prompts.size(), "requests"});
    };
    results = model.llm.generate(prompts, params, {}, on_end, InterruptGuard::is_interrupted);
  }

  std::string text;
  bool has_failed = false;
  for (const RequestOutput& result : results) {
    text += to_json(result).dump() + '\n';
    has_failed = has_failed || result.error.has_value();
  }
  if (file) {
    file->write(text);
    file->close();
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  const int signal_code = report_interrupt();
  return has_failed ? 1 : signal_code;
}

}  // namespace veloz::cli
