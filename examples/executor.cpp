// SPDX-License-Identifier: Apache-2.0
// Runs several prompts together and prints what happens to each as it happens:
//   executor ENGINE_DIR "Once upon a time" "The weather today"
#include <veloz/executor.h>

#include <iostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

/// What a program does with one event; false at the end of the request.
bool print(size_t request, const veloz::Event& event) {
  if (const auto* delta = std::get_if<veloz::CompletionDelta>(&event))
    std::cout << "[" << request << "] +" << delta->token_ids.size() << " \"" << delta->text
              << "\"\n";
  if (const auto* end = std::get_if<veloz::CompletionEnd>(&event))
    std::cout << "[" << request << "] " << to_string(end->finish_reason) << "\n";
  const auto* end = std::get_if<veloz::RequestEnd>(&event);
  if (end == nullptr) return true;
  if (end->error) std::cout << "[" << request << "] error: " << end->error->message() << "\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: executor ENGINE_DIR PROMPT...\n";
    return 2;
  }
  try {
    veloz::Executor executor = veloz::Executor::load(argv[1]);
    std::vector<veloz::EventStream> streams;
    for (int i = 2; i < argc; ++i) {
      veloz::SamplingParams params;
      params.max_tokens = 24;
      params.seed = 7;
      auto submitted = executor.submit({.prompt = std::string(argv[i]), .params = params});
      if (const auto* full = std::get_if<veloz::QueueFull>(&submitted)) {
        std::cerr << full->reason << ", again in " << full->retry_after_s << " s\n";
        continue;
      }
      streams.push_back(std::move(std::get<veloz::EventStream>(submitted)));
    }
    // All of them are running; a server would read each where its client is served.
    for (size_t i = 0; i < streams.size(); ++i)
      while (const auto event = streams[i].next())
        if (!print(i, *event)) break;
    const veloz::ExecutorStats stats = executor.stats();
    std::cout << streams.size() << " requests, " << stats.num_steps << " steps\n";
  } catch (const veloz::Error& e) {
    std::cerr << "error: " << e.message() << "\nhint: " << e.hint() << "\n";
    return 1;
  }
  return 0;
}
