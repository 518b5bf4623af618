// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/openai/tool_call_scanner.h"

namespace veloz::http::openai {

/// How a model writes calls, as its chat template shows it.
enum class ToolFormat {
  hermes,   // <tool_call>{"name": ..., "arguments": {...}}</tool_call>, one per call
  mistral,  // [TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]
  llama3,   // {"name": ..., "parameters": {...}}, perhaps behind <|python_tag|>; nothing else
  forced,   // a list of calls and nothing else: what a grammar made
};

/// The format that a template shows; nothing where it takes no tools or shows none of these.
std::optional<ToolFormat> find_tool_format(std::string_view template_source);

/// Part of a call. A piece with a name opens call `index`.
struct ToolCallPiece {
  int64_t index = 0;
  std::optional<std::string> name = {};
  std::string arguments = {};
};

/// What a piece of text was.
struct ParsedPiece {
  std::string content = {};
  std::vector<ToolCallPiece> calls = {};
};

/// Tells calls from text as the text comes. White space around calls belongs to nobody.
class ToolParser {
 public:
  explicit ToolParser(ToolFormat format);
  /// Of one tool that must be called: all text is its arguments.
  static ToolParser of_named(std::string name);

  ParsedPiece push(std::string_view text);
  /// The text has ended: what was held back, and what turned out to be no call.
  ParsedPiece finish();
  int64_t num_calls() const { return num_calls_; }

 private:
  enum class State { start, content, calls };

  ToolParser() = default;
  bool take_start(ParsedPiece& piece);
  bool take_content(ParsedPiece& piece);
  bool take_calls(ParsedPiece& piece);
  void take_call(ParsedPiece& piece);
  void give_content(std::string_view text, ParsedPiece& piece);

  ToolFormat format_ = ToolFormat::forced;
  std::optional<std::string> named_;
  State state_ = State::content;
  std::string marker_;   // opens calls
  std::string pending_;  // not understood yet
  std::string spaces_;   // content so far ends with them; calls that follow drop them
  std::unique_ptr<ToolCallScanner> call_;
  bool is_call_open_ = false;  // its name was given
  int64_t num_calls_ = 0;
};

}  // namespace veloz::http::openai
