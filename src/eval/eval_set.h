// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_files.h"

namespace veloz::eval {

/// What a set's answers are judged by.
enum class Task {
  summarize,  // ROUGE
  chat,       // exact answers
};

std::string_view to_string(Task task);
/// Throws Error(invalid_input) naming those there are.
Task parse_task(std::string_view text);

/// Tokens that a model is given; those from `first_scored` on (1 or more, the first has nothing
/// before it) count.
struct ScoredText {
  std::vector<int32_t> tokens;
  int64_t first_scored = 1;
};

struct EvalItem {
  std::vector<int32_t> prompt_tokens;
  std::string expected;
};

/// What a model is evaluated on, in its tokens.
struct EvalSet {
  std::string name;          // file names
  std::optional<Task> task;  // where there are items
  std::vector<EvalItem> items;
  /// Each item's prompt with the expected answer behind it, of which the answer counts; and the
  /// windows of text files.
  std::vector<ScoredText> texts;
};

struct EvalSetOptions {
  std::optional<Task> task{};      // none: chat where the first item has "messages", else summarize
  std::optional<int64_t> limit{};  // read that many items at most, >= 1
  int64_t max_model_len = 0;       // positions of the models
  int64_t max_text_window = 2048;  // tokens of a text file that a model sees at once, at most
};

/// Adds the items of a JSONL file. A line is an object with "prompt" (text) or "messages"
/// ([{"role", "content"}, ...], through the chat template), and "reference" or "answer", the
/// expected text; other fields are ignored. Throws Error(invalid_input) naming file, line and
/// field, Error(unsupported) for a model without a tokenizer, or messages without a template.
void add_items(EvalSet& set, const std::filesystem::path& file, const text::TextFiles& text,
               const EvalSetOptions& options);

/// Adds a text file, cut into windows of as many tokens as the model takes, but for the first token
/// of each all scored. Where the tokenizer begins texts with a token, each window does. Throws as
/// add_items.
void add_text(EvalSet& set, const std::filesystem::path& file, const text::TextFiles& text,
              const EvalSetOptions& options);

}  // namespace veloz::eval
