// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace veloz::text {

/// What the files of a model directory, or of an engine's tokenizer folder, say about text.
struct TextFiles {
  std::unique_ptr<Tokenizer> tokenizer;  // null where there is none: token ids only
  std::optional<ChatTemplates> chat_templates;
  SpecialTokenNames special_tokens;

  /// The conversation through the chat template, without special tokens of the tokenizer's own: the
  /// template writes them itself. `opens_answer`: the prompt ends with the opening of the
  /// assistant's turn. Throws Error(unsupported) where there is no tokenizer or no template.
  std::vector<int32_t> encode_chat(std::vector<jinja::Value> messages,
                                   bool opens_answer = true) const;
};

/// Throws Error(corrupt_data) or Error(unsupported) naming the file.
TextFiles load_text_files(const std::filesystem::path& directory);

}  // namespace veloz::text
