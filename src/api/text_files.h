// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace veloz::api {

/// What the files of a model directory, or of an engine's tokenizer folder, say about text.
struct TextFiles {
  std::unique_ptr<text::Tokenizer> tokenizer;  // null where there is none: token ids only
  std::optional<text::ChatTemplates> chat_templates;
  text::SpecialTokenNames special_tokens;
};

/// Throws Error(corrupt_data) or Error(unsupported) naming the file.
TextFiles load_text_files(const std::filesystem::path& directory);

}  // namespace veloz::api
