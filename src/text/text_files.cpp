// SPDX-License-Identifier: Apache-2.0
#include "text/text_files.h"

#include <ctime>
#include <utility>

#include "base/error.h"

namespace veloz::text {

std::vector<int32_t> TextFiles::encode_chat(std::vector<jinja::Value> messages,
                                            bool opens_answer) const {
  if (!tokenizer || !chat_templates)
    throw Error(ErrorKind::unsupported, "the model has no chat template",
                "use `veloz run`, which continues a text");
  ChatInput input;
  input.messages = std::move(messages);
  input.add_generation_prompt = opens_answer;
  input.bos_token = special_tokens.bos;
  input.eos_token = special_tokens.eos;
  input.clock = [] {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    return local;
  };
  return tokenizer->encode(chat_templates->render(input), {.add_special_tokens = false});
}

TextFiles load_text_files(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory / "tokenizer.json") &&
      !std::filesystem::exists(directory / "tokenizer.model"))
    return {};
  return {Tokenizer::load(directory), ChatTemplates::load(directory),
          load_special_token_names(directory)};
}

}  // namespace veloz::text
