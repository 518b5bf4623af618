// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/generation_flags.h"
#include "cli/interrupt.h"
#include "cli/jsonl.h"
#include "cli/load.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

struct RunFlags {
  LoadFlags load;
  GenerationFlags generation;
  std::optional<std::string> positional_prompt, prompt;
  std::filesystem::path input, output;
  bool json = false;
  bool stats = false;
};

/// One prompt: streams its text, or prints one JSON object. Returns the exit code.
int answer(const RunFlags& flags, LoadedModel& model, const std::string& prompt) {
  const SamplingParams params = flags.generation.apply(model.llm.default_params());
  const InterruptGuard guard;
  const bool is_streaming = !flags.json && params.n == 1;
  const TextSink sink = [&](const TextDelta& delta) {
    if (is_streaming) {
      std::fwrite(delta.text.data(), 1, delta.text.size(), stdout);
      std::fflush(stdout);
    }
    return true;
  };
  const RequestOutput output =
      model.llm.generate(prompt, params, sink, InterruptGuard::is_interrupted);
  if (flags.json) {
    fmt::print("{}\n", to_json(output).dump());
    std::fflush(stdout);
    return output.error ? 1 : report_interrupt();
  }
  if (output.error) throw Error(*output.error);
  if (is_streaming) {
    fmt::print("\n");
  } else {
    for (const Completion& completion : output.completions)
      fmt::print("[{}] {}\n", completion.index, completion.text);
  }
  std::fflush(stdout);
  if (flags.stats) fmt::print(stderr, "{}\n", describe(output, model.load_s, model.engine));
  return report_interrupt();
}

int run_run(const RunFlags& flags) {
  if (flags.positional_prompt && flags.prompt)
    throw Error(ErrorKind::invalid_input, "two prompts are given",
                "give one, as argument or with --prompt");
  const std::optional<std::string>& prompt = flags.prompt ? flags.prompt : flags.positional_prompt;
  if (prompt && !flags.input.empty())
    throw Error(ErrorKind::invalid_input, "a prompt and --input are given", "give one of them");
  if (!flags.output.empty() && flags.input.empty())
    throw Error(ErrorKind::invalid_input, "--output is given without --input",
                "results of a prompt go to stdout; redirect that");
  LoadedModel model = load_model(flags.load);
  if (!flags.input.empty()) return run_jsonl(model, flags.generation, flags.input, flags.output);
  if (prompt) return answer(flags, model, *prompt);
  int exit_code = 0;
  for (std::string line; !InterruptGuard::is_interrupted() && std::getline(std::cin, line);)
    exit_code = std::max(exit_code, answer(flags, model, line));
  return exit_code;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App& verb =
      *app.add_subcommand("run", "Continue a prompt, lines of stdin, or a JSONL file of prompts");
  add_load_flags(verb, flags->load);
  verb.add_option("text", flags->positional_prompt,
                  "Prompt; without one, each line of stdin is a prompt");
  verb.add_option("--prompt", flags->prompt, "The same");
  verb.add_option("--input", flags->input,
                  "JSONL of prompts: {\"prompt\": text}, {\"prompt_token_ids\": [...]} or "
                  "{\"messages\": [{\"role\", \"content\"}, ...]}, with "
                  "sampling fields where they differ; other fields are ignored");
  verb.add_option("--output", flags->output,
                  "JSONL of results, in the order of the input; default: stdout");
  add_generation_flags(verb, flags->generation);
  verb.add_flag("--json", flags->json, "Print one JSON object per prompt instead of text");
  verb.add_flag("--stats", flags->stats, "Print load time, TTFT and tokens/s to stderr");
  verb.footer(
      "Example:\n  veloz run tiny.engine \"The capital of\" --max-tokens 32\n"
      "  veloz run models/tiny-gptj --input prompts.jsonl --output out.jsonl --num-beams 4");
  verb.callback([flags, &action] { action = [flags] { return run_run(*flags); }; });
}

}  // namespace veloz::cli
