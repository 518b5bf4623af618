// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/generation_flags.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

struct ChatFlags {
  LoadFlags load;
  GenerationFlags generation;
  std::optional<std::string> prompt, system;
  bool json = false;
  bool stats = false;
};

/// Answers the conversation so far and adds the answer to it. Returns the exit code.
int reply(const ChatFlags& flags, LoadedModel& model, std::vector<ChatMessage>& messages) {
  const SamplingParams params = flags.generation.apply(model.llm.default_params());
  const InterruptGuard guard;
  const TextSink sink = [&](const TextDelta& delta) {
    if (!flags.json && delta.completion == 0) {
      std::fwrite(delta.text.data(), 1, delta.text.size(), stdout);
      std::fflush(stdout);
    }
    return true;
  };
  const RequestOutput output = model.llm.generate(model.llm.apply_chat_template(messages), params,
                                                  sink, InterruptGuard::is_interrupted);
  if (output.error) throw Error(*output.error);
  if (flags.json)
    fmt::print("{}\n", to_json(output).dump());
  else
    fmt::print("\n");
  std::fflush(stdout);
  if (flags.stats) fmt::print(stderr, "{}\n", describe(output, model.load_s, model.engine));
  messages.push_back({"assistant", output.completions.front().text});
  return report_interrupt();
}

int run_chat(const ChatFlags& flags) {
  LoadedModel model = load_model(flags.load);
  std::vector<ChatMessage> messages;
  if (flags.system) messages.push_back({"system", *flags.system});
  if (flags.prompt) {
    messages.push_back({"user", *flags.prompt});
    return reply(flags, model, messages);
  }
  const bool is_interactive = is_stdout_terminal();
  std::string line;
  while (true) {
    if (is_interactive) fmt::print("> ");
    std::fflush(stdout);
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    messages.push_back({"user", line});
    const int exit_code = reply(flags, model, messages);
    // A person goes on after stopping an answer; a script is to end.
    if (exit_code != 0 && !is_interactive) return exit_code;
  }
  if (is_interactive) fmt::print("\n");
  return 0;
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App& verb = *app.add_subcommand("chat", "Talk with a model through its chat template");
  add_load_flags(verb, flags->load);
  verb.add_option("--prompt", flags->prompt,
                  "One message; without it, each line of stdin is a turn");
  verb.add_option("--system", flags->system, "System message");
  add_generation_flags(verb, flags->generation);
  verb.add_flag("--json", flags->json, "Print one JSON object per answer instead of text");
  verb.add_flag("--stats", flags->stats, "Print load time, TTFT and tokens/s to stderr");
  verb.footer("Example:\n  veloz chat models/tiny-llama --prompt \"Hello!\"");
  verb.callback([flags, &action] { action = [flags] { return run_chat(*flags); }; });
}

}  // namespace veloz::cli
