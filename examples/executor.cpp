// SPDX-License-Identifier: Apache-2.0
// Runs several prompts together and prints what happens to each as it happens; then begins one that
// would be long, and cancels it:
//   executor ENGINE_DIR "Once upon a time" "The weather today"
#include <veloz/executor.h>

#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

/// What a program does with one event.
void print(size_t request, const veloz::Event& event) {
  std::cout << "[" << request << "] ";
  if (const auto* prompt = std::get_if<veloz::PromptDone>(&event))
    std::cout << prompt->num_cached_tokens << " prompt tokens were cached\n";
  if (const auto* delta = std::get_if<veloz::CompletionDelta>(&event))
    std::cout << "+" << delta->token_ids.size() << " \"" << delta->text << "\"\n";
  if (const auto* end = std::get_if<veloz::CompletionEnd>(&event))
    std::cout << to_string(end->finish_reason) << "\n";
  if (const auto* end = std::get_if<veloz::RequestEnd>(&event)) {
    if (end->error) std::cout << "error: " << end->error->message() << ", ";
    std::cout << end->usage.num_output_tokens << " tokens\n";
  }
}

std::optional<veloz::EventStream> submit(veloz::Executor& executor, const std::string& prompt,
                                         const veloz::SamplingParams& params) {
  auto submitted = executor.submit({.prompt = prompt, .params = params});
  if (const auto* full = std::get_if<veloz::QueueFull>(&submitted)) {
    std::cerr << full->reason << ", again in " << full->retry_after_s << " s\n";
    return std::nullopt;
  }
  return std::move(std::get<veloz::EventStream>(submitted));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: executor ENGINE_DIR PROMPT...\n";
    return 2;
  }
  try {
    veloz::Executor executor = veloz::Executor::load(argv[1]);
    veloz::SamplingParams params;
    params.max_tokens = 24;
    params.seed = 7;
    std::vector<veloz::EventStream> streams;
    for (int i = 2; i < argc; ++i)
      if (auto stream = submit(executor, argv[i], params)) streams.push_back(std::move(*stream));
    // All of them are running; a server would read each where its client is served.
    for (size_t i = 0; i < streams.size(); ++i)
      while (const auto event = streams[i].next()) print(i, *event);

    params.max_tokens = 200;
    params.ignore_eos = true;
    if (auto stream = submit(executor, argv[2], params))
      while (const auto event = stream->next()) {
        print(streams.size(), *event);
        if (std::holds_alternative<veloz::CompletionDelta>(*event)) stream->cancel();
      }

    const veloz::ExecutorStats stats = executor.stats();
    std::cout << stats.num_steps << " steps for " << stats.num_batched_tokens << " tokens, "
              << stats.num_steps_ahead << " of them begun ahead\n";
  } catch (const veloz::Error& e) {
    std::cerr << "error: " << e.message() << "\nhint: " << e.hint() << "\n";
    return 1;
  }
  return 0;
}
