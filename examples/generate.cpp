// SPDX-License-Identifier: Apache-2.0
// Continues a prompt with an engine that `veloz build` wrote, printing the text as it comes:
//   generate ENGINE_DIR "Once upon a time"
#include <veloz/llm.h>

#include <filesystem>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: generate ENGINE_DIR PROMPT\n";
    return 2;
  }
  const std::filesystem::path engine = argv[1];
  const std::string prompt = argv[2];
  try {
    veloz::LLM llm = veloz::LLM::load(engine);
    veloz::SamplingParams params = llm.default_params();
    params.max_tokens = 64;
    const auto print = [](const veloz::TextDelta& delta) {
      std::cout << delta.text << std::flush;
      return true;  // false would cancel the request
    };
    const veloz::RequestOutput output = llm.generate(prompt, params, print);
    if (output.error) throw veloz::Error(*output.error);
    std::cout << "\n[" << output.completions.front().token_ids.size() << " tokens, "
              << to_string(output.completions.front().finish_reason) << "]\n";
  } catch (const veloz::Error& e) {
    std::cerr << "error: " << e.message() << "\nhint: " << e.hint() << "\n";
    return 1;
  }
  return 0;
}
