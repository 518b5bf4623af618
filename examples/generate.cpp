// SPDX-License-Identifier: Apache-2.0
// Continues prompts, all of them together, with an engine that `veloz build` wrote:
//   generate ENGINE_DIR "Once upon a time" "The weather today"
#include <veloz/llm.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: generate ENGINE_DIR PROMPT...\n";
    return 2;
  }
  const std::filesystem::path engine = argv[1];
  try {
    veloz::LLM llm = veloz::LLM::load(engine);
    std::vector<veloz::Prompt> prompts;  // text, or token ids
    for (int i = 2; i < argc; ++i) prompts.emplace_back(std::string(argv[i]));
    veloz::SamplingParams params = llm.default_params();
    params.max_tokens = 64;
    const std::vector<veloz::SamplingParams> params_of_each(prompts.size(), params);
    // A TextSink as a third argument would see the text as it comes.
    const std::vector<veloz::RequestOutput> outputs = llm.generate(prompts, params_of_each);
    for (const veloz::RequestOutput& output : outputs) {  // in the order of the prompts
      if (output.error) {                                 // of this request alone
        std::cout << "[error: " << output.error->message() << "]\n";
        continue;
      }
      const veloz::Completion& completion = output.completions.front();
      std::cout << completion.text << "\n[" << completion.token_ids.size() << " tokens, "
                << to_string(completion.finish_reason) << "]\n";
    }
  } catch (const veloz::Error& e) {
    std::cerr << "error: " << e.message() << "\nhint: " << e.hint() << "\n";
    return 1;
  }
  return 0;
}
