// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace veloz::text {

/// What a chat template is rendered from. The values are as JSON has them; see `parse_json_value`.
struct ChatInput {
  std::vector<jinja::Value> messages;  // dicts: role, content, and whatever else the client sent
  jinja::Value tools;                  // a list of dicts, or none
  bool add_generation_prompt = true;   // end with the opening of the assistant's turn
  std::string bos_token, eos_token;    // empty: the template sees them as undefined
  std::vector<std::pair<std::string, jinja::Value>> extra;  // further variables; they win
  std::function<std::tm()> clock;  // for strftime_now; without it such a template is refused
};

/// A message of plain text.
jinja::Value chat_message(std::string_view role, std::string_view content);

/// A JSON text as a value, its keys in order. Throws Error(invalid_input).
jinja::Value parse_json_value(std::string_view text);

/// The template of a model that turns a conversation into its prompt: the part of Jinja2 that such
/// templates use, rendered as transformers does. Immutable; any number of threads may render.
class ChatTemplate {
 public:
  /// Throws Error(invalid_input) for a source that is no Jinja or no UTF-8 or over the limit, and
  /// Error(unsupported) for a construct beyond the subset; both name the line.
  static ChatTemplate parse(std::string source, ChatTemplateLimits limits = {});
  /// The template that transformers would take from a model directory: `chat_template.jinja`, else
  /// `chat_template.json`, else `chat_template` in `tokenizer_config.json`. Of several named ones
  /// `name` is taken; without a name, "default". Nothing where there is none.
  static std::optional<ChatTemplate> load(const std::filesystem::path& model_dir,
                                          std::string_view name = {},
                                          ChatTemplateLimits limits = {});

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  const std::string& source() const;
  /// The prompt. A template that calls raise_exception(m) gives Error(invalid_input) with just m;
  /// one that does not fit the conversation, or passes a limit, the same kind with the line.
  std::string render(const ChatInput& input) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<const Parsed> parsed);
  std::unique_ptr<const Parsed> parsed_;
};

/// The templates of a model: one for plain conversations, and perhaps one for those with tools.
class ChatTemplates {
 public:
  /// Nothing where the directory has no template.
  static std::optional<ChatTemplates> load(const std::filesystem::path& model_dir,
                                           ChatTemplateLimits limits = {});
  /// "tool_use" for a conversation with tools, if there is one; else the default.
  const ChatTemplate& choose(const ChatInput& input) const;
  std::string render(const ChatInput& input) const { return choose(input).render(input); }

 private:
  explicit ChatTemplates(ChatTemplate default_template) : default_(std::move(default_template)) {}
  ChatTemplate default_;
  std::optional<ChatTemplate> tool_use_;
};

}  // namespace veloz::text
