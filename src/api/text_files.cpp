// SPDX-License-Identifier: Apache-2.0
#include "api/text_files.h"

namespace veloz::api {

TextFiles load_text_files(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory / "tokenizer.json") &&
      !std::filesystem::exists(directory / "tokenizer.model"))
    return {};
  return {text::Tokenizer::load(directory), text::ChatTemplates::load(directory),
          text::load_special_token_names(directory)};
}

}  // namespace veloz::api
