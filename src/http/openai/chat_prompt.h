// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "http/openai/chat_request.h"
#include "http/openai/tool_parser.h"
#include "text/chat_template.h"
#include "text/text_files.h"

namespace veloz::http::openai {

/// The chat templates that conversations go through: those of the model, or one given in their
/// place. Immutable; any thread may use it.
class ChatPrompter {
 public:
  /// `source` replaces the model's templates. Throws what ChatTemplate::parse throws.
  ChatPrompter(const text::TextFiles& files, const std::optional<std::string>& source);

  /// The conversation as the model reads it. Throws RequestError where the template does not take
  /// it, and where the model has no template.
  std::string render(const ChatFields& chat, const ToolFields& tools) const;
  /// How the model writes calls it decides on; nothing where its template shows no known way.
  std::optional<ToolFormat> tool_format() const;
  /// Throws RequestError where `tool_choice: "auto"` cannot be had, saying why.
  ToolFormat require_tool_format() const;

 private:
  const text::ChatTemplate& choose(const text::ChatInput& input) const;

  const text::TextFiles& files_;
  std::optional<text::ChatTemplate> own_;
};

}  // namespace veloz::http::openai
