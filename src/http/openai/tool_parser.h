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

/// How many calls an answer may hold.
enum class CallLimit { none, one };

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
  /// Behind the one call of CallLimit::one, nothing comes out any more.
  explicit ToolParser(ToolFormat format, CallLimit limit = CallLimit::none);
  /// Of one tool that must be called: the text is its arguments, an object.
  static ToolParser of_named(std::string name);

  ParsedPiece push(std::string_view text);
  /// The text has ended: what was held back, and what turned out to be no call.
  ParsedPiece finish();
  /// Those that are complete.
  int64_t num_calls() const { return num_calls_; }
  /// The last call that came out lacks its end.
  bool is_call_open() const { return is_call_open_; }
  /// All that may come out has.
  bool is_over() const { return state_ == State::over; }

 private:
  enum class State { start, content, calls, arguments, over };

  bool take_start();
  bool take_content(ParsedPiece& piece);
  bool take_calls(ParsedPiece& piece);
  void take_call(ParsedPiece& piece);
  void take_arguments(ParsedPiece& piece);
  void end_call();
  void give_content(std::string_view text, ParsedPiece& piece);

  ToolFormat format_;
  CallLimit limit_;
  std::string name_;  // of the tool that must be called
  State state_;
  std::string marker_;   // opens calls
  std::string pending_;  // not understood yet
  std::string spaces_;   // content so far ends with them; calls that follow drop them
  std::unique_ptr<ToolCallScanner> call_;
  bool is_call_open_ = false;  // its name was given
  int64_t num_calls_ = 0;
};

}  // namespace veloz::http::openai
